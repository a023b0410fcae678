/**
 * @file Prepares a corpus from any CSV with paths and labels, and reads its rows: which part of which recording each
 * one is.
 */

import { errorMessage, InputError, lineError, mapConcurrently } from '../../base/index.js';
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
import {
  DIALOGUE_COLUMNS,
  dialoguePlace,
  RECOGNISED_COLUMN,
  readSplitNames,
  SPLIT_NAMES_TEXT,
  type SplitReading,
} from './manifest.js';
import type { MergedLabel, OtherTurn } from './manifest-info.js';
import {
  type CorpusPlan,
  clipFileName,
  type PreparationOptions,
  type PreparationSummary,
  prepareCorpus,
  turnWithoutClip,
} from './preparation.js';
import { assignFolds, assignSplits, type SplitOptions, type SplitUnit } from './splits.js';
import { parseWordTimes, WORDS_COLUMN } from './word-times.js';

export interface CsvCorpusOptions extends PreparationOptions, Omit<SplitOptions, 'unit'> {
  /** A CSV with `path` (or `text`) and `label`, and optional columns: see docs/adding-a-corpus.md. */
  file: string;
  /** Name of the corpus. */
  name: string;
  /** CSV label -> corpus label; labels without an entry are kept. */
  labelMap?: Readonly<Record<string, string>> | undefined;
  /** For recordings without a channel in the CSV. */
  channel?: ChannelChoice | undefined;
  /** Merge labels that look or mean the same into the most frequent spelling. */
  normalizeLabels?: boolean | undefined;
  /** Make this many speaker-independent folds (sessions) instead of splits. */
  folds?: number | undefined;
  /** Allow a speaker in two splits, as in some published corpora. */
  allowSharedSpeakers?: boolean | undefined;
}

/** Optional columns besides `path` and `label`. */
const OPTIONAL_COLUMNS = [
  ...['id', 'text', 'speaker', 'gender', 'session', 'split'],
  ...['start', 'end', 'channel', RECOGNISED_COLUMN, WORDS_COLUMN, ...DIALOGUE_COLUMNS],
];

/**
 * Prepares a corpus from a CSV. Paths are relative to the CSV (or absolute). The audio is converted into the corpus
 * folder, cut from `start` to `end` where given. Without a split or session column, splits (or folds, if requested) are
 * made by speaker from the seed. A table without a path column, or with an empty one, makes a corpus of transcripts
 * only.
 * @throws InputError with file and line: a missing or misnamed column, an empty path or label, missing audio, a segment
 *   that ends before it starts or after its recording, an unknown split, a duplicate id, a speaker in two splits, clips
 *   that cannot be decoded (missing and broken audio unless `allowIncomplete`)
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
  const textAlone = `the table has no ${table.hasPaths ? 'paths' : 'column "path"'}, so the corpus has only transcripts, for experiments with inputs: text`;
  const plan: CorpusPlan = {
    name,
    source: [`prepared from a CSV of ${table.rows.length} utterances`, ...renamed].join(', '),
    root: file,
    planned: [],
    skipped: [],
    differences: [],
    knownBad: new Map(),
    merged,
    ...(table.columns.includes(RECOGNISED_COLUMN) && {
      recogniser: { name: 'the column "recognised" of the table' },
    }),
    warnings: [
      ...(hasAudio ? [] : [textAlone]),
      ...spellingWarnings(labelled, '--normalize-labels merges them'),
      ...cutDialogues(utterances),
    ],
    remarks: [...(splitNote === undefined ? [] : [splitNote]), ...merged.map(mergeNote)],
  };
  const sources = await findSources(table, recordings);
  const otherTurns: OtherTurn[] = [];
  for (const [index, { path: _, durationSec: __, ...utterance }] of utterances.entries()) {
    const { line, segment, channel = options.channel } = recordings[index]!;
    const { id } = utterance;
    const source = sources[index];
    if (source === undefined) plan.planned.push({ utterance });
    else if (source.kind === 'found') {
      const target = `audio/${clipFileName(id)}.wav`;
      plan.planned.push({ utterance, clip: { id, source: source.path, target, segment, channel } });
    } else {
      plan.skipped.push({ id, reason: 'clip missing' });
      plan.differences.push(`line ${line}: ${source.reason}`);
      otherTurns.push(...turnWithoutClip(utterance));
    }
  }
  return { ...plan, otherTurns };
}

/** Labels, merged if requested, then mapped. A map may use any of the merged spellings as a key or a value. */
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

/** A warning if dialogues have turns in several splits or folds. */
function cutDialogues(utterances: readonly Utterance[]): string[] {
  const partOf = new Map<string, string>();
  const cut = new Set<string>();
  for (const { dialogue = '', split, session } of utterances) {
    if (dialogue === '') continue;
    const part = JSON.stringify([split, session]);
    if ((partOf.get(dialogue) ?? part) !== part) cut.add(dialogue);
    partOf.set(dialogue, part);
  }
  if (cut.size === 0) return [];
  const some = [...cut].slice(0, 3).join(', ');
  return [
    `${cut.size} of ${partOf.size} dialogues (${some}${cut.size > 3 ? ', ...' : ''}) have turns in several splits or sessions; a history ends there, so give a column "split" that keeps dialogues together`,
  ];
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

/** Splits and folds: from the CSV, or made by speaker. */
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

/** Speakers, if known; otherwise recordings that contain several utterances, so that those stay together. */
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

export interface CsvRecording {
  line: number;
  /** Path as given in the CSV, '' in a corpus without recordings. The file may not exist. */
  path: string;
  segment?: Segment | undefined;
  /** If given in the CSV. */
  channel?: ChannelChoice | undefined;
  /** Without the path and length of the clip to be prepared. */
  utterance: Utterance;
}

/** Settings shared by all rows of a table. */
interface RowReading {
  readonly file: string;
  readonly hasAudio: boolean;
  readonly decimalComma: boolean;
  /** Leading folders common to all paths. */
  readonly prefix: string;
  readonly splits: SplitReading;
  /** Words for missing values that are labels here. */
  readonly labels: ReadonlySet<string>;
}

/**
 * Reads the rows. A missing id is derived from the path, without common leading folders and extension; plus the times
 * of a segment, plus the number of a channel. Without recordings it is the row number.
 * @param labels labels to accept although they usually stand for missing values, such as `None`
 * @returns the rows, and a line on how split names were interpreted
 * @throws InputError with file and line: an empty path or label, an invalid time or one that ends before it starts, an
 *   invalid channel, an unknown split, a duplicate id; in a table without recordings an empty transcript, a time or a
 *   channel
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
  const words = parseWordTimes(known(WORDS_COLUMN), refuse, segment);
  const place = dialoguePlace(row, index);
  if (typeof place === 'string') return refuse(place);
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
      ...(RECOGNISED_COLUMN in fields && { recognised: textOf(row, RECOGNISED_COLUMN) }),
      ...(words && { words }),
      ...place,
      label,
      speaker: known('speaker'),
      gender: known('gender'),
      session: known('session'),
      split,
      durationSec: 0,
    },
  };
}

/** Leading folders common to all paths, which say nothing about an utterance. */
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
