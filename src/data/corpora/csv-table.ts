/** @file CSV tables with a header row, read strictly: every row keeps the line that it starts on. */

import { readFile } from 'node:fs/promises';
import Papa from 'papaparse';
import { errorMessage, InputError } from '../../base/index.js';
import { lookAlike } from './csv-columns.js';

/** One record: its line in the file (the header is line 1) and its fields by column name. */
export interface CsvRow {
  line: number;
  fields: Record<string, string>;
}

export interface CsvTable {
  path: string;
  columns: string[];
  rows: CsvRow[];
}

/**
 * Reads a comma-separated UTF-8 file (with or without a byte-order mark, any line ends). Blank lines are skipped.
 * @param required columns that must be there; others are kept as they are.
 * @throws InputError with file and line: missing, empty, not UTF-8, a column missing or doubled, an open quote,
 *   a row with more or fewer fields than the header.
 */
export async function readCsvTable(path: string, required: readonly string[]): Promise<CsvTable> {
  const bytes = await readCsvBytes(path);
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    const isUtf16 = bytes.length > 1 && [0xfffe, 0xfeff].includes(bytes.readUInt16BE(0));
    const what = isUtf16
      ? 'UTF-16 text'
      : `line ${firstBadLine(bytes)}: not UTF-8 text (Windows-1252, perhaps)`;
    throw new InputError(`${path}, ${what}; save the CSV as UTF-8`);
  }
  return parseCsvTable(path, text, required);
}

/** The bytes of a CSV. @throws InputError when it is missing or unreadable. */
export async function readCsvBytes(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    const why =
      code === 'ENOENT' ? 'does not exist' : code === 'EISDIR' ? 'is a folder' : errorMessage(error);
    throw new InputError(`CSV file ${path} ${why}`);
  }
}

/** As `readCsvTable`, from text that is already decoded. */
export function parseCsvTable(path: string, source: string, required: readonly string[]): CsvTable {
  // Lines may end in several ways in one file: somebody adds rows to what a spreadsheet wrote.
  const text = source.replace(/^\uFEFF/, '').replace(/\r\n?/g, '\n');
  const records: { line: number; values: string[] }[] = [];
  let line = 1;
  let consumed = 0;
  Papa.parse<string[]>(text, {
    delimiter: ',',
    newline: '\n',
    step: ({ data, errors, meta }) => {
      const [error] = errors;
      if (error) throw new InputError(`${path}, line ${line}: ${error.message}`);
      const isBlank = data.length === 1 && data[0]?.trim() === '';
      if (!isBlank) records.push({ line, values: data });
      line += lineBreaks(text, consumed, meta.cursor);
      consumed = meta.cursor;
    },
  });
  const [header, ...body] = records;
  if (!header) throw new InputError(`${path} is empty: it needs a header row and at least one record`);
  const columns = header.values.map((name) => name.trim());
  const doubled = columns.find((name, index) => columns.indexOf(name) !== index);
  if (doubled !== undefined) throw new InputError(`${path}, line 1: column "${doubled}" is there twice`);
  refuseMissingColumns(path, columns, required);
  const rows = body.map(({ line: at, values }) => {
    if (values.length !== columns.length) {
      throw new InputError(`${path}, line ${at}: ${values.length} fields, the header has ${columns.length}`);
    }
    return { line: at, fields: Object.fromEntries(columns.map((name, i) => [name, values[i]!])) };
  });
  if (rows.length === 0) throw new InputError(`${path} has a header but no records`);
  return { path, columns, rows };
}

function refuseMissingColumns(path: string, columns: readonly string[], required: readonly string[]): void {
  const missing = required.filter((name) => !columns.includes(name));
  if (missing.length === 0) return;
  const separator = columns.length === 1 ? /[;\t|]/.exec(columns[0]!)?.[0] : undefined;
  if (separator !== undefined) {
    const what = { ';': 'semicolons', '\t': 'tabs', '|': 'bars' }[separator];
    throw new InputError(`${path}, line 1: its fields are separated by ${what}; save it with commas`);
  }
  const names = missing.map((name) => `"${name}"`).join(', ');
  const renames = missing.flatMap((name) => {
    const found = lookAlike(name, columns);
    return found === undefined ? [] : [`rename "${found}" to "${name}"`];
  });
  const advice = renames.length > 0 ? `; ${renames.join(', ')}` : '';
  throw new InputError(
    `${path}, line 1: missing column${missing.length > 1 ? 's' : ''} ${names}; it has ${columns.join(', ')}${advice}`,
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

function firstBadLine(bytes: Buffer): number {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let line = 1;
  for (let start = 0; start < bytes.length; line++) {
    const end = bytes.indexOf(10, start);
    const stop = end < 0 ? bytes.length : end;
    try {
      decoder.decode(bytes.subarray(start, stop));
    } catch {
      return line;
    }
    start = stop + 1;
  }
  return line;
}
