/** @file Recognises the rows of a source and writes their texts: to a file that can be resumed, a stream or the caller. */

import { setMaxListeners } from 'node:events';
import { InputError, type OutputTarget, readAhead } from '../../base/index.js';
import type { ChannelChoice } from '../../data/audio/index.js';
import { cellOf } from '../../data/tables/index.js';
import { type PredictionFormat, plainText, textEdits } from '../../evaluation/index.js';
import type { ComputeOptions } from '../../training/index.js';
import {
  attempt,
  type Counts,
  chunkSize,
  chunksOf,
  countNotes,
  encodeParts,
  noteText,
  type OutputLayout,
  outputLayout,
  type PlannedOutput,
  type PredictionSource,
  planOutput,
  type RecognitionCounts,
  type Shard,
  transcriptOfRow,
  type WritingOptions,
  writeRows,
} from '../prediction/index.js';
import { type NamedRecogniser, openRecogniser, type SpeechRecogniser } from '../speech-recogniser.js';
import {
  type PartText,
  type RecognisedWord,
  type TranscribedRow,
  transcribedRow,
} from './transcribed-row.js';

/** What to recognise, and how. */
export interface TranscriptionJob {
  readonly pathColumn: string;
  /** The column of reference texts, to compare with; absent: there is none. */
  readonly textColumn: string | undefined;
  /** For every recording without a channel in the table. */
  readonly channel: ChannelChoice | undefined;
  readonly format: PredictionFormat;
  readonly shard: Shard | undefined;
  readonly recogniser: NamedRecogniser;
  /** Whether the words are written with their times. */
  readonly words: boolean;
  /** Options that may change the figures, for the identity of the output. */
  readonly settings: Readonly<Record<string, string | number | null>>;
}

/** Longer recordings are recognised in windows of up to 15 s, cut at their pauses. */
const LONGEST_SEC = 30;

export interface PlannedTranscription extends PlannedOutput<TranscribedRow> {
  readonly job: TranscriptionJob;
}

/** @throws InputError for a shard of an input that cannot be divided, or a column of references that is not there */
export function transcriptionPlan(source: PredictionSource, job: TranscriptionJob): PlannedTranscription {
  const { pathColumn, textColumn, channel, format, shard, recogniser, words, settings } = job;
  if (textColumn !== undefined && !source.columns.includes(textColumn)) {
    throw new InputError(
      `--text-column ${textColumn}: the input has no such column; its columns are ${source.columns.join(', ')}`,
    );
  }
  const { name: _, beam, language, ...model } = recogniser.identity;
  const options = {
    ...{ 'path-column': pathColumn, 'text-column': textColumn ?? null, channel: channel ?? null },
    ...{ beam, words: words ? 'yes' : null, ...(language !== undefined && { language }), ...settings },
  };
  const choice = { format, shard, model, options };
  return { job, ...planOutput(source, transcriptionLayout(source, job), choice) };
}

/**
 * The input's columns, and then text, confidence, words if they are asked for, note and error. A column `text` of the
 * input is kept, and the recognised text is in a column `recognised` beside it.
 */
function transcriptionLayout(
  source: PredictionSource,
  { format, words }: Pick<TranscriptionJob, 'format' | 'words'>,
): OutputLayout<TranscribedRow> {
  const text = source.columns.includes('text') ? 'recognised' : 'text';
  const answers = [text, 'confidence', ...(words ? ['words'] : []), 'note', 'error'];
  const taken = new Set([...source.columns, ...answers]);
  const renamed = new Map<string, string>();
  for (const name of source.columns.filter((column) => answers.includes(column))) {
    let free = `input_${name}`;
    while (taken.has(free)) free = `input_${free}`;
    taken.add(free);
    renamed.set(name, free);
  }
  return outputLayout(source, answers, renamed, format, (done: TranscribedRow) => {
    const note = noteText(done.notes);
    const own =
      done.kind === 'failed'
        ? { error: done.error }
        : {
            [text]: done.text,
            ...(done.confidence !== undefined && { confidence: fourDigits(done.confidence) }),
            ...(words && { words: { json: JSON.stringify(done.words.map(writtenWord)) } }),
          };
    return { row: done.row, records: [{ ...own, ...(note !== '' && { note }) }] };
  });
}

function fourDigits(value: number): number {
  return Number(value.toFixed(4));
}

function writtenWord({ word, start, end, confidence }: RecognisedWord): RecognisedWord {
  const [from, to] = [start, end].map((sec) => Number(sec.toFixed(3))) as [number, number];
  return { word, start: from, end: to, confidence: fourDigits(confidence) };
}

/**
 * Recognises the rows of a plan and writes them.
 * @returns the counts; with reference texts, the edits from them
 * @throws InputError when the output cannot be written; InterruptedError when `compute.stop` is aborted
 */
export async function transcribeRows(
  plan: PlannedTranscription,
  output: OutputTarget | ((row: TranscribedRow) => void),
  { compute, ...options }: Omit<WritingOptions, 'stop'> & { readonly compute: ComputeOptions },
): Promise<Counts> {
  const { job } = plan;
  const { stop } = compute;
  const recogniser = openRecogniser(job.recogniser, compute);
  try {
    return await writeRows<TranscribedRow>(
      plan,
      output,
      {
        rows: (from) => recognisedRows(plan, recogniser, from, stop),
        rowOf: ({ row }) => row,
        count: (before, rows) => counted(before, rows, job.textColumn),
      },
      { ...options, stop },
    );
  } finally {
    await recogniser.encoder.close();
  }
}

export interface RecognisedInput extends Pick<PlannedTranscription, 'source' | 'range'> {
  readonly job: Pick<TranscriptionJob, 'pathColumn' | 'channel'>;
}

/** Rows in the order of the input, those that are finished together. */
export async function* recognisedRows(
  { source, range, job }: RecognisedInput,
  recogniser: SpeechRecogniser,
  from: number,
  stop: AbortSignal | undefined,
): AsyncGenerator<readonly TranscribedRow[]> {
  const unneeded = new AbortController();
  setMaxListeners(0, unneeded.signal); // one for each recording that is being decoded
  const { pathColumn, channel } = job;
  const options = {
    ...{ pathColumn, channel, range, from, stop, textColumn: '', speakerColumn: '' },
    ...({ needsAudio: true, maxAudioSec: LONGEST_SEC, windows: 'auto' } as const),
  };
  const { encoder, textOf } = recogniser;
  try {
    const chunks = chunksOf<PartText, TranscribedRow>(
      source,
      options,
      chunkSize(encoder.lanes),
      (row, parts, windowed) => transcribedRow(row, cellOf(row, pathColumn), parts, windowed?.notes ?? []),
      unneeded.signal,
    );
    for await (const { items, finished } of readAhead(chunks)) {
      stop?.throwIfAborted();
      const texts = await encodeParts(items, encoder, (features) => attempt(() => textOf(features)));
      for (const [index, { part, to }] of items.entries()) {
        const text = texts.get(index);
        if (part.kind === 'failed') to.push({ kind: 'failed', error: part.error, notes: [] });
        else if (text!.kind === 'failed') to.push({ kind: 'failed', error: text!.error, notes: part.notes });
        else {
          to.push({
            ...{ kind: 'recognised', notes: part.notes },
            ...{ text: text!.value, startSec: part.startSec ?? 0 },
          });
        }
      }
      if (finished.length > 0) yield finished.map((row) => row());
    }
  } finally {
    unneeded.abort(); // the next rows are being decoded
  }
}

const NONE = { edits: 0, of: 0 };
const NO_EDITS: RecognitionCounts = {
  ...{ rows: 0, characters: NONE, words: NONE, plain_characters: NONE, plain_words: NONE },
};

function counted(before: Counts, rows: readonly TranscribedRow[], textColumn: string | undefined): Counts {
  const counts = { ...before, notes: { ...before.notes } };
  for (const done of rows) {
    counts.rows += 1;
    countNotes(counts, done.row, done.notes);
    if (done.kind === 'failed') {
      counts.failed += 1;
      continue;
    }
    if (done.text === '') counts.textless += 1;
    const reference = textColumn === undefined ? '' : transcriptOfRow(done.row, textColumn);
    if (reference === '') continue;
    counts.recognition = withEdits(counts.recognition ?? NO_EDITS, reference, done.text);
  }
  return counts;
}

function withEdits(before: RecognitionCounts, reference: string, text: string): RecognitionCounts {
  const written = textEdits(reference, text);
  const plain = textEdits(plainText(reference), plainText(text));
  const sum = (a: typeof NONE, b: typeof NONE) => ({ edits: a.edits + b.edits, of: a.of + b.of });
  return {
    rows: before.rows + 1,
    characters: sum(before.characters, written.characters),
    words: sum(before.words, written.words),
    plain_characters: sum(before.plain_characters, plain.characters),
    plain_words: sum(before.plain_words, plain.words),
  };
}
