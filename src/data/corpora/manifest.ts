/**
 * @file The manifest: one CSV row for each utterance and a JSON beside it that says where the corpus came from, how
 * much there is of what, and what preparation kept, cut or skipped. Neither file holds a date or an absolute path,
 * so preparing the same corpus twice gives the same bytes.
 */

import { readFile } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join, posix, relative, resolve, sep } from 'node:path';
<<<<<<< HEAD
import { InputError, mapConcurrently, sha256Of, writeFileAtomic } from '../../base/index.js';
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
import type { MergedLabel } from './label-spellings.js';
import { readManifestInfo } from './manifest-info.js';
import { readSplitNames, type SplitReading } from './split-names.js';
=======
import { z } from 'zod';
import {
  errorMessage,
  InputError,
  pathExists,
  readJson,
  sha256Of,
  writeFileAtomic,
} from '../../base/index.js';
import { AUDIO_NOTE_KINDS, type AudioNoteKind } from '../audio/index.js';
import { refuseLookAlikes } from './csv-columns.js';
import { type CsvRow, formatCsv, readCsvTable } from './csv-table.js';
>>>>>>> main

/** One clip of speech by one speaker. Fields that a corpus does not know are ''. */
export interface Utterance {
  /** Unique in the corpus. */
  id: string;
  /** Absolute path of the audio. */
  path: string;
  text: string;
  label: string;
  speaker: string;
  gender: string;
  session: string;
  split: string;
  /** 0 where a hand-written manifest does not say. */
  durationSec: number;
}

/** A clip that preparation did not take over as it was, and why. */
export interface ClipNote {
  id: string;
  reason: string;
}

/**
 * What preparation did, clip by clip, what is to be known of the sound of those that it kept (`silent`, `clipped` and so
 * on), and where the corpus differs from what is known of it.
 */
export interface PreparationNotes extends Record<AudioNoteKind, ClipNote[]> {
  cut: ClipNote[];
  padded: ClipNote[];
  skipped: ClipNote[];
  differences: string[];
  /** What was done to every clip, in words. */
  rules: string[];
}

/** label -> utterances */
export type LabelCounts = Record<string, number>;

export interface CorpusCounts {
  total: LabelCounts;
  /** By split and by session, where the corpus has them. */
  split?: Record<string, LabelCounts> | undefined;
  session?: Record<string, LabelCounts> | undefined;
}

/** The JSON beside the CSV. */
export interface ManifestInfo {
  format: 'emoq-manifest';
  version: 1;
  name: string;
  /** The release that the audio and labels come from, in words. */
  source: string;
  utterances: number;
  durationSec: number;
  counts: CorpusCounts;
  /** SHA-256 of the CSV. */
  sha256: string;
  /** Version of the ffmpeg that decoded clips; absent where none was needed, or preparation did not record it. */
  ffmpeg?: string | undefined;
  notes: PreparationNotes;
}

export interface Manifest {
  csvPath: string;
  /** The folder that paths in the CSV are relative to. */
  dir: string;
  name: string;
  utterances: Utterance[];
  /** SHA-256 of the CSV as it is now. `info.sha256` differs when somebody edited it after preparation. */
  sha256: string;
  info: ManifestInfo;
  /** False for a CSV without emoq's JSON beside it: nobody has checked it. */
  prepared: boolean;
  /** id -> line in the CSV, for messages. */
  lineOf: ReadonlyMap<string, number>;
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

<<<<<<< HEAD
=======
const notesSchema = z.array(z.object({ id: z.string(), reason: z.string() }));
const audioNotesSchema = Object.fromEntries(
  AUDIO_NOTE_KINDS.map((kind) => [kind, notesSchema.default([])]),
) as Record<AudioNoteKind, z.ZodDefault<typeof notesSchema>>;
const countsSchema = z.record(z.string(), z.number().int().min(0));
const infoSchema = z.object({
  format: z.literal('emoq-manifest'),
  version: z.literal(1, { error: 'this emoq reads manifest version 1' }),
  name: z.string().min(1),
  source: z.string(),
  utterances: z.number().int().min(0),
  durationSec: z.number().min(0),
  counts: z.object({
    total: countsSchema,
    split: z.record(z.string(), countsSchema).optional(),
    session: z.record(z.string(), countsSchema).optional(),
  }),
  sha256: z.string(),
  ffmpeg: z.string().optional(),
  notes: z.object({
    cut: notesSchema,
    padded: notesSchema,
    ...audioNotesSchema,
    skipped: notesSchema,
    differences: z.array(z.string()),
    rules: z.array(z.string()).default([]),
  }),
});

>>>>>>> main
/**
 * Reads a manifest. Beside an emoq JSON all columns must be there; a CSV written by hand needs `path` and `label`
 * (id is then the path without its ending). Whether the audio exists is `checkAudioFiles`' question.
 * @throws InputError with file and line: a missing or misnamed column, no records, an empty path or label, two
 *   records with one id, a path that is absolute or climbs out of the manifest's folder, a duration that is not a
 *   number.
 */
export async function readManifest(csvPath: string): Promise<Manifest> {
  const infoPath = csvPath.replace(/(\.csv)?$/i, '.json');
<<<<<<< HEAD
  const prepared = await readManifestInfo(infoPath);
  const table = await readRecordingTable(csvPath, {
    path: 'path',
    needed: prepared ? MANIFEST_COLUMNS.filter((column) => column !== 'path') : ['label'],
    optional: MANIFEST_COLUMNS,
    withoutAudio: prepared ? 'never' : 'with text',
  });
  const { rows, hasPaths } = table;
  refuseUncutParts(table, 'path', 'a manifest names whole clips, and emoq prepare-csv cuts them');
=======
  const prepared = await readInfo(infoPath);
  const { columns, rows } = await readCsvTable(csvPath, prepared ? MANIFEST_COLUMNS : ['path', 'label']);
  refuseLookAlikes(csvPath, columns, MANIFEST_COLUMNS);
>>>>>>> main
  const dir = resolve(dirname(csvPath));
  const lineOf = new Map<string, number>();
  const utterances = rows.map((row) => {
    const utterance = parseUtterance(csvPath, dir, row);
    const earlier = lineOf.get(utterance.id);
    if (earlier !== undefined) {
      throw new InputError(
        `${csvPath}, line ${row.line}: id "${utterance.id}" is on line ${earlier} already; every id must be unique`,
      );
    }
    lineOf.set(utterance.id, row.line);
    return utterance;
  });
  const sha256 = sha256Of(await readFile(csvPath));
  const name = prepared?.name ?? basename(csvPath).replace(/\.csv$/i, '');
  const info = prepared ?? describeManifest({ name, source: csvPath, utterances }, sha256);
  return { csvPath, dir, name, utterances, sha256, info, prepared: prepared !== undefined, lineOf };
}

/** What `writeManifest` records; utterances' paths must lie in the manifest's folder. */
export interface ManifestContent {
  name: string;
  source: string;
  utterances: readonly Utterance[];
  notes?: PreparationNotes | undefined;
  ffmpeg?: string | undefined;
}

/** Nothing to say of any clip. */
export function emptyNotes(): PreparationNotes {
  const audio = Object.fromEntries(AUDIO_NOTE_KINDS.map((kind): [string, ClipNote[]] => [kind, []]));
  const notes = { cut: [], padded: [], ...audio, skipped: [], differences: [], rules: [] };
  return notes as unknown as PreparationNotes;
}

/**
 * Writes `<dir>/manifest.csv` and `<dir>/manifest.json`, each atomically, and leaves files that already hold the
 * same bytes alone.
 * @returns the CSV's path, what the JSON says, and whether anything was written.
 */
export async function writeManifest(
  dir: string,
  content: ManifestContent,
): Promise<{ csvPath: string; info: ManifestInfo; written: boolean }> {
  const rows = content.utterances.map((utterance) => {
    const path = relative(dir, utterance.path).split(sep).join('/');
    if (climbs(path)) throw new RangeError(`${utterance.path} is outside the manifest's folder ${dir}`);
    const { id, text, label, speaker, gender, session, split, durationSec } = utterance;
    return [id, path, text, label, speaker, gender, session, split, formatSec(durationSec)];
  });
  const csv = formatCsv(MANIFEST_COLUMNS, rows);
  const info = describeManifest(content, sha256Of(csv));
  const csvPath = join(dir, 'manifest.csv');
  const wroteCsv = await writeIfChanged(csvPath, csv);
  const wroteInfo = await writeIfChanged(join(dir, 'manifest.json'), `${JSON.stringify(info, null, 2)}\n`);
  return { csvPath, info, written: wroteCsv || wroteInfo };
}

/** Utterances per label: in all, by split and by session. Keys are sorted, so the same corpus reads the same. */
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
  const { name, source, utterances, notes, ffmpeg } = content;
  const durationSec = utterances.reduce((sum, utterance) => sum + utterance.durationSec, 0);
  return {
    format: 'emoq-manifest',
    version: 1,
    name,
    source,
    utterances: utterances.length,
    durationSec: Number(durationSec.toFixed(4)),
    counts: countLabels(utterances),
    sha256,
    ...(ffmpeg !== undefined && { ffmpeg }),
    notes: notes ?? emptyNotes(),
  };
}

function parseUtterance(csvPath: string, dir: string, { line, fields }: CsvRow): Utterance {
  const where = `${csvPath}, line ${line}`;
  const path = fields.path!;
  const label = fields.label!.trim();
<<<<<<< HEAD
  const id = fields.id ?? (hasAudio ? path.replace(/\.[^./]*$/, '') : String(index + 1));
  if (hasAudio && cellOf(row, 'path') === '') refuse('column "path" is empty');
  if (!hasAudio && isWithoutText(row)) refuse('column "text" is empty, and there is no audio');
  if (isBlank(label)) refuse('column "label" is empty');
  if (!isPrepared && isMissing(label)) {
    refuse(`label "${label}" stands for a missing value; give a label, or leave the row out`);
  }
  if (isBlank(id)) refuse('column "id" is empty');
=======
  const id = fields.id ?? path.replace(/\.[^./]*$/, '');
  if (path.trim() === '') throw new InputError(`${where}: column "path" is empty`);
  if (label === '') throw new InputError(`${where}: column "label" is empty`);
  if (id.trim() === '') throw new InputError(`${where}: column "id" is empty`);
>>>>>>> main
  if (isAbsolute(path) || /^[A-Za-z]:[\\/]/.test(path)) {
    throw new InputError(`${where}: path "${path}" is absolute; it must be relative to the CSV's folder`);
  }
  if (climbs(path)) {
    throw new InputError(`${where}: path "${path}" climbs out of the CSV's folder`);
  }
  const duration = fields.duration_sec?.trim() ?? '';
  const durationSec = duration === '' ? 0 : Number(duration);
  if (!Number.isFinite(durationSec) || durationSec < 0) {
    throw new InputError(`${where}: duration_sec "${duration}" is not a length in seconds`);
  }
  const known = (column: string): string => fields[column]?.trim() ?? '';
  return {
    id,
    path: join(dir, path),
    text: fields.text ?? '',
    label,
    speaker: known('speaker'),
    gender: known('gender'),
    session: known('session'),
    split: known('split'),
    durationSec,
  };
}

<<<<<<< HEAD
function isWithoutText(row: CsvRow): boolean {
  return textOf(row) === '';
=======
/** The emoq JSON beside a CSV; undefined where there is none, or another program's. */
async function readInfo(path: string): Promise<ManifestInfo | undefined> {
  if (!(await pathExists(path))) return undefined;
  const json = await readJson(path, 'manifest information').catch((error) => {
    throw new InputError(`${errorMessage(error)}; prepare the corpus again`);
  });
  if ((json as { format?: unknown } | null)?.format !== 'emoq-manifest') return undefined;
  const parsed = infoSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new InputError(
    `${path}, key ${issue?.path.join('.')}: ${issue?.message}; prepare the corpus again with this emoq`,
  );
>>>>>>> main
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

/** Seconds to the exact sample at 16 kHz: 1/16000 s = 0.0000625 s has seven decimals. */
function formatSec(durationSec: number): string {
  return String(Number(durationSec.toFixed(7)));
}
