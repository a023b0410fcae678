/** @file Reads a user's table of recordings for a corpus, and finds the files that a table names. */

import { readdir, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { InputError, lineError } from '../../base/index.js';
import {
  canonicalSpelling,
  cellValue,
  isNested,
  lookAlike,
  refuseLookAlikes,
  transcriptOf,
} from './cells.js';
import { type CsvRow, type CsvTable, parseTable, refuseMissingColumns } from './csv-table.js';
import type { TableUse } from './table-advice.js';
import { AUDIO_NAME } from './table-advice.js';
import { readTableText } from './table-text.js';

/** Names of columns. Columns with a non-default name are required. */
export interface RecordingColumns {
  /** Of audio paths. */
  readonly path: string;
  /** Other required columns. */
  readonly needed: readonly string[];
  /** Optional columns. */
  readonly optional: readonly string[];
  /**
   * Whether the path column may be missing: 'never'; 'with text', if the table has a `text` column and none that seems
   * to name recordings.
   */
  readonly withoutAudio: 'never' | 'with text';
}

export interface RecordingTable extends CsvTable {
  /** Whether there is a path column. */
  readonly hasPaths: boolean;
  readonly files: FileFinder;
}

/** Columns with single values, in which a list or a dictionary is an error. The others are text, or are not read. */
export const VALUES = [
  'path',
  'label',
  'id',
  'speaker',
  'gender',
  'session',
  'split',
  'start',
  'end',
  'channel',
];

/**
 * Reads a table of recordings. Paths are relative to it.
 * @throws InputError as `readCsvTable`; for columns that would be ignored because of their names; for a table without
 *   recordings if they are needed
 */
export async function readRecordingTable(file: string, columns: RecordingColumns): Promise<RecordingTable> {
  const { path, needed, optional, withoutAudio } = columns;
  const use: TableUse = { what: 'CSV file', columns: [path, ...needed], recordings: path };
  const table = parseTable(file, await readTableText(file, use), use.columns);
  const hasPaths = table.columns.includes(path);
  const isTextAlone = withoutAudio === 'with text' && table.columns.includes('text') && !pathsOf(table, path);
  refuseMissingColumns(table, isTextAlone ? needed : use.columns);
  refuseLookAlikes(file, table.columns, optional);
  refuseNested(table, [path, ...needed, ...optional]);
  return { ...table, hasPaths, files: fileFinder(dirname(file)) };
}

/** The column that names recordings, under any name; undefined if there is none. */
function pathsOf({ columns, rows }: CsvTable, path: string): string | undefined {
  const isOfRecordings = (name: string): boolean =>
    rows.slice(0, 10).every(({ fields }) => AUDIO_NAME.test(fields[name]!.trim()));
  return columns.find((name) => name === path) ?? lookAlike(path, columns) ?? columns.find(isOfRecordings);
}

function refuseNested({ path: file, rows, columns }: CsvTable, read: readonly string[]): void {
  const values = columns.filter((name) => read.includes(name) && (VALUES.includes(name) || name === read[0]));
  for (const { line, fields } of rows) {
    const nested = values.find((name) => isNested(fields[name]!));
    if (nested === undefined) continue;
    throw lineError(
      file,
      line,
      `column "${nested}" holds ${JSON.stringify(fields[nested]).slice(0, 60)}, a list or an object; it must be a text or a number`,
    );
  }
}

/**
 * Rejects several parts of one recording, given by start and end, where whole files are read: they would all be the
 * same.
 * @param remedy what to do, for the message
 * @throws InputError for the second part of a recording, with its line
 */
export function refuseUncutParts({ path: file, rows }: CsvTable, path: string, remedy: string): void {
  const first = new Map<string, { line: number; part: string }>();
  for (const row of rows) {
    const part = `${cellOf(row, 'start')} to ${cellOf(row, 'end')}`;
    const recording = cellOf(row, path);
    const other = first.get(recording);
    if (recording === '' || part === ' to ') continue;
    if (other === undefined) first.set(recording, { line: row.line, part });
    else if (other.part !== part) {
      throw lineError(
        file,
        row.line,
        `${recording} is on line ${other.line} already with another start or end, which are not read here: ${remedy}`,
      );
    }
  }
}

interface Cells extends Pick<CsvRow, 'fields'> {
  readonly line?: number | undefined;
}

/** A cell of an optional column: '' if the column or the value is missing. */
export function cellOf({ fields }: Cells, column: string): string {
  return Object.hasOwn(fields, column) ? cellValue(fields[column]) : '';
}

/** The transcript of a row. */
export function textOf({ fields }: Cells, column = 'text'): string {
  return Object.hasOwn(fields, column) ? transcriptOf(fields[column]) : '';
}

/** Finds the files of one table. */
export interface FileFinder {
  /**
   * The absolute path of a file.
   * @throws InputError, one line, if there is none; it suggests a file with a slightly different name.
   */
  find(path: string): Promise<string>;
}

/** The files of a folder by name, by Unicode-composed name, and by canonical spelling. */
interface Folder {
  readonly names: ReadonlySet<string>;
  readonly composed: ReadonlyMap<string, string>;
  readonly alike: ReadonlyMap<string, string>;
}

/** How many files are remembered, so that memory does not grow with a table. */
const MOST_FOUND = 10_000;

/** @param folder the folder that paths are relative to */
export function fileFinder(folder: string): FileFinder {
  const found = new Map<string, Promise<string>>(); // many rows may share one recording
  const folders = new Map<string, Promise<Folder>>(); // and many missing files one folder
  const look: Look = (dir) => {
    const known = folders.get(dir) ?? readFolder(dir);
    folders.set(dir, known);
    return known;
  };
  return {
    find(path) {
      const known = found.get(path) ?? findFile(resolve(folder), path, look);
      if (found.size >= MOST_FOUND) found.clear();
      found.set(path, known);
      known.catch(() => undefined); // the error is reported to whoever asked
      return known;
    },
  };
}

type Look = (dir: string) => Promise<Folder>;

async function readFolder(dir: string): Promise<Folder> {
  const names = await readdir(dir).catch((): string[] => []);
  const sorted = names.sort().reverse(); // of several look-alikes, the first by name is taken
  return {
    names: new Set(names),
    composed: new Map(sorted.map((name) => [name.normalize('NFC'), name])),
    alike: new Map(sorted.map((name) => [canonicalSpelling(name), name])),
  };
}

async function findFile(folder: string, path: string, look: Look): Promise<string> {
  const trimmed = path.trim();
  for (const variant of new Set([path, trimmed, trimmed.replaceAll('\\', '/')])) {
    const candidate = resolve(folder, variant);
    if (await isFile(candidate)) return candidate;
  }
  if (/^[a-z][a-z0-9+.-]+:\/\//i.test(trimmed)) {
    throw new InputError(`${trimmed} is a URL; download it and name the copy`);
  }
  const wanted = resolve(folder, trimmed.replaceAll('\\', '/'));
  const same = await walk(wanted, look, ({ composed }, name) => composed.get(name.normalize('NFC')));
  if (same !== undefined && (await isFile(same))) return same;
  const near = await walk(wanted, look, ({ alike }, name) => alike.get(canonicalSpelling(name)));
  const hint = near === undefined ? '' : `; there is ${near}, which is spelt a little differently`;
  const isFolder = await stat(wanted).then(
    (entry) => entry.isDirectory(),
    () => false,
  );
  throw new InputError(`${wanted} ${isFolder ? 'is a folder' : 'does not exist'}${hint}`);
}

function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    (entry) => entry.isFile(),
    () => false,
  );
}

/** Resolves a path part by part, with `match` to substitute parts that do not exist; undefined if that fails. */
async function walk(
  path: string,
  look: Look,
  match: (folder: Folder, name: string) => string | undefined,
): Promise<string | undefined> {
  const parent = dirname(path);
  if (parent === path) return path;
  const dir = await walk(parent, look, match);
  if (dir === undefined) return undefined;
  const name = path.slice(parent.length).replace(/^[/\\]/, '');
  const folder = await look(dir);
  const found = folder.names.has(name) ? name : match(folder, name);
  if (found !== undefined) return resolve(dir, found);
  // The folder may be accessible without being listable.
  const candidate = resolve(dir, name);
  return (await stat(candidate).catch(() => undefined)) === undefined ? undefined : candidate;
}
