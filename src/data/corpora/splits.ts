/** @file Splits and folds made from a seed, for a corpus that brings none. Speakers stay whole. */

import { InputError } from '../../base/index.js';
import { seededRandom } from '../../engine/tensor/index.js';
import type { Utterance } from './manifest.js';

export interface SplitOptions {
  seed?: number | undefined;
  /** Shares of the utterances, 0.1 and 0.2 by default; the rest is for training. */
  devShare?: number | undefined;
  testShare?: number | undefined;
}

/**
 * Fills the split column. Where speakers are known each falls into one split, and a split is full once it reaches
 * its share; where none is known, each label is divided by the shares.
 * @throws InputError when only some speakers are known or there are too few of them.
 */
export function assignSplits(utterances: readonly Utterance[], options: SplitOptions = {}): Utterance[] {
  const { seed = 0, devShare = 0.1, testShare = 0.2 } = options;
  if (!(devShare >= 0 && testShare > 0 && devShare + testShare < 1)) {
    throw new InputError(
      `shares of dev (${devShare}) and test (${testShare}) must be positive and leave something to train on`,
    );
  }
  const speakers = knownSpeakers(utterances);
  const splitOf = new Map<Utterance, string>();
  if (speakers.length === 0) {
    for (const members of groupBy(utterances, 'label').values()) {
      const shuffled = seededRandom(seed, 'split', members[0]!.label).shuffle([...members]);
      const testCount = Math.round(testShare * members.length);
      const devCount = Math.round(devShare * members.length);
      for (const [index, utterance] of shuffled.entries()) {
        splitOf.set(utterance, index < testCount ? 'test' : index < testCount + devCount ? 'dev' : 'train');
      }
    }
  } else {
    const needed = devShare > 0 ? 3 : 2;
    if (speakers.length < needed) {
      throw new InputError(
        `speaker-independent splits need at least ${needed} speakers, there are ${speakers.length}: add a split column`,
      );
    }
    const bySpeaker = groupBy(utterances, 'speaker');
    const order = seededRandom(seed, 'split').shuffle(speakers);
    let counts = { test: 0, dev: 0 };
    for (const [index, speaker] of order.entries()) {
      const members = bySpeaker.get(speaker)!;
      // One speaker at least is kept back for each split that is still empty.
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
 * Fills the session column with '1' to `folds`, speakers dealt out so that the folds are about equally long (the
 * speaker with most utterances first, always to the smallest fold).
 * @throws InputError when there are fewer speakers than folds.
 */
export function assignFolds(utterances: readonly Utterance[], folds: number, seed = 0): Utterance[] {
  const speakers = knownSpeakers(utterances);
  if (!Number.isInteger(folds) || folds < 2) {
    throw new InputError(`folds ${folds} must be a whole number from 2`);
  }
  if (speakers.length < folds) {
    throw new InputError(
      `${folds} speaker-independent folds need at least ${folds} speakers, there are ${speakers.length}`,
    );
  }
  const bySpeaker = groupBy(utterances, 'speaker');
  const order = seededRandom(seed, 'folds').shuffle(speakers);
  order.sort((a, b) => bySpeaker.get(b)!.length - bySpeaker.get(a)!.length); // stable: the seed breaks ties
  const sizes = new Array<number>(folds).fill(0);
  const foldOf = new Map<string, string>();
  for (const speaker of order) {
    const smallest = sizes.indexOf(Math.min(...sizes));
    sizes[smallest]! += bySpeaker.get(speaker)!.length;
    foldOf.set(speaker, String(smallest + 1));
  }
  return utterances.map((utterance) => ({ ...utterance, session: foldOf.get(utterance.speaker)! }));
}

/** Sorted names; empty when no speaker is known. @throws InputError when only some are. */
function knownSpeakers(utterances: readonly Utterance[]): string[] {
  const names = new Set(utterances.map(({ speaker }) => speaker));
  if (names.size === 1 && names.has('')) return [];
  const nameless = utterances.find(({ speaker }) => speaker === '');
  if (nameless) {
    throw new InputError(
      `utterance ${nameless.id} has no speaker while others have one: name all speakers or none`,
    );
  }
  return [...names].sort();
}

function groupBy(utterances: readonly Utterance[], key: 'label' | 'speaker'): Map<string, Utterance[]> {
  const groups = new Map<string, Utterance[]>();
  for (const utterance of utterances) {
    const group = groups.get(utterance[key]);
    if (group) group.push(utterance);
    else groups.set(utterance[key], [utterance]);
  }
  return groups;
}
