/** @file When the words of a clip are spoken: the optional column `words` of manifests and tables. */

import { z } from 'zod';
import { plainValueOf } from '../../base/index.js';

/** A word of a clip, in seconds from its start. */
export interface WordTime {
  readonly word: string;
  readonly start: number;
  readonly end: number;
}

/** The column of word times: JSON, a list of word, start and end, as `emoq transcribe --words` writes it. */
export const WORDS_COLUMN = 'words';

const schema = z.array(
  z
    .object({ word: z.string().min(1), start: z.number().min(0), end: z.number() })
    .refine(({ start, end }) => end > start),
);

/** The part of a recording that becomes a clip. */
interface Part {
  readonly startSec: number;
  readonly endSec?: number | undefined;
}

/**
 * Reads a cell of word times. A cell without a list, such as a number of words in a table that uses the name for that,
 * tells no times.
 * @param refuse throws an error that says where the cell is
 * @param part the times of the cell are those of the recording; the result's, those of this part of it
 * @throws what `refuse` throws for a list that is broken or not in order, and for a word outside the part
 */
export function parseWordTimes(
  cell: string,
  refuse: (what: string) => never,
  part: Part = { startSec: 0 },
): readonly WordTime[] | undefined {
  if (!cell.startsWith('[')) return undefined;
  const json = plainValueOf(cell, () => JSON.parse(cell) as unknown);
  const parsed = schema.safeParse(json.kind === 'value' ? json.value : undefined);
  if (!parsed.success) {
    return refuse(
      `column "${WORDS_COLUMN}" is not a JSON list of words with start and end in seconds, such as [{"word":"so","start":0.1,"end":0.3}]`,
    );
  }
  const words = parsed.data.map(({ word, start, end }) => ({ word, start, end }));
  const early = words.find(({ start }, index) => start < (words[index - 1]?.end ?? 0));
  if (early) refuse(`column "${WORDS_COLUMN}": "${early.word}" begins before the word before it has ended`);
  const { startSec, endSec = Number.POSITIVE_INFINITY } = part;
  const outside = words.find(({ start, end }) => start < startSec || end > endSec);
  if (outside) {
    refuse(
      `column "${WORDS_COLUMN}": "${outside.word}" at ${outside.start} s is outside the part of the recording from ${startSec} s${endSec === Number.POSITIVE_INFINITY ? '' : ` to ${endSec} s`}; give the times of the recording`,
    );
  }
  return words.map(({ word, start, end }) => ({
    word,
    start: millisecond(start - startSec),
    end: millisecond(end - startSec),
  }));
}

/** Rounded to the millisecond. */
export function millisecond(sec: number): number {
  return Math.round(sec * 1000) / 1000;
}
