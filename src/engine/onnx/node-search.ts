/** @file Finds nodes of a serialised model by operator and by the types of their values. */

import { fromBinary } from '@bufbuild/protobuf';
import { type GraphProto, ModelProtoSchema, type ValueInfoProto } from 'onnx-buf';
import { type DType, dtypeInfo } from '../tensor/index.js';
import type { OperatorType } from './operator-types.js';

/**
 * Names of the nodes, those of subgraphs included, that are of one of the operators, or read or write a value of one of
 * the types. A value counts if the model declares its type, as every model of {@link serializeModel} does.
 */
export function findNodes(
  model: Uint8Array,
  operators: readonly OperatorType[],
  dtypes: readonly DType[],
): string[] {
  const { graph } = fromBinary(ModelProtoSchema, model);
  if (graph === undefined) return [];
  const graphs = withSubgraphs(graph);
  const codes = new Set<number>(dtypes.map((dtype) => dtypeInfo[dtype].onnx));
  const values = new Set(graphs.flatMap((each) => valuesOfTypes(each, codes)));
  return graphs.flatMap(({ node }) =>
    node
      .filter(
        ({ opType, input, output }) =>
          operators.some((operator) => operator === opType) ||
          [...input, ...output].some((name) => values.has(name)),
      )
      .map(({ name }) => name),
  );
}

function withSubgraphs(graph: GraphProto): GraphProto[] {
  const inner = graph.node.flatMap(({ attribute }) =>
    attribute.flatMap(({ g }) => (g === undefined ? [] : [g])),
  );
  return [graph, ...inner.flatMap(withSubgraphs)];
}

function valuesOfTypes(
  { input, output, valueInfo, initializer }: GraphProto,
  codes: ReadonlySet<number>,
): string[] {
  const hasType = ({ type }: ValueInfoProto): boolean =>
    type?.value.case === 'tensorType' && codes.has(type.value.value.elemType);
  return [
    ...[...input, ...output, ...valueInfo].filter(hasType),
    ...initializer.filter(({ dataType }) => codes.has(dataType)),
  ].map(({ name }) => name);
}
