/**
 * @file Emotions for a CSV of recordings: rows are read in windows, decoded while the window before computes, and
 * written in their order. A row that cannot be predicted says why and the others go on.
 */

import { stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { defaultJobs, errorMessage, InputError, InterruptedError, mapConcurrently } from '../base/index.js';
import { type ChannelChoice, countByKind, SAMPLE_RATE_HZ } from '../data/audio/index.js';
import { type CsvRow, type CsvTable, readCsvTable, withoutTags } from '../data/corpora/index.js';
import { BATCH_SEC, batchesByLength } from '../data/features/index.js';
import { encodeHalf } from '../engine/tensor/index.js';
import {
  argmax,
  openPredictionWriter,
  type PredictionColumns,
  type PredictionFormat,
  type PredictionWriter,
} from '../evaluate/index.js';
import { openSpeechEncoder, type SpeechEncoder } from '../models/index.js';
import type { ComputeOptions, Spoken, StoredFeatures } from '../train/index.js';
import { channelOfRow, hear, type RowNote } from './decoding.js';
import type { TrainedModel } from './trained-model.js';

export interface RecordingsInput {
  readonly input: string;
  readonly output: string;
  readonly pathColumn: string;
  /** A column by another name than this default must be there; under it, it need not be. */
  readonly textColumn: string;
  readonly speakerColumn: string;
}

export interface RecordingsOptions extends RecordingsInput {
  /** Of every recording for which the table does not choose. */
  readonly channel?: ChannelChoice | undefined;
  readonly format?: PredictionFormat;
  readonly compute: ComputeOptions;
  readonly onProgress?: (done: number, total: number) => void;
}

export interface RecordingsSummary {
  readonly rows: number;
  readonly failed: number;
  /** Rows without a transcript. */
  readonly textless: number;
  /** Rows whose note says something of their sound, counted by kind in words; '' for none. */
  readonly noted: string;
}

/** Recordings in memory at a time: one window being computed, the next being decoded. */
const WINDOW = 32;

/** A row with its audio, or with the reason why it has none. */
type Recording = { readonly row: CsvRow; readonly path: string } & (
  | { readonly samples: Float32Array | undefined; readonly notes: readonly RowNote[] }
  | { readonly error: string }
);

/** Columns that a CSV need not have. */
export const OPTIONAL_COLUMNS = { text: 'text', speaker: 'speaker' } as const;

/**
 * Reads the CSV of recordings, and makes sure that the predictions have a place to go.
 * @throws InputError when the CSV is missing, empty or without a column that was named, or the output cannot be a file
 */
export async function readRecordings(options: RecordingsInput): Promise<CsvTable> {
  const { input, output, pathColumn, textColumn, speakerColumn } = options;
  const named = [
    pathColumn,
    ...(textColumn === OPTIONAL_COLUMNS.text ? [] : [textColumn]),
    ...(speakerColumn === OPTIONAL_COLUMNS.speaker ? [] : [speakerColumn]),
  ];
  const table = await readCsvTable(input, named);
  if (resolve(input) === resolve(output)) {
    throw new InputError(`output ${output} is the input itself; name another file with -o`);
  }
  const present = await stat(output).catch(() => undefined);
  if (present?.isDirectory()) throw new InputError(`output ${output} is a folder; name a file in it with -o`);
  return table;
}

/**
 * Predicts every recording of a table and writes the predictions file, whole or not at all.
 * @throws InputError when the output cannot be written
 */
export async function predictRecordings(
  trained: TrainedModel,
  { rows, columns }: CsvTable,
  options: RecordingsOptions,
): Promise<RecordingsSummary> {
  const { recipe, model } = trained;
  const identity =
    columns.includes('id') && options.pathColumn !== 'id' ? (['id', 'path'] as const) : (['path'] as const);
  const writer = await openWriter(options, { labels: recipe.labels, identity, note: true });
  const { device, threads } = options.compute;
  let encoder: SpeechEncoder | undefined;
  let failed = 0;
  const noted: { kind: string; name: string }[] = [];
  try {
    if (model.needsAudio) {
      const { encoder: checkpoint, encoder_onnx: onnx } = recipe.backbones;
      encoder = await openSpeechEncoder(checkpoint, { device, threads, onnx });
    }
    options.onProgress?.(0, rows.length);
    let ahead = decodeWindow(rows.slice(0, WINDOW), trained, options);
    for (let start = 0; start < rows.length; start += WINDOW) {
      if (options.compute.stop?.aborted) {
        throw new InterruptedError(`interrupted after ${start} of ${rows.length} rows; nothing was written`);
      }
      const window = await ahead;
      ahead = decodeWindow(rows.slice(start + WINDOW, start + 2 * WINDOW), trained, options);
      const outcomes = await predictWindow(window, trained, encoder, options);
      for (const [index, recording] of window.entries()) {
        const { row, path } = recording;
        const outcome = outcomes[index]!;
        if ('error' in outcome) failed += 1;
        const notes = 'notes' in recording ? recording.notes : [];
        for (const { kind } of notes) noted.push({ kind, name: `line ${row.line}` });
        await writer.write({
          ...(row.fields.id !== undefined && { id: row.fields.id }),
          path: row.fields[options.pathColumn] ?? path,
          ...outcome,
          ...(notes.length > 0 && { note: notes.map(({ kind, text }) => `${kind}: ${text}`).join('; ') }),
        });
      }
      options.onProgress?.(Math.min(start + WINDOW, rows.length), rows.length);
    }
    await writer.commit();
    const textless = rows.filter(({ fields }) => !fields[options.textColumn]?.trim()).length;
    return { rows: rows.length, failed, textless, noted: countByKind(noted) };
  } finally {
    await writer.discard();
    await encoder?.close();
  }
}

async function openWriter(
  { output, format }: RecordingsOptions,
  columns: PredictionColumns,
): Promise<PredictionWriter> {
  try {
    return await openPredictionWriter(output, columns, format);
  } catch (error) {
    throw new InputError(`output ${output} cannot be written: ${errorMessage(error)}`);
  }
}

/** Reads and decodes; a failure belongs to its row. */
function decodeWindow(
  rows: readonly CsvRow[],
  trained: TrainedModel,
  options: RecordingsOptions,
): Promise<Recording[]> {
  const folder = dirname(options.input);
  return mapConcurrently(rows, defaultJobs(), async (row): Promise<Recording> => {
    const given = row.fields[options.pathColumn]?.trim() ?? '';
    const path = resolve(folder, given);
    if (given === '')
      return { row, path, error: `line ${row.line}: column "${options.pathColumn}" is empty` };
    if (!trained.model.needsAudio) return { row, path, samples: undefined, notes: [] };
    try {
      const channel = channelOfRow(row.fields, options.channel);
      return { row, path, ...(await hear(path, channel, trained.recipe.max_audio_sec)) };
    } catch (error) {
      return { row, path, error: errorMessage(error) };
    }
  });
}

type RowOutcome =
  | { readonly label: string; readonly probabilities: Float32Array }
  | { readonly error: string };

async function predictWindow(
  window: readonly Recording[],
  trained: TrainedModel,
  encoder: SpeechEncoder | undefined,
  options: RecordingsOptions,
): Promise<RowOutcome[]> {
  const { recipe, model } = trained;
  const readable = [...window.keys()].filter((index) => !('error' in window[index]!));
  const features =
    encoder === undefined ? new Map<number, StoredFeatures>() : await encodeAll(window, readable, encoder);
  const spoken = readable.map((index): Spoken => {
    const { fields } = window[index]!.row;
    const text = fields[options.textColumn] ?? '';
    return {
      id: String(index),
      path: window[index]!.path,
      text: recipe.strip_tags ? withoutTags(text) : text, // as in training
      speaker: fields[options.speakerColumn] ?? '',
      label: '',
    };
  });
  const source = {
    frames: (id: string) => features.get(Number(id))?.frames ?? 0,
    read: async ({ id }: { readonly id: string }) => features.get(Number(id))!,
  };
  const outcomes = window.map(
    (recording): RowOutcome => ({ error: 'error' in recording ? recording.error : '' }),
  );
  const examples = model.examples(spoken).filter((example) => {
    const problem = model.promptProblem(example);
    if (problem !== undefined) outcomes[Number(example.id)] = { error: `${problem}; shorten its text` };
    return problem === undefined;
  });
  const inferences = await trained.infer(examples, source);
  inferences.forEach(({ probabilities }, place) => {
    const label = recipe.labels[argmax(probabilities)]!;
    outcomes[Number(examples[place]!.id)] = { label, probabilities };
  });
  return outcomes;
}

/** Features of the readable recordings by their place in the window, in the batches that the feature cache is made in. */
async function encodeAll(
  window: readonly Recording[],
  readable: readonly number[],
  encoder: SpeechEncoder,
): Promise<Map<number, StoredFeatures>> {
  const clips = readable.flatMap((index) => {
    const recording = window[index]!;
    return 'samples' in recording && recording.samples !== undefined
      ? [{ index, samples: recording.samples }]
      : [];
  });
  const limits = { paddedSamples: encoder.paddedSamples, batchSamples: BATCH_SEC * SAMPLE_RATE_HZ };
  const features = new Map<number, StoredFeatures>();
  for (const batch of batchesByLength(clips, limits)) {
    const encoded = await encoder.encode(batch.map(({ samples }) => samples));
    // Through float16, as the cache keeps them: a recording is judged alike wherever its features come from.
    batch.forEach(({ index }, row) => {
      features.set(index, { words: encodeHalf(encoded[row]!.data), frames: encoded[row]!.frames });
    });
  }
  return features;
}
