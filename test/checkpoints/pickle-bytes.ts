/** @file Writes pickles for tests, opcode by opcode. */

export const text = (value: string): Buffer => {
  const bytes = Buffer.from(value);
  return Buffer.concat([Buffer.from('X'), uint32(bytes.length), bytes]);
};

export const uint32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};

/** LONG1 of eight bytes: fits any integer in PyTorch files. */
export const integer = (value: number | bigint): Buffer => {
  const bytes = Buffer.from('\x8a\x08________', 'latin1');
  bytes.writeBigInt64LE(BigInt(value), 2);
  return bytes;
};

export const globalName = (module: string, name: string): Buffer => Buffer.from(`c${module}\n${name}\n`);

export const tuple = (...items: readonly Buffer[]): Buffer => join('(', ...items, 't');

export const dict = (items: Readonly<Record<string, Buffer>>): Buffer =>
  join('}(', ...Object.entries(items).flatMap(([key, value]) => [text(key), value]), 'u');

/** Opcodes as latin-1 text, and their arguments. */
export const join = (...parts: readonly (Buffer | string)[]): Buffer =>
  Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part, 'latin1') : part)));

/** A complete pickle of protocol 2. */
export const pickleOf = (...parts: readonly (Buffer | string)[]): Buffer => join('\x80\x02', ...parts, '.');

export interface TensorFields {
  type?: string;
  storage?: string;
  /** Elements of the storage. */
  elements?: number;
  offset?: number;
  shape?: readonly number[];
  strides?: readonly number[];
}

/** A tensor as _rebuild_tensor_v2 makes it; by default two floats in storage "0" of two. */
export function tensorBytes({
  type = 'FloatStorage',
  storage = '0',
  elements = 2,
  offset = 0,
  shape = [2],
  strides = [1],
}: TensorFields = {}): Buffer {
  const id = tuple(text('storage'), globalName('torch', type), text(storage), text('cpu'), integer(elements));
  const list = (values: readonly number[]): Buffer => tuple(...values.map(integer));
  const hooks = join(globalName('collections', 'OrderedDict'), ')R');
  const args = tuple(join(id, 'Q'), integer(offset), list(shape), list(strides), join('\x89'), hooks);
  return join(globalName('torch._utils', '_rebuild_tensor_v2'), args, 'R');
}

const repeated = (part: Buffer | string, times: number): Buffer => {
  const bytes = join(part);
  return Buffer.alloc(bytes.length * times, bytes);
};

/** One dictionary of 50,000 items, stored under 50,000 keys of another. */
export function sharedDictionary(): Buffer {
  const items = (value: string): Buffer =>
    Buffer.concat(Array.from({ length: 50_000 }, (_, key) => join('J', uint32(key), value)));
  return pickleOf('}q\x00(', items('N'), 'u}(', items('h\x00'), 'u');
}

/** Pickles that would become large or slow without limits. */
export const bombs: Readonly<Record<string, Buffer>> = {
  dictionaries: pickleOf(repeated('}', 1e6)),
  lists: pickleOf(repeated(']Na', 5e5)),
  marks: pickleOf(repeated('(', 1e6)),
  'tuples in tuples': pickleOf('N', repeated('\x85', 1e6)),
  memos: pickleOf('N', repeated('\x94', 1e6)),
  text: pickleOf(repeated(text('ab'), 1e6)),
  functions: pickleOf(repeated(globalName('collections', 'OrderedDict'), 2e5), repeated('N', 1e6)),
  'one list made a dictionary again and again': pickleOf(
    ']q\x00(',
    repeated('K\x01N\x86', 1e5),
    'e',
    globalName('collections', 'OrderedDict'),
    'q\x01',
    repeated('h\x01h\x00\x85R', 1e5),
  ),
};
