/**
 * @file Normalises transcripts to words, and finds passages (runs of utterances and whole dialogues) with the same
 * words in two parts of a corpus.
 */

import type { Utterance } from './manifest.js';
import { EXAMPLES, type SharedItems } from './shared-audio.js';

/** One utterance: its words and its dialogue ('' if the id has no parts). */
interface Line {
  id: string;
  words: string;
  dialogue: string;
}

/** Lines `seen` to `seen + length` have the same words as lines `heldOut` to `heldOut + length`. */
interface Run {
  seen: number;
  heldOut: number;
  length: number;
}

/** A run of common phrases ("Hey." "Hi.") is chance; one with this many distinct utterances and words is not. */
const FEWEST_UTTERANCES = 3;
const FEWEST_WORDS = 10;
/** Runs are anchored at texts that occur at most this often in the seen part: "Yeah." is everywhere. */
const RARE = 20;

/**
 * Passages in common: three or more consecutive utterances with the same words, or a whole dialogue, however short.
 * Utterances are consecutive in manifest order; a dialogue is an id without its last part (`Ses01F_impro01` of
 * `Ses01F_impro01_F000`).
 * @param wordsOf the words of an utterance; '' if unknown
 * @returns the number of passages in the held-out part; the examples are the longest ones, with all their ids
 */
export function passagesInCommon(
  seen: readonly Utterance[],
  heldOut: readonly Utterance[],
  wordsOf: (utterance: Utterance) => string,
): SharedItems {
  const lineOf = (utterance: Utterance): Line => ({
    id: utterance.id,
    words: wordsOf(utterance),
    dialogue: /^(.*)[_-][^_-]*$/.exec(utterance.id)?.[1] ?? '',
  });
  const a = seen.map(lineOf);
  const b = heldOut.map(lineOf);
  const runs = [...longRuns(a, b), ...wholeDialogues(a, b)];
  const said = (run: Run): string => textsOf(b, run).join(' ');
  const covered = new Set<number>();
  const passages: Run[] = [];
  for (const run of runs.sort((x, y) => y.length - x.length || x.heldOut - y.heldOut)) {
    const positions = Array.from({ length: run.length }, (_, i) => run.heldOut + i);
    if (positions.every((position) => covered.has(position))) continue;
    for (const position of positions) covered.add(position);
    passages.push(run);
  }
  passages.sort((x, y) => wordCount(said(y)) - wordCount(said(x)));
  return {
    count: passages.length,
    utterances: covered.size,
    examples: passages.slice(0, EXAMPLES).map((run) => ({
      what: said(run),
      seen: a.slice(run.seen, run.seen + run.length).map(({ id }) => id),
      heldOut: b.slice(run.heldOut, run.heldOut + run.length).map(({ id }) => id),
    })),
  };
}

function textsOf(lines: readonly Line[], { heldOut, length }: Run): string[] {
  return lines.slice(heldOut, heldOut + length).map(({ words }) => words);
}

function longRuns(a: readonly Line[], b: readonly Line[]): Run[] {
  const positions = new Map<string, number[]>();
  for (const [position, { words }] of a.entries()) {
    const others = positions.get(words);
    if (others) others.push(position);
    else positions.set(words, [position]);
  }
  const same = (i: number, j: number): boolean => {
    const words = a[i]?.words;
    return words !== undefined && words !== '' && words === b[j]?.words;
  };
  const endOnDiagonal = new Map<number, number>();
  const runs: Run[] = [];
  for (const [j, { words }] of b.entries()) {
    const candidates = words === '' ? [] : (positions.get(words) ?? []);
    if (candidates.length > RARE) continue;
    for (const i of candidates) {
      if (j < (endOnDiagonal.get(i - j) ?? 0)) continue;
      let start = 0;
      while (same(i - start - 1, j - start - 1)) start++;
      let length = start + 1;
      while (same(i - start + length, j - start + length)) length++;
      const run: Run = { seen: i - start, heldOut: j - start, length };
      endOnDiagonal.set(i - j, run.heldOut + length);
      const texts = textsOf(b, run);
      if (new Set(texts).size < FEWEST_UTTERANCES || wordCount(texts.join(' ')) < FEWEST_WORDS) continue;
      runs.push(run);
    }
  }
  return runs;
}

function wholeDialogues(a: readonly Line[], b: readonly Line[]): Run[] {
  const [seen, heldOut] = [dialoguesOf(a), dialoguesOf(b)];
  // Ids of a corpus without dialogues may have parts too; each "dialogue" then has one utterance.
  if (seen.length > a.length / 2 || heldOut.length > b.length / 2) return [];
  const starts = new Map(seen.map(({ start, words }) => [words, start]));
  return heldOut.flatMap(({ start, length, words }) => {
    const other = starts.get(words);
    return other === undefined ? [] : [{ seen: other, heldOut: start, length }];
  });
}

/** Dialogues in which every utterance has words. */
function dialoguesOf(lines: readonly Line[]): { start: number; length: number; words: string }[] {
  const dialogues: { start: number; length: number; words: string }[] = [];
  for (let start = 0; start < lines.length; ) {
    const { dialogue } = lines[start]!;
    let length = 1;
    while (lines[start + length]?.dialogue === dialogue) length++;
    const texts = lines.slice(start, start + length).map(({ words }) => words);
    if (dialogue !== '' && texts.every((words) => words !== '')) {
      dialogues.push({ start, length, words: texts.join('\n') });
    }
    start += length;
  }
  return dialogues;
}

/** `Okay. [LAUGHTER] Bye.` -> `Okay. Bye.`: text in brackets is an annotation, not speech. */
export function withoutTags(text: string): string {
  return text
    .replace(/\[[^[\]]*\]/g, ' ')
    .replace(/\s+/g, ' ')
    .trim();
}

/** The bare words: no tags, case or punctuation. Equal for transcripts that say the same. */
export function spokenWords(text: string): string {
  return withoutTags(text)
    .normalize('NFKC')
    .toLowerCase()
    .replace(/['’]/g, '')
    .replace(/[^\p{L}\p{M}\p{N}]+/gu, ' ')
    .trim();
}

/** Number of words in the result of `spokenWords`. */
export function wordCount(words: string): number {
  return words === '' ? 0 : words.split(' ').length;
}

/**
 * Windows-1252 from 0x80 to 0x9F; its five unused codes stay control characters. (Node 20 decodes this label as
 * Latin-1.)
 */
const WINDOWS_1252 = '€\u0081‚ƒ„…†‡ˆ‰Š‹Œ\u008dŽ\u008f\u0090‘’“”•–—˜™š›œ\u009džŸ';

/**
 * Text of a corpus file. Older copies were only partly converted from Windows-1252: some contain its bytes unchanged,
 * some its codes 0x80 to 0x9F as control characters. Both become the intended characters (… ‘ ’ “ ” – —), and no-break
 * spaces become spaces. Valid UTF-8 lines are kept.
 */
export function repairText(bytes: Uint8Array): string {
  const utf8 = new TextDecoder('utf-8', { fatal: true });
  const decodeLine = (line: Uint8Array): string => {
    try {
      return utf8.decode(line);
    } catch {
      return Buffer.from(line).toString('latin1'); // 0x80 to 0x9F become control characters, which are repaired below
    }
  };
  const lines: string[] = [];
  for (let start = 0; start <= bytes.length; ) {
    const end = bytes.indexOf(10, start);
    const stop = end < 0 ? bytes.length : end;
    lines.push(decodeLine(bytes.subarray(start, stop)));
    start = stop + 1;
  }
  return lines
    .join('\n')
    .replace(/[\u0080-\u009f]/g, (control) => WINDOWS_1252[control.charCodeAt(0) - 0x80]!)
    .replaceAll('\u00a0', ' ');
}
