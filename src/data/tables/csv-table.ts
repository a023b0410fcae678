/** @file CSV tables with a header row, read strictly: every row keeps the line that it starts on. */

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
  /** Where the header is: after blank rows and a line `sep=;`. */
  headerLine: number;
  rows: CsvRow[];
  /** Whether numbers may be written as `0,5`: something else than commas stands between the fields. */
  decimalComma: boolean;
}

/** What may stand between fields. Where several fit, the first. */
const SEPARATORS = [',', ';', '\t', '|'];

/**
 * Reads a table of UTF-8 or UTF-16 text (with or without a byte-order mark, any line ends), its fields separated by
 * commas, semicolons, tabs or bars. Blank rows, empty columns without a name and a first line `sep=;` are passed over, and
 * so is a first column without a name, which is the index of pandas.
 * @param use what the table is for; its columns must be there, others are kept as they are.
 * @throws InputError with file and line: missing, empty, no table at all, not text, a column missing, doubled or
 *   nameless, an open quote, a row with more or fewer fields than the header.
 */
export async function readCsvTable(path: string, use: TableUse): Promise<CsvTable> {
  const table = parseTable(path, await readTableText(path, use), use.columns);
  refuseMissingColumns(table, use.columns);
  return table;
}

/** As `readCsvTable`, from text that is already decoded. */
export function parseCsvTable(path: string, source: string, required: readonly string[]): CsvTable {
  const table = parseTable(path, source, required);
  refuseMissingColumns(table, required);
  return table;
}

/**
 * As `parseCsvTable`, but no column must be there.
 * @param expected columns that tell what separates the fields.
 */
export function parseTable(path: string, source: string, expected: readonly string[]): CsvTable {
  // Lines may end in several ways in one file: somebody adds rows to what a spreadsheet wrote.
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

/** A record that is not blank, and the line that it starts on. */
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

/** True for a cell without anything, and for separators of another kind than the table's: a blank row of something else. */
function isSeparators(cell: string): boolean {
  return isBlank(cell.replace(/[,;|]/g, ''));
}

/** The separator under which the header has most of the columns that must be there, then most fields. */
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

/** The columns that have a name, and where they stand. @throws InputError for a doubled or nameless one */
function namedColumns(
  path: string,
  header: CsvRecord,
  body: readonly CsvRecord[],
): { name: string; index: number }[] {
  const names = header.values.map(columnName);
  const doubled = names.find((name, index) => name !== '' && names.indexOf(name) !== index);
  if (doubled !== undefined) {
    throw lineError(path, header.line, `column "${doubled}" is there twice`);
  }
  for (const [index, name] of names.entries()) {
    if (name !== '' || index === 0) continue; // a first column without a name is pandas' index
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

/** A table whose first line is a recording already: a list of paths, or rows without a header. */
function refuseHeaderless(path: string, { line, values }: CsvRecord, expected: readonly string[]): void {
  if (!values.some((value) => AUDIO_NAME.test(value.trim()))) return;
  const header = values.length === 1 ? (expected[0] ?? 'path') : expected.join(',');
  throw lineError(
    path,
    line,
    `is a row already, and a table begins with the names of its columns; put a line ${header} before it`,
  );
}

/** Of the names of all columns, in characters: what to do about a missing one comes after them. */
const MOST_LISTED = 500;

/** @throws InputError naming the columns that are missing, and those that seem to be them under other names */
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

/** CSV text with `\n` line ends; fields are quoted where they must be. */
export function formatCsv(columns: readonly string[], rows: readonly (readonly string[])[]): string {
  return `${Papa.unparse([columns as string[], ...(rows as string[][])], { newline: '\n' })}\n`;
}

function lineBreaks(text: string, from: number, to: number): number {
  let count = 0;
  for (let i = text.indexOf('\n', from); i >= 0 && i < to; i = text.indexOf('\n', i + 1)) count++;
  return count;
}
