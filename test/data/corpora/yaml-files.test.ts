/** @file Broken label maps and corpus metadata: one clear line each, with its position. */

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { InputError } from '../../../src/base/index.js';
import { corpusMetadataPath, readCorpusMetadata } from '../../../src/data/corpora/corpus-metadata.js';
import { readLabelMap } from '../../../src/data/corpora/index.js';
import { seededRandom } from '../../../src/engine/tensor/index.js';
import { put } from './raw-trees.js';

const folder = mkdtempSync(join(tmpdir(), 'emoq-yaml-'));
afterAll(() => rmSync(folder, { recursive: true }));

function file(text: string | Uint8Array): string {
  const path = join(folder, 'odd.yaml');
  put(path, text);
  return path;
}

async function refusal(work: Promise<unknown>): Promise<string> {
  const error = await work.catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(InputError);
  expect((error as Error).message).not.toContain('\n');
  return (error as Error).message;
}

/** Nine levels of nine aliases each: a line that expands to 387 million values. */
const BOMB = ['a: &a [x,x,x,x,x,x,x,x,x]']
  .concat(
    [...'bcdefghi'].map((name, i) => `${name}: &${name} [${Array(9).fill(`*${'abcdefgh'[i]}`).join(',')}]`),
  )
  .join('\n');

describe('a label map', () => {
  it.each([
    ['an alias of nothing', 'a: *b\n', /line 1, column 4: there is no &b before \*b/],
    ['an alias before its anchor', 'a: *b\nc: &b d\n', /line 1, column 4: there is no &b/],
    ['an alias for a key', 'a: &b c\n*b : d\n', /line 2, column 1: a key must be a text/],
    ['an alias of itself', 'a: &b {c: *b}\n', /odd\.yaml/],
    ['aliases of aliases', BOMB, /Excessive alias count|must be another label/],
    ['a merge key', 'a: &b {c: d}\n<<: *b\n', /line 2, column 1: << is a merge key/],
    ['a key twice', 'a: b\na: c\n', /line 2, column 1: Map keys must be unique/],
    ['a key twice, quoted', 'a: b\n"a": c\n', /line 2, column 1: Map keys must be unique/],
    ['a list for a key', '? [a, b]\n: c\n', /line 1, column 3: a key must be a text/],
    ['a map for a key', '{a: b}: c\n', /odd\.yaml, line 1, column 1/],
    ['nothing for a label', 'a:\n', /key a: must be another label/],
    ['a list for a label', 'a: [b]\n', /key a: must be another label/],
    ['an unknown tag', 'a: !thing b\n', /line 1, column 4: Unresolved tag: !thing/],
    ['two documents', 'a: b\n---\nc: d\n', /odd\.yaml, line 2, column 1: /],
    ['a scalar', 'happy\n', /a label map holds lines like/],
    ['nothing', '', /a label map holds lines like/],
    ['an empty label', '"": b\n', /a label is empty/],
  ])('with %s is refused', async (_, text, message) => {
    expect(await refusal(readLabelMap(file(text)))).toMatch(message);
  });

  it.each([
    ['no pair', 'a=b,c\nd', /^label map "a=b,c d": "c d" is not a pair like angry=ang/],
    ['a label twice', 'a\nb=c,a\nb=d', /^label map "a b=c,a b=d": "a b" appears twice$/],
    ['no end', `${'x'.repeat(1e5)}`, /^label map "x{200}\.\.\.": "x{200}\.\.\." is not a pair/],
  ])('on the command line with %s is refused in one line', async (_, text, message) => {
    expect(await refusal(readLabelMap(text))).toMatch(message);
  });

  it('of another encoding is refused', async () => {
    const path = file(Buffer.from('a: b\nc: caf\xe9\n', 'latin1'));
    expect(await refusal(readLabelMap(path))).toMatch(/odd\.yaml, line 2: not UTF-8 text/);
  });

  it('may use anchors, and names of every object', async () => {
    const map = await readLabelMap(
      file('ang: &x angry\nfru: *x\nconstructor: happy\n__proto__: sad\ntoString: x\n'),
    );
    expect(Object.entries(map)).toEqual([
      ['ang', 'angry'],
      ['fru', 'angry'],
      ['constructor', 'happy'],
      ['__proto__', 'sad'],
      ['toString', 'x'],
    ]);
    expect(Object.getPrototypeOf(map)).toBe(Object.prototype);
    expect(Object.entries(await readLabelMap('__proto__=a,constructor=b'))).toEqual([
      ['__proto__', 'a'],
      ['constructor', 'b'],
    ]);
  });
});

describe('the metadata of a corpus', () => {
  const text = readFileSync(corpusMetadataPath('iemocap'), 'utf8');
  const put = (line: string): string => `${text}\n${line}\n`;

  it.each([
    ['an alias of nothing', put('extra: *b'), /there is no &b before \*b/],
    ['a merge key', put('<<: {corpus: x}'), /<< is a merge key/],
    ['a key twice', put('corpus: x'), /Map keys must be unique/],
    ['an unknown key', put('extra: 1'), /odd\.yaml, key \(top\): /],
    ['the prototype for a key', put('__proto__: {a: 1}'), /__proto__ is not a key of this file/],
    ['another name of every object', put('constructor: 1'), /odd\.yaml, key \(top\): /],
    ['a list', '- a\n', /odd\.yaml, key \(top\): /],
    ['nothing', '', /odd\.yaml, key \(top\): /],
    ['aliases of aliases', `${text}\nknown:\n${BOMB.replace(/^/gm, '  ')}\n`, /odd\.yaml/],
  ])('with %s are refused', async (_, content, message) => {
    expect(await refusal(readCorpusMetadata(file(content)))).toMatch(message);
  });

  it('and label maps, damaged anywhere, are read or refused in one line', async () => {
    const map = 'ang: &x angry\nfru: *x\n"03": happy\n? sad\n: blue\nlist: {a: b}\n';
    for (let seed = 0; seed < 600; seed++) {
      const random = seededRandom(seed, 'yaml');
      const [source, read] = random.pick([
        [text, readCorpusMetadata],
        [map, readLabelMap],
      ] as const);
      const at = random.integer(source.length);
      const noise = random.pick([
        '*x',
        '&y ',
        '<<: ',
        '? ',
        ': ',
        '- ',
        '{',
        ']',
        '"',
        '!!set ',
        '\t',
        '\0',
        '__proto__: 1\n',
        '---\n',
        '%A\n',
        '|\n',
        '\ufeff',
        '#',
      ]);
      const path = file(source.slice(0, at) + noise + source.slice(at + random.integer(3)));
      const outcome = await read(path).then(
        () => undefined,
        (error: unknown) => error,
      );
      if (outcome === undefined) continue;
      expect(outcome, `${seed}`).toBeInstanceOf(InputError);
      expect((outcome as Error).message, `${seed}`).not.toContain('\n');
    }
  });
});
