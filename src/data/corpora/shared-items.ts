/** @file What two parts of a corpus have in common by some key, with counts and the most telling examples. */

import type { Utterance } from './manifest.js';

/** The utterances of both parts that have one thing in common. */
export interface SharedItem {
  /** A speaker's name, the words, a recording's SHA-256 or path. */
  what: string;
  /** Ids in the part that is seen before, and in the one that is held out, in the order of the corpus. */
  seen: string[];
  heldOut: string[];
}

/** Everything of one kind that two parts have in common. */
export interface SharedItems {
  /** How many different things both parts have. */
  count: number;
  /** Utterances of the held-out part that are concerned. */
  utterances: number;
  /** The most telling ones first. */
  examples: SharedItem[];
}

/** How many examples of a kind are kept, and how many ids of each. */
export const EXAMPLES = 5;

/**
 * What both parts have by a key of their utterances; '' is not known and never in common.
 * @param weight how telling a key is; by default those of most utterances are.
 */
export function itemsInCommon(
  seen: readonly Utterance[],
  heldOut: readonly Utterance[],
  keyOf: (utterance: Utterance) => string,
  weight: (key: string) => number = () => 0,
): SharedItems {
  const seenIds = idsByKey(seen, keyOf);
  const shared = [...idsByKey(heldOut, keyOf)].filter(([key]) => seenIds.has(key));
  const telling = [...shared].sort(
    ([a, idsA], [b, idsB]) => weight(b) - weight(a) || idsB.length - idsA.length,
  );
  return {
    count: shared.length,
    utterances: shared.reduce((sum, [, ids]) => sum + ids.length, 0),
    examples: telling.slice(0, EXAMPLES).map(([what, ids]) => ({
      what,
      seen: seenIds.get(what)!.slice(0, EXAMPLES),
      heldOut: ids.slice(0, EXAMPLES),
    })),
  };
}

function idsByKey(
  utterances: readonly Utterance[],
  keyOf: (utterance: Utterance) => string,
): Map<string, string[]> {
  const ids = new Map<string, string[]>();
  for (const utterance of utterances) {
    const key = keyOf(utterance);
    if (key === '') continue;
    const group = ids.get(key);
    if (group) group.push(utterance.id);
    else ids.set(key, [utterance.id]);
  }
  return ids;
}
