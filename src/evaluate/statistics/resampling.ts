/** @file Resampling with replacement: whole units are drawn, and what they hold is counted by kind. */

import { seededRandom } from '../../engine/tensor/index.js';

/** Utterances in the order of their units. */
export interface Units {
  readonly count: number;
  /** [count + 1]: unit u holds the members from `starts[u]` to before `starts[u + 1]`. */
  readonly starts: Uint32Array;
  /** Indices of utterances, unit by unit. */
  readonly members: Uint32Array;
}

/** How often to draw, and from which seed. */
export interface Draws {
  readonly resamples: number;
  readonly seed: number;
}

/** Puts utterances of equal key into one unit. @param keys of each utterance */
export function groupUnits(keys: readonly string[]): Units {
  const unitOf = new Map<string, number[]>();
  keys.forEach((key, index) => {
    const members = unitOf.get(key);
    if (members) members.push(index);
    else unitOf.set(key, [index]);
  });
  const units = [...unitOf.values()];
  const starts = new Uint32Array(units.length + 1);
  units.forEach((members, unit) => {
    starts[unit + 1] = starts[unit]! + members.length;
  });
  return { count: units.length, starts, members: Uint32Array.from(units.flat()) };
}

/**
 * Draws as many units as there are, with replacement, `resamples` times. An utterance is only one of few kinds here
 * (a cell of the confusion matrix), so that a draw is one addition to a small array.
 * @param kindOf kind of each utterance, in the order of the keys
 * @param visit is told how many utterances of each kind a resample holds; the array is used again for the next
 */
export function resampleCounts(
  { count, starts, members }: Units,
  kindOf: ArrayLike<number>,
  kinds: number,
  { resamples, seed }: Draws,
  visit: (counts: Uint32Array, resample: number) => void,
): void {
  const random = seededRandom(seed, 'bootstrap');
  const memberKinds = Uint32Array.from(members, (member) => kindOf[member]!);
  const counts = new Uint32Array(kinds);
  for (let resample = 0; resample < resamples; resample++) {
    counts.fill(0);
    for (let draw = 0; draw < count; draw++) {
      // 24 random bits: of 13,708 units none is drawn more often than another by over one part in a thousand.
      const unit = Math.floor(random.uniform() * count);
      const end = starts[unit + 1]!;
      for (let member = starts[unit]!; member < end; member++) counts[memberKinds[member]!]! += 1;
    }
    visit(counts, resample);
  }
}
