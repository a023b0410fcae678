/**
 * @file Text that nests, as YAML does, from files and command lines: what is nested so deep that a parser would run out
 * of stack, refers to itself, or holds more than plain values is told in a line instead of thrown as a fault of ours.
 */

import { errorMessage } from './errors.js';

/** Far beyond what people write, and far below what a parser's stack takes. */
const DEEPEST = 200;
const DEEPEST_INDENT = 400;

/** A plain value (text, numbers, lists, objects), or what keeps the text from being one, in one line. */
export type PlainValue = { readonly value: unknown } | { readonly problem: string };

/**
 * Parses text into a plain value.
 * @param parse is not called for text that nests too deep; what it throws is the problem
 */
export function plainValueOf(text: string, parse: () => unknown): PlainValue {
  if (nestsTooDeep(text)) return { problem: `it nests more than ${DEEPEST} levels deep` };
  try {
    const value = parse();
    const problem = problemOf(value);
    return problem === undefined ? { value } : { problem };
  } catch (error) {
    return { problem: errorMessage(error).split('\n')[0]!.trim() };
  }
}

/** True where brackets, list marks or indentation go deeper than any parser should be sent. */
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

function problemOf(value: unknown): string | undefined {
  const open = new Set<object>();
  const closed = new Set<object>();
  const waiting: { readonly value: unknown; readonly isEnd: boolean }[] = [{ value, isEnd: false }];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const { value: inner, isEnd } = next;
    if (typeof inner !== 'object' || inner === null) continue;
    if (isEnd) {
      open.delete(inner);
      closed.add(inner);
      continue;
    }
    if (open.has(inner)) return 'it refers to itself';
    if (closed.has(inner)) continue;
    const kind = Object.getPrototypeOf(inner);
    if (kind !== Object.prototype && kind !== Array.prototype) {
      return `it holds a ${kind?.constructor?.name ?? 'value'}, which is neither text, number, list nor keys`;
    }
    open.add(inner);
    waiting.push({ value: inner, isEnd: true });
    for (const each of Object.values(inner)) waiting.push({ value: each, isEnd: false });
  }
  return undefined;
}
