/** @file Any corpus from a CSV: path and label, and what else is known; and its rows: which part of which recording. */

import { errorMessage, InputError, lineError, mapConcurrently, sha256Of } from '../../base/index.js';
import { type ChannelChoice, parseChannel } from '../audio/index.js';
import {
  type CsvRow,
  cellOf,
  isBlank,
  isMissing,
  parseTimeSec,
  type RecordingTable,
  readRecordingTable,
  shownSpelling,
  TIME_FORMS,
  textOf,
} from '../tables/index.js';
import { type Segment, segmentName } from './clips/index.js';
import { mapLabels, mergeSpellings, spellingWarnings } from './label-map.js';
import type { Utterance } from './manifest.js';
import { readSplitNames, SPLIT_NAMES_TEXT, type SplitReading } from './manifest.js';
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

export interface CsvRecording {
  line: number;
  /** Path as the CSV gives it, '' in a corpus without recordings; whether the file is there is another question. */
  path: string;
  segment?: Segment | undefined;
  /** Where the CSV chooses. */
  channel?: ChannelChoice | undefined;
  /** Without path and length, which the prepared clip will have. */
  utterance: Utterance;
}

/** What the rows of one table have in common. */
interface RowReading {
  readonly file: string;
  readonly hasAudio: boolean;
  readonly decimalComma: boolean;
  /** Folders that all paths share. */
  readonly prefix: string;
  readonly splits: SplitReading;
  /** Words for missing values that are labels here. */
  readonly labels: ReadonlySet<string>;
}

/**
 * Reads the rows. An id that is not given is the path without what all paths share and without its ending; that of a
 * segment ends in its times, that of a channel in its number; without recordings it is the number of the row.
 * @param labels labels that are meant although they are words for missing values, such as `None`.
 * @returns the rows, and in a line how split names were read.
 * @throws InputError with file and line: an empty path or label, a time that is none or ends before it starts, a channel
 *   that is none, an unknown split, two utterances of one id; in a table without recordings an empty transcript, a
 *   time or a channel.
 */
export function readRecordings(
  table: RecordingTable,
  labels: Iterable<string>,
): { recordings: CsvRecording[]; splitNote: string | undefined } {
  const { path: file, rows, decimalComma } = table;
  const paths = rows.map((row) => cellOf(row, 'path'));
  const splits = readSplitNames(rows.map((row) => cellOf(row, 'split')));
  const hasTexts = rows.some((row) => textOf(row) !== '');
  const reading: RowReading = {
    file,
    hasAudio: table.hasPaths && (paths.some((path) => path !== '') || !hasTexts),
    decimalComma,
    prefix: commonFolder(rows.map(({ fields }) => fields.path ?? '')),
    splits,
    labels: new Set(labels),
  };
  const lineOf = new Map<string, number>();
  const recordings = rows.map((row, index) => {
    const recording = readRow(row, index, reading);
    const { id } = recording.utterance;
    const earlier = lineOf.get(id);
    if (earlier !== undefined) {
      throw lineError(
        file,
        row.line,
        `id "${id}" is on line ${earlier} already; add a column "id" with unique values`,
      );
    }
    lineOf.set(id, row.line);
    return recording;
  });
  return { recordings, splitNote: splits.note };
}

function readRow(row: CsvRow, index: number, reading: RowReading): CsvRecording {
  const { line, fields } = row;
  const { file, hasAudio, decimalComma, prefix, splits, labels } = reading;
  const known = (column: string): string => cellOf(row, column);
  const refuse = (what: string): never => {
    throw lineError(file, line, what);
  };
  const label = isBlank(fields.label!) ? '' : fields.label!.trim();
  const text = textOf(row);
  for (const column of [hasAudio ? 'path' : 'text', ...('id' in fields ? ['id'] : [])]) {
    if ((column === 'text' ? text : known(column)) === '') refuse(`column "${column}" is empty`);
  }
  if (label === '') refuse('column "label" is empty');
  if (isMissing(label) && !labels.has(label)) {
    refuse(
      `label "${label}" stands for a missing value; give a label or leave the row out (if it is one, --label-map ${label}=other renames it)`,
    );
  }
  const timeSec = (column: 'start' | 'end'): number | undefined => {
    if (known(column) === '') return undefined;
    if (!hasAudio) return refuse(`${column} is given, and there is no recording to cut; add a column "path"`);
    const sec = parseTimeSec(known(column), decimalComma);
    return sec ?? refuse(`${column} "${known(column)}" is ${TIME_FORMS}`);
  };
  const [startSec, endSec] = [timeSec('start'), timeSec('end')];
  if (endSec !== undefined && endSec <= (startSec ?? 0)) {
    refuse(`end ${known('end')} is not after start ${known('start') || 0}`);
  }
  const segment =
    startSec === undefined && endSec === undefined ? undefined : { startSec: startSec ?? 0, endSec };
  const channel = known('channel') === '' ? undefined : parseChannel(known('channel'));
  if (known('channel') !== '' && !hasAudio) {
    refuse('channel is given, and there is no recording to take it from; add a column "path"');
  }
  if (known('channel') !== '' && channel === undefined) {
    refuse(
      `channel "${known('channel')}" is neither a number from 1 nor mix; rename the column if it is not one of audio channels`,
    );
  }
  const split = splits.of(known('split'));
  if (split === undefined) return refuse(`split "${known('split')}" is not one of ${SPLIT_NAMES_TEXT}`);
  const path = hasAudio ? fields.path! : '';
  const parts = [
    hasAudio ? idFromPath(path.slice(prefix.length)) : String(index + 1),
    ...(segment ? [segmentName(segment)] : []),
    ...(typeof channel === 'number' ? [`ch${channel}`] : []),
  ];
  return {
    line,
    path,
    segment,
    channel,
    utterance: {
      id: known('id') || parts.join('_'),
      path: '',
      text,
      label,
      speaker: known('speaker'),
      gender: known('gender'),
      session: known('session'),
      split,
      durationSec: 0,
    },
  };
}

/** Leading folders that all paths share say nothing about an utterance. */
function commonFolder(paths: readonly string[]): string {
  const folders = paths.map((path) => path.slice(0, path.lastIndexOf('/') + 1));
  let prefix = folders[0] ?? '';
  for (const folder of folders) {
    while (!folder.startsWith(prefix))
      prefix = prefix.slice(0, prefix.lastIndexOf('/', prefix.length - 2) + 1);
  }
  return prefix;
}

function idFromPath(path: string): string {
  return path
    .trim()
    .replace(/\.[^./\\]*$/, '')
    .replace(/[/\\]+/g, '_');
}
