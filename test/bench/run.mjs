/** @file `make bench`: times the hot paths of this checkout on this machine and prints ratios. */

import { cpus } from 'node:os';
import { formerStep } from './former-step.mjs';
import { gemmRate } from './gemm-rate.mjs';

// Before and after: on a shared machine the better of the two is closer to what it can do.
const before = await gemmRate();
const step = await formerStep();
const rate = Math.max(before, await gemmRate());
console.log(`machine: ${cpus().length} x ${cpus()[0]?.model.trim()}, matrix products ${rate.toFixed(0)} GFLOP/s`);
console.log('stage-1 step, RoBERTa-base size, batch 8, 30 tokens, 160 frames:');
console.log(`  graph built, differentiated and loaded  ${step.readySec.toFixed(1)} s`);
console.log(`  seconds per step                        ${step.stepSec.toFixed(2)}`);
console.log(`  trained parameters                      ${(step.parameters / 1e6).toFixed(1)} million`);
console.log(`  matrix arithmetic                       ${step.stepGflop.toFixed(0)} GFLOP`);
console.log(`  fraction of the matrix-product rate     ${(step.stepGflop / step.stepSec / rate).toFixed(2)}`);
console.log(
  `  memory                                  ${step.peakGiB.toFixed(1)} GiB at the peak, ${step.estimateGiB.toFixed(1)} GiB estimated`,
);
