/**
 * @file Views of a corpus (label sets, subsets and transcript variants of one preparation), and its division into
 * training, validation and test sets, by the corpus' own split or with a session or speakers held out per fold.
 */

import { stat } from 'node:fs/promises';
import { InputError, lineError, mapConcurrently } from '../../base/index.js';
import { seededRandom } from '../../engine/tensor/index.js';
import { historiesOf } from './dialogues.js';
import { type Folding, type HeldOutGroups, heldOutGroups, listedGroups } from './folds.js';
import { labelWarnings } from './label-map.js';
import type { HistoryTurn, Manifest, Utterance } from './manifest.js';
import type { LabelCounts } from './manifest-info.js';
import { withoutTags } from './passages.js';
import { assignSplits } from './splits.js';

/** Which labels and utterances to use, and what is merged or removed first. */
export interface CorpusView {
  /** The classes, in output order. */
  labels: readonly string[];
  /** Corpus label -> class, e.g. excited -> happy. Labels without an entry are kept. */
  labelMap?: Readonly<Record<string, string>> | undefined;
  /** Regular expression for ids of utterances to keep, e.g. `_impro` for IEMOCAP's improvised speech. */
  idPattern?: string | undefined;
  /** Remove text in square brackets ([LAUGHTER], [BREATHING]) from the transcripts. */
  stripTags?: boolean | undefined;
  /** Which text an utterance has: the given one (default), or what a recogniser heard. */
  text?: TextOrigin | undefined;
  /** How many earlier turns of its dialogue an utterance comes with, whatever their labels; 0 by default. */
  history?: number | undefined;
  /** What to do with utterances outside the label set: drop them (default), or throw. */
  outside?: 'drop' | 'error' | undefined;
}

export type TextOrigin = 'given' | 'recognised';

/**
 * The utterances of a manifest with the text that is asked for.
 * @throws InputError if the manifest has no recognised texts
 */
export function withTextOf(
  { csvPath, utterances }: Pick<Manifest, 'csvPath' | 'utterances'>,
  text: TextOrigin | undefined,
): readonly Utterance[] {
  if (text !== 'recognised') return utterances;
  if (utterances.some(({ recognised }) => recognised === undefined)) {
    throw new InputError(
      `${csvPath} has no column "recognised", which text: recognised reads; prepare the corpus again with --transcribe MODEL (with text: given, the given texts are read)`,
    );
  }
  return utterances.map((utterance) => ({ ...utterance, text: utterance.recognised! }));
}

export interface SelectedUtterances {
  /** In manifest order, with `label` already mapped. */
  utterances: Utterance[];
  /** Utterances dropped for their label, by the corpus' own label. */
  dropped: LabelCounts;
  /** Number of utterances whose id does not match the pattern. */
  unmatched: number;
  /** Warnings about labels that are dropped, or kept apart, only because of their spelling. */
  warnings: string[];
}

/**
 * The utterances of a view, such as four of MELD's seven emotions, IEMOCAP with excited merged into happy, or its
 * improvised part.
 * @throws InputError when the map leads outside the set, when nothing remains, and (with `outside: 'error'`) at the
 *   first utterance outside the set, with its line
 */
export function selectUtterances(manifest: Manifest, view: CorpusView): SelectedUtterances {
  const map = new Map(Object.entries(view.labelMap ?? {}));
  const classes = new Set(view.labels);
  for (const [from, to] of map) {
    if (!classes.has(to)) {
      throw new InputError(
        `label map: ${from} becomes "${to}", which is not a label of the set (${view.labels.join(', ')})`,
      );
    }
  }
  const pattern = view.idPattern === undefined ? undefined : new RegExp(view.idPattern, 'u');
  const all = withTextOf(manifest, view.text);
  const histories = view.history ? historiesOf(manifest, all, { ...view, history: view.history }) : undefined;
  const matched = pattern ? all.filter(({ id }) => pattern.test(id)) : all;
  if (matched.length === 0) {
    throw new InputError(
      `${manifest.csvPath}: no utterance has an id that matches id_pattern "${view.idPattern}"; the first id is ${manifest.utterances[0]!.id}`,
    );
  }
  const utterances: Utterance[] = [];
  const dropped = new Map<string, number>();
  for (const utterance of matched) {
    const label = map.get(utterance.label) ?? utterance.label;
    const text = view.stripTags ? withoutTags(utterance.text) : utterance.text;
    const history = histories && { history: histories.get(utterance.id)! };
    if (classes.has(label)) utterances.push({ ...utterance, label, text, ...history });
    else if (view.outside === 'error') {
      throw lineError(
        manifest.csvPath,
        manifest.lineOf.get(utterance.id),
        `label "${utterance.label}" is not in the set (${view.labels.join(', ')}); add it to labels, map it with labelMap, or let such utterances be dropped`,
      );
    } else dropped.set(utterance.label, (dropped.get(utterance.label) ?? 0) + 1);
  }
  if (utterances.length === 0) {
    const found = Object.keys(manifest.info.counts.total).join(', ');
    throw new InputError(
      `${manifest.csvPath}: no utterance has a label of the set (${view.labels.join(', ')}); its labels are ${found}`,
    );
  }
  return {
    utterances,
    dropped: Object.fromEntries(dropped),
    unmatched: manifest.utterances.length - matched.length,
    warnings: labelWarnings(dropped, view.labels, map),
  };
}

/** @throws InputError for the first utterance without audio, as in a corpus of transcripts only, with its line */
export function requireAudio(
  { csvPath, lineOf }: Manifest,
  utterances: readonly Utterance[],
  remedy: string,
): void {
  const first = utterances.find(({ path }) => path === '');
  if (first === undefined) return;
  throw lineError(
    csvPath,
    lineOf.get(first.id),
    `utterance ${first.id} has no audio: the corpus has only transcripts; ${remedy}`,
  );
}

/**
 * @throws InputError with line and path for the first utterance whose audio is missing or empty; utterances without
 * audio are skipped
 */
export async function checkAudioFiles(
  manifest: Manifest,
  utterances: readonly Utterance[] = manifest.utterances,
): Promise<void> {
  const heard = utterances.filter(({ path }) => path !== '');
  const sizes = await mapConcurrently(heard, 32, async ({ path }) =>
    stat(path).then(
      (file) => (file.isFile() ? file.size : -1),
      () => -1,
    ),
  );
  const bad = sizes.flatMap((size, index) => (size > 0 ? [] : [index]));
  const first = heard[bad[0] ?? -1];
  if (!first) return;
  const what = sizes[bad[0]!] === 0 ? 'is empty' : 'does not exist';
  const more = bad.length > 1 ? ` (and ${bad.length - 1} more like it)` : '';
  throw lineError(
    manifest.csvPath,
    manifest.lineOf.get(first.id),
    `audio ${first.path} ${what}${more}; prepare the corpus again`,
  );
}

/** Number of utterances per label, in label order. */
export function labelCounts(utterances: readonly Utterance[], labels: readonly string[]): number[] {
  return labels.map((label) => utterances.filter((utterance) => utterance.label === label).length);
}

export interface Partition {
  train: Utterance[];
  /** Empty without a validation set. */
  dev: Utterance[];
  test: Utterance[];
}

/**
 * Where validation data comes from if the corpus has no dev split: nowhere, one of the remaining speakers (drawn from
 * the seed), or a share of each label (whose speakers are then also in training).
 */
export type ValidationChoice = 'none' | 'speaker' | 'stratified';

/**
 * What the draw of a fold's validation set depends on. `by-fold`: seed and fold; each fold has a validation speaker
 * from another session (or group of speakers), so that every speaker is in training in some fold. `without-fold`: the
 * seed only, as in runs of earlier versions; most folds then have the same speaker.
 */
export type ValidationDraw = 'by-fold' | 'without-fold';

export interface PartitionOptions {
  /** Cross-validation fold from 1: what it holds out is the test set. Without it, the split column decides. */
  fold?: number | undefined;
  /** What folds hold out; sessions by default. */
  folding?: Folding | undefined;
  /** 'none' by default. Ignored if the corpus has its own dev split. */
  validation?: ValidationChoice | undefined;
  /** Share of each label for 'stratified', 0.1 by default. */
  validationShare?: number | undefined;
  seed?: number | undefined;
  /** 'by-fold' by default. */
  draw?: ValidationDraw | undefined;
}

/**
 * Divides utterances into train, dev and test, each in the given order. A corpus with neither splits nor sessions is
 * divided by speaker from the seed.
 * @throws InputError when a split is unknown or missing, the fold does not exist, the corpus needs a fold, or a speaker
 *   of a fold's test session is also in training
 */
export function partitionUtterances(
  utterances: readonly Utterance[],
  options: PartitionOptions = {},
): Partition {
  if (utterances.length === 0) throw new InputError('there are no utterances to divide');
  if (options.fold !== undefined) return foldPartition(utterances, options.fold, options);
  const hasSplits = utterances.some(({ split }) => split !== '');
  if (!hasSplits && utterances.some(({ session }) => session !== '')) {
    const folds = heldOutGroups(utterances).names.length;
    throw new InputError(
      `this corpus has sessions but no splits: say which session to hold out with a fold (1 to ${folds})`,
    );
  }
  if (hasSplits) return splitPartition(utterances, options);
  return splitPartition(withinSplits(assignSplits(utterances, { seed: options.seed })), options);
}

/** Histories without turns of other splits, where splits were not known when the histories were made. */
function withinSplits(utterances: readonly Utterance[]): readonly Utterance[] {
  const splitOf = new Map(utterances.map(({ id, split }) => [id, split]));
  return utterances.map((utterance) => {
    const { history, split } = utterance;
    if (history === undefined) return utterance;
    const isOwn = ({ id = '' }: HistoryTurn): boolean => (splitOf.get(id) ?? split) === split;
    return { ...utterance, history: history.filter(isOwn) };
  });
}

function splitPartition(utterances: readonly Utterance[], options: PartitionOptions): Partition {
  const partition: Partition = { train: [], dev: [], test: [] };
  for (const utterance of utterances) {
    const { id, split } = utterance;
    if (split !== 'train' && split !== 'dev' && split !== 'test') {
      throw new InputError(`utterance ${id} has split "${split}"; splits are train, dev and test`);
    }
    partition[split].push(utterance);
  }
  for (const split of ['train', 'test'] as const) {
    if (partition[split].length === 0) throw new InputError(`no utterance has split "${split}"`);
  }
  if (partition.dev.length > 0) return partition;
  return { ...partition, ...holdOut(partition.train, options) };
}

function foldPartition(utterances: readonly Utterance[], fold: number, options: PartitionOptions): Partition {
  const groups = heldOutGroups(utterances, options.folding?.rule, options.folding?.seed);
  const { unit, of } = groups;
  const homeless = utterances.find((utterance) => of(utterance) === '');
  if (homeless) {
    throw new InputError(`utterance ${homeless.id} has no ${unit}; folds hold out one ${unit} each`);
  }
  const heldOut = groups.inFold(fold);
  if (heldOut === undefined) {
    throw new InputError(`fold ${fold} does not exist: the corpus has the ${unit}s ${listedGroups(groups)}`);
  }
  const sides = unit === 'session' ? utterances : withinSides(utterances, (each) => of(each) === heldOut);
  const test = sides.filter((utterance) => of(utterance) === heldOut);
  const rest = sides.filter((utterance) => of(utterance) !== heldOut);
  if (rest.length === 0) {
    throw new InputError(`fold ${fold} leaves nothing to train on: ${unit} ${heldOut} is the only one`);
  }
  const heard = new Map(rest.map((utterance) => [utterance.speaker, utterance]));
  for (const { id, speaker } of test) {
    const other = speaker === '' ? undefined : heard.get(speaker);
    if (other) {
      throw new InputError(
        `speaker ${speaker} is in ${unit} ${heldOut} (${id}) and in ${unit} ${of(other)} (${other.id}); folds must be speaker-independent`,
      );
    }
  }
  const next = drawnByFold(options) ? groupAfter(heldOut, groups, utterances, options.seed) : undefined;
  const eligible = next === undefined ? rest : rest.filter((utterance) => of(utterance) === next);
  return { ...holdOut(rest, options, eligible), test };
}

/** Histories without turns of the other side's speakers, who may share a dialogue where they and not it are kept apart. */
function withinSides(
  utterances: readonly Utterance[],
  isTested: (utterance: Utterance) => boolean,
): readonly Utterance[] {
  const tested = new Set(utterances.filter(isTested).map(({ speaker }) => speaker));
  return utterances.map((utterance) => {
    const { history, speaker: own } = utterance;
    if (history === undefined) return utterance;
    const isOwn = ({ speaker }: HistoryTurn): boolean =>
      speaker !== '' && tested.has(speaker) === tested.has(own);
    return { ...utterance, history: history.filter(isOwn) };
  });
}

function drawnByFold({ fold, draw = 'by-fold' }: PartitionOptions): boolean {
  return fold !== undefined && draw === 'by-fold';
}

/**
 * The session, or group of speakers, that provides the validation speaker when `heldOut` is tested: the next one in a
 * circular order of all of them, drawn from the seed, so that no two folds share it. Those without named speakers are
 * skipped; undefined if no other has any.
 */
function groupAfter(
  heldOut: string,
  { names, of }: HeldOutGroups,
  utterances: readonly Utterance[],
  seed = 0,
): string | undefined {
  const named = new Set(utterances.filter(({ speaker }) => speaker !== '').map(of));
  const circle = seededRandom(seed, 'validation sessions').shuffle([...names]);
  const start = circle.indexOf(heldOut);
  return [...circle.slice(start + 1), ...circle.slice(0, start)].find((name) => named.has(name));
}

/** Takes a validation set out of the training utterances. @param eligible those whose speakers may be in it */
function holdOut(
  utterances: readonly Utterance[],
  options: PartitionOptions,
  eligible = utterances,
): { train: Utterance[]; dev: Utterance[] } {
  const { validation = 'none', validationShare = 0.1, seed = 0 } = options;
  if (validation === 'none') return { train: [...utterances], dev: [] };
  const drawKey = (what: string): (number | string)[] =>
    drawnByFold(options) ? [seed, what, options.fold!] : [seed, what];
  const dev = new Set(
    validation === 'speaker'
      ? utterancesOfOneSpeaker(utterances, eligible, drawKey)
      : stratifiedShare(utterances, validationShare, drawKey),
  );
  return { train: utterances.filter((u) => !dev.has(u)), dev: utterances.filter((u) => dev.has(u)) };
}

/** The seed of a draw, by its purpose. */
type DrawKey = (what: string) => readonly (number | string)[];

function utterancesOfOneSpeaker(
  utterances: readonly Utterance[],
  eligible: readonly Utterance[],
  drawKey: DrawKey,
): Utterance[] {
  const speakers = namesOf(utterances);
  if (speakers.length < 2) {
    throw new InputError(
      `validation by speaker needs two named speakers to train on, there are ${speakers.length}`,
    );
  }
  const chosen = seededRandom(...drawKey('validation speaker')).pick(namesOf(eligible));
  return utterances.filter(({ speaker }) => speaker === chosen);
}

/** Sorted names of speakers. */
function namesOf(utterances: readonly Utterance[]): string[] {
  return [...new Set(utterances.map(({ speaker }) => speaker))].filter((name) => name !== '').sort();
}

function stratifiedShare(utterances: readonly Utterance[], share: number, drawKey: DrawKey): Utterance[] {
  if (!(share > 0 && share < 1)) {
    throw new InputError(`validationShare ${share} must lie between 0 and 1`);
  }
  const labels = [...new Set(utterances.map(({ label }) => label))].sort();
  return labels.flatMap((label) => {
    const members = utterances.filter((utterance) => utterance.label === label);
    const shuffled = seededRandom(...drawKey('validation share'), label).shuffle(members);
    return shuffled.slice(0, Math.round(share * members.length));
  });
}
