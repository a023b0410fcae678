/** @file Many seeded trials of reading something damaged, for scripts that run in a process of their own. */

import { strict as assert } from 'node:assert';
import { InputError } from '../../dist/base/index.js';
import { seededRandom } from '../../dist/engine/tensor/index.js';
import { peakMiB } from './mutations.mjs';
import { cpuSecSince } from './processor-time.mjs';

// What a library warns of by itself would stand on stderr beside our line.
process.on('warning', (warning) => {
  console.error(`a warning was printed: ${warning.stack}`);
  process.exit(1);
});

/** What `work` gives; undefined where it refuses its input, which must be with an InputError of one line. */
export async function outcomeOf(work) {
  const outcome = await Promise.resolve()
    .then(work)
    .catch((error) => error);
  if (!(outcome instanceof Error)) return outcome;
  assert.ok(outcome instanceof InputError, outcome.stack);
  assertLine(outcome.message);
  return undefined;
}

/** The same of what refuses its input with a line for each mistake. */
export async function outcomeOfLines(work) {
  const outcome = await Promise.resolve()
    .then(work)
    .catch((error) => error);
  if (!(outcome instanceof Error)) return outcome;
  assert.ok(outcome instanceof InputError, outcome.stack);
  outcome.message.split('\n').forEach(assertLine);
  return undefined;
}

/** What a person is told: one line that a terminal can show. */
export function assertLine(text) {
  assert.match(text, /^[^\r\n\u2028\u2029]{1,2000}$/u);
}

/**
 * Runs `check(random)` so many times; it says whether the damaged input could be read, and throws where what was read or
 * how it was refused is wrong.
 * @param where what a failure names beside the trial: files as they were when it failed
 * @returns how often each came, and the longest trial in seconds of processor time
 */
export async function repeat(trials, name, { seed, where }, check) {
  const random = seededRandom(seed, name);
  let read = 0;
  let longestSec = 0;
  for (let trial = 0; trial < trials; trial++) {
    if (trial % 100 === 0) console.log(`${name} ${trial}`);
    const start = process.cpuUsage();
    try {
      if (await check(random)) read++;
    } catch (error) {
      throw new Error(`${name} ${trial} of seed ${seed}, ${where}: ${error.message}`, { cause: error });
    }
    longestSec = Math.max(longestSec, cpuSecSince(start));
  }
  return { read, refused: trials - read, longestSec };
}

/** Prints what a script has found as its last line, with the memory that it took. */
export function report(baselineMiB, findings) {
  console.log(JSON.stringify({ baselineMiB, peakMiB: peakMiB(), ...findings }));
}
