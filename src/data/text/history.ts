/**
 * @file The turns before an utterance, as lines of its prompt: `Joey: "Hey."`, or `"Hey."` of an unknown speaker.
 */

import type { TextTokenizer } from './tokenizer.js';
import { flat } from './white-space.js';

/** Someone's words; '' or undefined if the speaker is unknown or not to be mentioned. */
export interface SpokenLine {
  readonly speaker: string | undefined;
  readonly text: string;
}

/** A turn as a line, without its line break. */
export function historyLine({ speaker, text }: SpokenLine): string {
  const name = flat(speaker);
  return `${name === '' ? '' : `${name}: `}"${flat(text)}"`;
}

/**
 * The latest turns that fit a number of tokens, oldest first. Each turn is counted by itself with the line break before
 * it, and kept or left out whole.
 */
export function latestLines(
  tokenizer: TextTokenizer,
  lines: readonly string[],
  maxTokens: number,
): readonly string[] {
  let [first, tokens] = [lines.length, 0];
  while (first > 0) {
    tokens += tokensOf(tokenizer, lines[first - 1]!);
    if (tokens > maxTokens) break;
    first -= 1;
  }
  return lines.slice(first);
}

/** A turn is in the histories of all that follow it, so the latest counts are cached. */
const recentCounts = new WeakMap<TextTokenizer, Map<string, number>>();
const RECENT_LINES = 256;

function tokensOf(tokenizer: TextTokenizer, line: string): number {
  const recent = recentCounts.get(tokenizer) ?? new Map<string, number>();
  recentCounts.set(tokenizer, recent);
  let count = recent.get(line);
  if (count === undefined) {
    count = tokenizer.encode(`\n${line}`, { specialTokens: false, behind: 'text' }).length;
    if (recent.size >= RECENT_LINES) recent.clear();
    recent.set(line, count);
  }
  return count;
}
