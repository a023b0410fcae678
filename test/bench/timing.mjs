/**
 * @file Medians of wall-clock and processor time. Machines are shared and noisy: figures are printed, never asserted.
 */

/**
 * Median seconds of `runs` calls after one warm-up: wall-clock time, and total processor time, which other programs
 * disturb least.
 */
export async function medianOf(runs, work) {
  await work();
  const wall = [];
  const processor = [];
  for (let i = 0; i < runs; i++) {
    const startedAt = performance.now();
    const before = process.cpuUsage();
    await work();
    const used = process.cpuUsage(before);
    wall.push((performance.now() - startedAt) / 1000);
    processor.push((used.user + used.system) / 1e6);
  }
  const median = (values) => values.sort((a, b) => a - b)[Math.floor(runs / 2)];
  return { wallSec: median(wall), processorSec: median(processor) };
}
