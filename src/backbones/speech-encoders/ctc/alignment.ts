/** @file Forced alignment: the likeliest path of a CTC head that says given symbols, by Viterbi's algorithm. */

import { type CtcPath, pathOf } from './decoding.js';

/**
 * The likeliest path through symbols and blanks between them (the trellis of Graves et al., 2006, section 4.1).
 * @param labels ids without blanks
 * @param logs log probabilities [frames, size]
 * @param blank the id of the blank
 * @throws RangeError if the frames are too few to say them
 */
export function alignedPath(
  labels: readonly number[],
  logs: Float64Array,
  size: number,
  blank: number,
): CtcPath {
  const frames = logs.length / size;
  // Blanks at the even places.
  const states = [blank, ...labels.flatMap((label) => [label, blank])];
  const from = Array.from({ length: frames }, () => new Int8Array(states.length));
  let scores = states.map((id, state) => (state < 2 ? (logs[id] ?? 0) : Number.NEGATIVE_INFINITY));
  for (let frame = 1; frame < frames; frame++) {
    scores = states.map((id, state) => {
      const mayLeap = state % 2 === 1 && state > 1 && states[state - 2] !== id;
      let [best, step] = [scores[state]!, 0];
      for (const back of mayLeap ? [1, 2] : [1]) {
        const before = scores[state - back] ?? Number.NEGATIVE_INFINITY;
        if (before > best) [best, step] = [before, back];
      }
      from[frame]![state] = step;
      return best + logs[frame * size + id]!;
    });
  }
  const last = states.length - 1;
  let state = last > 0 && scores[last - 1]! > scores[last]! ? last - 1 : last;
  if (frames === 0 ? labels.length > 0 : scores[state] === Number.NEGATIVE_INFINITY) {
    throw new RangeError(`${frames} frames cannot say ${labels.length} symbols`);
  }
  const path: number[] = Array(frames).fill(blank);
  for (let frame = frames - 1; frame >= 0; frame--) {
    path[frame] = states[state]!;
    state -= from[frame]![state]!;
  }
  return pathOf(path, logs, size);
}
