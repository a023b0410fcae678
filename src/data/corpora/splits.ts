/** @file Makes splits and folds from a seed, for a corpus without its own. Speakers are kept together. */

import { InputError } from '../../base/index.js';
import { seededRandom } from '../../engine/tensor/index.js';
import type { Utterance } from './manifest.js';

/** A unit that goes into one split or fold as a whole. */
export interface SplitUnit {
  /** 'speaker' or the like, for messages. */
  name: string;
  /** The unit of an utterance; '' if unknown. */
  of: (utterance: Utterance) => string;
}

export interface SplitOptions {
  seed?: number | undefined;
  /** Speakers by default. */
  unit?: SplitUnit | undefined;
  /** Shares of the utterances, 0.1 and 0.2 by default; the rest is for training. */
  devShare?: number | undefined;
  testShare?: number | undefined;
}

const SPEAKERS: SplitUnit = { name: 'speaker', of: ({ speaker }) => speaker };

/**
 * Fills the split column. If speakers (or other units) are known, each goes into one split, and a split is full once it
 * reaches its share; otherwise each label is divided by the shares.
 * @throws InputError when only some speakers are known, or there are too few of them
 */
export function assignSplits(utterances: readonly Utterance[], options: SplitOptions = {}): Utterance[] {
  const { seed = 0, unit = SPEAKERS, devShare = 0.1, testShare = 0.2 } = options;
  if (!(devShare >= 0 && testShare > 0 && devShare + testShare < 1)) {
    throw new InputError(
      `shares of dev (${devShare}) and test (${testShare}) must be positive and leave something to train on`,
    );
  }
  const names = knownUnits(utterances, unit);
  const splitOf = new Map<Utterance, string>();
  if (names.length === 0) {
    for (const members of groupBy(utterances, ({ label }) => label).values()) {
      const shuffled = seededRandom(seed, 'split', members[0]!.label).shuffle([...members]);
      const testCount = Math.round(testShare * members.length);
      const devCount = Math.round(devShare * members.length);
      for (const [index, utterance] of shuffled.entries()) {
        splitOf.set(utterance, index < testCount ? 'test' : index < testCount + devCount ? 'dev' : 'train');
      }
    }
  } else {
    const needed = devShare > 0 ? 3 : 2;
    if (names.length < needed) {
      throw new InputError(
        `${unit.name}-independent splits need at least ${needed} ${unit.name}s, there are ${names.length}: add a split column`,
      );
    }
    const byName = groupBy(utterances, unit.of);
    const order = seededRandom(seed, 'split').shuffle(names);
    let counts = { test: 0, dev: 0 };
    for (const [index, name] of order.entries()) {
      const members = byName.get(name)!;
      // Reserves at least one unit for each split that is still empty.
      const left = order.length - index;
      const split =
        counts.test < testShare * utterances.length && left > needed - 1
          ? 'test'
          : counts.dev < devShare * utterances.length && left > 1
            ? 'dev'
            : 'train';
      if (split !== 'train') counts = { ...counts, [split]: counts[split] + members.length };
      for (const utterance of members) splitOf.set(utterance, split);
    }
  }
  return utterances.map((utterance) => ({ ...utterance, split: splitOf.get(utterance)! }));
}

/**
 * Fills the session column with '1' to `folds`, with speakers distributed so that folds have about the same size and
 * the same labels: the speaker with the most utterances first, always to the fold with which the sum of squares of the
 * folds' shares, of all utterances and of each label, stays least. No fold is empty.
 * @param seed breaks ties between speakers with equally many utterances
 * @throws InputError when there are fewer speakers than folds
 */
export function assignFolds(
  utterances: readonly Utterance[],
  folds: number,
  seed = 0,
  unit = SPEAKERS,
): Utterance[] {
  const names = knownUnits(utterances, unit);
  if (!Number.isInteger(folds) || folds < 2) {
    throw new InputError(`folds ${folds} must be a whole number from 2`);
  }
  if (names.length < folds) {
    throw new InputError(
      `${folds} ${unit.name}-independent folds need at least ${folds} ${unit.name}s, there are ${names.length}`,
    );
  }
  const byName = groupBy(utterances, unit.of);
  const order = seededRandom(seed, 'folds').shuffle(names);
  order.sort((a, b) => byName.get(b)!.length - byName.get(a)!.length); // stable: the seed breaks ties
  const totals = countsOf(utterances);
  const counts = Array.from({ length: folds }, () => new Map<string, number>());
  const foldOf = new Map<string, string>();
  for (const name of order) {
    const own = countsOf(byName.get(name)!);
    const costs = counts.map((fold) => costOfAdding(own, fold, totals));
    const cheapest = costs.indexOf(Math.min(...costs));
    for (const [key, count] of own) counts[cheapest]!.set(key, (counts[cheapest]!.get(key) ?? 0) + count);
    foldOf.set(name, String(cheapest + 1));
  }
  return utterances.map((utterance) => ({ ...utterance, session: foldOf.get(unit.of(utterance))! }));
}

/** The key of all utterances among the counts by label, which are never empty. */
const ALL = '';

/** Number of utterances: of all, and of each label. */
function countsOf(utterances: readonly Utterance[]): Map<string, number> {
  const counts = new Map([[ALL, utterances.length]]);
  for (const { label } of utterances) counts.set(label, (counts.get(label) ?? 0) + 1);
  return counts;
}

/** By how much the sum of squares of a fold's shares grows: labels together weigh as much as the number of all. */
function costOfAdding(
  own: ReadonlyMap<string, number>,
  fold: ReadonlyMap<string, number>,
  totals: ReadonlyMap<string, number>,
): number {
  const labels = totals.size - 1;
  let cost = 0;
  for (const [key, count] of own) {
    const weight = key === ALL ? 1 : 1 / labels;
    cost += (weight * count * (count + 2 * (fold.get(key) ?? 0))) / totals.get(key)! ** 2;
  }
  return cost;
}

/** Sorted names; empty if none is known. @throws InputError when only some are */
function knownUnits(utterances: readonly Utterance[], unit: SplitUnit): string[] {
  const names = new Set(utterances.map(unit.of));
  if (names.size === 1 && names.has('')) return [];
  const nameless = utterances.find((utterance) => unit.of(utterance) === '');
  if (nameless) {
    throw new InputError(
      `utterance ${nameless.id} has no ${unit.name} while others have one: name all ${unit.name}s or none`,
    );
  }
  return [...names].sort();
}

function groupBy(
  utterances: readonly Utterance[],
  keyOf: (utterance: Utterance) => string,
): Map<string, Utterance[]> {
  const groups = new Map<string, Utterance[]>();
  for (const utterance of utterances) {
    const key = keyOf(utterance);
    const group = groups.get(key);
    if (group) group.push(utterance);
    else groups.set(key, [utterance]);
  }
  return groups;
}
