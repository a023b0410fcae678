/**
 * @file Safe parsing of nested text (YAML, JSON) from files and the command line. Rejects, with a one-line problem,
 * input that nests too deeply, refers to itself, expands excessively through aliases, or contains more than plain
 * values.
 */

import { errorMessage } from './errors.js';

/** Far deeper than hand-written files, and far below what overflows a parser's stack. */
const DEEPEST = 200;
const DEEPEST_INDENT = 400;
/** How many values a text may expand to beyond its own length: aliases of aliases grow exponentially. */
const MOST_REPEATED = 100_000;
export const TOO_DEEP = `it nests more than ${DEEPEST} levels deep`;

/** A plain value (text, numbers, lists, objects), or a one-line reason why the text is not one. */
export type PlainValue =
  | { readonly kind: 'value'; readonly value: unknown }
  | { readonly kind: 'problem'; readonly problem: string };

/**
 * Parses text into a plain value.
 * @param parse not called for text that nests too deeply; anything it throws becomes the problem
 */
export function plainValueOf(text: string, parse: () => unknown): PlainValue {
  if (nestsTooDeep(text)) return { kind: 'problem', problem: TOO_DEEP };
  try {
    const value = parse();
    const problem = problemOf(value, text.length + MOST_REPEATED);
    return problem === undefined ? { kind: 'value', value } : { kind: 'problem', problem };
  } catch (error) {
    return { kind: 'problem', problem: errorMessage(error).split('\n')[0]!.trim() };
  }
}

/**
 * True if a parsed JSON value nests deeper than any file emoq writes. JSON.parse accepts such text, but most code fails
 * on it.
 */
export function isNestedTooDeep(value: unknown): boolean {
  const waiting: { readonly inner: unknown; readonly depth: number }[] = [{ inner: value, depth: 0 }];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const { inner, depth } = next;
    if (typeof inner !== 'object' || inner === null) continue;
    if (depth === DEEPEST) return true;
    for (const each of Object.values(inner)) {
      if (typeof each === 'object') waiting.push({ inner: each, depth: depth + 1 });
    }
  }
  return false;
}

/** True if brackets, list marks or indentation nest too deeply to hand to a parser. */
function nestsTooDeep(text: string): boolean {
  if (DEEP_MARKS.test(text) || DEEP_INDENT.test(text)) return true;
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === 0x5b || code === 0x7b) depth += 1;
    else if ((code === 0x5d || code === 0x7d) && depth > 0) depth -= 1;
    if (depth > DEEPEST) return true;
  }
  return false;
}

/** `- - - -`: lists in lists on one line. */
const DEEP_MARKS = new RegExp(`(?:[-?:][ \\t]+){${DEEPEST}}`);
const DEEP_INDENT = new RegExp(`^[ \\t]{${DEEPEST_INDENT}}`, 'm');

function problemOf(value: unknown, most: number): string | undefined {
  const open = new Set<object>();
  /** The expanded size of each object: values and text characters, counted once per reference. */
  const sizes = new Map<object, number>();
  const waiting: { readonly value: unknown; readonly isEnd: boolean }[] = [{ value, isEnd: false }];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const { value: inner, isEnd } = next;
    if (typeof inner !== 'object' || inner === null) continue;
    if (isEnd) {
      open.delete(inner);
      const size = Object.values(inner).reduce<number>((sum, each) => sum + sizeOf(each, sizes), 1);
      if (size > most) return 'its aliases expand to far more than it contains; write the values out';
      sizes.set(inner, size);
      continue;
    }
    if (open.has(inner)) return 'it refers to itself';
    if (sizes.has(inner)) continue;
    const kind = Object.getPrototypeOf(inner);
    if (kind !== Object.prototype && kind !== Array.prototype) {
      return `it contains a ${kind?.constructor?.name ?? 'value'}; only text, numbers, lists and mappings can be used`;
    }
    open.add(inner);
    waiting.push({ value: inner, isEnd: true });
    for (const each of Object.values(inner)) waiting.push({ value: each, isEnd: false });
  }
  return undefined;
}

function sizeOf(value: unknown, sizes: ReadonlyMap<object, number>): number {
  if (typeof value === 'object' && value !== null) return sizes.get(value) ?? 1;
  return typeof value === 'string' ? value.length + 1 : 1;
}

/** A duplicate key of an object in valid JSON `text`; undefined if there is none. */
export function repeatedKey(text: string): string | undefined {
  const openObjects: Set<string>[] = [];
  for (let at = 0; at < text.length; at++) {
    const char = text[at];
    if (char === '{') openObjects.push(new Set());
    else if (char === '}') openObjects.pop();
    else if (char === '"') {
      const start = at++;
      while (text[at] !== '"') at += text[at] === '\\' ? 2 : 1;
      let next = at + 1;
      while (' \t\r\n'.includes(text[next] ?? 'end')) next++;
      if (text[next] !== ':') continue; // a value, not a key
      const key: string = JSON.parse(text.slice(start, at + 1));
      const keys = openObjects.at(-1)!;
      if (keys.has(key)) return key;
      keys.add(key);
    }
  }
  return undefined;
}
