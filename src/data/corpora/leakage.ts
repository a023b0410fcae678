/**
 * @file What a test set has in common with what is seen before it: speakers, sentences, whole passages, recordings.
 * These are findings, not errors: some corpora share speakers by design.
 */

import type { Utterance } from './manifest.js';
import { passagesInCommon } from './passages.js';
import { type AudioCheck, itemsInCommon, type SharedItems, sharedAudio } from './shared-audio.js';
import { type Division, divisionOf, groupUtterances } from './statistics.js';
import { spokenWords, wordCount } from './transcripts.js';

export type LeakageKind = 'speakers' | 'texts' | 'passages' | 'audio';

/** What a held-out part has in common with one that is seen before, by kind. */
export interface LeakagePair {
  /** A split, or 'others': all sessions but the one that is held out. */
  seen: string;
  /** A split, or a session. */
  heldOut: string;
  /** Utterances of the held-out part. */
  utterances: number;
  speakers: SharedItems;
  /** The same words, whatever the capitals and punctuation. The longest are the most telling. */
  texts: SharedItems;
  /** Of them those of five words or more: what is shorter is said anew every day. */
  longTexts: SharedItems;
  passages: SharedItems;
  /** The same file, or the same bytes in another. */
  audio: SharedItems;
}

export interface LeakageReport {
  /** Undefined where the corpus has neither splits nor sessions. */
  division: Division | undefined;
  /** Train to dev and test, dev to test; or all other sessions to each. */
  pairs: LeakagePair[];
  audio: AudioCheck;
}

const LONG_TEXT_WORDS = 5;

/**
 * Looks for leaks between each split and those before it, or between each session and all others.
 * @param division what divides the corpus; by default its splits, else its sessions.
 */
export async function findLeakage(
  utterances: readonly Utterance[],
  division = divisionOf(utterances),
): Promise<LeakageReport> {
  const { contentOf, compared, missing } = await sharedAudio(utterances);
  const words = new Map(utterances.map((utterance) => [utterance, spokenWords(utterance.text)]));
  const wordsOf = (utterance: Utterance): string => words.get(utterance)!;
  const longWordsOf = (utterance: Utterance): string =>
    wordCount(wordsOf(utterance)) >= LONG_TEXT_WORDS ? wordsOf(utterance) : '';
  const pairs = sidesOf(utterances, division).map(({ seen, heldOut }): LeakagePair => {
    const inCommon = (
      keyOf: (utterance: Utterance) => string,
      weight?: (key: string) => number,
    ): SharedItems => itemsInCommon(seen.members, heldOut.members, keyOf, weight);
    return {
      seen: seen.name,
      heldOut: heldOut.name,
      utterances: heldOut.members.length,
      speakers: inCommon(({ speaker }) => speaker),
      texts: inCommon(wordsOf, wordCount),
      longTexts: inCommon(longWordsOf, wordCount),
      passages: passagesInCommon(seen.members, heldOut.members, wordsOf),
      audio: inCommon(({ path }) => contentOf.get(path) ?? path),
    };
  });
  return { division, pairs, audio: { compared, missing } };
}

interface Side {
  name: string;
  members: Utterance[];
}

/** Each part with those before it, or each session with all others. */
export function sidesOf(
  utterances: readonly Utterance[],
  division: Division | undefined,
): { seen: Side; heldOut: Side }[] {
  if (division === undefined) return [];
  const groups = groupUtterances(utterances, division);
  groups.delete('');
  const sides = [...groups].map(([name, members]): Side => ({ name, members }));
  if (division === 'split') {
    return sides.flatMap((heldOut, index) => sides.slice(0, index).map((seen) => ({ seen, heldOut })));
  }
  if (sides.length < 2) return [];
  return sides.map((heldOut) => {
    const members = utterances.filter(({ session }) => session !== '' && session !== heldOut.name);
    return { seen: { name: 'others', members }, heldOut };
  });
}
