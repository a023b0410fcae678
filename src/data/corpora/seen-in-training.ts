/**
 * @file How much of a held-out part training has met: utterances of speakers, sessions, episodes and dialogues that it has
 * too. Where that is much, a test figure says little of new speakers or new conversations.
 */

import { sidesOf } from './leakage.js';
import type { Utterance } from './manifest.js';
import type { Division } from './statistics.js';

/** The kinds, each with what an utterance belongs to; '' where it is not known. */
export interface UtteranceGroups {
  readonly speakers: (utterance: Utterance) => string;
  readonly sessions: (utterance: Utterance) => string;
  readonly episodes: (utterance: Utterance) => string;
  readonly dialogues: (utterance: Utterance) => string;
}

export const GROUP_KINDS = [
  'speakers',
  'sessions',
  'episodes',
  'dialogues',
] as const satisfies readonly (keyof UtteranceGroups)[];
export type GroupKind = (typeof GROUP_KINDS)[number];

/** Utterances of a held-out part whose group is in training too. */
export interface SeenShare {
  readonly utterances: number;
  /** Of all utterances of the part. */
  readonly share: number;
}

export interface SeenInTraining {
  /** A split, or a session. */
  readonly heldOut: string;
  readonly utterances: number;
  /** null where the part does not know the kind, or is itself made of it. */
  readonly kinds: Readonly<Record<GroupKind, SeenShare | null>>;
}

/** For dev and test beside train, or for each session beside all others. */
export function seenInTraining(
  utterances: readonly Utterance[],
  division: Division | undefined,
  groups: UtteranceGroups,
): SeenInTraining[] {
  const sides = sidesOf(utterances, division).filter(
    ({ seen }) => division === 'session' || seen.name === 'train',
  );
  return sides.map(({ seen, heldOut }) => {
    const shareOf = (kind: GroupKind): SeenShare | null => {
      const groupOf = groups[kind];
      if (kind === 'sessions' && division === 'session') return null;
      if (heldOut.members.every((utterance) => groupOf(utterance) === '')) return null;
      const met = new Set(seen.members.map(groupOf));
      met.delete('');
      const count = heldOut.members.filter((utterance) => met.has(groupOf(utterance))).length;
      return { utterances: count, share: count / heldOut.members.length };
    };
    return {
      heldOut: heldOut.name,
      utterances: heldOut.members.length,
      kinds: Object.fromEntries(GROUP_KINDS.map((kind) => [kind, shareOf(kind)])) as SeenInTraining['kinds'],
    };
  });
}

/** MELD's `test_dia12_utt3` (or `dia12_utt3`, as released), and IEMOCAP's `Ses01F_script01_1_M002`. */
const FORMS = [/^(.*dia\d+)_utt\d+$/, /^(Ses\d\d[FM]_(?:impro|script)\w+)_[FM][^_]+$/];

/**
 * The dialogue of an utterance: MELD's `test_dia12`, IEMOCAP's `Ses01F_script01_1`. MELD counts dialogues anew in each
 * split, so its split stays in the name.
 * @returns undefined for ids of any other form: most corpora are no conversations
 */
export function dialogueOf(id: string): string | undefined {
  for (const form of FORMS) {
    const dialogue = form.exec(id)?.[1];
    if (dialogue !== undefined) return dialogue;
  }
  return undefined;
}
