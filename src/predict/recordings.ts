/**
 * @file Emotions for a CSV of recordings: rows are read in windows, decoded while the window before computes, and
 * written in their order. A row that cannot be predicted says why and the others go on.
 */

import { dirname, resolve } from 'node:path';
import { errorMessage, InputError, InterruptedError } from '../base/index.js';
import { decodeAudio, defaultJobs, mapConcurrently, SAMPLE_RATE_HZ } from '../data/audio/index.js';
import { type CsvRow, readCsvTable } from '../data/corpora/index.js';
import { encodeHalf } from '../engine/tensor/index.js';
import { argmax, openPredictionWriter, type PredictionFormat } from '../evaluate/index.js';
import { openSpeechEncoder, type SpeechEncoder } from '../models/index.js';
import type { ComputeOptions, Spoken, StoredFeatures } from '../train/index.js';
import type { TrainedModel } from './trained-model.js';

export interface RecordingsOptions {
  readonly input: string;
  readonly output: string;
  readonly format?: PredictionFormat;
  readonly pathColumn: string;
  readonly textColumn: string;
  readonly speakerColumn: string;
  readonly compute: ComputeOptions;
  readonly onProgress?: (done: number, total: number) => void;
}

export interface RecordingsSummary {
  readonly rows: number;
  readonly failed: number;
}

/** Recordings in memory at a time: one window being computed, the next being decoded. */
const WINDOW = 32;

/** A row with its audio, or with the reason why it has none. */
type Recording = { readonly row: CsvRow; readonly path: string } & (
  | { readonly samples: Float32Array | undefined }
  | { readonly error: string }
);

/**
 * Predicts every row of a CSV and writes the predictions file, whole or not at all.
 * @throws InputError when the CSV is unusable: missing, empty, without the path column
 */
export async function predictRecordings(
  trained: TrainedModel,
  options: RecordingsOptions,
): Promise<RecordingsSummary> {
  const { rows, columns } = await readCsvTable(options.input, [options.pathColumn]);
  const { recipe, model } = trained;
  const identity =
    columns.includes('id') && options.pathColumn !== 'id' ? (['id', 'path'] as const) : (['path'] as const);
  const writer = await openPredictionWriter(
    options.output,
    { labels: recipe.labels, identity },
    options.format,
  );
  const { device, threads } = options.compute;
  const encoder = model.needsAudio
    ? await openSpeechEncoder(recipe.backbones.encoder, { device, ...(threads && { threads }) })
    : undefined;
  let failed = 0;
  try {
    let ahead = decodeWindow(rows.slice(0, WINDOW), trained, options);
    for (let start = 0; start < rows.length; start += WINDOW) {
      if (options.compute.stop?.aborted) {
        throw new InterruptedError(`interrupted after ${start} of ${rows.length} rows; nothing was written`);
      }
      const window = await ahead;
      ahead = decodeWindow(rows.slice(start + WINDOW, start + 2 * WINDOW), trained, options);
      const outcomes = await predictWindow(window, trained, encoder, options);
      for (const [index, { row, path }] of window.entries()) {
        const outcome = outcomes[index]!;
        if ('error' in outcome) failed += 1;
        await writer.write({
          ...(row.fields.id !== undefined && { id: row.fields.id }),
          path: row.fields[options.pathColumn] ?? path,
          ...outcome,
        });
      }
      options.onProgress?.(Math.min(start + WINDOW, rows.length), rows.length);
    }
    await writer.commit();
    return { rows: rows.length, failed };
  } finally {
    await writer.discard();
    await encoder?.close();
  }
}

/** Reads and decodes; a failure belongs to its row. */
function decodeWindow(
  rows: readonly CsvRow[],
  trained: TrainedModel,
  options: RecordingsOptions,
): Promise<Recording[]> {
  const folder = dirname(options.input);
  const most = Math.max(1, Math.round(trained.recipe.max_audio_sec * SAMPLE_RATE_HZ));
  return mapConcurrently(rows, defaultJobs(), async (row): Promise<Recording> => {
    const given = row.fields[options.pathColumn]?.trim() ?? '';
    const path = resolve(folder, given);
    if (given === '')
      return { row, path, error: `line ${row.line}: column "${options.pathColumn}" is empty` };
    if (!trained.model.needsAudio) return { row, path, samples: undefined };
    try {
      return { row, path, samples: (await decodeAudio(path)).subarray(0, most) };
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
  const features = new Map<string, StoredFeatures>();
  if (encoder !== undefined) {
    for (const index of readable) {
      const [clip] = await encoder.encode([samplesOf(window[index]!)]);
      features.set(String(index), { words: encodeHalf(clip!.data), frames: clip!.frames });
    }
  }
  const spoken = readable.map((index): Spoken => {
    const { fields } = window[index]!.row;
    return {
      id: String(index),
      path: window[index]!.path,
      text: fields[options.textColumn] ?? '',
      speaker: fields[options.speakerColumn] ?? '',
      label: '',
    };
  });
  const source = {
    frames: (id: string) => features.get(id)?.frames ?? 0,
    read: async ({ id }: { readonly id: string }) => features.get(id)!,
  };
  const inferences = await trained.infer(model.examples(spoken), source);
  const outcomes = window.map(
    (recording): RowOutcome => ({ error: 'error' in recording ? recording.error : '' }),
  );
  readable.forEach((index, place) => {
    const { probabilities } = inferences[place]!;
    outcomes[index] = { label: recipe.labels[argmax(probabilities)]!, probabilities };
  });
  return outcomes;
}

function samplesOf(recording: Recording): Float32Array {
  if ('error' in recording || recording.samples === undefined)
    throw new InputError('a recording without samples was asked for');
  return recording.samples;
}
