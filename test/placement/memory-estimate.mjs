/**
 * @file Holds the memory estimate for CUDA to what the stub gives out: a training graph has to run on a device with at
 * most a tenth more than its estimate, and must not run on one with a tenth less. `node test/placement/memory-estimate.mjs`
 * runs it alone; an argument chooses cases by a part of their names.
 */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildStub } from '../cuda-stub/build.mjs';
import { runWithin } from './device-memory.mjs';
import { buildMemoryCase, MEMORY_CASES, STEPS_PER_RUN, writeMemoryModels } from './memory-cases.mjs';
import { runOnStub } from './on-stub.mjs';
import { emoqModule } from './session-child.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const checkout = resolve(here, '..', '..');
const TOLERANCE = 0.1;
/** Devices that are tried: on one of them the graph has to run. */
const ABOVE = [TOLERANCE, 0.09, 0.08, 0.06];
const MIB = 2 ** 20;

/** What is wrong with the estimates of the cases with this part in their names, one line each. Prints a row for each. */
export async function estimateDifferences(part = '') {
  const models = mkdtempSync(join(tmpdir(), 'emoq-memory-'));
  const problems = [];
  try {
    await writeMemoryModels(models, checkout);
    for (const spec of MEMORY_CASES.filter(({ name }) => name.includes(part))) {
      problems.push(...(await compare(spec, models)));
    }
  } finally {
    rmSync(models, { recursive: true, force: true });
  }
  return problems;
}

async function compare(spec, models) {
  const estimate = await estimateOf(spec, models);
  const run = (mib) =>
    runWithin(
      (memoryMib) => runOnStub(join(here, 'memory-child.mjs'), { spec, models, checkout }, { memoryMib }),
      Math.round(mib),
    );
  const least = estimate * (1 - TOLERANCE);
  // The arena takes memory in powers of two, so that a larger device can be the one that is too small.
  let larger;
  for (const share of ABOVE) larger ??= await run(estimate * (1 + share));
  const smaller = await run(least);
  const verdict = larger === undefined ? 'too low' : smaller === undefined ? 'right' : 'too high';
  console.log(`${spec.name.padEnd(58)}${estimate.toFixed(0).padStart(8)} MiB estimated, ${verdict}`);
  return [
    ...(larger === undefined
      ? [`${spec.name}: does not run in ${(estimate * (1 + TOLERANCE)).toFixed(0)} MiB, nor in a little less`]
      : []),
    ...(smaller === undefined ? [] : [`${spec.name}: runs in ${least.toFixed(0)} MiB`]),
  ];
}

/** MiB of the arena alone: the stub takes nothing for itself, as CUDA does. */
async function estimateOf(spec, models) {
  const { trainingEstimator } = await emoqModule(checkout, 'engine/training/index.js');
  const { training, sizes, microBatches } = await buildMemoryCase(spec, models, checkout);
  const memory = trainingEstimator(training)(sizes, { stepsPerRun: STEPS_PER_RUN, microBatches });
  return (memory.totalBytes - memory.contextBytes) / MIB;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const problem = buildStub();
  if (problem !== undefined) console.log(`skipping the memory estimate: ${problem}`);
  else {
    const problems = await estimateDifferences(process.argv[2]);
    for (const text of problems) console.log(`- ${text}`);
    if (problems.length > 0) process.exitCode = 1;
  }
}
