/**
 * @file Reports leaks into the held-out parts of a prepared corpus: speakers, sentences, passages and recordings that a
 * test set shares with the parts seen before it, and the share of each held-out part whose speakers, sessions, episodes
 * or dialogues are also in training. These are findings, not errors: some corpora share speakers by design.
 */

import { dialogueOfUtterance } from './dialogues.js';
import { type Folding, heldOutGroups } from './folds.js';
import { spellingWarnings } from './label-map.js';
import { type Manifest, readManifest, type Utterance } from './manifest.js';
import type { LabelCounts } from './manifest-info.js';
import { type CorpusView, selectUtterances } from './partition.js';
import { passagesInCommon, spokenWords, wordCount } from './passages.js';
import { type AudioCheck, itemsInCommon, type SharedItems, sharedAudio } from './shared-audio.js';
import { type Division, divisionOf, groupUtterances } from './statistics.js';

export type LeakageKind = 'speakers' | 'dialogues' | 'texts' | 'passages' | 'audio';

/** What a held-out part shares with a part seen before it, by kind. */
export interface LeakagePair {
  /** A split, or 'others': all sessions except the held-out one. */
  seen: string;
  /** A split, or a session. */
  heldOut: string;
  /** Utterances of the held-out part. */
  utterances: number;
  speakers: SharedItems;
  /** Dialogues with turns in both, by the manifest's column or the ids: what was said before one turn are others. */
  dialogues: SharedItems;
  /** The same words, ignoring case and punctuation. The longest are the most telling. */
  texts: SharedItems;
  /** Those of five words or more: shorter ones recur by chance. */
  longTexts: SharedItems;
  passages: SharedItems;
  /** The same file, or identical bytes in another. */
  audio: SharedItems;
}

export interface LeakageReport {
  /** Undefined if the corpus has neither splits nor sessions. */
  division: Division | undefined;
  /** Train with dev and test, dev with test; or each session with all others. */
  pairs: LeakagePair[];
  audio: AudioCheck;
}

const LONG_TEXT_WORDS = 5;

/**
 * Looks for leaks between each split and those before it, or between each session and all others.
 * @param division what divides the corpus; by default its splits, or else its sessions
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
      dialogues: inCommon(dialogueOfUtterance),
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

/** Each part with those before it, or each session, or what else is held out, with all others. */
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

/** The kinds of groups, each with the group of an utterance; '' if unknown. */
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

/** Utterances of a held-out part whose group also occurs in training. */
export interface SeenShare {
  readonly utterances: number;
  /** Relative to all utterances of the part. */
  readonly share: number;
}

export interface SeenInTraining {
  /** A split, or a session. */
  readonly heldOut: string;
  readonly utterances: number;
  /** null if the kind is not known in the part, or is the part itself. */
  readonly kinds: Readonly<Record<GroupKind, SeenShare | null>>;
}

/** For dev and test relative to train, or for each session relative to all others. */
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

/** A recipe's view of a corpus. */
export interface RecipeView {
  readonly name: string;
  readonly view: CorpusView & { readonly labels: readonly string[] };
  /** What its folds hold out; undefined if its parts are those of the manifest. */
  readonly folding: Folding | undefined;
}

export interface CorpusReport {
  readonly name: string;
  readonly manifest: Manifest;
  /** From the recipe; undefined for all that occur. */
  readonly labels: readonly string[] | undefined;
  readonly utterances: readonly Utterance[];
  readonly division: Division | undefined;
  /** What a part is: 'split', 'session', 'speaker' or 'group'; undefined if the corpus is not divided. */
  readonly unit: string | undefined;
  /** The utterances in their parts: where folds hold out speakers, what is held out is the session. */
  readonly divided: readonly Utterance[];
  /** Utterances that the recipe leaves out by label, and how many by id. */
  readonly leftOut: LabelCounts;
  readonly unmatched: number;
  readonly leakage: LeakageReport;
  readonly seen: readonly SeenInTraining[];
  /** About the recipe's view, and about labels that look or mean the same. */
  readonly warnings: readonly string[];
}

/**
 * Counts and compares the parts of a corpus.
 * @param recipe restricts the utterances and classes; undefined for all
 * @throws InputError when the manifest is missing or damaged, or the recipe does not match it
 */
export async function corpusReport(path: string, recipe: RecipeView | undefined): Promise<CorpusReport> {
  const manifest = await readManifest(path);
  const selected = recipe && selectUtterances(manifest, recipe.view);
  const utterances = selected?.utterances ?? manifest.utterances;
  const groups = recipe?.folding && heldOutGroups(utterances, recipe.folding.rule, recipe.folding.seed);
  const division = groups === undefined ? divisionOf(utterances) : 'session';
  const sessionOf = new Map(utterances.map(({ id, session }) => [id, session]));
  const divided = groups
    ? utterances.map((utterance) => ({ ...utterance, session: groups.of(utterance) }))
    : utterances;
  const leakage = await findLeakage(divided, division);
  const { episodes } = manifest.info;
  const unit = groups?.unit ?? division;
  const seen = seenInTraining(divided, division, {
    speakers: ({ speaker }) => speaker,
    sessions: ({ id }) => (unit === 'session' ? '' : sessionOf.get(id)!),
    episodes: (utterance) => episodes?.[dialogueOfUtterance(utterance)] ?? '',
    dialogues: dialogueOfUtterance,
  });
  const remedy = 'prepare the corpus with --normalize-labels, or map them with label_map';
  return {
    name: recipe?.name ?? manifest.name,
    manifest,
    labels: recipe?.view.labels,
    utterances,
    division,
    unit,
    divided,
    leftOut: selected?.dropped ?? {},
    unmatched: selected?.unmatched ?? 0,
    leakage,
    seen,
    warnings: [...(selected?.warnings ?? []), ...spellingWarnings(utterances, remedy)],
  };
}
