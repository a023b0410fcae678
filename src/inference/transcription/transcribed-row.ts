/** @file The recognised text of a row: of its parts, joined. */

import type { RecognisedText } from '../../backbones/index.js';
import { CUT_RECOGNITION, joinedTexts, type RowNote, type SourceRow } from '../prediction/index.js';

/** A word, its place in the recording in seconds, and how likely its letters are. */
export interface RecognisedWord {
  readonly word: string;
  readonly start: number;
  readonly end: number;
  readonly confidence: number;
}

/** The text of a part, or why there is none. */
export type PartText = { readonly notes: readonly RowNote[] } & (
  | { readonly kind: 'recognised'; readonly text: RecognisedText; readonly startSec: number }
  | { readonly kind: 'failed'; readonly error: string }
);

/** A row with its text, or why it has none. */
export type TranscribedRow = {
  readonly row: SourceRow;
  /** Its path as given; '' if it has none. */
  readonly name: string;
  readonly notes: readonly RowNote[];
} & (
  | {
      readonly kind: 'recognised';
      readonly text: string;
      /** As that of {@link RecognisedText}, over all parts. */
      readonly confidence: number | undefined;
      readonly words: readonly RecognisedWord[];
    }
  | { readonly kind: 'failed'; readonly error: string }
);

/**
 * A row from its parts, one after the other. If one of them has no text, neither has the row: a text with a gap would
 * look like a whole one.
 * @param windowed notes on a recording that was cut into windows
 */
export function transcribedRow(
  row: SourceRow,
  name: string,
  parts: readonly PartText[],
  windowed: readonly RowNote[],
): TranscribedRow {
  const isCut = parts.some((part) => part.kind === 'recognised' && part.text.isCut);
  const notes = [...parts.flatMap((part) => part.notes), ...windowed, ...(isCut ? [CUT_RECOGNITION] : [])];
  const common = { row, name, notes };
  const failed = parts.find((part) => part.kind === 'failed');
  if (failed?.kind === 'failed') return { ...common, kind: 'failed', error: failed.error };
  const read = parts.flatMap((part) => (part.kind === 'recognised' ? [part] : []));
  const symbols = read.reduce((sum, { text }) => sum + text.symbols, 0);
  const total = read.reduce((sum, { text }) => sum + (text.confidence ?? 0) * text.symbols, 0);
  return {
    ...{ ...common, kind: 'recognised' },
    text: joinedTexts(read.map(({ text }) => text.text)),
    confidence: symbols === 0 ? undefined : total / symbols,
    words: read.flatMap(({ text, startSec }) =>
      text.words.map(({ word, confidence, ...span }) => ({
        ...{ word, confidence },
        start: startSec + span.startSec,
        end: startSec + span.endSec,
      })),
    ),
  };
}
