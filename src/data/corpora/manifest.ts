/**
 * @file The manifest: a CSV with one row per utterance, and a JSON file with the corpus' origin, its counts, and what
 * preparation kept, cut or skipped. Neither contains a date or an absolute path, so preparing the same corpus twice
 * gives the same bytes.
 */

import { readFile } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join, posix, relative, resolve, sep } from 'node:path';
import { lineError, mapConcurrently, sha256Of, writeFileAtomic } from '../../base/index.js';
import { AUDIO_NOTE_KINDS } from '../audio/index.js';
import {
  type CsvRow,
  cellOf,
  formatCsv,
  isBlank,
  isMissing,
  parseTimeSec,
  type RecordingTable,
  readRecordingTable,
  refuseUncutParts,
  textOf,
} from '../tables/index.js';
import {
  type ClipNote,
  type CorpusCounts,
  type LabelCounts,
  type ManifestInfo,
  type MergedLabel,
  type OtherTurn,
  type PreparationNotes,
  type RecogniserInfo,
  readManifestInfo,
} from './manifest-info.js';
import { parseWordTimes, WORDS_COLUMN, type WordTime } from './word-times.js';

/** What someone said in a dialogue. */
export interface HistoryTurn {
  /** '' if unknown. */
  readonly speaker: string;
  readonly gender: string;
  readonly text: string;
  /** Of its utterance; absent if it is no row of the manifest. */
  readonly id?: string;
}

/** One clip of speech by one speaker. Fields that a corpus does not have are ''. */
export interface Utterance {
  /** Unique in the corpus. */
  id: string;
  /** Absolute path of the audio; '' in a corpus of transcripts only. */
  path: string;
  text: string;
  /** What a recogniser heard; absent if the manifest has no column of that. */
  recognised?: string | undefined;
  /** When each word is spoken; absent if the manifest has no column of that. */
  words?: readonly WordTime[] | undefined;
  /** The conversation that it is a turn of, '' if of none; absent if the manifest has no column of that. */
  dialogue?: string | undefined;
  /** Its place in that dialogue: turns with smaller numbers came before. */
  turn?: number | undefined;
  /** What was said before it in its dialogue, oldest first; absent unless a view asks for it. */
  history?: readonly HistoryTurn[] | undefined;
  label: string;
  speaker: string;
  gender: string;
  session: string;
  split: string;
  /** 0 if a hand-written manifest does not give it, or there is no audio. */
  durationSec: number;
}

export interface Manifest {
  csvPath: string;
  /** The folder that paths in the CSV are relative to. */
  dir: string;
  name: string;
  utterances: Utterance[];
  /** SHA-256 of the CSV as it is now. Differs from `info.sha256` if the CSV was edited after preparation. */
  sha256: string;
  info: ManifestInfo;
  /** False for a CSV without emoq's JSON, which preparation has not checked. */
  prepared: boolean;
  /** id -> line in the CSV, for messages. */
  lineOf: ReadonlyMap<string, number>;
  /** A line on how split names other than train, dev and test were interpreted; undefined if there are none. */
  splitNote?: string | undefined;
}

export const MANIFEST_COLUMNS = [
  'id',
  'path',
  'text',
  'label',
  'speaker',
  'gender',
  'session',
  'split',
  'duration_sec',
] as const;

/** The optional column of recognised texts. */
export const RECOGNISED_COLUMN = 'recognised';

/** The optional columns of dialogues; without `turn`, the turns of a dialogue are in the order of their rows. */
export const DIALOGUE_COLUMNS = ['dialogue', 'turn'] as const;

/**
 * Reads a manifest. With an emoq JSON next to it, all columns are required. A hand-written CSV needs `path` (or `text`
 * if there is no audio) and `label`, and is read like the input of prepare-csv; its ids are the paths without
 * extension, or the row numbers. Does not check that the audio exists; `checkAudioFiles` does.
 * @throws InputError with file and line: a missing or misnamed column, no records, an empty path or label, a duplicate
 *   id, a path that is absolute or leads outside the manifest's folder, a duration that is not a number, several parts
 *   of one recording that were not cut out of it
 */
export async function readManifest(csvPath: string): Promise<Manifest> {
  const infoPath = csvPath.replace(/(\.csv)?$/i, '.json');
  const prepared = await readManifestInfo(infoPath);
  const table = await readRecordingTable(csvPath, {
    path: 'path',
    needed: prepared ? MANIFEST_COLUMNS.filter((column) => column !== 'path') : ['label'],
    optional: [...MANIFEST_COLUMNS, RECOGNISED_COLUMN, WORDS_COLUMN, ...DIALOGUE_COLUMNS],
    withoutAudio: prepared ? 'never' : 'with text',
  });
  const { rows, hasPaths } = table;
  refuseUncutParts(table, 'path', 'a manifest names whole clips, and emoq prepare-csv cuts them');
  const dir = resolve(dirname(csvPath));
  const splits = readSplitNames(rows.map((row) => cellOf(row, 'split')));
  const reading: ManifestReading = {
    csvPath,
    dir,
    isPrepared: prepared !== undefined,
    hasAudio: hasPaths && (rows.some((row) => cellOf(row, 'path') !== '') || rows.every(isWithoutText)),
    decimalComma: table.decimalComma,
    splits,
  };
  const lineOf = new Map<string, number>();
  const read = rows.map((row, index) => {
    const utterance = parseUtterance(row, index, reading);
    const earlier = lineOf.get(utterance.id);
    if (earlier !== undefined) {
      throw lineError(
        csvPath,
        row.line,
        `id "${utterance.id}" is on line ${earlier} already; every id must be unique`,
      );
    }
    lineOf.set(utterance.id, row.line);
    return utterance;
  });
  const utterances = prepared ? read : await findAudio(table, read);
  const sha256 = sha256Of(await readFile(csvPath));
  const name = prepared?.name ?? basename(csvPath).replace(/\.csv$/i, '');
  const info = prepared ?? describeManifest({ name, source: csvPath, utterances }, sha256);
  const { note: splitNote } = splits;
  return {
    csvPath,
    dir,
    name,
    utterances,
    sha256,
    info,
    prepared: prepared !== undefined,
    lineOf,
    ...(splitNote !== undefined && { splitNote }),
  };
}

/** The files of a hand-written manifest; a path that is not found is kept, to be reported later. */
function findAudio({ rows, files }: RecordingTable, utterances: readonly Utterance[]): Promise<Utterance[]> {
  return mapConcurrently(utterances, 32, async (utterance, index) => {
    if (utterance.path === '') return utterance;
    const path = await files.find(rows[index]!.fields.path!).catch(() => utterance.path);
    return { ...utterance, path };
  });
}

/** Contents for `writeManifest`; utterance paths must be in the manifest's folder. */
export interface ManifestContent {
  name: string;
  source: string;
  languages?: readonly string[] | undefined;
  utterances: readonly Utterance[];
  episodes?: Record<string, string> | undefined;
  notes?: PreparationNotes | undefined;
  ffmpeg?: string | undefined;
  merged?: MergedLabel[] | undefined;
  recogniser?: RecogniserInfo | undefined;
  otherTurns?: readonly OtherTurn[] | undefined;
}

/** Notes without any entries. */
export function emptyNotes(): PreparationNotes {
  const audio = Object.fromEntries(AUDIO_NOTE_KINDS.map((kind): [string, ClipNote[]] => [kind, []]));
  const notes = { cut: [], padded: [], ...audio, skipped: [], differences: [], rules: [] };
  return notes as unknown as PreparationNotes;
}

/**
 * Writes `<dir>/manifest.csv` and `<dir>/manifest.json`, each atomically; files that already have the same bytes are
 * left alone.
 * @returns the CSV's path, the JSON's content, and whether anything was written
 */
export async function writeManifest(
  dir: string,
  content: ManifestContent,
): Promise<{ csvPath: string; info: ManifestInfo; written: boolean }> {
  const isRecognised = content.utterances.some(({ recognised }) => recognised !== undefined);
  const isTimed = content.utterances.some(({ words }) => words !== undefined);
  const isDialogue = content.utterances.some(({ dialogue }) => dialogue !== undefined);
  const rows = content.utterances.map((utterance) => {
    const path = utterance.path === '' ? '' : relative(dir, utterance.path).split(sep).join('/');
    if (climbs(path)) throw new RangeError(`${utterance.path} is outside the manifest's folder ${dir}`);
    const { id, text, label, speaker, gender, session, split, durationSec } = utterance;
    const known = [id, path, text, label, speaker, gender, session, split, formatSec(durationSec)];
    return [
      ...known,
      ...(isRecognised ? [utterance.recognised ?? ''] : []),
      ...(isTimed ? [utterance.words ? JSON.stringify(utterance.words) : ''] : []),
      ...(isDialogue ? [utterance.dialogue ?? '', placeOf(utterance)] : []),
    ];
  });
  const columns = [
    ...MANIFEST_COLUMNS,
    ...(isRecognised ? [RECOGNISED_COLUMN] : []),
    ...(isTimed ? [WORDS_COLUMN] : []),
    ...(isDialogue ? DIALOGUE_COLUMNS : []),
  ];
  const csv = formatCsv(columns, rows);
  const info = describeManifest(content, sha256Of(csv));
  const csvPath = join(dir, 'manifest.csv');
  const wroteCsv = await writeIfChanged(csvPath, csv);
  const wroteInfo = await writeIfChanged(join(dir, 'manifest.json'), `${JSON.stringify(info, null, 2)}\n`);
  return { csvPath, info, written: wroteCsv || wroteInfo };
}

/** Utterances per label: in total, by split and by session. Keys are sorted, so that equal corpora give equal text. */
export function countLabels(utterances: readonly Utterance[]): CorpusCounts {
  const group = (key: 'split' | 'session'): Record<string, LabelCounts> | undefined => {
    const names = [...new Set(utterances.map((utterance) => utterance[key]))].sort();
    if (names.length === 0 || (names.length === 1 && names[0] === '')) return undefined;
    return Object.fromEntries(
      names.map((name) => [name, tally(utterances.filter((utterance) => utterance[key] === name))]),
    );
  };
  return { total: tally(utterances), split: group('split'), session: group('session') };
}

function describeManifest(content: ManifestContent, sha256: string): ManifestInfo {
  const {
    name,
    source,
    languages,
    utterances,
    episodes,
    notes,
    ffmpeg,
    merged = [],
    recogniser,
    otherTurns = [],
  } = content;
  const durationSec = utterances.reduce((sum, utterance) => sum + utterance.durationSec, 0);
  return {
    format: 'emoq-manifest',
    version: 1,
    name,
    source,
    ...(languages && { languages }),
    utterances: utterances.length,
    durationSec: Number(durationSec.toFixed(4)),
    counts: countLabels(utterances),
    ...(episodes && { episodes }),
    sha256,
    ...(ffmpeg !== undefined && { ffmpeg }),
    ...(merged.length > 0 && { merged_labels: merged }),
    ...(recogniser && { recogniser }),
    ...(otherTurns.length > 0 && { other_turns: [...otherTurns] }),
    notes: notes ?? emptyNotes(),
  };
}

/** Settings shared by all rows of a manifest. */
interface ManifestReading {
  readonly csvPath: string;
  readonly dir: string;
  readonly isPrepared: boolean;
  readonly hasAudio: boolean;
  readonly decimalComma: boolean;
  readonly splits: SplitReading;
}

function parseUtterance(row: CsvRow, index: number, reading: ManifestReading): Utterance {
  const { csvPath, dir, isPrepared, hasAudio, decimalComma, splits } = reading;
  const { line, fields } = row;
  const refuse = (what: string): never => {
    throw lineError(csvPath, line, what);
  };
  const path = hasAudio ? fields.path! : '';
  const label = fields.label!.trim();
  const id = fields.id ?? (hasAudio ? path.replace(/\.[^./]*$/, '') : String(index + 1));
  if (hasAudio && cellOf(row, 'path') === '') refuse('column "path" is empty');
  if (!hasAudio && isWithoutText(row)) refuse('column "text" is empty, and there is no audio');
  if (isBlank(label)) refuse('column "label" is empty');
  if (!isPrepared && isMissing(label)) {
    refuse(`label "${label}" stands for a missing value; give a label, or leave the row out`);
  }
  if (isBlank(id)) refuse('column "id" is empty');
  if (isAbsolute(path) || /^[A-Za-z]:[\\/]/.test(path)) {
    refuse(`path "${path}" is absolute; it must be relative to the CSV's folder`);
  }
  if (climbs(path)) refuse(`path "${path}" leads outside the CSV's folder`);
  // Values written by preparation are taken literally: a speaker may be called NA.
  const known = (column: string): string =>
    isPrepared ? (fields[column]?.trim() ?? '') : cellOf(row, column);
  const duration = cellOf(row, 'duration_sec');
  const durationSec = duration === '' ? 0 : parseTimeSec(duration, decimalComma);
  if (durationSec === undefined) return refuse(`duration_sec "${duration}" is not a length in seconds`);
  const words = parseWordTimes(cellOf(row, WORDS_COLUMN), refuse);
  const place = dialoguePlace(row, index);
  if (typeof place === 'string') return refuse(place);
  return {
    id,
    path: hasAudio ? join(dir, path) : '',
    text: !isPrepared && isWithoutText(row) ? '' : (fields.text ?? ''),
    ...(fields[RECOGNISED_COLUMN] !== undefined && {
      recognised: isPrepared ? fields[RECOGNISED_COLUMN] : textOf(row, RECOGNISED_COLUMN),
    }),
    ...(words && { words }),
    ...place,
    label,
    speaker: known('speaker'),
    gender: known('gender'),
    session: known('session'),
    split: splits.of(known('split')) ?? known('split'),
    durationSec,
  };
}

/**
 * The dialogue and turn of a row, as in its table; nothing without a column of dialogues. Or what is wrong with them.
 * @param index of the row, which is its place if the table does not number the turns
 */
export function dialoguePlace(
  row: Pick<CsvRow, 'fields'>,
  index: number,
): Pick<Utterance, 'dialogue' | 'turn'> | string {
  if (!Object.hasOwn(row.fields, 'dialogue')) return {};
  const dialogue = cellOf(row, 'dialogue');
  if (dialogue === '') return { dialogue };
  if (!Object.hasOwn(row.fields, 'turn')) return { dialogue, turn: index };
  const turn = cellOf(row, 'turn');
  // A program that has missing values in the column writes 3.0.
  if (!/^\d{1,9}(?:\.0+)?$/.test(turn)) {
    return `turn "${turn}" is not the place of the utterance in dialogue "${dialogue}", a whole number`;
  }
  return { dialogue, turn: Number(turn) };
}

function placeOf({ dialogue = '', turn }: Utterance): string {
  return dialogue === '' || turn === undefined ? '' : String(turn);
}

function isWithoutText(row: CsvRow): boolean {
  return textOf(row) === '';
}

async function writeIfChanged(path: string, text: string): Promise<boolean> {
  const before = await readFile(path, 'utf8').catch(() => undefined);
  if (before === text) return false;
  await writeFileAtomic(path, text);
  return true;
}

function tally(utterances: readonly Utterance[]): LabelCounts {
  const counts = new Map<string, number>();
  for (const { label } of utterances) counts.set(label, (counts.get(label) ?? 0) + 1);
  return Object.fromEntries([...counts].sort(([a], [b]) => (a < b ? -1 : 1)));
}

function climbs(path: string): boolean {
  const normal = posix.normalize(path.replaceAll('\\', '/'));
  return normal === '..' || normal.startsWith('../') || isAbsolute(normal);
}

/** Seconds, exact to the sample at 16 kHz: 1/16000 s = 0.0000625 s has seven decimals. */
function formatSec(durationSec: number): string {
  return String(Number(durationSec.toFixed(7)));
}

/** In lower case. */
const NAMES: Readonly<Record<'train' | 'dev' | 'test', readonly string[]>> = {
  train: ['train', 'training', 'trn', 'train_set', 'trainset'],
  dev: ['dev', 'devel', 'development', 'val', 'valid', 'validation', 'validate', 'dev_set', 'val_set'],
  test: ['test', 'testing', 'tst', 'test_set', 'testset'],
};

/** Validation if the table also has a test split; testing if it also has a validation split. */
const EVALUATION = ['eval', 'evaluation'];

/** For messages. */
export const SPLIT_NAMES_TEXT =
  'train, dev or test (or training, val, valid, validation, development, eval, testing)';

export interface SplitReading {
  /** train, dev or test; '' for ''; undefined for a name that is none of theirs. */
  of(name: string): string | undefined;
  /** One line about other names; undefined if there are none. */
  readonly note: string | undefined;
}

/** How to interpret the split names of a table, case-insensitively. @param names trimmed, '' for none */
export function readSplitNames(names: Iterable<string>): SplitReading {
  const given = new Set([...names].filter((name) => name !== ''));
  const plain = (name: string): string => name.toLowerCase().replace(/[\s-]+/g, '_');
  const splits = Object.entries(NAMES);
  const usual = (name: string): string | undefined =>
    splits.find(([, others]) => others.includes(plain(name)))?.[0];
  const found = new Set([...given].map(usual));
  const evaluation = found.has('dev') && !found.has('test') ? 'test' : 'dev';
  const of = (name: string): string | undefined => {
    if (name === '') return '';
    return EVALUATION.includes(plain(name)) ? evaluation : usual(name);
  };
  const renamed = [...given].filter((name) => of(name) !== undefined && of(name) !== name);
  const readings = renamed.map((name) => `"${name}" as ${of(name)}`);
  return { of, note: renamed.length === 0 ? undefined : `split names are read as ${readings.join(', ')}` };
}
