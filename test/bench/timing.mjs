/** @file Medians of wall-clock time. Machines are shared and noisy: figures are printed, never asserted. */

/** Median seconds of `runs` calls after one that is not counted. */
export async function medianOf(runs, work) {
  await work();
  const seconds = [];
  for (let i = 0; i < runs; i++) {
    const startedAt = performance.now();
    await work();
    seconds.push((performance.now() - startedAt) / 1000);
  }
  return seconds.sort((a, b) => a - b)[Math.floor(runs / 2)];
}
