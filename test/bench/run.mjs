/** @file `make bench`: times the hot paths of this checkout on this machine and prints ratios. */

import { cpus } from 'node:os';
import { formerStep } from './former-step.mjs';
import { gemmRate } from './gemm-rate.mjs';

// Before and after: on a shared machine the better of the two is closer to what it can do.
const before = await gemmRate();
const step = await formerStep();
const after = await gemmRate();
const wallRate = Math.max(before.wall, after.wall);
const processorRate = Math.max(before.processor, after.processor);
console.log(`machine: ${cpus().length} x ${cpus()[0]?.model.trim()}`);
console.log(
  `matrix products: ${wallRate.toFixed(0)} GFLOP/s by the wall clock, ${processorRate.toFixed(0)} for each second of a processor`,
);
console.log('stage-1 step, RoBERTa-base size, batch 8, 30 tokens, 160 frames:');
console.log(`  graph built, differentiated and loaded  ${step.readySec.toFixed(1)} s`);
console.log(`  seconds per step                        ${step.stepSec.toFixed(2)}`);
console.log(`  trained parameters                      ${(step.parameters / 1e6).toFixed(1)} million`);
console.log(`  matrix arithmetic                       ${step.stepGflop.toFixed(0)} GFLOP`);
console.log(`  processor seconds per step              ${step.processorSec.toFixed(2)}`);
console.log(
  `  fraction of the matrix-product rate     ${(step.stepGflop / step.stepSec / wallRate).toFixed(2)} by the wall clock`,
);
console.log(
  `                                          ${(step.stepGflop / step.processorSec / processorRate).toFixed(2)} by processor time`,
);
console.log(
  `  memory                                  ${step.peakGiB.toFixed(1)} GiB at the peak, ${step.estimateGiB.toFixed(1)} GiB estimated`,
);
