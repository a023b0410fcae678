/**
 * @file `emoq predict` end to end at the shapes of HuBERT-base, RoBERTa-base and Qwen2.5-0.5B: `node
 * test/bench/prediction.mjs FOLDER ROWS [THREADS [int8|int4]]`, with 0 threads for one per core. Writes the run and the
 * clips into FOLDER unless they are there, what prediction.py reads, and for integers a bundle that is quantized so. The
 * time of a row is that of ROWS rows less that of a quarter of them, so that starting and loading do not count. Prints
 * its figures as one line of JSON.
 */

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseEncoderConfig, publishedConfigs } from '../../dist/backbones/index.js';
import { graphFlops } from '../../dist/engine/training/index.js';
import { inputWeights } from '../../dist/nn/index.js';
import { phaseInferenceGraph } from '../../dist/systems/index.js';
import { writeClips, writeRandomRun } from './random-run.mjs';

const CLIP_SEC = 4;
const SAMPLE_RATE_HZ = 16_000;
const [folder, rowCount, threads = '0', quantize] = process.argv
  .slice(2)
  .map((value, at) => (at === 1 ? Number(value) : value));
const here = (name) => fileURLToPath(new URL(name, import.meta.url));

if (!existsSync(join(folder, 'rows.json'))) await prepare();
const { tokens, rowGflop } = JSON.parse(readFileSync(join(folder, 'rows.json'), 'utf8'));
const few = Math.ceil(rowCount / 4);
await writeClips(folder, few, CLIP_SEC);
const model = quantize === undefined ? ['--run', join(folder, 'run')] : ['--bundle', quantizedBundle()];
const [short, long] = [predict(few), predict(rowCount)];
const perRow = (key) => (long[key] - short[key]) / (rowCount - few);
console.log(
  JSON.stringify({
    ...{ rows: rowCount, clipSec: CLIP_SEC, tokens, rowGflop },
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
  const meanOf = (count) => encoded.reduce((sum, row) => sum + count(row), 0) / encoded.length;
  const mean = meanOf(({ promptIds }) => promptIds.length);
  const { lora, former } = recipe;
  const { flops, frames } = encoderWork(CLIP_SEC * SAMPLE_RATE_HZ);
  const text = meanOf(({ textIds }) => textIds.length);
  const rowGflop = (flops + (await modelFlops(phase, { frames, text, prompt: mean }))) / 1e9;
  writeFileSync(
    join(folder, 'rows.json'),
    JSON.stringify({ tokens: mean, rowGflop, labels: recipe.labels, answers, lora, former, rows: encoded }),
  );
}

/** Frames of a clip, and the operations of HuBERT's convolutions and products for it. */
function encoderWork(samples) {
  const config = parseEncoderConfig(publishedConfigs['facebook/hubert-base-ls960'], 'hubert');
  let [frames, channels, products] = [samples, 1, 0];
  config.convDim.forEach((width, layer) => {
    frames = Math.floor((frames - config.convKernel[layer]) / config.convStride[layer]) + 1;
    products += frames * channels * config.convKernel[layer] * width;
    channels = width;
  });
  const { hiddenSize: width, intermediateSize: inner, numHiddenLayers: layers } = config;
  const position = (width * width * config.numConvPosEmbeddings) / config.numConvPosEmbeddingGroups;
  const layer = 4 * width * width + 2 * width * inner + 2 * frames * width;
  products += frames * (channels * width + position + layers * layer);
  return { flops: 2 * products, frames };
}

/** Operations of the Former and the language model for a row, after the beginning of its prompt. */
async function modelFlops(phase, { frames, text, prompt }) {
  const { prompt: past } = (await phase.promptStarts[0].batch()).sizes;
  const graph = phaseInferenceGraph({ ...phase, frozen: inputWeights }, phase.parameters, inputWeights);
  return graphFlops(graph, { batch: 1, frames, text, prompt: prompt - past, past });
}

/** The bundle of the run in integers. */
function quantizedBundle() {
  const bundle = join(folder, quantize);
  if (existsSync(bundle)) return bundle;
  const args = ['export', 'bundle', '--run', join(folder, 'run'), '--quantize', quantize, '-o', bundle];
  const { status, stderr } = spawnSync(process.execPath, [here('../../bin/emoq.js'), ...args], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(stderr);
  return bundle;
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
      ...(threads === '0' ? [] : ['--threads', threads]),
      ...[...model, '-o', join(folder, `${quantize ?? 'predictions'}-${count}.csv`)],
    ],
    { env: { ...process.env, EMOQ_BENCH_USAGE: usage }, encoding: 'utf8' },
  );
  if (status !== 0) throw new Error(stderr);
  const wallSec = (performance.now() - startedAt) / 1000;
  return { wallSec, ...JSON.parse(readFileSync(usage, 'utf8')) };
}
