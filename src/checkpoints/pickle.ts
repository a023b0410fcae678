/**
 * @file A restricted unpickler for PyTorch state dicts. It produces plain data, dictionaries, and objects that the
 * caller provides for allowed global names. Nothing is looked up or executed by name; any other global is rejected.
 *
 * The format is that of Python's pickle module, protocols 2 to 5. Only the opcodes that PyTorch writes for a state dict
 * are supported; the others are rejected by name.
 */

import type { InputError } from '../base/index.js';

/** Callbacks of the reader of a pickle. */
export interface PickleContext {
  /** The object for a global such as "torch.FloatStorage"; undefined rejects the pickle. */
  find(name: string): PickleObject | undefined;
  /** The external object with a persistent id. */
  load(id: PickleValue): PickleObject;
  /** Makes an error: the file, then `why`. */
  fail(why: string): InputError;
}

/** A tensor takes less than 200 bytes, so this is enough for any file written by PyTorch. */
export const MAX_PICKLE_BYTES = 8 << 20;

/**
 * A tensor takes about 35, so 8,000 fit. An operation creates at most one object, the largest being an empty dictionary
 * of about 250 bytes; this bounds the memory that a malicious file can use.
 */
const MAX_OPERATIONS = 300_000;

/** PyTorch's magic number, the longest integer it writes, has 10. */
const MAX_INTEGER_BYTES = 16;

/**
 * Reads the pickle that begins at `start`. Time and memory are bounded for any input.
 * @returns its value, and the offset after its end
 * @throws InputError from `context.fail` on a disallowed global, an unsupported opcode, or broken bytes
 */
export function unpickle(
  bytes: Buffer,
  start: number,
  context: PickleContext,
): { value: PickleValue; end: number } {
  const machine: Machine = {
    bytes,
    position: start,
    stack: [],
    marks: [],
    memo: new Map(),
    spent: 0,
    context,
    broken: (why) => context.fail(`has a broken pickle: ${why} at byte ${machine.position} of it`),
  };
  for (;;) {
    spend(machine, 1);
    const code = takeByte(machine);
    if (code === STOP) return { value: pop(machine), end: machine.position };
    const { name = `0x${code.toString(16).padStart(2, '0')}`, run } = opcodeOf.get(code) ?? {};
    if (run === undefined) throw machine.broken(`the opcode ${name}, which a state dict does not need,`);
    run(machine);
  }
}

interface Machine {
  readonly bytes: Buffer;
  position: number;
  readonly stack: PickleValue[];
  /** Heights of the stack where a MARK was set. */
  readonly marks: number[];
  readonly memo: Map<number, PickleValue>;
  spent: number;
  readonly context: PickleContext;
  readonly broken: (why: string) => InputError;
}

function spend(machine: Machine, operations: number): void {
  machine.spent += operations;
  if (machine.spent > MAX_OPERATIONS) {
    throw machine.context.fail(
      `has a pickle of over ${MAX_OPERATIONS} operations, far more than weights need`,
    );
  }
}

function take(machine: Machine, length: number): Buffer {
  const start = machine.position;
  if (length > machine.bytes.length - start) {
    throw machine.context.fail(`has a pickle that is cut short or longer than ${MAX_PICKLE_BYTES} bytes`);
  }
  machine.position += length;
  return machine.bytes.subarray(start, machine.position);
}

function takeByte(machine: Machine): number {
  return take(machine, 1)[0]!;
}

function takeUint32(machine: Machine): number {
  return take(machine, 4).readUInt32LE();
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function takeText(machine: Machine, length: number): string {
  const bytes = take(machine, length);
  try {
    return utf8.decode(bytes);
  } catch {
    throw machine.broken('text that is not UTF-8');
  }
}

function takeLine(machine: Machine): string {
  const end = machine.bytes.indexOf('\n', machine.position);
  const line = takeText(machine, (end < 0 ? machine.bytes.length : end) - machine.position);
  take(machine, 1);
  return line;
}

function takeInteger(machine: Machine, length: number): number | bigint {
  if (length > MAX_INTEGER_BYTES) throw machine.broken(`an integer of ${length} bytes`);
  const bytes = take(machine, length);
  let value = 0n;
  for (const byte of bytes.toReversed()) value = (value << 8n) | BigInt(byte);
  value = BigInt.asIntN(8 * length, value);
  const plain = Number(value);
  return Number.isSafeInteger(plain) ? plain : value;
}

function checkProtocol(machine: Machine): void {
  const version = takeByte(machine);
  if (version < 2 || version > 5) throw machine.broken(`protocol ${version}, which is not 2 to 5,`);
}

function push(machine: Machine, value: PickleValue): void {
  machine.stack.push(value);
}

/** Values below the last MARK are out of reach until it is removed. */
function pop(machine: Machine): PickleValue {
  if (machine.stack.length <= (machine.marks.at(-1) ?? 0)) throw machine.broken('nothing to take');
  return machine.stack.pop()!;
}

function popMany(machine: Machine, count: number): PickleValue[] {
  return Array.from({ length: count }, () => pop(machine)).reverse();
}

function popMark(machine: Machine): PickleValue[] {
  const mark = machine.marks.pop();
  if (mark === undefined) throw machine.broken('no mark');
  return machine.stack.splice(mark);
}

function top(machine: Machine): PickleValue {
  const value = pop(machine);
  push(machine, value);
  return value;
}

function memoize(machine: Machine, key: number): void {
  machine.memo.set(key, top(machine));
}

function recall(machine: Machine, key: number): void {
  const value = machine.memo.get(key);
  if (value === undefined) throw machine.broken(`no memo ${key}`);
  push(machine, value);
}

function emptyList(): PickleList {
  return { kind: 'list', items: [] };
}

function append(machine: Machine, items: readonly PickleValue[]): void {
  const list = top(machine);
  if (!isList(list)) throw machine.broken('no list to append to');
  for (const item of items) list.items.push(item);
}

function setItems(machine: Machine, items: readonly PickleValue[]): void {
  const dict = top(machine);
  if (!(dict instanceof Map)) throw machine.broken('no dictionary to set items of');
  if (items.length % 2 !== 0) throw machine.broken('a key without a value');
  for (let index = 0; index < items.length; index += 2)
    setItem(machine, dict, items[index]!, items[index + 1]!);
}

function setItem(machine: Machine, dict: PickleDict, key: PickleValue, value: PickleValue): void {
  if (typeof key !== 'string' && typeof key !== 'number') {
    throw machine.broken('a key that is neither text nor a number');
  }
  dict.set(key, value);
}

function findGlobal(machine: Machine, [module, name]: PickleTuple): void {
  if (typeof module !== 'string' || typeof name !== 'string') throw machine.broken('a global without a name');
  const full = `${module}.${name}`;
  const found = full === 'collections.OrderedDict' ? orderedDict(machine) : machine.context.find(full);
  if (found === undefined) {
    const shown = /^[\w.]{1,80}$/.test(full) ? full : quote(full);
    throw machine.context.fail(
      `asks for ${shown}, which a state dict does not need; it was not executed. Take weights saved by torch.save(model.state_dict(), ...) from a source that you trust`,
    );
  }
  push(machine, found);
}

/** collections.OrderedDict: empty (Python 3), or from a list of pairs (Python 2). */
function orderedDict(machine: Machine): PickleFunction {
  return {
    kind: 'function',
    call(args) {
      const dict: PickleDict = new Map();
      const [pairs] = args;
      if (pairs === undefined) return dict;
      if (args.length > 1 || !isList(pairs))
        throw machine.broken('an OrderedDict of something other than pairs');
      spend(machine, pairs.items.length); // one list may be used many times
      for (const pair of pairs.items) {
        const items = isList(pair) ? pair.items : pair;
        if (!Array.isArray(items) || items.length !== 2) {
          throw machine.broken('an OrderedDict of something other than pairs');
        }
        setItem(machine, dict, items[0], items[1]);
      }
      return dict;
    },
  };
}

function reduce(machine: Machine): void {
  const [callee, args] = popMany(machine, 2) as [PickleValue, PickleValue];
  if (!isFunction(callee) || !Array.isArray(args))
    throw machine.broken('a call of something other than a function');
  push(machine, callee.call(args));
}

/** Attributes of a dictionary, such as state_dict's _metadata: popped and ignored. */
function build(machine: Machine): void {
  const state = pop(machine);
  if (!(top(machine) instanceof Map && state instanceof Map)) {
    throw machine.broken('attributes of something other than a dictionary');
  }
}

const STOP = '.'.charCodeAt(0);
const EMPTY_TUPLE: PickleTuple = [];

interface Opcode {
  readonly name: string;
  /** Absent if the opcode is rejected. */
  readonly run: ((machine: Machine) => void) | undefined;
}

/** The opcodes, named as in Python's pickletools. Those without a function are rejected by name. */
const opcodes: readonly (readonly [code: string, name: string, run?: Opcode['run']])[] = [
  ['\x80', 'PROTO', checkProtocol],
  ['\x95', 'FRAME', (machine) => take(machine, 8)], // its length matters only to streaming readers
  ['N', 'NONE', (machine) => push(machine, null)],
  ['\x88', 'NEWTRUE', (machine) => push(machine, true)],
  ['\x89', 'NEWFALSE', (machine) => push(machine, false)],
  ['J', 'BININT', (machine) => push(machine, take(machine, 4).readInt32LE())],
  ['K', 'BININT1', (machine) => push(machine, takeByte(machine))],
  ['M', 'BININT2', (machine) => push(machine, take(machine, 2).readUInt16LE())],
  ['\x8a', 'LONG1', (machine) => push(machine, takeInteger(machine, takeByte(machine)))],
  ['G', 'BINFLOAT', (machine) => push(machine, take(machine, 8).readDoubleBE())],
  ['X', 'BINUNICODE', (machine) => push(machine, takeText(machine, takeUint32(machine)))],
  ['\x8c', 'SHORT_BINUNICODE', (machine) => push(machine, takeText(machine, takeByte(machine)))],
  ['T', 'BINSTRING', (machine) => push(machine, takeText(machine, takeUint32(machine)))], // Python 2 text
  ['U', 'SHORT_BINSTRING', (machine) => push(machine, takeText(machine, takeByte(machine)))], // Python 2 text
  ['(', 'MARK', (machine) => machine.marks.push(machine.stack.length)],
  [')', 'EMPTY_TUPLE', (machine) => push(machine, EMPTY_TUPLE)],
  ['\x85', 'TUPLE1', (machine) => push(machine, popMany(machine, 1))],
  ['\x86', 'TUPLE2', (machine) => push(machine, popMany(machine, 2))],
  ['\x87', 'TUPLE3', (machine) => push(machine, popMany(machine, 3))],
  ['t', 'TUPLE', (machine) => push(machine, popMark(machine))],
  [']', 'EMPTY_LIST', (machine) => push(machine, emptyList())],
  ['a', 'APPEND', (machine) => append(machine, popMany(machine, 1))],
  ['e', 'APPENDS', (machine) => append(machine, popMark(machine))],
  ['}', 'EMPTY_DICT', (machine) => push(machine, new Map())],
  ['s', 'SETITEM', (machine) => setItems(machine, popMany(machine, 2))],
  ['u', 'SETITEMS', (machine) => setItems(machine, popMark(machine))],
  ['q', 'BINPUT', (machine) => memoize(machine, takeByte(machine))],
  ['r', 'LONG_BINPUT', (machine) => memoize(machine, takeUint32(machine))],
  ['\x94', 'MEMOIZE', (machine) => memoize(machine, machine.memo.size)],
  ['h', 'BINGET', (machine) => recall(machine, takeByte(machine))],
  ['j', 'LONG_BINGET', (machine) => recall(machine, takeUint32(machine))],
  ['c', 'GLOBAL', (machine) => findGlobal(machine, [takeLine(machine), takeLine(machine)])],
  ['\x93', 'STACK_GLOBAL', (machine) => findGlobal(machine, popMany(machine, 2))],
  ['R', 'REDUCE', reduce],
  ['b', 'BUILD', build],
  ['Q', 'BINPERSID', (machine) => push(machine, machine.context.load(pop(machine)))],
  ['I', 'INT'],
  ['L', 'LONG'],
  ['\x8b', 'LONG4'],
  ['F', 'FLOAT'],
  ['S', 'STRING'],
  ['B', 'BINBYTES'],
  ['C', 'SHORT_BINBYTES'],
  ['\x8e', 'BINBYTES8'],
  ['\x96', 'BYTEARRAY8'],
  ['\x97', 'NEXT_BUFFER'],
  ['\x98', 'READONLY_BUFFER'],
  ['V', 'UNICODE'],
  ['\x8d', 'BINUNICODE8'],
  ['l', 'LIST'],
  ['d', 'DICT'],
  ['\x8f', 'EMPTY_SET'],
  ['\x90', 'ADDITEMS'],
  ['\x91', 'FROZENSET'],
  ['0', 'POP'],
  ['1', 'POP_MARK'],
  ['2', 'DUP'],
  ['g', 'GET'],
  ['p', 'PUT'],
  ['\x82', 'EXT1'],
  ['\x83', 'EXT2'],
  ['\x84', 'EXT4'],
  ['i', 'INST'],
  ['o', 'OBJ'],
  ['\x81', 'NEWOBJ'],
  ['\x92', 'NEWOBJ_EX'],
  ['P', 'PERSID'],
];

const opcodeOf: ReadonlyMap<number, Opcode> = new Map(
  opcodes.map(([code, name, run]) => [code.charCodeAt(0), { name, run }]),
);

/** Values that a pickle can contain. */
export type PickleValue = null | boolean | number | bigint | string | PickleTuple | PickleDict | PickleObject;

export type PickleTuple = readonly PickleValue[];

/** A dict or an OrderedDict. */
export type PickleDict = Map<PickleValue, PickleValue>;

/** Anything else. `kind` says what it is; a pickle cannot forge one. */
export interface PickleObject {
  readonly kind: string;
}

export interface PickleList extends PickleObject {
  readonly kind: 'list';
  readonly items: PickleValue[];
}

/** An allowed global that the pickle may call. */
export interface PickleFunction extends PickleObject {
  readonly kind: 'function';
  readonly call: (args: PickleTuple) => PickleValue;
}

export function isList(value: PickleValue): value is PickleList {
  return isObject(value) && value.kind === 'list';
}

export function isFunction(value: PickleValue): value is PickleFunction {
  return isObject(value) && value.kind === 'function';
}

/** True for anything that is not a plain value, tuple or dictionary. */
export function isObject(value: PickleValue | undefined): value is PickleObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Map);
}

/** Text from a file, for a message: JSON on one line, at most 80 characters. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}...` : text);
}
