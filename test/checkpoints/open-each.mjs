/**
 * @file Opens every file of a folder with `readTorchFile` and prints one JSON line for each: the outcome, and the peak
 * memory so far. A separate process, so that a crash, a hang or a peak does not affect the test.
 *
 *     node open-each.mjs FOLDER FILE-TO-WARM-UP-WITH
 */

import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { peakMemoryBytes } from '../../dist/base/index.js';
import { readTorchFile } from '../../dist/checkpoints/torch-file.js';
import { dtypeInfo } from '../../dist/engine/tensor/index.js';
import { cpuSecSince } from '../fuzz/processor-time.mjs';

const [folder, warmUp] = process.argv.slice(2);

for (let times = 0; times < 20; times++) await readTorchFile(warmUp);
console.log(JSON.stringify({ file: 'warm-up', outcome: 'answer', ms: 0, peakBytes: peakMemoryBytes() }));

for (const file of readdirSync(folder).sort()) {
  const path = join(folder, file);
  const start = process.cpuUsage();
  let outcome;
  try {
    outcome = faultOf(await readTorchFile(path), statSync(path).size) ?? 'answer';
  } catch (error) {
    const clear =
      error.name === 'InputError' && !/[\n\r]/.test(error.message) && error.message.includes(path);
    outcome = clear && error.message.length < 600 ? 'refused' : `${error.stack}`;
  }
  console.log(JSON.stringify({ file, outcome, ms: 1000 * cpuSecSince(start), peakBytes: peakMemoryBytes() }));
}

/** What is wrong with a result: every tensor must fill its shape and be inside the file. */
function faultOf(locations, size) {
  for (const [key, { dtype, shape, offset, byteLength }] of locations) {
    const elements = shape.reduce((product, length) => product * length, 1);
    const whole = [offset, byteLength, ...shape].every((value) => Number.isSafeInteger(value) && value >= 0);
    if (!whole || byteLength !== elements * dtypeInfo[dtype].bytes || offset + byteLength > size) {
      return `${key} is ${dtype} [${shape}] at ${offset}, ${byteLength} bytes`;
    }
  }
  return undefined;
}
