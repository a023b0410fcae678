/** @file A strict reader of CSV tables with a header row; every row keeps its line number. */

import Papa from 'papaparse';
import { InputError, lineError, oneLine } from '../../base/index.js';
import { isBlank, lookAlike, withoutInvisible } from './cells.js';
import type { TableUse } from './table-advice.js';
import { AUDIO_NAME } from './table-advice.js';
import { readTableText } from './table-text.js';

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
  const given = /^"?sep=(\\t|.)"?[,;\t| ]*(?:\n|$)/i.exec(text);
  const skipped = given === null ? 0 : given[0].length;
  const separator = given === null ? separatorOf(text, expected) : given[1]!.replace('\\t', '\t');
  const records = parseRecords(path, text.slice(skipped), separator, skipped > 0 ? 2 : 1);
  const [header, ...body] = records;
  if (!header) throw new InputError(`${path} is empty: it needs a header row and at least one record`);
  const columns = namedColumns(path, header, body);
  const names = columns.map(({ name }) => name);
  refuseHeaderless(path, header, expected);
  const least = Math.max(...columns.map(({ index }) => index)) + 1;
  const rows = body.map(({ line, values }) => {
    const isTooLong = values.slice(header.values.length).some((value) => !isBlank(value));
    if (values.length < least || isTooLong) {
      const quotes = isTooLong ? `; a text that holds "${separator}" needs quotes around it` : '';
      throw lineError(path, line, `${values.length} fields, the header has ${header.values.length}${quotes}`);
    }
    return { line, fields: Object.fromEntries(columns.map(({ name, index }) => [name, values[index]!])) };
  });
  if (rows.length === 0) throw new InputError(`${path} has a header but no records`);
  return { path, columns: names, headerLine: header.line, rows, decimalComma: separator !== ',' };
}

/** A record that is not blank, and the line it starts on. */
interface CsvRecord {
  readonly line: number;
  readonly values: string[];
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
      line += lineBreaks(text, consumed, meta.cursor);
      consumed = meta.cursor;
    },
  });
  return records;
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

/** The named columns and their positions. @throws InputError for a duplicate or nameless one */
function namedColumns(
  path: string,
  header: CsvRecord,
  body: readonly CsvRecord[],
): { name: string; index: number }[] {
  const names = header.values.map(columnName);
  const doubled = names.find((name, index) => name !== '' && names.indexOf(name) !== index);
  if (doubled !== undefined) {
    throw lineError(path, header.line, `column "${doubled}" appears twice`);
  }
  for (const [index, name] of names.entries()) {
    if (name !== '' || index === 0) continue; // a first column without a name is the pandas index
    const filled = body.find(({ values }) => !isBlank(values[index] ?? ''));
    if (filled === undefined) continue;
    throw lineError(
      path,
      header.line,
      `column ${index + 1} has no name and line ${filled.line} has ${JSON.stringify(filled.values[index])} in it; name the column, or quote the text that holds a separator`,
    );
  }
  return names.flatMap((name, index) => (name === '' ? [] : [{ name, index }]));
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
  { path, columns, headerLine }: CsvTable,
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

function lineBreaks(text: string, from: number, to: number): number {
  let count = 0;
  for (let i = text.indexOf('\n', from); i >= 0 && i < to; i = text.indexOf('\n', i + 1)) count++;
  return count;
}
