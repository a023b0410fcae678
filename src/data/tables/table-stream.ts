/**
 * @file Reads a table of recordings twice: once to know its columns, its number of rows and its checksum, and then row
 * by row, so that memory does not grow with the table. Bad rows are marked; only what makes a table unreadable is
 * refused.
 */

import { createHash } from 'node:crypto';
import { dirname, extname } from 'node:path';
import { InputError, lineError } from '../../base/index.js';
import { isMissing, isNested, refuseLookAlikes } from './cells.js';
import {
  type CsvHeader,
  type CsvRecord,
  dialectOf,
  headerOf,
  namelessColumn,
  refuseMissingColumns,
  streamRecords,
} from './csv-table.js';
import { cellOfJson, readJsonLine } from './json-lines.js';
import { type FileFinder, fileFinder, VALUES } from './recording-table.js';
import { adviceFor, formatOfText, type TableUse } from './table-advice.js';
import { type TextBlock, tableHead, textBlocks } from './text-blocks.js';

/** A row of a table. */
export interface TableRow {
  /** Its line in the file. */
  readonly line: number;
  /** Its cells by column; a row of JSON Lines may lack some. */
  readonly fields: Record<string, string>;
  /** Its values as written in JSON Lines, by column. */
  readonly json?: ReadonlyMap<string, string> | undefined;
  /** Why it cannot be used; worded to follow its line. */
  readonly problem?: string | undefined;
}

/** Which columns a table of recordings needs. */
export interface StreamColumns {
  /** Of audio paths. */
  readonly path: string;
  readonly needed: readonly string[];
  readonly optional: readonly string[];
  /** Whether the path column is required. */
  readonly needsPath: boolean;
  /** An alternative to renaming a column, for messages. */
  readonly otherwise?: (column: string, found: string) => string;
}

/** A table that is read row by row. */
export interface TableStream {
  readonly path: string;
  /** In the order of the file; in JSON Lines, of their first occurrence. */
  readonly columns: readonly string[];
  readonly rows: number;
  /** SHA-256 of the file. */
  readonly sha256: string;
  /** Whether numbers may be written as `0,5`. */
  readonly decimalComma: boolean;
  /** Whether a row has a value in the path column. */
  readonly namesFiles: boolean;
  /** Finds the files that its rows name, which are relative to its folder. */
  readonly files: FileFinder;
  /** Its rows, block by block. @throws InputError after the last one if the file has changed since it was opened */
  read(): AsyncGenerator<readonly TableRow[]>;
}

/**
 * Opens a CSV or JSON Lines table of recordings: reads it once.
 * @param onRow is called for every row
 * @throws InputError for a table that is missing, empty or unreadable; without a needed column; with a column that would
 *   be ignored because of its name
 */
export async function openTableStream(
  path: string,
  { path: pathColumn, needed, optional, needsPath, otherwise }: StreamColumns,
  onRow: (row: TableRow) => Promise<void> | void = () => {},
): Promise<TableStream> {
  const use: TableUse = { what: 'CSV file', columns: [pathColumn, ...needed], recordings: pathColumn };
  const head = await tableHead(path, use);
  const format = formatOfText(head.toString('utf8'));
  const isJson = ['.jsonl', '.ndjson'].includes(extname(path).toLowerCase()) || format?.kind === 'jsonl';
  if (format !== undefined && !isJson) throw new InputError(adviceFor(format, path, use));
  const read = [pathColumn, ...needed, ...optional];
  const layout: Layout = { columns: [], headerLine: 1, separator: ',' };
  const open = (hash: ReturnType<typeof createHash>): AsyncGenerator<TableRow[]> => {
    const blocks = textBlocks(path, hash);
    return isJson ? jsonRows(blocks, layout) : csvRows(path, blocks, use, layout);
  };
  const checked = async function* (hash: ReturnType<typeof createHash>) {
    for await (const block of open(hash)) yield block.map((row) => withNested(row, read));
  };
  const hash = createHash('sha256');
  let rows = 0;
  let namesFiles = false;
  let first: TableRow | undefined;
  for await (const block of checked(hash)) {
    rows += block.length;
    first ??= block[0];
    for (const row of block) {
      namesFiles ||= !isMissing(row.fields[pathColumn] ?? '');
      await onRow(row);
    }
  }
  const { columns, headerLine, separator } = layout;
  if (columns.length === 0) {
    if (first?.problem !== undefined) throw lineError(path, first.line, first.problem);
    throw new InputError(`${path} is empty: it needs a header row and at least one record`);
  }
  if (rows === 0) throw new InputError(`${path} has a header but no records`);
  refuseMissingColumns({ path, columns, headerLine }, needsPath ? use.columns : needed);
  refuseLookAlikes(path, columns, optional, otherwise);
  const sha256 = hash.digest('hex');
  return {
    ...{ path, columns, rows, sha256, namesFiles },
    decimalComma: !isJson && separator !== ',',
    files: fileFinder(dirname(path)),
    async *read() {
      const again = createHash('sha256');
      yield* checked(again);
      if (again.digest('hex') !== sha256) {
        throw new InputError(`${path} has changed while it was read; run the command again`);
      }
    },
  };
}

/** What is found out about a table while its rows are read. */
interface Layout {
  columns: string[];
  headerLine: number;
  separator: string;
}

const BAD_TEXT = 'not UTF-8 text (Windows-1252, perhaps); save the table as UTF-8';

async function* csvRows(
  path: string,
  blocks: AsyncGenerator<TextBlock>,
  { columns: expected }: TableUse,
  layout: Layout,
): AsyncGenerator<TableRow[]> {
  const first = await blocks.next();
  if (first.done === true) return;
  const { separator, skipped } = dialectOf(first.value.text, expected);
  layout.separator = separator;
  const all = async function* (): AsyncGenerator<TextBlock> {
    const { text, firstLine, badLines } = first.value;
    yield { text: text.slice(skipped), firstLine: firstLine + (skipped > 0 ? 1 : 0), badLines };
    yield* blocks;
  };
  let start: { readonly record: CsvRecord; readonly header: CsvHeader } | undefined;
  for await (const records of streamRecords(path, all(), separator)) {
    if (start === undefined) {
      const record = records.shift();
      if (record === undefined) continue;
      if (record.isBadText) throw lineError(path, record.line, BAD_TEXT);
      start = { record, header: headerOf(path, record, expected, separator) };
      layout.columns = start.header.names;
      layout.headerLine = record.line;
    }
    const { record: names, header } = start;
    yield records.map((record) => {
      const nameless = namelessColumn(path, names, record);
      if (nameless !== undefined) throw nameless;
      const problem = record.isBadText ? BAD_TEXT : header.problemOf(record);
      return { line: record.line, fields: header.fieldsOf(record), problem };
    });
  }
}

async function* jsonRows(blocks: AsyncIterable<TextBlock>, layout: Layout): AsyncGenerator<TableRow[]> {
  const known = new Set(layout.columns);
  for await (const { text, firstLine, badLines } of blocks) {
    const rows: TableRow[] = [];
    for (const [index, source] of text.split('\n').entries()) {
      if (source.trim() === '') continue;
      const line = firstLine + index;
      const read = readJsonLine(source);
      if (read.kind === 'problem') {
        rows.push({ line, fields: {}, problem: badLines.has(line) ? BAD_TEXT : read.problem });
        continue;
      }
      for (const name of read.members.keys()) {
        if (known.has(name)) continue;
        known.add(name);
        layout.columns.push(name);
      }
      const cells = [...read.members].map(([name, json]) => [name, cellOfJson(json)] as const);
      const problem = badLines.has(line) ? BAD_TEXT : undefined;
      rows.push({ line, fields: Object.fromEntries(cells), json: read.members, problem });
    }
    yield rows;
  }
}

/** The row, with a problem if a column that needs a single value holds a list or an object. */
function withNested(row: TableRow, read: readonly string[]): TableRow {
  if (row.problem !== undefined) return row;
  const nested = read.find(
    (name) =>
      (VALUES.includes(name) || name === read[0]) &&
      Object.hasOwn(row.fields, name) &&
      isNested(row.fields[name]!),
  );
  if (nested === undefined) return row;
  const shown = JSON.stringify(row.fields[nested]).slice(0, 60);
  const problem = `column "${nested}" holds ${shown}, a list or an object; it must be a text or a number`;
  return { ...row, problem };
}
