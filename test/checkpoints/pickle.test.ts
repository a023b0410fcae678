/** @file The restricted unpickler: accepted and rejected input, and limits on time and memory. */

import { describe, expect, it } from 'vitest';
import { InputError } from '../../src/base/index.js';
import type { PickleValue } from '../../src/checkpoints/pickle.js';
import { type PickleContext, unpickle } from '../../src/checkpoints/pickle.js';
import { bombs, dict, globalName, integer, join, pickleOf, text, tuple, uint32 } from './pickle-bytes.js';

const context: PickleContext = {
  find: (name) => (name === 'known.count' ? ({ kind: 'function', call: countOf } as never) : undefined),
  load: (id) => ({ kind: 'outside', id }) as never,
  fail: (why) => new InputError(`file ${why}`),
};

function countOf(args: readonly PickleValue[]): PickleValue {
  return args.length;
}

const read = (...parts: readonly (Buffer | string)[]): PickleValue =>
  unpickle(pickleOf(...parts), 0, context).value;

function refusal(bytes: Buffer): string {
  try {
    unpickle(bytes, 0, context);
  } catch (error) {
    expect(error).toBeInstanceOf(InputError);
    expect((error as Error).message).not.toContain('\n');
    return (error as Error).message;
  }
  throw new Error('was not refused');
}

const ordered = globalName('collections', 'OrderedDict');

describe('a pickle', () => {
  it.each<[string, (Buffer | string)[], PickleValue]>([
    ['nothing', ['N'], null],
    ['truth', ['\x88'], true],
    ['an integer of one byte', ['K\xff'], 255],
    ['an integer of two bytes', ['M\x01\x02'], 513],
    ['a negative integer', ['J\xfe\xff\xff\xff'], -2],
    ['a long', [integer(-(2 ** 40))], -(2 ** 40)],
    ['a long beyond double', [integer(2n ** 62n)], 2n ** 62n],
    ['an empty long', ['\x8a\x00'], 0],
    ['a float', ['G\x3f\xf8\x00\x00\x00\x00\x00\x00'], 1.5],
    ['text', [text('Ünï')], 'Ünï'],
    ['text of Python 2', ['U\x02ab'], 'ab'],
    ['a tuple', [tuple(text('a'), join('N'))], ['a', null]],
    ['a dictionary', [dict({ a: integer(1) })], new Map([['a', 1]])],
    ['a list', [']Na(\x88\x89e'], { kind: 'list', items: [null, true, false] } as never],
    ['an OrderedDict', [ordered, ')R', text('a'), 'Ns'], new Map([['a', null]])],
    ['an OrderedDict of pairs', [ordered, ']', text('a'), 'N\x86a\x85R'], new Map([['a', null]])],
    ['a dictionary with attributes', ['}', dict({ _metadata: join('N') }), 'b'], new Map()],
    ['memoized values', ['Nq\x05', text('a'), 'r', uint32(300), 'h\x05j', uint32(300), '\x86'], [null, 'a']],
    ['a call of what is allowed', [globalName('known', 'count'), 'NN\x86R'], 2],
    ['a call found on the stack', [text('known'), text('count'), '\x93)R'], 0],
    ['what lies outside', [text('key'), 'Q'], { kind: 'outside', id: 'key' } as never],
    ['a frame', ['\x95\x01\x00\x00\x00\x00\x00\x00\x00N'], null],
  ])('holds %s', (_, parts, value) => {
    expect(read(...parts)).toEqual(value);
  });

  it('nests tuples of one, two and three', () => {
    expect(read('N\x85\x88\x86\x89K\x07\x87')).toEqual([[[null], true], false, 7]);
  });

  it('tells where it ends', () => {
    const bytes = Buffer.concat([Buffer.from('xx'), pickleOf('N'), pickleOf('\x88')]);
    expect(unpickle(bytes, 2, context)).toEqual({ value: null, end: 6 });
    expect(unpickle(bytes, 6, context)).toEqual({ value: true, end: 10 });
  });

  it('may hold keys that mean something to JavaScript', () => {
    const value = read(dict({ __proto__2: join('N'), constructor: join('N') }), text('__proto__'), '\x88s');
    expect(value).toEqual(
      new Map([
        ['__proto__2', null],
        ['constructor', null],
        ['__proto__', true],
      ]),
    );
    expect(({} as Record<string, unknown>).constructor).toBe(Object);
  });

  it('may hold itself', () => {
    const value = read(']q\x00h\x00a') as unknown as { items: unknown[] };
    expect(value.items[0]).toBe(value);
  });
});

describe('a pickle is refused', () => {
  it.each<[string, Buffer, string]>([
    ['that is empty', Buffer.alloc(0), 'cut short'],
    ['without an end', join('\x80\x02N'), 'cut short'],
    ['of another protocol', join('\x80\x06N.'), 'protocol 6, which is not 2 to 5,'],
    ['that ends with nothing', pickleOf(), 'nothing to take'],
    ['with text that leaves the file', pickleOf('X', uint32(0xffff_ffff), 'a'), 'cut short'],
    ['with text that is not UTF-8', pickleOf('U\x01\xff'), 'text that is not UTF-8'],
    ['with an integer of 255 bytes', pickleOf('\x8a\xff', Buffer.alloc(255)), 'an integer of 255 bytes'],
    ['with an unknown memo', pickleOf('h\x07'), 'no memo 7'],
    ['with a tuple of nothing', pickleOf('\x86'), 'nothing to take'],
    ['that reaches behind a mark', pickleOf('N(\x86'), 'nothing to take'],
    ['without a mark', pickleOf('Nt'), 'no mark'],
    ['with a key but no value', pickleOf('}(Nu'), 'a key without a value'],
    ['with a key that is a tuple', pickleOf('})Ns'), 'a key that is neither text nor a number'],
    ['that appends to a tuple', pickleOf(')Na'), 'no list to append to'],
    ['that sets an item of nothing', pickleOf('NNNs'), 'no dictionary to set items of'],
    ['that calls text', pickleOf(text('os.system'), ')R'), 'a call of something other than a function'],
    [
      'that calls with a list',
      pickleOf(globalName('known', 'count'), ']R'),
      'a call of something other than a function',
    ],
    [
      'with attributes for a function',
      pickleOf(globalName('known', 'count'), '}b'),
      'attributes of something',
    ],
    [
      'with an OrderedDict of text',
      pickleOf(ordered, text('a'), '\x85R'),
      'an OrderedDict of something other than pairs',
    ],
    [
      'with an OrderedDict of triples',
      pickleOf(ordered, ']NNN\x87a\x85R'),
      'an OrderedDict of something other than pairs',
    ],
    ['with a global of numbers', pickleOf('K\x01K\x02\x93'), 'a global without a name'],
    ['with a global across the end', join('\x80\x02cos'), 'cut short'],
    [
      'with a command',
      pickleOf(globalName('os', 'system')),
      'asks for os.system, which a state dict does not need; it was',
    ],
    ['with control characters', pickleOf(globalName('os\x1b[2J', 'x')), 'asks for "os\\u001b[2J.x"'],
    ['with a prototype', pickleOf(globalName('__proto__', 'constructor')), 'asks for __proto__.constructor,'],
  ])('%s', (_, bytes, message) => {
    expect(refusal(bytes)).toContain(message);
  });

  it.each([
    ['I', 'INT'],
    ['\x8b', 'LONG4'],
    ['\x81', 'NEWOBJ'],
    ['\x92', 'NEWOBJ_EX'],
    ['i', 'INST'],
    ['o', 'OBJ'],
    ['\x82', 'EXT1'],
    ['P', 'PERSID'],
    ['B', 'BINBYTES'],
    ['\x97', 'NEXT_BUFFER'],
    ['\xff', '0xff'],
  ])('for the opcode %j, by its name %s', (code, name) => {
    expect(refusal(pickleOf(code, 'N'))).toBe(
      `file has a broken pickle: the opcode ${name}, which a state dict does not need, at byte 3 of it`,
    );
  });
});

describe('a pickle of over 300,000 operations', () => {
  it.each(Object.entries(bombs))('of %s is refused there', (_, bytes) => {
    expect(refusal(bytes)).toBe('file has a pickle of over 300000 operations, far more than weights need');
  });
});
