/** @file Nested text: excessive expansion, depth and circular references are reported in one line. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { plainValueOf, readJson, repeatedKey } from '../../src/base/index.js';
import { isNestedTooDeep } from '../../src/base/nesting.js';

const folder = mkdtempSync(join(tmpdir(), 'emoq-nesting-'));
afterAll(() => rmSync(folder, { recursive: true }));

const nested = (depth: number): unknown => {
  let value: unknown = 1;
  for (let level = 0; level < depth; level++) value = level % 2 === 0 ? [value] : { a: value };
  return value;
};
/** A list that repeats one value at every level: small in memory, large when written out. */
const shared = (levels: number, width: number, leaf: unknown): unknown => {
  let value = leaf;
  for (let level = 0; level < levels; level++) value = Array(width).fill(value);
  return value;
};
const problemOf = (value: unknown, text = ''): string | undefined => {
  const result = plainValueOf(text, () => value);
  return result.kind === 'problem' ? result.problem : undefined;
};

describe('a plain value', () => {
  it('is what is parsed, shared parts too', () => {
    const value = { a: [1, 'x', null, true], b: shared(3, 10, 'x') };
    expect(plainValueOf('', () => value)).toEqual({ kind: 'value', value });
    expect(problemOf('x'.repeat(1e6), 'x'.repeat(1e6))).toBeUndefined();
  });

  it('does not refer to itself', () => {
    const circle: unknown[] = [];
    circle.push({ inner: circle });
    expect(problemOf(circle)).toBe('it refers to itself');
  });

  it.each([
    ['values', shared(9, 9, 'x')],
    ['empty lists', shared(20, 2, [])],
    ['long texts', [shared(1, 100, 'x'.repeat(10_000))]],
  ])('does not stand for more %s than its text could hold', (_, value) => {
    expect(problemOf(value)).toMatch(/^its aliases expand to far more than it contains/);
  });

  it('holds no dates, sets or bytes', () => {
    for (const value of [new Date(0), new Set(), [new Map()], { a: new Uint8Array(1) }])
      expect(problemOf(value)).toMatch(
        /^it contains a \w+; only text, numbers, lists and mappings can be used$/,
      );
  });

  it('of text that nests too deep is not even parsed', () => {
    for (const text of ['['.repeat(201), '{a: '.repeat(1e5), '- '.repeat(1e5), `${' '.repeat(500)}a`]) {
      const result = plainValueOf(text, () => expect.unreachable());
      expect(result).toEqual({ kind: 'problem', problem: 'it nests more than 200 levels deep' });
    }
  });
});

describe('JSON', () => {
  it('may nest 200 levels deep and no more', async () => {
    expect([200, 201, 100_000].map((depth) => isNestedTooDeep(nested(depth)))).toEqual([false, true, true]);
    const path = join(folder, 'deep.json');
    writeFileSync(path, `${'['.repeat(200)}${']'.repeat(200)}`);
    expect(isNestedTooDeep(await readJson(path))).toBe(false);
    writeFileSync(path, `${'['.repeat(1e6)}${']'.repeat(1e6)}`);
    await expect(readJson(path, 'thing')).rejects.toThrow(
      `thing ${path} cannot be used: it nests more than 200 levels deep`,
    );
  });

  it.each([
    ['{"a":1,"b":{"a":2},"c":[{"a":3},{"a":4}]}', undefined],
    ['{"a":"a","b":"\\"a\\":1"}', undefined],
    ['{"a":1,"b":2,"a":3}', 'a'],
    ['{"a":1,"\\u0061":3}', 'a'],
    ['[{"x" : {"b":1, "b"\t:2}}]', 'b'],
    ['{"__proto__":1,"__proto__":2}', '__proto__'],
  ])('%s has twice the key %s', (text, key) => {
    JSON.parse(text);
    expect(repeatedKey(text)).toBe(key);
  });
});
