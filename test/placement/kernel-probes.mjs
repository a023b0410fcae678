/**
 * @file A model of one node for every operator whose CUDA kernels are listed: those of emoq's graphs, and those that
 * onnxruntime has instead of groups of them. The type under test is T; `typeOf` of the table says which tensor has it.
 */

import { create, toBinary } from '@bufbuild/protobuf';
import {
  AttributeProtoSchema,
  AttributeProto_AttributeType as AttributeType,
  TensorProto_DataType as DataType,
  GraphProtoSchema,
  ModelProtoSchema,
  NodeProtoSchema,
  OperatorSetIdProtoSchema,
  TensorProtoSchema,
  TensorShapeProto_DimensionSchema,
  TensorShapeProtoSchema,
  TypeProto_TensorSchema,
  TypeProtoSchema,
  ValueInfoProtoSchema,
} from 'onnx-buf';

/** ONNX's code of a type. */
const CODES = {
  float32: DataType.FLOAT,
  float64: DataType.DOUBLE,
  float16: DataType.FLOAT16,
  bfloat16: DataType.BFLOAT16,
  int64: DataType.INT64,
  int32: DataType.INT32,
  int8: DataType.INT8,
  uint8: DataType.UINT8,
  int4: DataType.INT4,
  uint4: DataType.UINT4,
  bool: DataType.BOOL,
};

// ---- tensors of a probe ----

/** A tensor of the type under test. */
const T = (...shape) => ({ type: 'T', shape });
/** A tensor of a fixed type, computed in the graph. */
const of = (type, ...shape) => ({ type, shape });
/** A constant: a vector of int64, or zeros of another type. */
const ints = (...values) => ({ constant: 'int64', shape: [values.length], values });
const scalar = (value) => ({ constant: 'int64', shape: [], values: [value] });
const zeros = (type, ...shape) => ({ constant: type, shape });
/** The number 1 of the type under test. */
const one = { constant: 'T', shape: [] };
/** Its bytes, from the last to the first. */
const ONES = {
  float32: '3f800000',
  float64: '3ff0000000000000',
  float16: '3c00',
  bfloat16: '3f80',
  int64: '01',
  int32: '01',
  bool: '01',
};

/** Attributes that ONNX has as floats though they look like integers. */
const FLOATS = new Set(['alpha', 'epsilon', 'scale']);

const MICROSOFT = { domain: 'com.microsoft' };
const unary = [T(2, 8)];
const binary = [T(2, 8), T(2, 8)];
const reduced = { inputs: [T(2, 8), ints(1)], attributes: { keepdims: 1 } };
const unaries = [
  'Abs',
  'Cos',
  'Erf',
  'Exp',
  'Identity',
  'Log',
  'Neg',
  'Reciprocal',
  'Relu',
  'Sigmoid',
  'Sin',
  'Softplus',
  'Sqrt',
  'Tanh',
];
const arithmetic = ['Add', 'Div', 'Max', 'Min', 'Mul', 'Pow', 'Sub', 'Sum'];
const comparisons = ['Equal', 'Greater', 'GreaterOrEqual', 'Less', 'LessOrEqual'];
const reductions = ['ReduceL2', 'ReduceMax', 'ReduceMean', 'ReduceMin', 'ReduceSum', 'ReduceSumSquare'];

/** A matrix of small integers, with a scale and a zero point for each row, or for each block of a row. */
function dequantize(type, scales, attributes) {
  const inputs = [zeros(type, 4, 64), T(...scales), zeros(type, ...scales)];
  return {
    operator: 'DequantizeLinear',
    inputs,
    attributes,
    opset: type.endsWith('4') || scales.length > 1 ? 21 : 18,
  };
}

/** By operator: `inputs`, `attributes`, `outputs` (one of T by default), `domain`, the first `opset`, and `body` of a Loop, Scan or If. */
export const PROBES = {
  ...Object.fromEntries(unaries.map((name) => [name, { inputs: unary }])),
  ...Object.fromEntries(arithmetic.map((name) => [name, { inputs: binary }])),
  ...Object.fromEntries(comparisons.map((name) => [name, { inputs: binary, outputs: ['bool'] }])),
  ...Object.fromEntries(reductions.map((name) => [name, reduced])),
  And: { inputs: binary },
  Not: { inputs: unary },
  Or: { inputs: binary },
  ArgMax: { inputs: unary, attributes: { axis: 1 }, outputs: ['int64'] },
  Cast: { inputs: unary, attributes: { to: 'float32' }, outputs: ['float32'] },
  Clip: { inputs: [T(2, 8), T(), T()] },
  Concat: { inputs: binary, attributes: { axis: 1 } },
  ConstantOfShape: { inputs: [ints(2, 8)], attributes: { value: 'T' } },
  Conv: { inputs: [T(1, 4, 16), T(4, 2, 3), T(4)], attributes: { kernel_shape: [3], group: 2 } },
  CumSum: { inputs: [T(2, 8), scalar(1)] },
  ...Object.fromEntries(
    ['int4', 'int8', 'uint4', 'uint8'].flatMap((type) => [
      [`DequantizeLinear of ${type}`, dequantize(type, [4], { axis: 0 })],
      [`blockwise DequantizeLinear of ${type}`, dequantize(type, [4, 2], { axis: 1, block_size: 32 })],
    ]),
  ),
  Dropout: { inputs: unary },
  Einsum: { inputs: binary, attributes: { equation: 'ij,kj->ik' } },
  Expand: { inputs: [T(1, 8), ints(2, 8)] },
  Flatten: { inputs: unary },
  Gather: { inputs: [T(2, 8), ints(1, 0)], attributes: { axis: 0 } },
  GatherElements: { inputs: [T(2, 8), of('int64', 2, 4)], attributes: { axis: 1 } },
  GatherND: { inputs: [T(2, 8), of('int64', 3, 1)] },
  Gelu: { inputs: unary, ...MICROSOFT },
  BiasGelu: { inputs: [T(2, 8), T(8)], ...MICROSOFT },
  FastGelu: { inputs: unary, ...MICROSOFT },
  QuickGelu: { inputs: unary, attributes: { alpha: 1 }, ...MICROSOFT },
  Gemm: { inputs: [T(2, 8), T(4, 8), T(4)], attributes: { transB: 1 } },
  FusedMatMul: { inputs: [T(2, 8), T(4, 8)], attributes: { transB: 1 }, ...MICROSOFT },
  MatMul: { inputs: [T(2, 8), T(8, 4)] },
  MatMulInteger: { inputs: [T(2, 8), zeros('int8', 8, 4)], outputs: ['int32'] },
  MatMulNBits: {
    inputs: [T(2, 64), zeros('uint8', 8, 2, 16), T(16)],
    attributes: { K: 64, N: 8, bits: 4, block_size: 32 },
    ...MICROSOFT,
  },
  GroupQueryAttention: {
    inputs: [
      T(1, 4, 128),
      T(1, 4, 64),
      T(1, 4, 64),
      T(1, 2, 0, 32),
      T(1, 2, 0, 32),
      of('int32', 1),
      of('int32'),
    ],
    attributes: { num_heads: 4, kv_num_heads: 2 },
    outputs: ['T', 'T', 'T'],
    ...MICROSOFT,
  },
  MultiHeadAttention: {
    inputs: [T(1, 4, 64), T(1, 4, 64), T(1, 4, 64)],
    attributes: { num_heads: 2 },
    ...MICROSOFT,
  },
  RotaryEmbedding: {
    inputs: [T(1, 2, 4, 32), of('int64', 1, 4), T(8, 16), T(8, 16)],
    attributes: { interleaved: 0 },
    ...MICROSOFT,
  },
  InstanceNormalization: { inputs: [T(1, 4, 16), T(4), T(4)] },
  LayerNormalization: {
    inputs: [T(2, 8), T(8), T(8)],
    attributes: { axis: -1, epsilon: 1e-5 },
    outputs: ['T', 'float32', 'float32'],
  },
  SimplifiedLayerNormalization: { inputs: [T(2, 8), T(8)], attributes: { axis: -1, epsilon: 1e-6 } },
  SkipLayerNormalization: { inputs: [T(1, 2, 8), T(1, 2, 8), T(8), T(8)], ...MICROSOFT },
  SkipSimplifiedLayerNormalization: { inputs: [T(1, 2, 8), T(1, 2, 8), T(8)], ...MICROSOFT },
  If: { inputs: [of('bool')], body: 'if' },
  Loop: { inputs: [scalar(2), of('bool'), T(2, 8)], body: 'loop' },
  Scan: { inputs: [T(2, 8)], attributes: { num_scan_inputs: 1 }, body: 'scan' },
  Mod: { inputs: binary },
  OneHot: { inputs: [of('int64', 2), scalar(4), T(2)] },
  Pad: { inputs: [T(2, 8), ints(1, 1), T(), ints(1)] },
  QuantizeLinear: { inputs: [T(4, 8), T(), zeros('int8')], outputs: ['int8'] },
  Range: { inputs: [T(), one, one] },
  Reshape: { inputs: [T(2, 8), ints(4, 4)] },
  ScatterElements: { inputs: [T(2, 8), of('int64', 2, 4), T(2, 4)], attributes: { axis: 1 } },
  ScatterND: { inputs: [T(4, 8), of('int64', 2, 1), T(2, 8)], attributes: { reduction: 'add' } },
  Shape: { inputs: unary, outputs: ['int64'] },
  Slice: { inputs: [T(2, 8), ints(0), ints(4), ints(1)] },
  Softmax: { inputs: unary, attributes: { axis: -1 } },
  LogSoftmax: { inputs: unary, attributes: { axis: -1 } },
  Split: { inputs: [T(2, 8), ints(3, 5)], attributes: { axis: 1 }, outputs: ['T', 'T'] },
  Squeeze: { inputs: [T(2, 1, 8), ints(1)] },
  Tile: { inputs: [T(2, 8), ints(1, 2)] },
  TopK: { inputs: [T(2, 8), ints(2)], outputs: ['T', 'int64'] },
  Transpose: { inputs: unary, attributes: { perm: [1, 0] } },
  Trilu: { inputs: [T(4, 4)] },
  Unsqueeze: { inputs: [T(2, 8), ints(1)] },
  Where: { inputs: [of('bool', 2, 8), T(2, 8), T(2, 8)] },
};

/** Types that are tried, in the order of the table. */
export const TYPES = ['float32', 'float16', 'bfloat16', 'float64', 'int64', 'int32', 'bool'];
export const OPSETS = [18, 21];

// ---- models ----

/**
 * The model of one probe. Its inputs are float32 and cast in the graph, since not every type can be fed; so are its
 * outputs.
 */
export function probeModel(name, type, opset) {
  const { operator = name, inputs, attributes = {}, outputs = ['T'], domain = '', body } = PROBES[name];
  const typeOf = (wanted) => (wanted === 'T' ? type : wanted);
  const numbered = inputs.map((input, index) => ({ ...input, index }));
  const feeds = numbered.filter(({ constant }) => constant === undefined);
  const casts = feeds.map(({ type: wanted, index }) => cast(`fed_${index}`, `in_${index}`, typeOf(wanted)));
  const node = create(NodeProtoSchema, {
    name: 'probe',
    opType: operator,
    domain,
    input: inputs.map((_, index) => `in_${index}`),
    output: outputs.map((_, index) => `out_${index}`),
    attribute: [
      ...Object.entries(attributes).map(([key, value]) => attribute(key, value, type)),
      ...bodyOf(body, type),
    ],
  });
  const results = outputs.map((_, index) => cast(`out_${index}`, `result_${index}`, 'float32'));
  const graph = create(GraphProtoSchema, {
    name: 'probe',
    node: [...casts, node, ...results],
    input: feeds.map(({ shape, index }) => valueInfo(`fed_${index}`, 'float32', shape)),
    output: outputs.map((_, index) => valueInfo(`result_${index}`, 'float32')),
    initializer: numbered
      .filter(({ constant }) => constant !== undefined)
      .map((input) =>
        initializer(
          `in_${input.index}`,
          input.constant === 'T' ? { ...input, constant: type, one: true } : input,
        ),
      ),
  });
  const domains = [['', opset], ...(domain === '' ? [] : [[domain, 1]])];
  const model = create(ModelProtoSchema, {
    irVersion: 10n,
    graph,
    opsetImport: domains.map(([named, version]) =>
      create(OperatorSetIdProtoSchema, { domain: named, version: BigInt(version) }),
    ),
  });
  return toBinary(ModelProtoSchema, model);
}

function cast(input, output, type) {
  const to = create(AttributeProtoSchema, { name: 'to', type: AttributeType.INT, i: BigInt(CODES[type]) });
  return create(NodeProtoSchema, {
    name: `cast ${output}`,
    opType: 'Cast',
    input: [input],
    output: [output],
    attribute: [to],
  });
}

function attribute(name, value, type) {
  const make = (fields) => create(AttributeProtoSchema, { name, ...fields });
  if (name === 'to') return make({ type: AttributeType.INT, i: BigInt(CODES[value]) });
  if (name === 'value')
    return make({ type: AttributeType.TENSOR, t: initializer('', { constant: type, shape: [1] }) });
  if (typeof value === 'string')
    return make({ type: AttributeType.STRING, s: new TextEncoder().encode(value) });
  if (Array.isArray(value)) return make({ type: AttributeType.INTS, ints: value.map(BigInt) });
  if (FLOATS.has(name)) return make({ type: AttributeType.FLOAT, f: value });
  return make({ type: AttributeType.INT, i: BigInt(value) });
}

function initializer(name, { constant, shape, values, one: isOne }) {
  const bytes = {
    int64: 8,
    float64: 8,
    int32: 4,
    float32: 4,
    float16: 2,
    bfloat16: 2,
    int8: 1,
    uint8: 1,
    bool: 1,
    int4: 0.5,
    uint4: 0.5,
  };
  const length = shape.reduce((product, size) => product * size, 1);
  const rawData = new Uint8Array(length * bytes[constant]);
  if (values !== undefined) rawData.set(new Uint8Array(BigInt64Array.from(values, BigInt).buffer));
  if (isOne) rawData.set(Buffer.from(ONES[constant], 'hex').reverse());
  return create(TensorProtoSchema, { name, dataType: CODES[constant], dims: shape.map(BigInt), rawData });
}

function valueInfo(name, type, shape) {
  const dim = shape?.map((size) =>
    create(TensorShapeProto_DimensionSchema, { value: { case: 'dimValue', value: BigInt(size) } }),
  );
  const tensor = create(TypeProto_TensorSchema, {
    elemType: CODES[type],
    ...(dim && { shape: create(TensorShapeProtoSchema, { dim }) }),
  });
  return create(ValueInfoProtoSchema, {
    name,
    type: create(TypeProtoSchema, { value: { case: 'tensorType', value: tensor } }),
  });
}

/** Bodies that pass a tensor of T on; that of an If makes one. */
function bodyOf(kind, type) {
  if (kind === undefined) return [];
  const pass = (input, output) =>
    create(NodeProtoSchema, { opType: 'Identity', input: [input], output: [output] });
  const graphs = {
    loop: {
      body: {
        node: [pass('goes_on', 'goes_on_next'), pass('state', 'state_next')],
        input: [
          valueInfo('step', 'int64', []),
          valueInfo('goes_on', 'bool', []),
          valueInfo('state', type, [2, 8]),
        ],
        output: [valueInfo('goes_on_next', 'bool', []), valueInfo('state_next', type, [2, 8])],
      },
    },
    scan: {
      body: {
        node: [pass('row', 'row_next')],
        input: [valueInfo('row', type, [8])],
        output: [valueInfo('row_next', type, [8])],
      },
    },
    if: Object.fromEntries(
      ['then_branch', 'else_branch'].map((name) => [
        name,
        {
          node: [pass(`${name}_zero`, `${name}_out`)],
          initializer: [initializer(`${name}_zero`, { constant: type, shape: [2, 8] })],
          output: [valueInfo(`${name}_out`, type, [2, 8])],
        },
      ]),
    ),
  };
  return Object.entries(graphs[kind]).map(([name, graph]) =>
    create(AttributeProtoSchema, {
      name,
      type: AttributeType.GRAPH,
      g: create(GraphProtoSchema, { name, ...graph }),
    }),
  );
}
