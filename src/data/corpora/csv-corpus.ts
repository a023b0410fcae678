/** @file Any corpus from a CSV: path and label, and what else is known. */

import { errorMessage, InputError, lineError, mapConcurrently, sha256Of } from '../../base/index.js';
import type { ChannelChoice } from '../audio/index.js';
import { type RecordingTable, readRecordingTable, shownSpelling } from '../tables/index.js';
import { type CsvRecording, readRecordings } from './csv-recordings.js';
import { mapLabels } from './label-map.js';
import { mergeSpellings, spellingWarnings } from './label-spellings.js';
import type { Utterance } from './manifest.js';
import type { MergedLabel } from './manifest-info.js';
import {
  type CorpusPlan,
  type PreparationOptions,
  type PreparationSummary,
  prepareCorpus,
} from './preparation.js';
import { assignFolds, assignSplits, type SplitOptions, type SplitUnit } from './splits.js';

export interface CsvCorpusOptions extends PreparationOptions, Omit<SplitOptions, 'unit'> {
  /** A CSV with `path` (or `text`) and `label`, and others where they are known: see docs/adding-a-corpus.md. */
  file: string;
  /** Name of the corpus. */
  name: string;
  /** Label of the CSV -> label of the corpus; others stay as they are. */
  labelMap?: Readonly<Record<string, string>> | undefined;
  /** Of every recording for which the CSV does not choose. */
  channel?: ChannelChoice | undefined;
  /** Give labels that look or mean the same one name, the most frequent spelling. */
  normalizeLabels?: boolean | undefined;
  /** Make this many speaker-independent folds (sessions) instead of splits. */
  folds?: number | undefined;
  /** Let a speaker be in two splits, as some corpora publish them. */
  allowSharedSpeakers?: boolean | undefined;
}

/** Columns that may stand beside `path` and `label`. */
const OPTIONAL_COLUMNS = [
  ...['id', 'text', 'speaker', 'gender', 'session', 'split'],
  ...['start', 'end', 'channel'],
];

/** File systems take names of 255 bytes; an ending and a temporary suffix come on top. */
const LONGEST_NAME_BYTES = 200;

/**
 * Prepares a corpus from a CSV. Paths are relative to the CSV (or absolute); the audio is converted into the corpus
 * folder, cut out from `start` to `end` where the CSV says so. Without a split and a session column, splits are made
 * by speaker from the seed, or folds where asked. A table without a column of paths, or with nothing in it, makes a
 * corpus of transcripts alone.
 * @throws InputError with file and line: a missing or misnamed column, an empty path or label, missing audio, a
 *   segment that ends before it starts or after its recording, an unknown split, two utterances of one id, a speaker
 *   in two splits, clips that cannot be decoded (missing and broken audio unless `allowIncomplete`).
 */
export async function prepareCsv(options: CsvCorpusOptions): Promise<PreparationSummary> {
  if (!/^[\p{L}\p{N}][\p{L}\p{N} ._-]*$/u.test(options.name)) {
    throw new InputError(
      `corpus name "${options.name}" must be letters, digits, spaces, dots, dashes and underscores`,
    );
  }
  return prepareCorpus(await planCsv(options), options);
}

async function planCsv(options: CsvCorpusOptions): Promise<CorpusPlan> {
  const { file, name, labelMap = {} } = options;
  const table = await readRecordingTable(file, {
    path: 'path',
    needed: ['label'],
    optional: OPTIONAL_COLUMNS,
    withoutAudio: 'with text',
  });
  const { recordings, splitNote } = readRecordings(table, Object.keys(labelMap));
  const read = recordings.map(({ utterance }) => utterance);
  const { items: labelled, merged } = labelsOf(read, options);
  const utterances = divide(file, recordings, labelled, options);
  const renamed = Object.entries(labelMap).map(([from, to]) => `${from} as ${to}`);
  const hasAudio = recordings.every(({ path }) => path !== '');
  const textAlone = `the table has no ${table.hasPaths ? 'paths' : 'column "path"'}, so the corpus is of transcripts alone: only experiments with inputs: text can use it`;
  const plan: CorpusPlan = {
    name,
    source: [`prepared from a CSV of ${table.rows.length} utterances`, ...renamed].join(', '),
    root: file,
    planned: [],
    skipped: [],
    differences: [],
    knownBad: new Map(),
    merged,
    warnings: [
      ...(hasAudio ? [] : [textAlone]),
      ...spellingWarnings(labelled, '--normalize-labels merges them'),
    ],
    remarks: [...(splitNote === undefined ? [] : [splitNote]), ...merged.map(mergeNote)],
  };
  const sources = await findSources(table, recordings);
  for (const [index, { path: _, durationSec: __, ...utterance }] of utterances.entries()) {
    const { line, segment, channel = options.channel } = recordings[index]!;
    const { id } = utterance;
    const source = sources[index];
    if (source === undefined) plan.planned.push({ utterance });
    else if (source.kind === 'found') {
      const target = `audio/${fileName(id)}.wav`;
      plan.planned.push({ utterance, clip: { id, source: source.path, target, segment, channel } });
    } else {
      plan.skipped.push({ id, reason: 'clip missing' });
      plan.differences.push(`line ${line}: ${source.reason}`);
    }
  }
  return plan;
}

/** Labels merged where asked, then mapped. A map may name any of the merged spellings, and lead to another one. */
function labelsOf(
  utterances: readonly Utterance[],
  { labelMap = {}, normalizeLabels }: CsvCorpusOptions,
): { items: Utterance[]; merged: MergedLabel[] } {
  if (!normalizeLabels) return { items: mapLabels(utterances, labelMap), merged: [] };
  const first = mergeSpellings(utterances);
  const names = new Map(first.merged.map(({ from, to }) => [from, to]));
  const map = Object.entries(labelMap).map(([from, to]) => [names.get(from) ?? from, to] as const);
  const second = mergeSpellings(mapLabels(first.items, Object.fromEntries(map)));
  return { items: second.items, merged: [...first.merged, ...second.merged] };
}

function mergeNote({ from, to, utterances }: MergedLabel): string {
  return `label ${shownSpelling(from)} (${utterances}) merged into ${shownSpelling(to)}`;
}

type RecordingSource = { kind: 'found'; path: string } | { kind: 'missing'; reason: string };

/** The file of each recording, or why there is none; undefined in a corpus without recordings. */
function findSources(
  { files }: RecordingTable,
  recordings: readonly CsvRecording[],
): Promise<(RecordingSource | undefined)[]> {
  return mapConcurrently(recordings, 32, async ({ path }) => {
    if (path === '') return undefined;
    return files.find(path).then(
      (found): RecordingSource => ({ kind: 'found', path: found }),
      (error: unknown): RecordingSource => ({ kind: 'missing', reason: errorMessage(error) }),
    );
  });
}

/** Splits and folds: the CSV's own, or made by speaker. */
function divide(
  file: string,
  recordings: readonly CsvRecording[],
  utterances: Utterance[],
  options: CsvCorpusOptions,
): Utterance[] {
  const { folds, seed, allowSharedSpeakers } = options;
  const lineOf = new Map(recordings.map(({ utterance, line }) => [utterance.id, line]));
  const unsplit = utterances.filter(({ split }) => split === '');
  if (unsplit.length > 0 && unsplit.length < utterances.length) {
    throw lineError(file, lineOf.get(unsplit[0]!.id), `split is empty while other lines have one`);
  }
  const hasSplits = unsplit.length === 0;
  const hasSessions = utterances.some(({ session }) => session !== '');
  if (hasSplits && !allowSharedSpeakers) refuseSharedSpeakers(file, utterances, 'split', lineOf);
  if (hasSessions && folds !== undefined) {
    throw new InputError(
      `${file}: its column "session" says what the folds are; leave out --folds, or take the column out`,
    );
  }
  if (hasSessions && !hasSplits && !allowSharedSpeakers) {
    refuseSharedSpeakers(file, utterances, 'session', lineOf);
  }
  const unit = unitOf(recordings);
  if (folds !== undefined) return assignFolds(utterances, folds, seed, unit);
  return hasSplits || hasSessions ? utterances : assignSplits(utterances, { ...options, unit });
}

/** Speakers; where none is known, recordings that several utterances are cut from, so that those stay whole. */
function unitOf(recordings: readonly CsvRecording[]): SplitUnit | undefined {
  if (recordings.some(({ utterance }) => utterance.speaker !== '')) return undefined;
  if (recordings.every(({ path }) => path === '')) return undefined;
  const pathOf = new Map(recordings.map(({ utterance, path }) => [utterance.id, path]));
  if (new Set(pathOf.values()).size === recordings.length) return undefined;
  return { name: 'recording', of: ({ id }) => pathOf.get(id)! };
}

function refuseSharedSpeakers(
  file: string,
  utterances: readonly Utterance[],
  part: 'split' | 'session',
  lineOf: ReadonlyMap<string, number>,
): void {
  const first = new Map<string, Utterance>();
  for (const utterance of utterances) {
    const { id, speaker } = utterance;
    if (speaker === '') continue;
    const other = first.get(speaker);
    if (!other) first.set(speaker, utterance);
    else if (other[part] !== utterance[part]) {
      throw lineError(
        file,
        lineOf.get(id),
        `speaker "${speaker}" is in ${part} ${utterance[part]} here and in ${part} ${other[part]} on line ${lineOf.get(other.id)}; ${part}s must not share speakers (--allow-shared-speakers lets them)`,
      );
    }
  }
}

/** An id may hold anything; a file name may not climb, hide or be longer than file systems take. */
function fileName(id: string): string {
  const name = id.replace(/[/\\:*?"<>|\p{Cc}]/gu, '_').replace(/^\./, '_');
  if (Buffer.byteLength(name) <= LONGEST_NAME_BYTES) return name;
  return `${[...name].slice(0, 40).join('')}_${sha256Of(id).slice(0, 16)}`;
}
