/**
 * @file Parses the state dict in a PyTorch pickle: each tensor's type, shape and storage. Storages are only named here;
 * their location is known to the archive or legacy file around the pickle.
 *
 * Names and arguments follow torch._utils (`_rebuild_tensor_v2` etc.) and torch.serialization (`persistent_id`).
 */

import type { InputError } from '../base/index.js';
import { type DType, dtypeInfo, dtypes, elementCount } from '../engine/tensor/index.js';
import {
  isObject,
  type PickleDict,
  type PickleFunction,
  type PickleObject,
  type PickleTuple,
  type PickleValue,
  quote,
  unpickle,
} from './pickle.js';

/** One flat array, which several tensors may view. */
export interface TorchStorage extends PickleObject {
  readonly kind: 'storage';
  readonly key: string;
  readonly elements: ElementType;
  readonly elementCount: number;
}

/** A tensor that can be read in place; its offset is relative to its storage. */
export interface StoredTensor extends WeightLocation {
  readonly storage: TorchStorage;
}

export interface TorchState {
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  /** Every storage in the pickle, by key. */
  readonly storages: ReadonlyMap<string, TorchStorage>;
  /** Offset after the pickle. */
  readonly end: number;
}

interface ElementType extends PickleObject {
  readonly kind: 'element type';
  /** Of the global. */
  readonly name: string;
  /** Absent if emoq does not support the element type. */
  readonly dtype: DType | undefined;
}

/** As in the pickle, unchecked. Offset and strides are in elements. */
interface TorchTensor extends PickleObject {
  readonly kind: 'tensor';
  readonly storage: TorchStorage;
  readonly elements: ElementType;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
}

type Fail = (why: string) => InputError;

const MAX_DIMENSIONS = 64;

const elementTypes: ReadonlyMap<string, ElementType> = new Map(
  Object.entries<DType | undefined>({
    'torch.FloatStorage': 'float32',
    'torch.HalfStorage': 'float16',
    'torch.BFloat16Storage': 'bfloat16',
    'torch.DoubleStorage': 'float64',
    'torch.LongStorage': 'int64',
    'torch.IntStorage': 'int32',
    'torch.CharStorage': 'int8',
    'torch.ByteStorage': 'uint8',
    'torch.BoolStorage': 'bool',
    // The others are listed so that a tensor with one of these types can be named in the error.
    'torch.ShortStorage': undefined,
    'torch.ComplexFloatStorage': undefined,
    'torch.ComplexDoubleStorage': undefined,
    // Newer types are stored as bytes, with their type as an argument of _rebuild_tensor_v3.
    'torch.storage.UntypedStorage': undefined,
    'torch.uint16': undefined,
    'torch.uint32': undefined,
    'torch.uint64': undefined,
    'torch.complex32': undefined,
    'torch.float8_e4m3fn': undefined,
    'torch.float8_e4m3fnuz': undefined,
    'torch.float8_e5m2': undefined,
    'torch.float8_e5m2fnuz': undefined,
    'torch.float8_e8m0fnu': undefined,
    'torch.float4_e2m1fn_x2': undefined,
  }).map(([name, dtype]) => [name, { kind: 'element type', name, dtype }]),
);

/**
 * Reads the state dict whose pickle begins at `start`.
 * @throws InputError from `fail` when it is not a dictionary of tensors, or a tensor cannot be read in place
 */
export function readTorchState(bytes: Buffer, start: number, fail: Fail): TorchState {
  const storages = new Map<string, TorchStorage>();
  const functions = tensorFunctions(fail);
  const { value, end } = unpickle(bytes, start, {
    fail,
    find: (name) => elementTypes.get(name) ?? functions.get(name),
    load(id) {
      const storage = parseStorage(id, fail);
      const known = storages.get(storage.key) ?? storage;
      if (known.elements !== storage.elements || known.elementCount !== storage.elementCount) {
        throw fail(`gives two accounts of storage ${quote(storage.key)}`);
      }
      storages.set(storage.key, known);
      return known;
    },
  });
  return { tensors: tensorsOf(value, fail), storages, end };
}

/** Bytes of a storage. @throws InputError from `fail` if its type is not supported */
export function storageBytes({ key, elements, elementCount: count }: TorchStorage, fail: Fail): number {
  if (elements.dtype === undefined) {
    throw fail(`holds storage ${quote(key)} as ${elements.name}; ${READABLE}`);
  }
  return count * dtypeInfo[elements.dtype].bytes;
}

const READABLE = `what can be read is ${dtypes.join(', ')}`;

/** Storages appear as ("storage", type, key, device, elements), with a sixth item in the older format. */
function parseStorage(id: PickleValue, fail: Fail): TorchStorage {
  const [word, elements, key, , count, view] = Array.isArray(id) ? (id as PickleTuple) : [];
  if (word !== 'storage') throw fail('refers to something outside its pickle that is not a storage');
  if (!isElementType(elements) || typeof key !== 'string' || !isNatural(count)) {
    throw fail('describes a storage by something other than its type, key and size');
  }
  if (view !== undefined && view !== null) {
    throw fail(`has storage ${quote(key)} as a view of another, as only PyTorch before 0.4 did`);
  }
  return { kind: 'storage', key, elements, elementCount: count };
}

function tensorFunctions(fail: Fail): Map<string, PickleFunction> {
  const functions: Record<string, (args: PickleTuple) => PickleValue> = {
    // (storage, offset, shape, strides, requires_grad, hooks, metadata)
    'torch._utils._rebuild_tensor_v2': (args) => parseTensor(args, undefined, args[6], fail),
    // (storage, offset, shape, strides, requires_grad, hooks, type, metadata)
    'torch._utils._rebuild_tensor_v3': (args) => parseTensor(args, args[6], args[7], fail),
    // (tensor, requires_grad, hooks), and with state its Python attributes
    'torch._utils._rebuild_parameter': ([tensor = null]) => tensor,
    'torch._utils._rebuild_parameter_with_state': ([tensor = null]) => tensor,
  };
  return new Map(Object.entries(functions).map(([name, call]) => [name, { kind: 'function', call }]));
}

function parseTensor(
  [storage, offset, shape, strides]: PickleTuple,
  type: PickleValue | undefined,
  metadata: PickleValue | undefined,
  fail: Fail,
): TorchTensor {
  if (!isStorage(storage) || !isNatural(offset) || !isNaturals(shape) || !isNaturals(strides)) {
    throw fail('describes a tensor by something other than its storage, offset, shape and strides');
  }
  if (shape.length !== strides.length || shape.length > MAX_DIMENSIONS) {
    throw fail(
      `has a tensor of ${shape.length} dimensions (of at most ${MAX_DIMENSIONS}) and ${strides.length} strides`,
    );
  }
  const elements = type === undefined ? storage.elements : type;
  if (!isElementType(elements)) throw fail('describes a tensor without the type of its elements');
  // With the conjugate or negative bit set, the stored values are not the tensor's values.
  if (metadata !== undefined && metadata !== null && !(metadata instanceof Map && metadata.size === 0)) {
    throw fail('holds a lazily conjugated or negated tensor; save it again after tensor.resolve_neg()');
  }
  return { kind: 'tensor', storage, elements, offset, shape, strides };
}

function tensorsOf(value: PickleValue, fail: Fail): Map<string, StoredTensor> {
  if (!(value instanceof Map)) throw fail(`holds no state dict; ${HOW_TO_SAVE}`);
  const tensors = new Map<string, StoredTensor>();
  const inner = new Set<PickleDict>(); // one may be stored under many keys
  for (const [key, item] of value) {
    if (item instanceof Map && !inner.has(item)) {
      inner.add(item);
      if ([...item.values()].some(isTensor)) {
        throw fail(`has its tensors in an inner dictionary ${quote(String(key))}; save only that one`);
      }
    }
    // There may be other entries, such as a step count.
    if (isTensor(item)) tensors.set(String(key), locateInStorage(String(key), item, fail));
  }
  if (tensors.size === 0) throw fail(`holds no tensors; ${HOW_TO_SAVE}`);
  return tensors;
}

const HOW_TO_SAVE = 'what can be read is what torch.save(model.state_dict(), ...) writes';

function locateInStorage(key: string, tensor: TorchTensor, fail: Fail): StoredTensor {
  const { storage, elements, shape, strides } = tensor;
  const { dtype } = elements;
  if (dtype === undefined) throw fail(`holds ${quote(key)} as ${elements.name}; ${READABLE}`);
  const where = `${quote(key)} of shape [${shape.join(', ')}]`;
  if (!isContiguous(shape, strides)) {
    throw fail(
      `holds ${where} with strides [${strides.join(', ')}], as a transposed view is kept; save it again after tensor.contiguous()`,
    );
  }
  const count = elementCount(shape);
  // Leaving out zero sizes bounds the shape of an empty tensor too.
  if (!Number.isSafeInteger(elementCount(shape.map((size) => size || 1)))) {
    throw fail(`holds ${where}, which is too large`);
  }
  if (tensor.offset + count > storage.elementCount) {
    throw fail(
      `holds ${where} at element ${tensor.offset} of a storage that has only ${storage.elementCount}`,
    );
  }
  const { bytes } = dtypeInfo[dtype];
  return { storage, dtype, shape, offset: tensor.offset * bytes, byteLength: count * bytes };
}

/**
 * Row-major without gaps. The stride of a dimension of size 1 is meaningless, as are all strides of an empty tensor.
 */
function isContiguous(shape: readonly number[], strides: readonly number[]): boolean {
  if (shape.includes(0)) return true;
  let expected = 1;
  for (const [axis, size] of [...shape.entries()].reverse()) {
    if (size !== 1 && strides[axis] !== expected) return false;
    expected *= size;
  }
  return true;
}

function isTensor(value: PickleValue): value is TorchTensor {
  return isObject(value) && value.kind === 'tensor';
}

function isStorage(value: PickleValue | undefined): value is TorchStorage {
  return isObject(value) && value.kind === 'storage';
}

function isElementType(value: PickleValue | undefined): value is ElementType {
  return isObject(value) && value.kind === 'element type';
}

function isNatural(value: PickleValue | undefined): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function isNaturals(value: PickleValue | undefined): value is number[] {
  return Array.isArray(value) && value.every(isNatural);
}

/** The byte range of a tensor, row-major and little-endian. */
export interface WeightLocation {
  dtype: DType;
  shape: readonly number[];
  /** Absolute byte offset in the file. */
  offset: number;
  byteLength: number;
}
