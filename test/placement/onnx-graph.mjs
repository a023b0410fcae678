/** @file Reads an ONNX file as a list of nodes with the types of their tensors, subgraphs included. */

import { fromBinary } from '@bufbuild/protobuf';
import { ModelProtoSchema, TensorProto_DataType } from 'onnx-buf';

/** "float32", "int64" ... by ONNX's code. */
export function typeName(code) {
  const name = (TensorProto_DataType[code] ?? `type${code}`).toLowerCase();
  return { float: 'float32', double: 'float64' }[name] ?? name;
}

/** @param bytes an ONNX model */
export function parseModel(bytes) {
  const model = fromBinary(ModelProtoSchema, bytes);
  if (model.graph === undefined) throw new Error('this is not an ONNX model: it has no graph');
  return model;
}

/** Metadata of a model, by key. */
export function metadataOf(model) {
  return Object.fromEntries(model.metadataProps.map(({ key, value }) => [key, value]));
}

/**
 * All nodes in order: operator, domain, name, `graph` ("root", or the operators and names of the nodes around it),
 * `depth` (0 in the root), inputs and outputs with their types, and whether a Loop is around it.
 */
export function nodesOf(model) {
  const nodes = [];
  const visit = (graph, path, inLoop, outerType) => {
    const types = typesOf(graph);
    const typeOf = (name) => types.get(name) ?? outerType(name);
    for (const node of graph.node) {
      const tensors = (names) =>
        names.map((name) => ({ name, type: name === '' ? undefined : typeOf(name) }));
      const entry = {
        operator: node.opType,
        domain: node.domain,
        name: node.name,
        graph: path.length === 0 ? 'root' : path.join(' > '),
        inLoop,
        inputs: tensors(node.input),
        outputs: tensors(node.output),
      };
      nodes.push(entry);
      for (const { g, graphs } of node.attribute) {
        for (const inner of [g, ...graphs].filter((each) => each !== undefined)) {
          visit(inner, [...path, node.name || node.opType], inLoop || node.opType === 'Loop', typeOf);
        }
      }
    }
  };
  visit(model.graph, [], false, () => undefined);
  return nodes;
}

/** Initializers of a model and its subgraphs: name, type, number of elements. */
export function initializersOf(model) {
  const found = [];
  const visit = (graph) => {
    for (const { name, dataType, dims } of graph.initializer) {
      found.push({
        name,
        type: typeName(dataType),
        shape: dims.map(Number),
        elements: dims.reduce((a, b) => a * Number(b), 1),
      });
    }
    for (const { attribute } of graph.node) {
      for (const { g, graphs } of attribute)
        [g, ...graphs].filter((each) => each !== undefined).forEach(visit);
    }
  };
  visit(model.graph);
  return found;
}

function typesOf(graph) {
  const types = new Map();
  for (const { name, type } of [...graph.input, ...graph.output, ...graph.valueInfo]) {
    if (type?.value.case === 'tensorType') types.set(name, typeName(type.value.value.elemType));
  }
  for (const { name, dataType } of graph.initializer) types.set(name, typeName(dataType));
  return types;
}
