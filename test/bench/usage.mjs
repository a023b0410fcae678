/**
 * @file Preloaded with `node --import`: writes the processor seconds and the peak memory of the process, as JSON, to the
 * file that the variable EMOQ_BENCH_USAGE names, when the process ends.
 */

import { writeFileSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';
import { peakMemoryBytes } from '../../dist/base/index.js';

if (isMainThread) {
  process.on('exit', () => {
    const { user, system } = process.cpuUsage();
    const usage = { processorSec: (user + system) / 1e6, peakGiB: peakMemoryBytes() / 2 ** 30 };
    writeFileSync(process.env.EMOQ_BENCH_USAGE, JSON.stringify(usage));
  });
}
