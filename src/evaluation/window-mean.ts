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

/** The kind of the note on the answer for a whole recording. */
export const WINDOWS_NOTE = 'windows';

/** The note on the answer for a recording, which says how many windows it has. */
export function windowsNote(judged: number, failed: number): string {
  if (judged + failed === 0) return 'none';
  if (judged === 0) return `${failed}, without an answer`;
  const without = failed === 0 ? '' : `, without ${failed} that could not be judged`;
  return `the mean of ${judged} window${judged === 1 ? '' : 's'}, weighted by length${without}`;
}

/** How many windows a row's notes say that it is the answer for; undefined if it is none for a whole recording. */
export function windowsIn(notes: string): number | undefined {
  const text = /^windows: ([^;]*)/.exec(notes)?.[1];
  if (text === undefined) return undefined;
  return [...text.matchAll(/\d+/g)].reduce((sum, [count]) => sum + Number(count), 0);
}
