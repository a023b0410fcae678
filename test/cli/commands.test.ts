/** @file prepare-csv, stats and eval --predictions on files made here. */

import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodeWav } from '../../src/data/audio/index.js';
import type { Outcome } from './command-line.js';
import { emoqHere } from './in-process.js';

const folder = mkdtempSync(join(tmpdir(), 'emoq-cli-'));
afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, content: string | Uint8Array): string {
  writeFileSync(join(folder, name), content);
  return name;
}

describe('prepare-csv and stats', () => {
  let prepared: Outcome;
  beforeAll(async () => {
    const rows = ['path,label,speaker'];
    for (let i = 0; i < 12; i++) {
      const samples = Float32Array.from({ length: 8000 }, (_, t) => 0.1 * Math.sin((t * (i + 3)) / 20));
      rows.push(
        `${file(`clip${i}.wav`, encodeWav(samples, 16000))},${i % 3 === 0 ? 'joy' : 'anger'},s${i % 4}`,
      );
    }
    file('clips.csv', `${rows.join('\n')}\n`);
    prepared = await emoqHere(['prepare-csv', 'clips.csv', '--name', 'mine'], folder);
  });

  it('prepares, with counts on stdout and the rest on stderr', () => {
    expect(prepared.code).toBe(0);
    expect(prepared.stdout).toMatch(/^split +anger +joy +total\n/);
    expect(prepared.stdout).toContain('12 utterances, 6.0 s: ');
    expect(prepared.stderr).toContain('converted 12 clips');
  });

  it('finds nothing to do the second time', async () => {
    const again = await emoqHere(['prepare-csv', 'clips.csv', '--name', 'mine'], folder);
    expect(again).toMatchObject({ code: 0, stdout: prepared.stdout });
    expect(again.stderr).toContain('nothing was changed');
  });

  it('stats finds the corpus by name and counts it', async () => {
    const { code, stdout } = await emoqHere(['stats', '--dataset', 'mine', '--json'], folder);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      name: 'mine',
      utterances: 12,
      duration_sec: 6,
      speakers: 4,
      labels: ['anger', 'joy'],
      counts: { total: { anger: 8, joy: 4 } },
    });
    const plain = await emoqHere(['stats', '--manifest', 'data/mine/manifest.csv'], folder);
    expect(plain.stdout).toMatch(/total +8 +4 +12\n\nmine: 12 utterances, 6\.0 s, 4 speakers/);
  });

  it("stats counts a recipe's classes, and says what it leaves out", async () => {
    const recipe = file(
      'mine2.yaml',
      'manifest: data/mine/manifest.csv\nlabels: [happy, sad]\nlabel_map: {joy: happy}\n',
    );
    const { code, stdout, stderr } = await emoqHere(['stats', '--recipe', recipe], folder);
    expect({ code, stderr }).toEqual({ code: 0, stderr: 'left out by the recipe: anger 8\n' });
    expect(stdout).toMatch(/^split +happy +sad +total\n/);
  });

  it('stats on a recipe with mistakes lists them all', async () => {
    const recipe = file('wrong.yaml', 'labels: [a, b]\nepochs: 3\nseed: x\n');
    expect(await emoqHere(['stats', '--recipe', recipe, '--set', 'lora.rnk=1'], folder)).toMatchObject({
      code: 2,
      stdout: '',
      stderr: [
        'error: wrong.yaml:2:1: epochs: unknown key; did you mean stage1.epochs or stage2.epochs?',
        'error: wrong.yaml:3:1: seed: must be a number, not "x"',
        'error: --set lora.rnk=1: unknown key; did you mean lora.rank?',
        '',
      ].join('\n'),
    });
  });

  it('missing audio is one line, and leaves no corpus behind', async () => {
    const csv = file('missing.csv', 'path,label\nnone.wav,joy\n');
    const { code, stdout, stderr } = await emoqHere(['prepare-csv', csv, '--name', 'none'], folder);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/^error: .*none\.wav.*\n$/);
    expect(readdirSync(join(folder, 'data'))).toEqual(['mine']);
  });
});

describe('eval --predictions', () => {
  const csv = 'id,reference,label\n1,joy,joy\n2,joy,fear\n3,fear,fear\n4,,joy\n5,fear,\n';

  it('prints one JSON object with the documented keys', async () => {
    const { code, stdout, stderr } = await emoqHere(
      ['eval', '--predictions', file('p.csv', csv), '--json'],
      folder,
    );
    expect(code).toBe(0);
    const result = JSON.parse(stdout) as Record<string, unknown>;
    expect(result).toMatchObject({
      wa: 0.5,
      ua: 0.5,
      n: 4,
      unanswered: 1,
      labels: ['fear', 'joy'],
      confusion: [
        [1, 0],
        [1, 1],
      ],
    });
    expect(result.wf1).toBeCloseTo(0.5 * (2 / 4 + 2 / 3), 12);
    expect(result).not.toHaveProperty('folds');
    expect(stderr).toContain('1 of 5 rows have no reference');
    expect(stderr).toContain('1 of 4 rows have no label and count as wrong');
  });

  it("is shown next to the paper's row", async () => {
    const { code, stdout } = await emoqHere(
      ['eval', '--dataset', 'meld7', '--predictions', file('p.csv', csv)],
      folder,
    );
    expect(code).toBe(0);
    expect(stdout).toMatch(/EmoQ +67\.6 +50\.8 +66\.5 +- {2}paper, table 3\nthis run +50\.0 +50\.0 /);
  });

  it('scores folds where the file has them', async () => {
    const folds = 'reference,label,fold\njoy,joy,2\nfear,joy,2\njoy,joy,10\nfear,fear,10\n';
    const { stdout } = await emoqHere(['eval', '--predictions', file('f.csv', folds), '--json'], folder);
    expect(JSON.parse(stdout)).toMatchObject({
      wa: 0.75,
      folds: [
        { fold: '2', wa: 0.5, n: 2 },
        { fold: '10', wa: 1, n: 2 },
      ],
      mean: { wa: 0.75 },
      sd: { wa: Math.sqrt(0.125) },
    });
  });

  it('warns of what is likely a mistake, of a file alone and of two compared', async () => {
    const odd = file('odd.csv', 'id,reference,label,prob_fear,prob_joy\n1,joy,joy,0.9,0.9\n2,joy,,,\n');
    const warning = `warning: ${odd}: the probabilities of 1 of 2 rows do not add up to 1`;
    const alone = await emoqHere(['eval', '--predictions', odd, '--json'], folder);
    expect(alone).toMatchObject({ code: 0, stderr: expect.stringContaining(warning) });
    const two = await emoqHere(['eval', '--compare', odd, odd, '--json'], folder);
    expect(two).toMatchObject({ code: 0, stderr: expect.stringContaining(warning) });
    expect(two.stderr).toContain(`${odd}: 1 of 2 rows have no label and count as wrong`);
  });

  it.each([
    ['a missing file', 'none.csv', undefined, 'predictions'],
    ['an empty file', 'e.csv', '', 'is empty'],
    ['a wrong column', 'c.csv', 'id,truth,label\n1,joy,joy\n', 'no column "reference"'],
    [
      'a label outside the set',
      'l.csv',
      'reference,label\njoy,bliss\n',
      'l.csv, line 2: label "bliss" is not one of',
    ],
    ['half of the folds', 'h.csv', 'reference,label,fold\njoy,joy,1\njoy,joy,\n', 'some rows have a fold'],
  ])('%s is one line and exit code 2', async (_, name, content, message) => {
    if (content !== undefined) file(name, content);
    const args = ['eval', '--dataset', 'meld7', '--predictions', name];
    const { code, stdout, stderr } = await emoqHere(args, folder);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr.trim().split('\n')).toHaveLength(1);
    expect(stderr).toContain(content === undefined ? 'none.csv does not exist' : message);
  });
});
