/** @file Predictions in shards, joined by merge to the output of the whole table; what merge refuses. */

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeWorkspace } from './workspace.js';

const work = makeWorkspace('shards');
afterAll(() => work.remove());

const ROWS = 200;

beforeAll(async () => {
  await work.smallRun('good');
  const rows = Array.from({ length: ROWS }, (_, i) => {
    return `${i},toy/audio/toy_${String((i % 20) + 1).padStart(5, '0')}.wav,"said, in ${i}"`;
  });
  work.file('rows.csv', `id,path,text\n${rows.join('\n')}\n`);
  work.file('few.csv', `id,path,text\n${rows.slice(0, 3).join('\n')}\n`);
  await predict('rows.csv', 'whole.csv');
  for (const index of [1, 2, 3]) await predict('rows.csv', `part-${index}.csv`, '--shard', `${index}/3`);
}, 120_000);

const predict = (input: string, output: string, ...more: string[]) =>
  work.done('predict', input, '-o', output, '--run', 'good', ...more);
const parts = [1, 2, 3].map((index) => `part-${index}.csv`);
const refused = (...names: string[]) => work.refused('merge', ...names, '-o', 'x.csv');

describe('parts', () => {
  it('are joined in any order to the bytes of the whole', async () => {
    const { stdout } = await work.done('merge', ...parts.toReversed(), '-o', 'merged.csv');
    expect(stdout).toBe('merged.csv\n');
    expect(work.read('merged.csv').equals(work.read('whole.csv'))).toBe(true);
    expect(work.read('merged.csv').toString()).toMatch(/^id,path,text,label,/);
  });

  it('say what they are part of', () => {
    const sidecar = JSON.parse(work.read('part-2.csv.json').toString()) as object;
    expect(sidecar).toMatchObject({
      format: 'emoq-prediction-part',
      identity: { input: { kind: 'table', rows: ROWS }, format: 'csv' },
      shard: { index: 2, count: 3 },
      rows: { first: 65, count: 63 + 1 },
    });
  });

  it('of JSON Lines, and more parts than rows, are joined as well', async () => {
    const names = [1, 2, 3, 4].map((index) => `few-${index}.jsonl`);
    for (const [index, name] of names.entries()) await predict('few.csv', name, '--shard', `${index + 1}/4`);
    await work.done('merge', ...names, '-o', 'few.jsonl');
    const lines = work.read('few.jsonl').toString().trim().split('\n');
    expect(lines.map((line) => (JSON.parse(line) as { id: string }).id)).toEqual(['0', '1', '2']);
    const csv = [1, 2, 3, 4].map((index) => `few-${index}.csv`);
    for (const [index, name] of csv.entries()) await predict('few.csv', name, '--shard', `${index + 1}/4`);
    await work.done('merge', ...csv, '-o', 'few-merged.csv');
    expect(work.read('few-merged.csv').toString().trim().split('\n')).toHaveLength(4);
  });

  it('are refused in one line with a gap, twice, changed, or of something else', async () => {
    expect(await refused('part-1.csv', 'part-3.csv')).toBe('error: part 2 of 3 is missing; name all of them');
    expect(await refused('part-3.csv')).toBe('error: parts 1, 2 of 3 are missing; name all of them');
    expect(await refused(...parts, 'part-2.csv')).toBe(
      'error: part-2.csv and part-2.csv are both part 2 of 3; name each part once',
    );
    expect(await refused('whole.csv', 'part-1.csv')).toBe(
      'error: whole.csv is no part: whole.csv.json is missing, which predict --shard writes beside it',
    );
    expect(await refused('gone.csv')).toBe('error: part gone.csv does not exist');
    await predict('rows.csv', 'half.csv', '--shard', '1/2');
    expect(await refused('part-1.csv', 'half.csv')).toContain(
      'part-1.csv is one of 3 parts, and half.csv one of 2; predict all with the same --shard i/n',
    );
    const not = (other: string) => `error: part-1.csv and ${other} are not of one prediction: the first has`;
    await predict('few.csv', 'table.csv', '--shard', '2/3');
    expect(await refused('part-1.csv', 'table.csv')).toBe(
      `${not('table.csv')} another input, or it has changed`,
    );
    await predict('rows.csv', 'channel.csv', '--shard', '2/3', '--channel', 'mix');
    expect(await refused('part-1.csv', 'channel.csv')).toBe(`${not('channel.csv')} no --channel (now mix)`);
    await predict('rows.csv', 'lines.jsonl', '--shard', '2/3');
    expect(await refused('part-1.csv', 'lines.jsonl')).toBe(`${not('lines.jsonl')} --format csv (now jsonl)`);
    await work.done('stage1', '--recipe', 'small.yaml', '--run', 'second', '--set', 'seed=7');
    await work.done('predict', 'rows.csv', '-o', 'model.csv', '--run', 'second', '--shard', '2/3');
    expect(await refused('part-1.csv', 'model.csv')).toBe(`${not('model.csv')} another model`);
    expect(await work.refused('merge', ...parts, '-o', 'part-1.csv')).toContain('is one of the parts');
    const part = work.read('part-2.csv').toString();
    work.file('part-2.csv', part.replace('said, in 70', 'said, in 7x'));
    expect(await refused(...parts)).toBe(
      'error: part-2.csv has been changed since it was predicted; predict it again',
    );
    work.file('part-2.csv.json', '{"format":');
    expect(await refused(...parts)).toContain('part-2.csv.json');
  });

  it('need a file, and a part that there is', async () => {
    const line = ['predict', 'rows.csv', '--run', 'good', '--shard'];
    expect(await work.refused(...line, '1/2')).toContain('--shard needs an output file for emoq merge');
    expect(await work.refused(...line, '3/2', '-o', 'x.csv')).toContain('i/n with i from 1 to n');
  });
});
