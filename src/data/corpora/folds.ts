/** @file What the folds of a cross-validation hold out: sessions, speakers, or groups of speakers. */

import { InputError } from '../../base/index.js';
import type { Utterance } from './manifest.js';
import { assignFolds } from './splits.js';

/** A session each, a speaker each, or N groups of speakers. */
export type FoldRule = 'session' | 'speaker' | `speakers:${number}`;

const GROUPED = /^speakers:([2-9]|[1-9]\d{1,3})$/;

/** Whether a text is a rule; groups of speakers are from 2 to 9999. */
export function isFoldRule(value: unknown): value is FoldRule {
  return value === 'session' || value === 'speaker' || (typeof value === 'string' && GROUPED.test(value));
}

/** A rule, and the seed of ties between speakers that are grouped: folds do not depend on the seed of a run. */
export interface Folding {
  readonly rule: FoldRule;
  readonly seed: number;
}

/** What is held out together, one of them in each fold. */
export interface HeldOutGroups {
  /** 'session', 'speaker' or 'group'. */
  readonly unit: string;
  /** Their names, in the order of the folds. */
  readonly names: readonly string[];
  /** The group of an utterance; '' if unknown. */
  readonly of: (utterance: Utterance) => string;
  /** The group that a fold holds out, from 1; undefined if there is no such fold. */
  readonly inFold: (fold: number) => string | undefined;
}

/**
 * The groups that folds hold out. Groups of speakers are balanced in utterances and labels, and depend on the
 * utterances only.
 * @param seed breaks ties between speakers with equally many utterances
 * @throws InputError when speakers are held out and not all of them are known, or there are fewer of them than groups
 */
export function heldOutGroups(
  utterances: readonly Utterance[],
  rule: FoldRule = 'session',
  seed = 0,
): HeldOutGroups {
  if (rule === 'session') return sessionGroups(utterances);
  requireSpeakers(utterances, rule);
  if (rule === 'speaker') {
    const names = sortedNames(utterances.map(({ speaker }) => speaker));
    return { unit: 'speaker', names, of: ({ speaker }) => speaker, inFold: (fold) => names[fold - 1] };
  }
  const count = Number(GROUPED.exec(rule)![1]);
  const foldOf = new Map(
    assignFolds(utterances, count, seed).map(({ speaker, session }) => [speaker, session]),
  );
  const names = Array.from({ length: count }, (_, index) => String(index + 1));
  return {
    unit: 'group',
    names,
    of: ({ speaker }) => foldOf.get(speaker) ?? '',
    inFold: (fold) => names[fold - 1],
  };
}

/** How many names a message lists. */
const LISTED_NAMES = 12;

/** The names of what is held out, for a message. */
export function listedGroups({ names }: HeldOutGroups): string {
  return names.length <= LISTED_NAMES ? names.join(', ') : `${names.slice(0, LISTED_NAMES).join(', ')}, ...`;
}

function sessionGroups(utterances: readonly Utterance[]): HeldOutGroups {
  const names = sortedNames(utterances.map(({ session }) => session));
  // Numbered sessions keep their numbers: fold 3 is session 3 even if session 2 is missing.
  const numbered = names.every((session) => /^[1-9]\d*$/.test(session));
  return {
    unit: 'session',
    names,
    of: ({ session }) => session,
    inFold: (fold) => (numbered ? names.find((session) => Number(session) === fold) : names[fold - 1]),
  };
}

/** Numbers by value, names alphabetically; without the unknown. */
function sortedNames(values: readonly string[]): string[] {
  const names = new Set(values.filter((value) => value !== ''));
  return [...names].sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
}

function requireSpeakers(utterances: readonly Utterance[], rule: FoldRule): void {
  const nameless = utterances.filter(({ speaker }) => speaker === '');
  const [first] = nameless;
  if (first === undefined) return;
  const who =
    nameless.length === utterances.length
      ? 'the corpus names no speakers'
      : `utterance ${first.id} has no speaker (${nameless.length} of ${utterances.length} have none)`;
  throw new InputError(
    `folds: ${rule} keeps speakers apart, but ${who}; fill in the column "speaker", or choose other folds`,
  );
}
