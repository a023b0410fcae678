/** @file Predictions from other programs with inconsistent spellings, and tables exported from spreadsheets. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { InputError } from '../../src/base/index.js';
import { predictionWarnings, readPredictions } from '../../src/evaluation/index.js';
import { pairPredictions } from '../../src/evaluation/pairing.js';

const folder = mkdtempSync(join(tmpdir(), 'emoq-spellings-'));
afterAll(() => rmSync(folder, { recursive: true }));
const fixtures = fileURLToPath(new URL('../fixtures/pandas/', import.meta.url));

function file(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}
const read = (content: string, labels?: readonly string[], name = 'p.csv') =>
  readPredictions(file(name, content), { requireReference: true, labels });

async function refusal(work: Promise<unknown>): Promise<string> {
  const error = await work.catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(InputError);
  return (error as Error).message.replaceAll(`${folder}/`, '');
}

describe('references and labels', () => {
  it('without a value in common are refused, with what both hold', async () => {
    expect(await refusal(read('reference,label\n0,0.0\n1,1.0\n'))).toBe(
      'p.csv: reference and label have no value in common, so no answer can be right: reference holds "0", "1"; label holds "0.0", "1.0"; they differ only in spelling, such as "0" and "0.0"; use one spelling',
    );
    expect(await refusal(read('reference,label\nhappy,1\nsad,2\n'))).toMatch(
      /reference holds "happy", "sad"; label holds "1", "2"; use the same class names in both$/,
    );
    const nine = Array.from({ length: 9 }, (_, i) => `c${i},x`).join('\n');
    expect(await refusal(read(`reference,label\n${nine}\n`))).toMatch(/"c7" and 1 more; label holds "x"/);
  });

  it.each([
    ['capitals', 'Happy', 'happy', /such as "Happy" and "happy"/],
    ['composition', 'fro\u0308h', 'fröh', /such as "fro\\u0308h" and "fröh"/],
    ['what is invisible', 'hap\u200bpy', 'happy', /such as "hap\\u200bpy" and "happy"/],
    ['truths', 'True', 'true', /such as "True" and "true"/],
  ])('that differ by %s alone are refused and told so', async (_, reference, label, message) => {
    expect(await refusal(read(`reference,label\n${reference},${label}\n`))).toMatch(message);
  });

  it('cause a warning if some differ this way', async () => {
    const table = await read('reference,label\njoy,joy\nsad,Sad\nfear,fear\n');
    expect(predictionWarnings(table)).toEqual([
      'the labels "Sad" and "sad" look or mean the same but count as different classes',
    ]);
  });

  it('that are all wrong are scored where the classes are known', async () => {
    expect((await read('reference,label\njoy,sad\n', ['joy', 'sad'])).rows).toHaveLength(1);
    expect((await read('reference,label,prob_joy,prob_sad\njoy,sad,0.4,0.6\n')).rows).toHaveLength(1);
    expect(await refusal(read('reference,label\nJoy,sad\n', ['joy', 'sad']))).toBe(
      'p.csv, line 2: reference "Joy" is not one of the labels joy, sad (differs only in spelling from "joy")',
    );
  });

  it('that are missing are no classes, unless they were asked for', async () => {
    const table = await read('reference,label\njoy,NaN\nNone,joy\n<NA>,sad\nsad,NULL\njoy,joy\n');
    expect(table.labels).toEqual(['joy', 'sad']);
    expect(table.rows).toEqual([
      { reference: 'joy' },
      { label: 'joy' },
      { label: 'sad' },
      { reference: 'sad' },
      { reference: 'joy', label: 'joy' },
    ]);
    const asked = await read('reference,label\nNone,None\nsad,sad\n', ['None', 'sad']);
    expect(asked.rows[0]).toEqual({ reference: 'None', label: 'None' });
  });

  it('of two systems are compared where both are of one vocabulary', async () => {
    const first = await readPredictions(file('a.csv', 'id,reference,label\n1,joy,joy\n2,sad,joy\n'));
    const other = (text: string) => readPredictions(file('b.csv', text));
    const paired = pairPredictions(first, await other('id,label\n1,sad\n2,sad\n'));
    expect(paired.labels).toEqual(['joy', 'sad']);
    const spelt = await other('id,label\n1,Joy\n2,Sad\n');
    expect(() => pairPredictions(first, spelt)).toThrow(
      /b\.csv: reference and label have no value in common.*such as "joy" and "Joy"/,
    );
    const references = await other('id,reference,label\n1,Joy,Joy\n2,Sad,Sad\n');
    expect(() => pairPredictions(first, references)).toThrow(
      /they differ only in spelling; use one spelling in both files/,
    );
  });
});

describe('a predictions file of pandas or a spreadsheet', () => {
  it.each(['predictions.csv', 'predictions-comma.csv', 'predictions.jsonl'])('%s is read', async (name) => {
    const { rows, labels } = await readPredictions(file(name, readFileSync(join(fixtures, name))));
    expect(labels).toEqual(['happy', 'sad']);
    expect(rows.map(({ probabilities }) => probabilities)).toEqual([
      [1, 0],
      [0.25, 0.75],
      [1e-5, 0.99999],
    ]);
    expect(rows[2]).toMatchObject({ id: 'c', label: 'sad' });
    expect(rows[2]!.reference).toBeUndefined();
  });

  it('may round probabilities out of [0, 1] by 0.00001 and no more', async () => {
    const probabilities = async (a: string, b: string) =>
      (await read(`reference,label,prob_a,prob_b\na,a,${a},${b}\n`)).rows[0]!.probabilities;
    expect(await probabilities('1.00001', '-0.00001')).toEqual([1, 0]);
    expect(await probabilities('1.0000001', '-1e-9')).toEqual([1, 0]);
    for (const odd of ['1.0001', '-0.0001', 'nan', '0x1', '1e999', '']) {
      expect(await refusal(probabilities(odd, '0.5'))).toMatch(/line 2: prob_a must be a number in \[0, 1\]/);
    }
  });

  it('has its columns under their names: others that would go unread are named', async () => {
    expect(await refusal(read('Reference,label\na,a\n'))).toMatch(
      /column "Reference" would not be read: rename it to "reference"/,
    );
    expect(await refusal(read('reference,label,Fold\na,a,1\n'))).toMatch(
      /column "Fold" would not be read: rename it to "fold"/,
    );
    expect(await refusal(read('reference,label,Prob_a\na,a,1\n'))).toMatch(
      /column "Prob_a" would not be read: rename it to "prob_a"/,
    );
  });
});

describe('a nested value', () => {
  it.each([
    [
      'a list for a label',
      'p.jsonl',
      '{"reference":"joy","label":["joy"]}\n',
      /p\.jsonl, line 1: "label" must be a text or a number/,
    ],
    [
      'an object for an id',
      'p.jsonl',
      '{"id":{"a":1},"reference":"joy","label":"joy"}\n',
      /line 1: "id" must be a text/,
    ],
    [
      'an object of probabilities',
      'p.jsonl',
      '{"reference":"joy","label":"joy","probabilities":{"joy":1}}\n',
      /line 1: "probabilities" holds a list or an object; give each class a key of its own, such as "prob_happy"/,
    ],
    [
      'a nested probability',
      'p.jsonl',
      '{"reference":"joy","label":"joy","prob_joy":[1]}\n',
      /line 1: "prob_joy" must be a text or a number/,
    ],
    [
      'a label that nests without end',
      'p.jsonl',
      `{"reference":"joy","label":${'['.repeat(1e5)}${']'.repeat(1e5)}}\n`,
      /^p\.jsonl, line 1: "label" must be a text or a number$/,
    ],
    [
      'nested JSON as a text for a label',
      'p.jsonl',
      `{"reference":"joy","label":"${'{\\"a\\":'.repeat(1e4)}1${'}'.repeat(1e4)}"}\n`,
      /^p\.jsonl, line 1: label .{1,200} is a list or an object; it must be a text or a number$/,
    ],
    [
      'a label of several lines',
      'p.jsonl',
      '{"reference":"joy","label":"happy\\nsad","prob_joy":1}\n',
      /^p\.jsonl, line 1: label "happy sad" is not one of the labels of the prob_ columns: joy$/,
    ],
    [
      'a label that only __proto__ has',
      'p.jsonl',
      '{"reference":"joy","__proto__":{"label":"joy"}}\n',
      /^p\.jsonl: there is no column "label"; it has reference, __proto__$/,
    ],
    [
      'a key twice',
      'p.jsonl',
      '{"reference":"joy","label":"joy"}\n{"reference":"joy","label":"joy","label":"sad"}\n',
      /^p\.jsonl, line 2: the key "label" occurs twice$/,
    ],
    [
      'a probability beyond numbers',
      'p.jsonl',
      '{"reference":"joy","label":"joy","prob_joy":1e999}\n',
      /^p\.jsonl, line 1: prob_joy must be a number in \[0, 1\], not "Infinity"$/,
    ],
    [
      'a truth value for a probability',
      'p.jsonl',
      '{"reference":"joy","label":"joy","prob_joy":true}\n',
      /^p\.jsonl, line 1: prob_joy must be a number in \[0, 1\], not "true"$/,
    ],
    [
      'a column name without end',
      'p.jsonl',
      `{"reference":"joy","${'x'.repeat(1e5)}":"joy"}\n`,
      /^p\.jsonl: there is no column "label"; it has .{1,1100}$/,
    ],
    [
      'JSON in a CSV',
      'p.csv',
      'reference,label\n"{""a"":1}",joy\n',
      /line 2: reference "\{\\"a\\":1\}" is a list or an object/,
    ],
    [
      'a Python list in a CSV',
      'p.csv',
      `reference,label\n"['joy']",joy\n`,
      /line 2: reference "\['joy'\]" is a list or an object/,
    ],
    [
      'NaN in JSON',
      'p.jsonl',
      '{"reference":"joy","label":NaN}\n',
      /line 1: not valid JSON: .*; JSON has no NaN: write null/,
    ],
    ['Windows-1252 in JSON', 'p.jsonl', 'x', /p\.jsonl, line 1: not UTF-8/],
  ])('such as %s is refused in one line', async (what, name, content, message) => {
    const path = file(
      name,
      what.startsWith('Windows') ? Buffer.from('{"label":"caf\xe9"}', 'latin1') : content,
    );
    const told = await refusal(readPredictions(path, { requireReference: true }));
    expect(told.split('\n')).toHaveLength(1);
    expect(told).toMatch(message);
  });

  it.each([
    ['an object', '"meta":{"a":[1]},"__proto__":{"label":"x"}'],
    [
      'an object with the names of methods',
      '"meta":{"toString":1,"valueOf":{},"toJSON":null},"more":[{"join":1}]',
    ],
    [
      'nested without end',
      `"meta":${'['.repeat(1e5)}${']'.repeat(1e5)},"more":${'{"a":'.repeat(1e5)}1${'}'.repeat(1e5)}`,
    ],
  ])('of a column that is not read is let be: %s', async (_, column) => {
    const { rows } = await read(`{"reference":"joy","label":"joy",${column}}\n`, undefined, 'q.jsonl');
    expect(rows).toEqual([{ reference: 'joy', label: 'joy' }]);
  });

  it('is none where a number is a text, or a text a number', async () => {
    const { rows } = await read(
      '{"id":7,"reference":1,"label":"1","prob_0":"0.25","prob_1":0.75}\n',
      undefined,
      'q.jsonl',
    );
    expect(rows).toEqual([{ id: '7', reference: '1', label: '1', probabilities: [0.25, 0.75] }]);
  });
});
