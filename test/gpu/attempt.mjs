/** @file Work that may fail without ending its section, and the comparison of numbers. */

/** Reports a failure as a row of its own. */
export async function attempt(report, what, work) {
  try {
    await work();
  } catch (error) {
    report({ kind: 'failure', what, ok: false, note: messageOf(error) });
  }
}

/** The first line of an error, without what onnxruntime says of its own source. */
const messageOf = (error) =>
  (error instanceof Error ? error.message : String(error))
    .split('\n')[0]
    .replace(/\/onnxruntime_src\/.* was false\. /, '')
    .slice(0, 300);

/**
 * Error of `actual`, relative to `expected` as a whole: |a - b| / |b| in Euclidean norms. Infinite for another length or
 * numbers that are none.
 * @param least least size of an element to be relative to, where `expected` may be what is left of larger numbers
 */
export function relativeError(actual, expected, least = 0) {
  if (actual.length !== expected.length) return Number.POSITIVE_INFINITY;
  let [difference, norm] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    difference += (actual[i] - expected[i]) ** 2;
    norm += expected[i] ** 2;
  }
  const scale = Math.sqrt(Math.max(norm, least ** 2 * expected.length));
  const error = difference === 0 ? 0 : Math.sqrt(difference) / scale;
  return Number.isNaN(error) ? Number.POSITIVE_INFINITY : error;
}
