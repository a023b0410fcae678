/** @file One answer for a recording from the answers for its windows. */

/** The answer for a window of a recording. */
export interface JudgedWindow {
  readonly startSec: number;
  readonly endSec: number;
  /** [classes]; null if the window was not judged. */
  readonly probabilities: ArrayLike<number> | null;
}

/** The answer for a whole recording. */
export interface WindowMean {
  readonly probabilities: Float32Array; // [classes]
  /** Seconds of the windows that were judged. */
  readonly judgedSec: number;
  readonly judged: number;
  readonly failed: number;
}

/**
 * The mean of the windows' probabilities, weighted by their lengths, over those that were judged. What is in no window,
 * such as silence, has no weight.
 * @returns undefined if no window was judged
 * @throws RangeError if the windows have different classes
 */
export function meanOverWindows(windows: Iterable<JudgedWindow>): WindowMean | undefined {
  let sums: Float64Array | undefined;
  let [judgedSec, judged, failed] = [0, 0, 0];
  for (const { startSec, endSec, probabilities } of windows) {
    if (probabilities === null) {
      failed += 1;
      continue;
    }
    sums ??= new Float64Array(probabilities.length);
    if (probabilities.length !== sums.length) {
      throw new RangeError(`windows of ${sums.length} and of ${probabilities.length} classes`);
    }
    const lengthSec = endSec - startSec;
    for (let i = 0; i < sums.length; i++) sums[i]! += lengthSec * probabilities[i]!;
    judgedSec += lengthSec;
    judged += 1;
  }
  if (sums === undefined || judgedSec <= 0) return undefined;
  return { probabilities: Float32Array.from(sums, (sum) => sum / judgedSec), judgedSec, judged, failed };
}
