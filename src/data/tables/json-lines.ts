/** @file Reads rows from JSON Lines, each value also as it was written, so that it can be copied unchanged. */

import { errorMessage, quoted, repeatedKey } from '../../base/index.js';

/** The members of one line's object, or what is wrong with the line. */
export type JsonLine =
  | { readonly kind: 'members'; readonly members: ReadonlyMap<string, string> }
  | { readonly kind: 'problem'; readonly problem: string };

/** Reads one line: its members by name, as JSON text. */
export function readJsonLine(source: string): JsonLine {
  const problem = (text: string): JsonLine => ({ kind: 'problem', problem: text });
  let value: unknown;
  try {
    value = JSON.parse(source);
  } catch (error) {
    const hint = /\b(?:NaN|Infinity)\b/.test(source) ? '; JSON has no NaN: write null' : '';
    return problem(`not valid JSON: ${errorMessage(error).replace(/\s+/g, ' ')}${hint}`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return problem('every line must be a JSON object');
  }
  const repeated = repeatedKey(source);
  if (repeated !== undefined) return problem(`the key ${quoted(repeated)} occurs twice`);
  return { kind: 'members', members: membersOf(source) };
}

/** A JSON value as the text of a cell: '' for null, a text without its quotes, anything else as written. */
export function cellOfJson(json: string): string {
  if (json === 'null') return '';
  return json.startsWith('"') ? (JSON.parse(json) as string) : json;
}

/** The members of a valid JSON object. */
function membersOf(source: string): Map<string, string> {
  const members = new Map<string, string>();
  let at = source.indexOf('{') + 1;
  for (;;) {
    const start = source.indexOf('"', at);
    if (start < 0) return members;
    const end = endOfString(source, start);
    const from = source.indexOf(':', end) + 1;
    const to = endOfValue(source, from);
    members.set(JSON.parse(source.slice(start, end)) as string, source.slice(from, to).trim());
    if (source[to] === '}') return members;
    at = to + 1;
  }
}

/** Just after the string that begins at `start`. */
function endOfString(source: string, start: number): number {
  let at = start + 1;
  while (source[at] !== '"') at += source[at] === '\\' ? 2 : 1;
  return at + 1;
}

/** The comma or bracket after the value that begins at `from`. */
function endOfValue(source: string, from: number): number {
  let depth = 0;
  for (let at = from; ; at++) {
    const char = source[at];
    if (char === '"') at = endOfString(source, at) - 1;
    else if (char === '[' || char === '{') depth += 1;
    else if (depth === 0 && (char === ',' || char === '}')) return at;
    else if (char === ']' || char === '}') depth -= 1;
  }
}
