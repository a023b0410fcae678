/** @file Runs many seeded trials of reading damaged input, for scripts in a separate process. */

import { strict as assert } from 'node:assert';
import { InputError } from '../../dist/base/index.js';
import { seededRandom } from '../../dist/engine/tensor/index.js';
import { peakMiB } from './mutations.mjs';
import { cpuSecSince } from './processor-time.mjs';

// Warnings of a library would appear on stderr next to our line.
process.on('warning', (warning) => {
  console.error(`a warning was printed: ${warning.stack}`);
  process.exit(1);
});

/** The result of `work`; undefined if it rejects its input, which must be with a one-line InputError. */
export async function outcomeOf(work) {
  const outcome = await Promise.resolve()
    .then(work)
    .catch((error) => error);
  if (!(outcome instanceof Error)) return outcome;
  assert.ok(outcome instanceof InputError, outcome.stack);
  assertLine(outcome.message);
  return undefined;
}

/** Same for functions that reject their input with one line per mistake. */
export async function outcomeOfLines(work) {
  const outcome = await Promise.resolve()
    .then(work)
    .catch((error) => error);
  if (!(outcome instanceof Error)) return outcome;
  assert.ok(outcome instanceof InputError, outcome.stack);
  outcome.message.split('\n').forEach(assertLine);
  return undefined;
}

/** Checks a message for the user: one line that a terminal can display. */
export function assertLine(text) {
  assert.match(text, /^[^\r\n\u2028\u2029]{1,2000}$/u);
}

/**
 * Runs `check(random)` the given number of times. It returns whether the damaged input could be read, and throws if the
 * result or the error is wrong.
 * @param where named in a failure together with the trial: a copy of the files at that point
 * @returns how often each occurred, and the longest trial in seconds of processor time
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

/** Prints a script's findings as its last line, with the memory it used. */
export function report(baselineMiB, findings) {
  console.log(JSON.stringify({ baselineMiB, peakMiB: peakMiB(), ...findings }));
}
