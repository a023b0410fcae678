/**
 * @file `emoq predict` end to end at the shapes of HuBERT-base, RoBERTa-base and Qwen2.5-0.5B: `node
 * test/bench/prediction.mjs FOLDER ROWS`. Writes the run and the clips into FOLDER unless they are there, and what
 * prediction.py reads. The time of a row is that of ROWS rows less that of a quarter of them, so that starting and
 * loading do not count. Prints its figures as one line of JSON.
 */

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { writeClips, writeRandomRun } from './random-run.mjs';

const CLIP_SEC = 4;
const [folder, rowCount] = [process.argv[2], Number(process.argv[3])];
const here = (name) => fileURLToPath(new URL(name, import.meta.url));

if (!existsSync(join(folder, 'rows.json'))) await prepare();
const { tokens } = JSON.parse(readFileSync(join(folder, 'rows.json'), 'utf8'));
const few = Math.ceil(rowCount / 4);
await writeClips(folder, few, CLIP_SEC);
const [short, long] = [predict(few), predict(rowCount)];
const perRow = (key) => (long[key] - short[key]) / (rowCount - few);
console.log(
  JSON.stringify({
    ...{ rows: rowCount, clipSec: CLIP_SEC, tokens },
    ...{ wallSec: perRow('wallSec'), processorSec: perRow('processorSec') },
    ...{ wholeProcessorSec: long.processorSec, peakGiB: long.peakGiB },
  }),
);

/** The run, the clips, and each row's token ids for the peer. */
async function prepare() {
  const { phase, recipe } = await writeRandomRun(folder);
  const { rows } = await writeClips(folder, rowCount, CLIP_SEC);
  const encoded = rows.map(({ path, text }, index) => {
    const utterance = { id: String(index), path, text, speaker: '', gender: '', label: '' };
    const { textIds, prompt } = phase.encode(utterance).example;
    return { path, textIds, promptIds: prompt.ids, audioPosition: prompt.audioPosition };
  });
  const answers = recipe.labels.map(
    (label) =>
      phase.encode({ id: '', path: '', text: '', speaker: '', gender: '', label }).example.prompt.answer[0],
  );
  const mean = encoded.reduce((sum, { promptIds }) => sum + promptIds.length, 0) / encoded.length;
  const { lora, former } = recipe;
  writeFileSync(
    join(folder, 'rows.json'),
    JSON.stringify({ tokens: mean, labels: recipe.labels, answers, lora, former, rows: encoded }),
  );
}

/** One run of the command on the first rows; its predictions stay in predictions-<count>.csv. */
function predict(count) {
  const usage = join(folder, 'usage.json');
  const startedAt = performance.now();
  const { status, stderr } = spawnSync(
    process.execPath,
    [
      ...[
        '--import',
        here('usage.mjs'),
        here('../../bin/emoq.js'),
        'predict',
        join(folder, `clips-${count}.csv`),
      ],
      ...['--run', join(folder, 'run'), '-o', join(folder, `predictions-${count}.csv`)],
    ],
    { env: { ...process.env, EMOQ_BENCH_USAGE: usage }, encoding: 'utf8' },
  );
  if (status !== 0) throw new Error(stderr);
  const wallSec = (performance.now() - startedAt) / 1000;
  return { wallSec, ...JSON.parse(readFileSync(usage, 'utf8')) };
}
