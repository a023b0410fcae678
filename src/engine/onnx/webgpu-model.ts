/** @file Fits a serialised model to onnxruntime's WebGPU provider: what it would fail on, and what it computes badly. */

import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  type GraphProto,
  ModelProtoSchema,
  type NodeProto,
  NodeProtoSchema,
  type TensorProto,
  TensorProtoSchema,
  type ValueInfoProto,
} from 'onnx-buf';
import { dtypeInfo } from '../tensor/index.js';

/** A model for WebGPU. */
export interface WebGpuModel {
  readonly model: Uint8Array;
  /** Names of the nodes that the CPU must compute. */
  readonly cpuNodes: readonly string[];
}

/**
 * The shading language promises no more of these than an absolute error of 2^-11 (WGSL, floating point accuracy): too
 * much for positions.
 */
const IMPRECISE: readonly string[] = ['Sin', 'Cos'];
/** Their kernels fail when they run, on a device without 16-bit floats. */
const HALF_PRECISION: ReadonlySet<number> = new Set([dtypeInfo.float16.onnx, dtypeInfo.bfloat16.onnx]);
/** A shader may have 8 buffers on every device (WebGPU, limits), and a Split has one for its input. */
const MOST_PIECES = 7;

/**
 * Fits a model to WebGPU. The provider has one shader for all outputs of a Split, so that a Split into more pieces than
 * a device allows buffers becomes a Slice for each of them. Nodes that read or write 16-bit floats, as far as the model
 * declares the types of values, and sines and cosines are named for the CPU. The model computes the same.
 */
export function webGpuModel(model: Uint8Array): WebGpuModel {
  const parsed = fromBinary(ModelProtoSchema, model);
  if (parsed.graph === undefined) return { model, cpuNodes: [] };
  const graphs = withSubgraphs(parsed.graph);
  const constants = new Map(
    graphs.flatMap(({ initializer }) => initializer.map((each) => [each.name, each])),
  );
  const isChanged = graphs.map((graph) => sliceSplits(graph, constants)).includes(true);
  return {
    model: isChanged ? toBinary(ModelProtoSchema, parsed) : model,
    cpuNodes: cpuNodes(graphs),
  };
}

function withSubgraphs(graph: GraphProto): GraphProto[] {
  const inner = graph.node.flatMap(({ attribute }) =>
    attribute.flatMap(({ g }) => (g === undefined ? [] : [g])),
  );
  return [graph, ...inner.flatMap(withSubgraphs)];
}

function cpuNodes(graphs: readonly GraphProto[]): string[] {
  const values = new Set(graphs.flatMap(halfPrecisionValues));
  return graphs.flatMap(({ node }) =>
    node
      .filter(
        ({ opType, input, output }) =>
          IMPRECISE.includes(opType) || [...input, ...output].some((name) => values.has(name)),
      )
      .map(({ name }) => name),
  );
}

function halfPrecisionValues({ input, output, valueInfo, initializer }: GraphProto): string[] {
  return [
    ...[...input, ...output, ...valueInfo].filter(isHalfPrecision),
    ...initializer.filter(({ dataType }) => HALF_PRECISION.has(dataType)),
  ].map(({ name }) => name);
}

function isHalfPrecision({ type }: ValueInfoProto): boolean {
  return type?.value.case === 'tensorType' && HALF_PRECISION.has(type.value.value.elemType);
}

/** Replaces each Split into many pieces of constant sizes. @returns whether there was one */
function sliceSplits(graph: GraphProto, constants: ReadonlyMap<string, TensorProto>): boolean {
  const nodes = graph.node.flatMap((node): NodeProto[] => {
    if (node.opType !== 'Split' || node.output.length <= MOST_PIECES) return [node];
    const sizes = integersOf(constants.get(node.input[1] ?? ''));
    return sizes === undefined ? [node] : slices(graph, node, sizes);
  });
  const isChanged = nodes.length !== graph.node.length;
  if (isChanged) graph.node = nodes;
  return isChanged;
}

/** A Slice for each output of a Split; their bounds become initializers of the graph. */
function slices(graph: GraphProto, { name, input, output, attribute }: NodeProto, sizes: readonly bigint[]) {
  const axis = attribute.find((each) => each.name === 'axis')?.i ?? 0n;
  const bound = (what: string, value: bigint): string => {
    const tensor = create(TensorProtoSchema, {
      name: `${name}/${what}`,
      dataType: dtypeInfo.int64.onnx,
      dims: [1n],
      rawData: new Uint8Array(BigInt64Array.of(value).buffer),
    });
    graph.initializer.push(tensor);
    return tensor.name;
  };
  const axes = bound('axis', axis);
  let end = 0n;
  return output.map((piece, index) => {
    const start = end;
    end += sizes[index]!;
    return create(NodeProtoSchema, {
      name: `${name}/Slice_${index}`,
      opType: 'Slice',
      input: [input[0]!, bound(`start_${index}`, start), bound(`end_${index}`, end), axes],
      output: [piece],
    });
  });
}

/** The values of an int64 initializer inside the model. */
function integersOf(tensor: TensorProto | undefined): bigint[] | undefined {
  if (tensor === undefined || tensor.dataType !== dtypeInfo.int64.onnx) return undefined;
  if (tensor.int64Data.length > 0) return tensor.int64Data;
  if (tensor.rawData.length % 8 !== 0) return undefined;
  return [...new BigInt64Array(new Uint8Array(tensor.rawData).buffer)]; // a copy, aligned
}
