/** @file Values of utterances as a description says: parts of names, codes, lines of tables, transcripts, scores. */

import { join } from 'node:path';
import { InputError, lineError, pathExists, readTextFile } from '../../../base/index.js';
import { numberOf, readCsvTable, readTableText } from '../../tables/index.js';
import { fillTemplate, type ValueSpec } from './release-layout.js';

/** What is known of a clip before its values are looked up. */
export interface ClipFields {
  /** Parts of its name, or cells of its line. */
  readonly fields: Readonly<Record<string, string>>;
  /** The folder that other files of the release are relative to. */
  readonly base: string;
  /** Its path in the release, for messages. */
  readonly name: string;
  /** An error about a value of it. */
  refuse(what: string): Error;
}

/** A column of the manifest. */
export interface ValueReader {
  /** '' if it is unknown. @throws InputError when a value cannot be understood */
  read(clip: ClipFields): Promise<string>;
  /** What was missing, once all clips are read: differences from the release, or remarks if it is optional. */
  missing(): string[];
  readonly optional: boolean;
}

/** How many examples a message has. */
const MAX_SHOWN = 5;

/** @param column its name, for messages */
export function valueReader(column: string, spec: ValueSpec): ValueReader {
  const { from = '', codes, others, table, lines, file, highest } = spec;
  const absentFiles = new Set<string>();
  const withoutLine = new Map<string, Set<string>>();
  const withoutFile: string[] = [];
  const open = new Map<string, Promise<ReadonlyMap<string, string> | undefined>>();

  /** The name of a code; a blank cell and a part that a name does not have are unknown. */
  const named = (value: string, refuse: () => Error): string => {
    if (codes === undefined) return value;
    if (Object.hasOwn(codes, value)) return codes[value]!;
    if (others === 'keep' || value === '') return value;
    throw refuse();
  };
  /** The line of `key` in a file that is read once. */
  const lineOf = async (
    name: string,
    base: string,
    key: string,
    read: (path: string) => Promise<ReadonlyMap<string, string>>,
  ): Promise<string> => {
    const path = join(base, name);
    const opened = open.get(path) ?? pathExists(path).then((isThere) => (isThere ? read(path) : undefined));
    open.set(path, opened);
    const found = await opened;
    if (found === undefined) absentFiles.add(name);
    else if (!found.has(key)) withoutLine.set(name, (withoutLine.get(name) ?? new Set()).add(key));
    return found?.get(key) ?? '';
  };

  const read = async (clip: ClipFields): Promise<string> => {
    const fill = (template: string): string => fillTemplate(template, (name) => clip.fields[name] ?? '');
    if (highest) return highestOf(spec, clip);
    if (file !== undefined) {
      const path = join(clip.base, fill(file));
      if (await pathExists(path)) return oneLineOf(await transcript(path));
      withoutFile.push(fill(file));
      return '';
    }
    const key = fill(from).trim();
    if (lines)
      return lineOf(fill(lines.file), clip.base, key, (path) =>
        readLines(path, new RegExp(lines.pattern, 'u')),
      );
    if (table) return lineOf(table.file, clip.base, key, (path) => readTable(path, table, spec));
    return named(key, () =>
      clip.refuse(`${column} "${key}" is not one of ${Object.keys(codes ?? {}).join(', ')}`),
    );
  };

  /** Sorted, because clips are read concurrently and the manifest must not depend on their order. */
  const missing = (): string[] => {
    const unknown = `so the ${column} is unknown`;
    const cure = spec.optional ? '' : '; get it from the release';
    return [
      ...[...absentFiles].sort().map((name) => `${name} is missing, ${unknown}${cure}`),
      ...[...withoutLine]
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(
          ([name, keys]) =>
            `${name} has no line for ${table ? `${table.key} ` : ''}${shown([...keys].sort())}, ${unknown}${cure}`,
        ),
      ...(withoutFile.length === 0
        ? []
        : [
            `${withoutFile.length.toLocaleString('en')} ${withoutFile.length === 1 ? 'clip has' : 'clips have'} no file like ${withoutFile.sort()[0]}, ${unknown}${cure}`,
          ]),
    ];
  };
  return { read, missing, optional: spec.optional === true };
}

function shown(keys: readonly string[]): string {
  const more = keys.length - MAX_SHOWN;
  return `${keys.slice(0, MAX_SHOWN).join(', ')}${more > 0 ? ` and ${more.toLocaleString('en')} more` : ''}`;
}

/** Column `key` -> name of column `value`. @throws InputError with file and line */
async function readTable(
  path: string,
  { key, value }: NonNullable<ValueSpec['table']>,
  { codes, others }: ValueSpec,
): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  for (const { line, fields } of (await readCsvTable(path, { what: 'CSV file', columns: [key, value] }))
    .rows) {
    const of = fields[key]!.trim();
    if (found.has(of)) throw lineError(path, line, `${key} ${of} already has a line`);
    const given = fields[value]!.trim();
    if (codes && others === undefined && !Object.hasOwn(codes, given)) {
      throw lineError(path, line, `column ${value}: "${given}" is not ${Object.keys(codes).join(' or ')}`);
    }
    found.set(of, codes && Object.hasOwn(codes, given) ? codes[given]! : given);
  }
  return found;
}

/** Key -> text of the lines that match; others may be comments, and what they would have said is then missing. */
async function readLines(path: string, pattern: RegExp): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  const source = await readTableText(path, { what: 'transcript', columns: [] });
  for (const [index, line] of source.split(/\r\n?|\n/).entries()) {
    const { key, text } = pattern.exec(line.trim())?.groups ?? {};
    if (key === undefined || text === undefined) continue;
    if (found.has(key)) throw lineError(path, index + 1, `${key} already has a line`);
    found.set(key, oneLineOf(text));
  }
  return found;
}

async function transcript(path: string): Promise<string> {
  const source = await readTextFile(path, 'transcript');
  if (!source.includes('\ufffd')) return source;
  throw new InputError(`${path} is not UTF-8 text; save it as UTF-8`);
}

function oneLineOf(source: string): string {
  return source
    .replace(/^\ufeff/, '')
    .replace(/\s+/g, ' ')
    .trim();
}

/** The name of the highest score; the columns are numbers from 0. */
function highestOf({ highest = {}, none, tie }: ValueSpec, clip: ClipFields): string {
  const scores = Object.entries(highest).map(([part, name]) => {
    const score = numberOf(clip.fields[part] ?? '', false);
    if (score !== undefined && score >= 0) return { name, score };
    throw clip.refuse(`column ${part}: "${clip.fields[part] ?? ''}" is not a number from 0`);
  });
  const most = Math.max(...scores.map(({ score }) => score));
  const winners = scores.filter(({ score }) => score === most);
  if (most === 0) return none!;
  return winners.length > 1 ? tie! : winners[0]!.name;
}
