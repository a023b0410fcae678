/** @file A strict reader of CSV tables with a header row; every row keeps its line number. */

import Papa from 'papaparse';
import { InputError, lineError, oneLine } from '../../base/index.js';
import { isBlank, lookAlike, withoutInvisible } from './cells.js';
import type { TableUse } from './table-advice.js';
import { AUDIO_NAME } from './table-advice.js';
import { readTableText } from './table-text.js';
import { countOf, LONGEST_RECORD, type TextBlock } from './text-blocks.js';

/** One record: its line in the file (the header is line 1) and its fields by column name. */
export interface CsvRow {
  line: number;
  fields: Record<string, string>;
}

export interface CsvTable {
  path: string;
  columns: string[];
  /** Line of the header, which may follow blank rows and a line `sep=;`. */
  headerLine: number;
  rows: CsvRow[];
  /** Whether numbers may be written as `0,5`: the separator is not a comma. */
  decimalComma: boolean;
}

/** Supported separators. If several fit, the first is used. */
const SEPARATORS = [',', ';', '\t', '|'];

/**
 * Reads a table in UTF-8 or UTF-16 (with or without byte-order mark, any line ends), separated by commas, semicolons,
 * tabs or bars. Skips blank rows, empty columns without a name, a first line `sep=;`, and a first column without a
 * name, which is the pandas index.
 * @param use what the table is for; its columns are required, others are kept as they are
 * @throws InputError with file and line: missing, empty, not a table, not text, a missing, duplicate or nameless
 *   column, an open quote, a row with more or fewer fields than the header
 */
export async function readCsvTable(path: string, use: TableUse): Promise<CsvTable> {
  const table = parseTable(path, await readTableText(path, use), use.columns);
  refuseMissingColumns(table, use.columns);
  return table;
}

/** Like `readCsvTable`, for text that is already decoded. */
export function parseCsvTable(path: string, source: string, required: readonly string[]): CsvTable {
  const table = parseTable(path, source, required);
  refuseMissingColumns(table, required);
  return table;
}

/**
 * Like `parseCsvTable`, but without required columns.
 * @param expected columns that help to detect the separator
 */
export function parseTable(path: string, source: string, expected: readonly string[]): CsvTable {
  // One file may mix line ends, for example when rows are appended to a spreadsheet export.
  const text = source.replace(/^\uFEFF/, '').replace(/\r\n?/g, '\n');
  const { separator, skipped } = dialectOf(text, expected);
  const records = parseRecords(path, text.slice(skipped), separator, skipped > 0 ? 2 : 1);
  const [header, ...body] = records;
  if (!header) throw new InputError(`${path} is empty: it needs a header row and at least one record`);
  const { names, fieldsOf, problemOf } = headerOf(path, header, expected, separator);
  const rows = body.map((record) => {
    const nameless = namelessColumn(path, header, record);
    if (nameless !== undefined) throw nameless;
    const problem = problemOf(record);
    if (problem !== undefined) throw lineError(path, record.line, problem);
    return { line: record.line, fields: fieldsOf(record) };
  });
  if (rows.length === 0) throw new InputError(`${path} has a header but no records`);
  return { path, columns: names, headerLine: header.line, rows, decimalComma: separator !== ',' };
}

/** A record that is not blank, and the line it starts on. */
export interface CsvRecord {
  readonly line: number;
  readonly values: string[];
  /** Whether one of its lines is not valid text. */
  readonly isBadText?: boolean;
}

function parseRecords(path: string, text: string, separator: string, firstLine: number): CsvRecord[] {
  const records: CsvRecord[] = [];
  let line = firstLine;
  let consumed = 0;
  Papa.parse<string[]>(text, {
    delimiter: separator,
    newline: '\n',
    step: ({ data, errors, meta }) => {
      const [error] = errors;
      if (error) throw lineError(path, line, error.message);
      if (!data.every(isSeparators)) records.push({ line, values: data });
      line += countOf(text, consumed, meta.cursor);
      consumed = meta.cursor;
    },
  });
  return records;
}

/**
 * The records of a table that is read block by block, those of each block together.
 * @throws InputError with file and line for an open quote
 */
export async function* streamRecords(
  path: string,
  blocks: AsyncIterable<TextBlock>,
  separator: string,
): AsyncGenerator<CsvRecord[]> {
  let rest = '';
  let line = 0;
  let bad = new Set<number>();
  const parse = (text: string, isLast: boolean): CsvRecord[] => {
    const records: CsvRecord[] = [];
    let consumed = 0;
    const step: Papa.ParseConfig<string[]>['step'] = ({ data, errors, meta }) => {
      const [error] = errors;
      if (error) throw lineError(path, line, error.message);
      const values = (data as unknown as string[][])[0]!;
      const next = line + countOf(text, consumed, meta.cursor);
      let isBadText = bad.has(line);
      for (let number = line + 1; number < next && !isBadText; number++) isBadText = bad.has(number);
      if (!values.every(isSeparators)) records.push({ line, values, isBadText });
      line = next;
      consumed = meta.cursor;
    };
    new Papa.Parser({ delimiter: separator, newline: '\n', step }).parse(text, 0, !isLast);
    rest = text.slice(consumed);
    if (rest.length > LONGEST_RECORD) throw lineError(path, line, 'Quoted field unterminated');
    return records;
  };
  for await (const { text, firstLine, badLines } of blocks) {
    line ||= firstLine;
    bad = new Set([...[...bad].filter((number) => number >= line), ...badLines]);
    yield parse(rest + text, false);
  }
  if (rest !== '') yield parse(rest, true);
}

/** The separator of a table, and the length of a first line `sep=;` that names it. */
export function dialectOf(
  text: string,
  expected: readonly string[],
): { readonly separator: string; readonly skipped: number } {
  const given = /^"?sep=(\\t|.)"?[,;\t| ]*(?:\n|$)/i.exec(text);
  return given === null
    ? { separator: separatorOf(text, expected), skipped: 0 }
    : { separator: given[1]!.replace('\\t', '\t'), skipped: given[0].length };
}

/** True for an empty cell or one of other separators only, as in a blank row with a different separator. */
function isSeparators(cell: string): boolean {
  return isBlank(cell.replace(/[,;|]/g, ''));
}

/** The separator that gives the header the most required columns, then the most fields. */
function separatorOf(text: string, required: readonly string[]): string {
  const start = text.replace(/^(?:[\s,;|]*\n)+/, '');
  const headers = SEPARATORS.map((delimiter) => {
    const { data } = Papa.parse<string[]>(start, { delimiter, newline: '\n', preview: 1 });
    const names = (data[0] ?? []).map(columnName);
    return { delimiter, found: required.filter((name) => names.includes(name)).length, fields: names.length };
  });
  return headers.reduce((best, one) =>
    one.found > best.found || (one.found === best.found && one.fields > best.fields) ? one : best,
  ).delimiter;
}

/** How the records below a header are read. */
export interface CsvHeader {
  /** Names of the columns. */
  readonly names: string[];
  fieldsOf(record: CsvRecord): Record<string, string>;
  /** What is wrong with the number of a record's fields; undefined if nothing is. */
  problemOf(record: CsvRecord): string | undefined;
}

/** @throws InputError for a duplicate name, and for a header that is a row already */
export function headerOf(
  path: string,
  header: CsvRecord,
  expected: readonly string[],
  separator: string,
): CsvHeader {
  const all = header.values.map(columnName);
  const doubled = all.find((name, index) => name !== '' && all.indexOf(name) !== index);
  if (doubled !== undefined) {
    throw lineError(path, header.line, `column "${doubled}" appears twice`);
  }
  refuseHeaderless(path, header, expected);
  const columns = all.flatMap((name, index) => (name === '' ? [] : [{ name, index }]));
  const least = Math.max(...columns.map(({ index }) => index)) + 1;
  return {
    names: columns.map(({ name }) => name),
    fieldsOf: ({ values }) =>
      Object.fromEntries(columns.map(({ name, index }) => [name, values[index] ?? ''])),
    problemOf({ values }) {
      const isTooLong = values.slice(all.length).some((value) => !isBlank(value));
      if (values.length >= least && !isTooLong) return undefined;
      const quotes = isTooLong ? `; a text that holds "${separator}" needs quotes around it` : '';
      return `${values.length} fields, the header has ${all.length}${quotes}`;
    },
  };
}

/** The error for a record with a value in a column without a name; undefined if it has none. */
export function namelessColumn(path: string, header: CsvRecord, record: CsvRecord): InputError | undefined {
  for (const [index, name] of header.values.entries()) {
    if (index === 0 || columnName(name) !== '') continue; // a first column without a name is the pandas index
    if (isBlank(record.values[index] ?? '')) continue;
    return lineError(
      path,
      header.line,
      `column ${index + 1} has no name and line ${record.line} has ${JSON.stringify(record.values[index])} in it; name the column, or quote the text that holds a separator`,
    );
  }
  return undefined;
}

function columnName(cell: string): string {
  return withoutInvisible(cell).trim().normalize('NFC');
}

/** Rejects a table whose first line is already a recording: a list of paths, or rows without a header. */
function refuseHeaderless(path: string, { line, values }: CsvRecord, expected: readonly string[]): void {
  if (!values.some((value) => AUDIO_NAME.test(value.trim()))) return;
  const header = values.length === 1 ? (expected[0] ?? 'path') : expected.join(',');
  throw lineError(
    path,
    line,
    `is a row already, and a table begins with the names of its columns; put a line ${header} before it`,
  );
}

/** Maximum length of the list of columns in a message, since advice on the missing one follows. */
const MOST_LISTED = 500;

/** @throws InputError naming the missing columns, and those that seem to be them under other names */
export function refuseMissingColumns(
  { path, columns, headerLine }: Pick<CsvTable, 'path' | 'columns' | 'headerLine'>,
  required: readonly string[],
): void {
  const missing = required.filter((name) => !columns.includes(name));
  if (missing.length === 0) return;
  const names = missing.map((name) => `"${name}"`).join(', ');
  const renames = missing.flatMap((name) => {
    const found = lookAlike(name, columns);
    return found === undefined ? [] : [`rename "${found}" to "${name}"`];
  });
  const advice = renames.length > 0 ? `; ${renames.join(', ')}` : '';
  throw lineError(
    path,
    headerLine,
    `missing column${missing.length > 1 ? 's' : ''} ${names}; it has ${oneLine(columns.join(', '), MOST_LISTED)}${advice}`,
  );
}

/** CSV text with `\n` line ends; fields are quoted where necessary. */
export function formatCsv(columns: readonly string[], rows: readonly (readonly string[])[]): string {
  return `${Papa.unparse([columns as string[], ...(rows as string[][])], { newline: '\n' })}\n`;
}
