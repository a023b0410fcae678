/** @file Counts of what users should know of their rows, which a resumed prediction continues. */

import { z } from 'zod';
import { cellOf } from '../../data/tables/index.js';
import { WINDOWS_NOTE } from '../../evaluation/index.js';
import type { JudgedRow } from './judging.js';
import { type RowNote, transcriptOfRow } from './parts.js';
import { GENDER_COLUMN, rowName, type SourceRow } from './prediction-source.js';

const edits = z.strictObject({ edits: z.number(), of: z.number() });

const recognitionSchema = z.strictObject({
  /** Rows with a reference text. */
  rows: z.number(),
  characters: edits,
  words: edits,
  /** Without case and punctuation. */
  plain_characters: edits,
  plain_words: edits,
});

/** Edits from reference texts to recognised ones. */
export type RecognitionCounts = z.infer<typeof recognitionSchema>;

export const countsSchema = z.strictObject({
  rows: z.number(),
  failed: z.number(),
  textless: z.number(),
  genderless: z.number(),
  cut_texts: z.number(),
  /** Of transcribe: recognised texts beside those that rows have. */
  recognition: recognitionSchema.optional(),
  /** Rows by the kind of their audio notes, with the name of the first. */
  notes: z.record(z.string(), z.strictObject({ count: z.number(), first: z.string() })),
});

export type Counts = z.infer<typeof countsSchema>;

export function noCounts(): Counts {
  return { rows: 0, failed: 0, textless: 0, genderless: 0, cut_texts: 0, notes: {} };
}

/** The counts with more rows. */
export function countRows(before: Counts, judged: readonly JudgedRow[], textColumn: string): Counts {
  const counts = { ...before, notes: { ...before.notes } };
  for (const { row, parts, whole } of judged) {
    counts.rows += 1;
    if (parts.every(({ kind }) => kind === 'failed')) counts.failed += 1;
    const isTextless =
      transcriptOfRow(row, textColumn) === '' && parts.every(({ recognised = '' }) => !recognised);
    if (isTextless) counts.textless += 1;
    if (cellOf(row, GENDER_COLUMN) === '') counts.genderless += 1;
    if (parts.some(({ isCut }) => isCut)) counts.cut_texts += 1;
    countNotes(
      counts,
      row,
      [...parts, ...(whole ? [whole] : [])].flatMap(({ notes }) => notes),
    );
  }
  return counts;
}

/** Counts a row under each kind of its audio notes. */
export function countNotes(counts: Counts, row: SourceRow, notes: readonly RowNote[]): void {
  for (const kind of new Set(notes.map((each) => each.kind))) {
    if (kind === TEXT_NOTE || kind === WINDOWS_NOTE) continue;
    const { count, first } = counts.notes[kind] ?? { count: 0, first: rowName(row) };
    counts.notes[kind] = { count: count + 1, first };
  }
}

/** The kind of a note on the transcript, which is counted by itself. */
const TEXT_NOTE = 'text';
