/** @file Transcripts cut for the Former are counted in training, evaluation and prediction. */

import Papa from 'papaparse';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadTokenizer } from '../../src/data/text/index.js';
import { makeWorkspace, shortPrompt, toyRecipe } from './workspace.js';

const work = makeWorkspace('cut');
afterAll(() => work.remove());

const MOST = 5;
let rows: { text: string; split: string; path: string }[];
let isLong: (row: { text: string }) => boolean;
const cutOf = (run: string) => JSON.parse(work.read(`${run}/run.json`).toString()).cut_texts as number;

beforeAll(async () => {
  await work.toyCorpus(5, 8);
  rows = Papa.parse<(typeof rows)[number]>(work.read('toy/manifest.csv').toString(), {
    ...{ header: true, skipEmptyLines: true },
  }).data;
  for (const row of rows.filter((_, index) => index % 3 === 0)) row.text = 'yes';
  work.file('toy/manifest.csv', Papa.unparse(rows));
  const tokenizer = await loadTokenizer(work.path('toy/backbones/roberta'));
  isLong = ({ text }) => tokenizer.encode(text).length > MOST;
  const stage = { epochs: 1, batch_size: 8, learning_rate: 1e-3, select: 'last' };
  const settings = {
    former: { queries: 4, pooling_heads: 4, head_hidden: 64 },
    ...{ prompt: shortPrompt, max_text_tokens: MOST, stage1: stage, stage2: stage },
  };
  work.file('short.yaml', toyRecipe('toy', settings));
});

describe('transcripts over max_text_tokens', () => {
  const line = (some: number, all: number): string =>
    `cut to ${MOST} tokens for the Former (max_text_tokens): ${some} of ${all} transcripts\n`;

  it('are counted in training, and recorded', async () => {
    const own = rows.filter(({ split }) => split !== 'test');
    const long = own.filter(isLong).length;
    expect(long).toBeGreaterThan(0);
    expect(long).toBeLessThan(own.length);
    const { stderr } = await work.done('stage1', '--recipe', 'short.yaml');
    expect(stderr).toContain(line(long, own.length));
    expect(cutOf('runs/short/stage1')).toBe(long);
  });

  it('are counted in an evaluation', async () => {
    const own = rows.filter(({ split }) => split === 'test');
    const { stderr } = await work.done('eval', '--recipe', 'short.yaml', '--stage', '1');
    expect(stderr).toContain(`runs/short/stage1: ${line(own.filter(isLong).length, own.length)}`);
  });

  it('are counted in a prediction', async () => {
    const run = ['--run', 'runs/short/stage1'];
    const { stderr } = await work.done('predict', 'toy/manifest.csv', '-o', 'out.csv', ...run);
    expect(stderr).toContain(
      `warning: ${rows.filter(isLong).length} of ${rows.length} transcripts were cut to ${MOST} tokens for the Former, as in training\n`,
    );
    const written = Papa.parse<{ note: string }>(work.read('out.csv').toString(), {
      ...{ header: true, skipEmptyLines: true },
    }).data;
    const note = `text: cut to ${MOST} tokens for the Former`;
    expect(written.map((row) => row.note)).toEqual(rows.map((row) => (isLong(row) ? note : '')));
    work.file('toy/brief.csv', `path,text\n${rows[0]!.path},yes\n`);
    const brief = await work.done('predict', 'toy/brief.csv', '-o', 'brief.out.csv', ...run);
    expect(brief.stderr).not.toContain('cut');
  });

  it('are none where no Former reads them', async () => {
    for (const set of ['inputs=audio', 'inputs=text']) {
      const run = ['--recipe', 'short.yaml', '--run', set.replace('=', '-'), '--set', set];
      const stage = set === 'inputs=audio' ? 'stage1' : 'stage2';
      const more = stage === 'stage2' ? ['--set', 'stage2.from_stage1=false'] : [];
      const { stderr } = await work.done(stage, ...run, ...more);
      expect(stderr).not.toContain('tokens for the Former');
      expect(cutOf(`${set.replace('=', '-')}/${stage}`)).toBe(0);
    }
  });
});
