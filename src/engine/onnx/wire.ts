/**
 * @file Serialises graphs as ONNX: ModelProto, opset 18 (21 with quantized weights), with initializers inline or as
 * external data.
 */

import { isAbsolute, relative, sep } from 'node:path';
import { create, toBinary } from '@bufbuild/protobuf';
import {
  AttributeProto_AttributeType,
  AttributeProtoSchema,
  type GraphProto,
  GraphProtoSchema,
  ModelProtoSchema,
  type NodeProto,
  NodeProtoSchema,
  OperatorSetIdProtoSchema,
  StringStringEntryProtoSchema,
  type TensorProto,
  TensorProto_DataLocation,
  TensorProtoSchema,
  TensorShapeProto_DimensionSchema,
  TensorShapeProtoSchema,
  TypeProto_TensorSchema,
  TypeProtoSchema,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from 'onnx-buf';
import { dtypeInfo, type Tensor } from '../tensor/index.js';
import type { Dim } from './dims.js';
import { type Attribute, type ExternalData, type Graph, type Node, type Value, valuesRead } from './graph.js';
import type { OperatorType } from './operator-types.js';

/** In this opset every operator has an exact kernel on CPU and CUDA. */
export const OPSET = 18;
/** The first opset in which DequantizeLinear takes 4-bit integers. */
export const QUANTIZED_OPSET = 21;
/** IR versions of the two opsets. Version 10 brought 4-bit elements. */
const [IR_VERSION, QUANTIZED_IR_VERSION] = [8n, 10n];

/** The domain of onnxruntime's own operators, and which of them are used. */
const MICROSOFT = 'com.microsoft';
const MICROSOFT_OPERATORS = new Set<OperatorType>(['MatMulNBits']);

export interface ModelOptions {
  /** Folder that external data locations are relative to; files outside it are rejected. */
  readonly weightsFolder?: string;
  readonly description?: string;
  readonly metadata?: Readonly<Record<string, string>>;
}

/**
 * Serialises a graph as an ONNX model.
 * @throws Error when an external file lies outside `weightsFolder`, which onnxruntime would reject
 */
export function serializeModel(graph: Graph, options: ModelOptions = {}): Uint8Array {
  const opset = opsetOf(graph);
  const model = create(ModelProtoSchema, {
    irVersion: opset === OPSET ? IR_VERSION : QUANTIZED_IR_VERSION,
    producerName: 'emoq',
    docString: options.description ?? '',
    graph: graphProto(graph, options),
    opsetImport: [
      create(OperatorSetIdProtoSchema, { domain: '', version: BigInt(opset) }),
      ...(has(graph, ({ operator }) => MICROSOFT_OPERATORS.has(operator))
        ? [create(OperatorSetIdProtoSchema, { domain: MICROSOFT, version: 1n })]
        : []),
    ],
    metadataProps: Object.entries(options.metadata ?? {}).map(([key, value]) =>
      create(StringStringEntryProtoSchema, { key, value }),
    ),
  });
  return toBinary(ModelProtoSchema, model);
}

/** The opset that a graph needs. */
export function opsetOf(graph: Graph): number {
  return has(graph, ({ operator }) => operator === 'DequantizeLinear') ? QUANTIZED_OPSET : OPSET;
}

/** Whether a node of a graph, or of one within it, is as asked for. */
function has({ nodes }: Graph, isWanted: (node: Node) => boolean): boolean {
  return nodes.some(
    (node) =>
      isWanted(node) ||
      Object.values(node.attributes).some(({ kind, value }) => kind === 'graph' && has(value, isWanted)),
  );
}

function graphProto(graph: Graph, options: ModelOptions): GraphProto {
  const given = new Set<Value>(graph.outputs);
  const read = new Set([...graph.nodes.flatMap(valuesRead), ...graph.outputs]);
  const nodes = graph.nodes.filter((node) => !isUnreadCast(node, read));
  const inner = nodes.flatMap((node) => presentOutputs(node, read)).filter((value) => !given.has(value));
  return create(GraphProtoSchema, {
    name: graph.name,
    node: nodes.map((node) => nodeProto(node, read, options)),
    initializer: graph.initializers.map((value) => initializerProto(value, options)),
    input: graph.inputs.map(valueInfo),
    output: graph.outputs.map(valueInfo),
    valueInfo: inner.map(valueInfo),
  });
}

/**
 * Whether a node only casts a stored weight that nobody reads in its other type. onnxruntime would do it all the same:
 * for word embeddings, of which only some rows are read, that takes as much memory as for a matrix that is needed.
 */
function isUnreadCast({ operator, inputs, outputs }: Node, read: ReadonlySet<Value>): boolean {
  return operator === 'Cast' && inputs[0]!.content !== undefined && !read.has(outputs[0]!);
}

/** Outputs without the trailing optional ones that are never read (the statistics of a layer norm outside training). */
function presentOutputs(node: Node, read: ReadonlySet<Value>): readonly Value[] {
  if (node.operator !== 'LayerNormalization') return node.outputs;
  return node.outputs.slice(1).some((value) => read.has(value)) ? node.outputs : node.outputs.slice(0, 1);
}

function nodeProto(node: Node, read: ReadonlySet<Value>, options: ModelOptions): NodeProto {
  return create(NodeProtoSchema, {
    name: node.name,
    opType: node.operator,
    ...(MICROSOFT_OPERATORS.has(node.operator) && { domain: MICROSOFT }),
    input: node.inputs.map((value) => value?.name ?? ''),
    output: presentOutputs(node, read).map((value) => value.name),
    attribute: Object.entries(node.attributes).map(([name, attribute]) =>
      attributeProto(name, attribute, options),
    ),
  });
}

function attributeProto(name: string, attribute: Attribute, options: ModelOptions) {
  const Type = AttributeProto_AttributeType;
  const { kind, value } = attribute;
  if (kind === 'int') return create(AttributeProtoSchema, { name, type: Type.INT, i: BigInt(value) });
  if (kind === 'float') return create(AttributeProtoSchema, { name, type: Type.FLOAT, f: value });
  if (kind === 'ints')
    return create(AttributeProtoSchema, { name, type: Type.INTS, ints: value.map(BigInt) });
  if (kind === 'graph')
    return create(AttributeProtoSchema, { name, type: Type.GRAPH, g: graphProto(value, options) });
  if (kind === 'dtype') {
    return create(AttributeProtoSchema, { name, type: Type.INT, i: BigInt(dtypeInfo[value].onnx) });
  }
  return create(AttributeProtoSchema, { name, type: Type.STRING, s: new TextEncoder().encode(value) });
}

function valueInfo(value: Value): ValueInfoProto {
  const dim = value.shape.map((size: Dim) =>
    create(TensorShapeProto_DimensionSchema, {
      value:
        typeof size === 'number'
          ? { case: 'dimValue', value: BigInt(size) }
          : { case: 'dimParam', value: size },
    }),
  );
  const tensorType = create(TypeProto_TensorSchema, {
    elemType: dtypeInfo[value.dtype].onnx,
    shape: create(TensorShapeProtoSchema, { dim }),
  });
  return create(ValueInfoProtoSchema, {
    name: value.name,
    type: create(TypeProtoSchema, { value: { case: 'tensorType', value: tensorType } }),
  });
}

function initializerProto(value: Value, options: ModelOptions): TensorProto {
  const content = value.content!;
  const header = {
    name: value.name,
    dataType: dtypeInfo[value.dtype].onnx,
    dims: value.shape.map((size) => BigInt(size)),
  };
  if (content.kind === 'inside') {
    return create(TensorProtoSchema, { ...header, rawData: rawBytes(content.tensor) });
  }
  const entry = (key: string, text: string) => create(StringStringEntryProtoSchema, { key, value: text });
  return create(TensorProtoSchema, {
    ...header,
    dataLocation: TensorProto_DataLocation.EXTERNAL,
    externalData: [
      entry('location', externalLocation(content, options)),
      entry('offset', String(content.offset)),
      entry('length', String(content.byteLength)),
    ],
  });
}

function externalLocation(content: ExternalData, { weightsFolder }: ModelOptions): string {
  if (weightsFolder === undefined) throw new Error(`external data in ${content.path} needs a weights folder`);
  const location = relative(weightsFolder, content.path);
  if (isAbsolute(location) || location.split(sep)[0] === '..') {
    throw new Error(`external data ${content.path} lies outside the weights folder ${weightsFolder}`);
  }
  return location.split(sep).join('/');
}

function rawBytes(content: Tensor): Uint8Array<ArrayBuffer> {
  const { buffer, byteOffset, byteLength } = content.data;
  return new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);
}
