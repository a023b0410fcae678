/**
 * @file `make bench`: times the hot paths on this machine and prints the figures, next to PyTorch's if the variable
 * PYTHON names a Python that has it. Asserts only that both did the same work.
 */

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gemmRate } from './gemm-rate.mjs';

const python = process.env.PYTHON;

/** Compares one of our figures with the peer's. */
const FASTER = (ours, peer) => `${(peer / ours).toFixed(2)} times as fast`;
const MORE = (ours, peer) => `${(ours / peer).toFixed(2)} times as fast`;
const LESS = (ours, peer) => `${(ours / peer).toFixed(2)} times as much`;

if (python) requireModules();
console.log(`machine: ${cpus().length} x ${cpus()[0]?.model.trim()}`);
const former = (size) => [
  ['former-step.mjs', size],
  ['former_step.py', 'fused', size],
];
await step('stage-1 step, RoBERTa-base size, batch 8, 30 tokens, 160 frames', ...former('base'));
for (const threads of [1, 2]) {
  await step('stage-1 step, MiniLM-L6 size, batch 16, 30 tokens, 229 frames', ...former('minilm'), threads);
  await step(
    'stage-2 step, SmolLM2-135M and a MiniLM-L6 Former, batch 8, prompt 110',
    ['decoder-step.mjs'],
    ['decoder_step.py'],
    threads,
  );
}
hubertEncoder();
await prediction();
prepareMeld();
errorBars();
if (!python) console.log('\nmake bench PEERS=1 adds a Python with torch and transformers to the comparison');

/** A training step of ours and of PyTorch, beside the rate of matrix products alone. */
async function step(title, ours, theirs, threads) {
  console.log(
    `\n${title}${threads === undefined ? '' : `, ${threads} ${threads === 1 ? 'thread' : 'threads'}`}:`,
  );
  const more = threads === undefined ? [] : [String(threads)];
  // Before and after: on a shared machine the better of the two is closer to its real speed.
  const before = await gemmRate(threads);
  const own = measured(process.execPath, ...ours, ...more);
  const after = await gemmRate(threads);
  const peer = python && measured(python, ...theirs, ...more);
  if (peer && peer.parameters !== own.parameters)
    throw new Error(`the models differ: ${own.parameters} parameters here, ${peer.parameters} in PyTorch`);
  const wallRate = Math.max(before.wall, after.wall);
  const processorRate = Math.max(before.processor, after.processor);
  line('trained parameters', `${(own.parameters / 1e6).toFixed(1)} million`);
  line('graph built, differentiated, loaded', `${own.readySec.toFixed(1)} s`);
  line('matrix arithmetic', `${own.stepGflop.toFixed(0)} GFLOP`);
  line('estimate of the memory', `${own.estimateGiB.toFixed(1)} GiB`);
  if (peer) heading(`PyTorch ${peer.torch}`);
  row('matrix products alone, GFLOP/s', wallRate, peer?.matrixRate, MORE);
  const reached = (stepSec, rate) => percent(own.stepGflop / stepSec / rate);
  line(
    '  reached in the step',
    reached(own.stepSec, wallRate),
    peer && reached(peer.stepSec, peer.matrixRate),
  );
  line('  by processor time', reached(own.processorSec, processorRate));
  line('matrix products in the node time', percent(own.matrixShare));
  row('seconds per step', own.stepSec, peer?.stepSec, FASTER);
  row('processor seconds per step', own.processorSec, peer?.processorSec, LESS);
  row('peak memory, GiB', own.peakGiB, peer?.peakGiB, LESS);
}

function hubertEncoder() {
  const folder = mkdtempSync(join(tmpdir(), 'emoq-bench-'));
  try {
    const ours = measured(process.execPath, 'hubert-encoder.mjs', folder);
    const { clips, audioSec } = ours;
    console.log(`\nHuBERT-large encoder, a batch of ${clips} clips of ${audioSec / clips} s:`);
    const peer = python && measured(python, 'hubert_encoder.py', folder, String(clips));
    if (peer) {
      if (!(peer.largestDifference < 0.01))
        throw new Error(`the features differ by up to ${peer.largestDifference} from those of transformers`);
      line('largest difference of a feature', peer.largestDifference.toExponential(0));
      heading(`transformers ${peer.transformers}`);
    }
    row('seconds of audio per second', audioSec / ours.wallSec, peer && audioSec / peer.wallSec, MORE);
    row('processor seconds per batch', ours.processorSec, peer?.processorSec, LESS);
    row('peak memory, GiB', ours.peakGiB, peer?.peakGiB, LESS);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Rows that are predicted, and a quarter of them, which is the difference. */
const PREDICTED = 48;

async function prediction() {
  const folder = mkdtempSync(join(tmpdir(), 'emoq-bench-'));
  try {
    const before = await gemmRate();
    const own = measured(process.execPath, 'prediction.mjs', folder, String(PREDICTED));
    const after = await gemmRate();
    const bundle = (type) =>
      measured(process.execPath, 'prediction.mjs', folder, String(PREDICTED), '0', type);
    const bundles = { 'in 8-bit integers': bundle('int8'), 'with 4-bit weights': bundle('int4') };
    const { rows, clipSec, tokens, rowGflop } = own;
    console.log(
      `\nemoq predict, ${rows} clips of ${clipSec} s, HuBERT-base, RoBERTa-base and Qwen2.5-0.5B sizes, prompts of ${tokens.toFixed(0)} tokens:`,
    );
    const peer = python && measured(python, 'prediction.py', folder, String(PREDICTED));
    const rate = Math.max(before.processor, after.processor);
    line('matrix arithmetic of a row', `${rowGflop.toFixed(0)} GFLOP`);
    if (peer) {
      if (!(peer.largestDifference < 1e-3))
        throw new Error(`the probabilities differ by up to ${peer.largestDifference} from those of PyTorch`);
      line('largest difference of a probability', peer.largestDifference.toExponential(0));
      heading(`PyTorch ${peer.torch}`);
    }
    row('matrix products alone, GFLOP/s', Math.max(before.wall, after.wall), peer?.matrixRate, MORE);
    line('  reached, by processor time', percent(rowGflop / own.processorSec / rate));
    row('rows per second', 1 / own.wallSec, peer && 1 / peer.wallSec, MORE);
    row('processor seconds per row', own.processorSec, peer?.processorSec, LESS);
    row('processor seconds in all', own.wholeProcessorSec, peer?.wholeProcessorSec, LESS);
    row('peak memory, GiB', own.peakGiB, peer?.peakGiB, LESS);
    for (const [name, own] of Object.entries(bundles)) {
      console.log(`  the same ${name}, a bundle:`);
      row('rows per second', 1 / own.wallSec, peer && 1 / peer.wallSec, MORE);
      row('processor seconds per row', own.processorSec, peer?.processorSec, LESS);
      row('peak memory, GiB', own.peakGiB, peer?.peakGiB, LESS);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function prepareMeld() {
  const { clips, cores, loop, prepare } = measured(process.execPath, 'prepare-meld.mjs');
  console.log(`\nprepare-meld, ${clips} clips of 3 s (720p, 48 kHz AAC), ${cores} cores:`);
  heading('a loop of ffmpeg');
  row('clips per second', clips / prepare.wallSec, clips / loop.wallSec, MORE);
  row('processor seconds per 100 clips', per100(prepare, clips), per100(loop, clips), LESS);
}

function errorBars() {
  console.log('');
  execFileSync(process.execPath, [fileURLToPath(new URL('./eval.mjs', import.meta.url))], {
    stdio: 'inherit',
  });
}

function per100({ processorSec }, clips) {
  return (100 * processorSec) / clips;
}

/** Exits with one line if the given Python is missing a required package. */
function requireModules() {
  const { status } = spawnSync(python, ['-c', 'import torch, transformers'], { stdio: 'ignore' });
  if (status === 0) return;
  console.error(`${python} cannot import torch and transformers: name another by PYTHON, or leave it out`);
  process.exit(1);
}

/** The output of a benchmark, run as a separate program so that peak memory is measured separately. */
function measured(program, script, ...args) {
  const path = fileURLToPath(new URL(script, import.meta.url));
  return JSON.parse(execFileSync(program, [path, ...args], { encoding: 'utf8' }));
}

function line(name, ours, peer = '', comparison = '') {
  console.log(`  ${name.padEnd(36)}${ours.padEnd(10)}${peer.padEnd(22)}${comparison}`.trimEnd());
}

function row(name, ours, peer, comparison) {
  if (peer) line(name, ours.toFixed(2), peer.toFixed(2), comparison(ours, peer));
  else line(name, ours.toFixed(2));
}

function percent(fraction) {
  return `${(100 * fraction).toFixed(0)} %`;
}

function heading(peer) {
  line('', 'emoq', peer);
}
