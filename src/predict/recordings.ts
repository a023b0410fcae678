/**
 * @file Emotions for a CSV of recordings: rows are read in windows, decoded while the window before computes, and
 * written in their order. A row that cannot be predicted says why and the others go on.
 */

import { defaultJobs, errorMessage, InputError, InterruptedError, mapConcurrently } from '../base/index.js';
import { decodeAudio, SAMPLE_RATE_HZ } from '../data/audio/index.js';
import { withoutTags } from '../data/corpora/index.js';
import { BATCH_SEC, batchesByLength } from '../data/features/index.js';
import { type CsvRow, cellOf, type RecordingTable } from '../data/tables/index.js';
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
import { type RecordingsInput, rowNames, transcriptOfRow } from './recording-rows.js';
import type { TrainedModel } from './trained-model.js';

export interface RecordingsOptions extends RecordingsInput {
  readonly format?: PredictionFormat;
  readonly compute: ComputeOptions;
  readonly onProgress?: (done: number, total: number) => void;
}

export interface RecordingsSummary {
  readonly rows: number;
  readonly failed: number;
  /** Rows without a transcript. */
  readonly textless: number;
}

/** Recordings in memory at a time: one window being computed, the next being decoded. */
const WINDOW = 32;

/** A row with its audio, or with the reason why it has none. */
type Recording = { readonly row: CsvRow; readonly path: string } & (
  | { readonly samples: Float32Array | undefined }
  | { readonly error: string }
);

/**
 * Predicts every recording of a table and writes the predictions file, whole or not at all.
 * @throws InputError when the output cannot be written
 */
export async function predictRecordings(
  trained: TrainedModel,
  table: RecordingTable,
  options: RecordingsOptions,
): Promise<RecordingsSummary> {
  const { recipe, model } = trained;
  const { rows } = table;
  const names = rowNames(table, options.pathColumn);
  const writer = await openWriter(options, { labels: recipe.labels, identity: names.identity });
  const { device, threads } = options.compute;
  let encoder: SpeechEncoder | undefined;
  let failed = 0;
  try {
    if (model.needsAudio) {
      const { encoder: checkpoint, encoder_onnx: onnx } = recipe.backbones;
      encoder = await openSpeechEncoder(checkpoint, { device, threads, onnx });
    }
    options.onProgress?.(0, rows.length);
    let ahead = decodeWindow(rows.slice(0, WINDOW), table, trained, options);
    for (let start = 0; start < rows.length; start += WINDOW) {
      if (options.compute.stop?.aborted) {
        throw new InterruptedError(`interrupted after ${start} of ${rows.length} rows; nothing was written`);
      }
      const window = await ahead;
      ahead = decodeWindow(rows.slice(start + WINDOW, start + 2 * WINDOW), table, trained, options);
      const outcomes = await predictWindow(window, trained, encoder, options);
      for (const [index, { row }] of window.entries()) {
        const outcome = outcomes[index]!;
        if ('error' in outcome) failed += 1;
        await writer.write({ ...names.of(row), ...outcome });
      }
      options.onProgress?.(Math.min(start + WINDOW, rows.length), rows.length);
    }
    await writer.commit();
    const textless = rows.filter((row) => transcriptOfRow(row, options.textColumn) === '').length;
    return { rows: rows.length, failed, textless };
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
  { files }: RecordingTable,
  trained: TrainedModel,
  options: RecordingsOptions,
): Promise<Recording[]> {
  const most = Math.max(1, Math.round(trained.recipe.max_audio_sec * SAMPLE_RATE_HZ));
  return mapConcurrently(rows, defaultJobs(), async (row): Promise<Recording> => {
    const given = cellOf(row, options.pathColumn);
    if (!trained.model.needsAudio) {
      const isEmpty = transcriptOfRow(row, options.textColumn) === '';
      return isEmpty ? emptyCell(row, options.textColumn) : { row, path: given, samples: undefined };
    }
    if (given === '') return emptyCell(row, options.pathColumn);
    try {
      const path = await files.find(row.fields[options.pathColumn]!);
      return { row, path, samples: (await decodeAudio(path)).subarray(0, most) };
    } catch (error) {
      return { row, path: given, error: errorMessage(error) };
    }
  });
}

function emptyCell(row: CsvRow, column: string): Recording {
  return { row, path: '', error: `line ${row.line}: column "${column}" is empty` };
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
    const { row } = window[index]!;
    const text = transcriptOfRow(row, options.textColumn);
    return {
      id: String(index),
      path: window[index]!.path,
      text: recipe.strip_tags ? withoutTags(text) : text, // as in training
      speaker: cellOf(row, options.speakerColumn),
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
