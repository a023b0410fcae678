/** @file What to do with a file that is no table: one line, with a command that works where there is one. */

import { readdir } from 'node:fs/promises';
import { basename, dirname, extname, isAbsolute, join } from 'node:path';
import { AUDIO_NAME, type OtherFormat } from './other-formats.js';

/** What a table is read for, as messages have it. */
export interface TableUse {
  /** 'CSV file', 'predictions file'. */
  readonly what: string;
  /** Columns that it needs, for the header of an example. */
  readonly columns: readonly string[];
  /** Which of them names a recording. */
  readonly recordings?: string;
  /** What is read beside CSV. */
  readonly format?: 'jsonl';
}

/** One line: what the file is, and how to get a table. */
export function adviceFor(format: OtherFormat, path: string, use: TableUse): string {
  const name = shellWord(basename(path));
  const needs = `${use.what} ${path}`;
  switch (format.kind) {
    case 'audio':
      return `${path} is a recording (${format.name}), not a table; ${exampleTable(use, path)}`;
    case 'spreadsheet':
      return `${path} is a spreadsheet (${format.name}), not a CSV; save it as "CSV UTF-8" and name that file`;
    case 'data':
      return `${path} is a ${format.name} file, not a CSV; write it as one with pandas (to_csv with index=False) and name that file`;
    case 'compressed':
      return `${path} is compressed (${format.name}); unpack it first, such as ${unpacking(format.name, path)}, and name what comes out`;
    case 'archive':
      return `${path} is an archive (${format.name}); unpack it and name the CSV that is in it, or make one of the files in it`;
    case 'document':
      return `${path} is a ${format.name}, not a CSV; ${exampleTable(use)}`;
    case 'json':
      return `${path} is JSON, not ${use.format === undefined ? 'CSV' : 'CSV or JSON Lines'}; write it as CSV with pandas: python3 -c ${shellWord(`import pandas; pandas.read_json(${JSON.stringify(path)}).to_csv("table.csv", index=False)`)}`;
    case 'jsonl':
      return use.format === undefined && use.what === PREDICTIONS
        ? `${path} is JSON Lines; give it a name that ends in .jsonl: cp ${shellWord(path)} ${name}.jsonl`
        : `${path} is JSON Lines, not CSV; write it as CSV with pandas: python3 -c ${shellWord(`import pandas; pandas.read_json(${JSON.stringify(path)}, lines=True).to_csv("table.csv", index=False)`)}`;
    case 'html':
      return `${path} is a web page or XML, not a CSV: a download that failed, perhaps; get the file itself`;
    case 'address':
      return `${needs} is an address; download it first, such as curl -LO ${shellWord(path)}, and name the copy`;
  }
}

/** Of the files whose rows are predictions. */
export const PREDICTIONS = 'predictions file';

/** One line for a folder in place of a table: the table that it holds, or how to list its recordings. */
export async function adviceForFolder(path: string, use: TableUse): Promise<string> {
  const names = await readdir(path, { recursive: true }).catch((): string[] => []);
  const tables = names.filter((name) => /\.(?:csv|tsv|jsonl)$/i.test(name)).sort(byDepth);
  const preferred = tables.find((name) => /(?:^|[/\\])(?:manifest|metadata|predictions)\.csv$/i.test(name));
  const table = preferred ?? tables[0];
  if (table !== undefined) return `${path} is a folder; name a table in it, such as ${join(path, table)}`;
  const endings = names.filter((name) => AUDIO_NAME.test(name)).map((name) => extname(name));
  const ending = mostFrequent(endings);
  if (ending === undefined) return `${path} is a folder without tables and recordings; name a ${use.what}`;
  const { recordings } = use;
  if (recordings === undefined) return `${path} is a folder of recordings; name a ${use.what}`;
  const more = use.columns.filter((column) => column !== recordings);
  const then =
    more.length > 0 ? `, and add ${more.length > 1 ? 'columns' : 'a column'} ${more.join(', ')}` : '';
  return `${path} is a folder; list its recordings in a CSV: (echo ${shellWord(recordings)}; find ${shellWord(path)} -name '*${ending}' | sed 's/"/""/g; s/.*/"&"/') > table.csv${then}`;
}

/** How many files a command names one by one. */
const NAMED = 5;

/** One line for several files in place of one table: how to list them in one. */
export function adviceForSeveral(
  paths: readonly string[],
  { columns, recordings = 'path' }: TableUse,
): string {
  const [first] = paths;
  const pattern = `${shellWord(dirname(first!)).replace(/^\.$/, '')}/*${extname(first!)}`.replace(/^\//, '');
  const isOneKind = paths.every(
    (path) => dirname(path) === dirname(first!) && extname(path) === extname(first!),
  );
  const named =
    paths.length > NAMED && isOneKind && !isAbsolute(first!) ? pattern : paths.map(shellWord).join(' ');
  const more = columns.filter((column) => column !== recordings);
  const then = more.length > 0 ? `, with ${more.join(' and ')} beside them` : '';
  return `one table is wanted, and here are ${paths.length} files; list them in a CSV and name that${then}: (echo ${shellWord(recordings)}; printf '"%s"\\n' ${named}) > table.csv`;
}

/** "make a CSV with the columns path and label, such as: printf ..." */
function exampleTable({ what, columns, recordings }: TableUse, recording?: string): string {
  const names = `${columns.length > 1 ? 'columns' : 'a column'} ${columns.join(' and ')}`;
  if (recordings === undefined) return `name a ${what} with ${names}`;
  const row = columns.map((column) => (column === recordings ? (recording ?? 'clip.wav') : 'happy'));
  const lines = [columns, row].map((fields) => shellWord(fields.map(csvField).join(',')));
  return `make a CSV with ${names} and name that: printf '%s\\n' ${lines.join(' ')} > table.csv`;
}

/** A value as a CSV has it. */
function csvField(value: string): string {
  return /[",\n]|^\s|\s$/.test(value) ? `"${value.replaceAll('"', '""')}"` : value;
}

/** A word as a POSIX shell takes it. */
export function shellWord(text: string): string {
  return /^[\w./,:@%+=-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

function unpacking(format: string, path: string): string {
  const command = { gzip: 'gunzip -k', bzip2: 'bunzip2 -k', xz: 'unxz -k', zstd: 'unzstd' }[format];
  if (/\.(?:tar\.\w+|tgz|tbz2?|txz)$/i.test(path)) return `tar -xf ${shellWord(path)}`;
  return `${command} ${shellWord(path)}`;
}

function byDepth(a: string, b: string): number {
  const depth = (name: string): number => name.split(/[/\\]/).length;
  return depth(a) - depth(b) || (a < b ? -1 : 1);
}

function mostFrequent(values: readonly string[]): string | undefined {
  const counts = new Map<string, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].sort(([, a], [, b]) => b - a)[0]?.[0];
}
