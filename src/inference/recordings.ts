/**
 * @file Predicts emotions for a table of recordings. Rows are read in windows, with the next window decoded while one
 * computes, and written in order. A row that cannot be predicted gets an error, and the others continue.
 */

import {
  defaultJobs,
  errorMessage,
  InputError,
  InterruptedError,
  isSameFile,
  mapConcurrently,
  ReaderGoneError,
  userTarget,
} from '../base/index.js';
import {
  type ChannelChoice,
  countByKind,
  decodeAudio,
  parseChannel,
  SAMPLE_RATE_HZ,
} from '../data/audio/index.js';
import { withoutTags } from '../data/corpora/index.js';
import {
  BATCH_SEC,
  batchesByLength,
  type StoredFeatures,
  storedFeatures,
  UNHOLDABLE_FEATURES,
} from '../data/features/index.js';
import {
  type CsvRow,
  cellOf,
  type RecordingTable,
  readRecordingTable,
  refuseUncutParts,
  textOf,
} from '../data/tables/index.js';
import {
  openPredictionWriter,
  type PredictionColumns,
  type PredictionFormat,
  type PredictionWriter,
} from '../evaluation/index.js';
import { argmax } from '../evaluation/metrics/index.js';
import type { ModelUtterance } from '../systems/index.js';
import { type ComputeOptions, cutTo, type EncoderPool, isCutText } from '../training/index.js';
import type { OpenedModel } from './trained-run.js';

export interface RecordingsOptions extends RecordingsInput {
  /** For every recording without a channel in the table. */
  readonly channel?: ChannelChoice | undefined;
  readonly format?: PredictionFormat;
  readonly compute: ComputeOptions;
  readonly onProgress?: (done: number, total: number) => void;
}

export interface RecordingsSummary {
  readonly rows: number;
  readonly failed: number;
  /** Number of rows without a transcript. */
  readonly textless: number;
  /** Counts of the notes on audio by kind, in words; '' for none. */
  readonly noted: string;
  /** Number of rows with a cut transcript. */
  readonly cutTexts: number;
  /** Number of rows without a gender. */
  readonly genderless: number;
}

/** Recordings per window and device. Two windows are in memory: one being computed and the next being decoded. */
const WINDOW = 32;

/** A row with its audio, or the reason it has none. */
type Recording = { readonly row: CsvRow; readonly path: string } & (
  | {
      readonly kind: 'decoded';
      readonly samples: Float32Array | undefined;
      readonly notes: readonly RowNote[];
    }
  | RowFailure
);

interface RowFailure {
  readonly kind: 'failed';
  readonly error: string;
}

/**
 * Predicts every recording of a table and writes the predictions file atomically.
 * @throws InputError when the output cannot be written
 */
export async function predictRecordings(
  trained: OpenedModel,
  table: RecordingTable,
  options: RecordingsOptions,
): Promise<RecordingsSummary> {
  const { phase, recipe } = trained;
  const { rows } = table;
  const names = rowNames(table, options.pathColumn);
  const writer = await openWriter(options, {
    labels: recipe.labels,
    identity: names.identity,
    note: true,
  });
  const cutText: RowNote = { kind: 'text', text: phase.textLimit ? cutTo(phase.textLimit) : '' };
  const size = WINDOW * trained.devices;
  let encoder: EncoderPool | undefined;
  let [failed, cutTexts] = [0, 0];
  const noted: { kind: string; name: string }[] = [];
  try {
    if (phase.needs.audio) encoder = await trained.openEncoder();
    options.onProgress?.(0, rows.length);
    let ahead = decodeWindow(rows.slice(0, size), table, trained, options);
    for (let start = 0; start < rows.length; start += size) {
      if (options.compute.stop?.aborted) {
        const { kind } = await userTarget(options.output);
        const written = kind === 'stream' ? 'these were written' : 'nothing was written';
        throw new InterruptedError(`interrupted after ${start} of ${rows.length} rows; ${written}`);
      }
      const window = await ahead;
      ahead = decodeWindow(rows.slice(start + size, start + 2 * size), table, trained, options);
      const { outcomes, cut } = await predictWindow(window, trained, encoder, options);
      cutTexts += cut.size;
      for (const [index, recording] of window.entries()) {
        const { row } = recording;
        const { kind: result, ...outcome } = outcomes[index]!;
        if (result === 'failed') failed += 1;
        const audioNotes = recording.kind === 'decoded' ? recording.notes : [];
        for (const { kind } of audioNotes) noted.push({ kind, name: `line ${row.line}` });
        const notes = cut.has(index) ? [...audioNotes, cutText] : audioNotes;
        await writer.write({
          ...names.of(row),
          ...outcome,
          ...(notes.length > 0 && { note: notes.map(({ kind, text }) => `${kind}: ${text}`).join('; ') }),
        });
      }
      options.onProgress?.(Math.min(start + size, rows.length), rows.length);
    }
    await writer.commit();
    const textless = rows.filter((row) => transcriptOfRow(row, options.textColumn) === '').length;
    const genderless = rows.filter((row) => cellOf(row, GENDER_COLUMN) === '').length;
    return { rows: rows.length, failed, textless, cutTexts, genderless, noted: countByKind(noted) };
  } finally {
    await writer.discard();
    await encoder?.close();
  }
}

async function openWriter(
  { output, format, compute: { stop } }: RecordingsOptions,
  columns: PredictionColumns,
): Promise<PredictionWriter> {
  try {
    return await openPredictionWriter(output, columns, format, stop);
  } catch (error) {
    if (stop?.aborted) throw new InterruptedError(`interrupted before any process read ${output}`);
    if (error instanceof InputError || error instanceof ReaderGoneError) throw error;
    throw new InputError(`output ${output} cannot be written: ${errorMessage(error)}`);
  }
}

/** Reads and decodes a window; a failure is recorded in its row. */
function decodeWindow(
  rows: readonly CsvRow[],
  { files }: RecordingTable,
  trained: OpenedModel,
  options: RecordingsOptions,
): Promise<Recording[]> {
  return mapConcurrently(rows, defaultJobs(), async (row): Promise<Recording> => {
    const given = cellOf(row, options.pathColumn);
    if (!trained.phase.needs.audio) {
      const isEmpty = transcriptOfRow(row, options.textColumn) === '';
      return isEmpty
        ? emptyCell(row, options.textColumn)
        : { kind: 'decoded', row, path: given, samples: undefined, notes: [] };
    }
    if (given === '') return emptyCell(row, options.pathColumn);
    try {
      const channel = channelOfRow(row, options.channel);
      const path = await files.find(row.fields[options.pathColumn]!);
      return {
        kind: 'decoded',
        row,
        path,
        ...(await decodeStart(path, channel, trained.recipe.max_audio_sec)),
      };
    } catch (error) {
      return { kind: 'failed', row, path: given, error: errorMessage(error) };
    }
  });
}

function emptyCell(row: CsvRow, column: string): Recording {
  return { kind: 'failed', row, path: '', error: `line ${row.line}: column "${column}" is empty` };
}

type RowOutcome =
  | { readonly kind: 'predicted'; readonly label: string; readonly probabilities: Float32Array }
  | RowFailure;

interface PredictedWindow {
  readonly outcomes: readonly RowOutcome[];
  /** Indices of rows with a cut transcript. */
  readonly cut: ReadonlySet<number>;
}

async function predictWindow(
  window: readonly Recording[],
  trained: OpenedModel,
  encoder: EncoderPool | undefined,
  options: RecordingsOptions,
): Promise<PredictedWindow> {
  const { recipe, phase } = trained;
  const failure = (error: string): RowFailure => ({ kind: 'failed', error });
  const readable = [...window.keys()].filter((index) => window[index]!.kind === 'decoded');
  const outcomes = window.map(
    (recording): RowOutcome => failure(recording.kind === 'failed' ? recording.error : ''),
  );
  const features = new Map<number, StoredFeatures>();
  for (const [index, own] of await encodeAll(window, readable, encoder)) {
    if (own === undefined) outcomes[index] = failure(UNHOLDABLE_FEATURES);
    else features.set(index, own);
  }
  const usable = readable.filter((index) => encoder === undefined || features.has(index));
  const utterances = usable.map((index): ModelUtterance => {
    const { row } = window[index]!;
    const text = transcriptOfRow(row, options.textColumn);
    return {
      id: String(index),
      path: window[index]!.path,
      text: recipe.strip_tags ? withoutTags(text) : text, // as in training
      speaker: cellOf(row, options.speakerColumn),
      gender: cellOf(row, GENDER_COLUMN),
      label: '',
    };
  });
  const source = {
    frames: (id: string) => features.get(Number(id))?.frames ?? 0,
    read: async ({ id }: { readonly id: string }) => features.get(Number(id))!,
  };
  const examples = utterances.flatMap((utterance) => {
    const encoded = phase.encode!(utterance);
    if (encoded.kind === 'example') return [encoded.example];
    outcomes[Number(utterance.id)] = failure(encoded.problem);
    return [];
  });
  const inferences = await trained.infer(examples, source);
  inferences.forEach((inference, position) => {
    const row = Number(examples[position]!.id);
    if (inference.kind === 'failed') {
      outcomes[row] = failure(`${inference.fault}; it or its weights are damaged`);
      return;
    }
    const { probabilities } = inference;
    outcomes[row] = { kind: 'predicted', label: recipe.labels[argmax(probabilities)]!, probabilities };
  });
  return { outcomes, cut: new Set(examples.filter(isCutText).map(({ id }) => Number(id))) };
}

/**
 * Features of the readable recordings by their index in the window, in batches of the same size as for the feature
 * cache; undefined if float16 cannot represent them. Without an encoder there are none.
 */
async function encodeAll(
  window: readonly Recording[],
  readable: readonly number[],
  encoder: EncoderPool | undefined,
): Promise<Map<number, StoredFeatures | undefined>> {
  const features = new Map<number, StoredFeatures | undefined>();
  if (encoder === undefined) return features;
  const clips = readable.flatMap((index) => {
    const recording = window[index]!;
    return recording.kind === 'decoded' && recording.samples !== undefined
      ? [{ index, samples: recording.samples }]
      : [];
  });
  const limits = { paddedSamples: encoder.paddedSamples, batchSamples: BATCH_SEC * SAMPLE_RATE_HZ };
  await mapConcurrently([...batchesByLength(clips, limits)], encoder.lanes, async (batch) => {
    const encoded = await encoder.encode(batch.map(({ samples }) => samples));
    // Converted through float16, as in the cache, so that predictions do not depend on where the features come from.
    batch.forEach(({ index }, row) => {
      features.set(index, storedFeatures(encoded[row]!));
    });
  });
  return features;
}

export interface RecordingsInput {
  readonly input: string;
  readonly output: string;
  readonly pathColumn: string;
  /** A column with another name than this default is required; the default column is optional. */
  readonly textColumn: string;
  readonly speakerColumn: string;
}

/** The speaker's gender, which prompts may mention; optional. */
export const GENDER_COLUMN = 'gender';

/** Columns that a CSV may omit. */
export const OPTIONAL_COLUMNS = { text: 'text', speaker: 'speaker' } as const;

/**
 * Reads the CSV of recordings, and checks that the predictions can be written.
 * @param needsAudio false for a model that reads only transcripts: the table then needs those, and no recordings
 * @throws InputError when the CSV is missing, empty or without a named column, when it gives parts of recordings by
 *   start and end, or the output cannot be a file
 */
export async function readRecordings(options: RecordingsInput, needsAudio = true): Promise<RecordingTable> {
  const { input, pathColumn, textColumn, speakerColumn } = options;
  const isNamed = { text: textColumn !== OPTIONAL_COLUMNS.text, speaker: speakerColumn !== 'speaker' };
  const table = await readRecordingTable(input, {
    path: pathColumn,
    needed: [
      ...(isNamed.text || !needsAudio ? [textColumn] : []),
      ...(isNamed.speaker ? [speakerColumn] : []),
    ],
    optional: [
      ...['id', GENDER_COLUMN, CHANNEL_COLUMN],
      ...(isNamed.text ? [] : ['text']),
      ...(isNamed.speaker ? [] : ['speaker']),
    ],
    withoutAudio: needsAudio ? 'never' : 'always',
    otherwise: (column, found) =>
      Object.hasOwn(OPTIONAL_COLUMNS, column) ? `, or say --${column}-column "${found}"` : '',
  });
  if (needsAudio) refuseUncutParts(table, pathColumn, 'cut them first, as emoq prepare-csv does');
  await refuseInputs(options, table);
  return table;
}

/** @throws InputError when the output is a folder, or one of the input files, under whatever path */
async function refuseInputs(
  { input, output, pathColumn }: RecordingsInput,
  { rows, files }: RecordingTable,
): Promise<void> {
  const target = await userTarget(output, '-o');
  if (target.kind === 'stream') return;
  if (await isSameFile(input, target.path)) {
    throw new InputError(`output ${output} is the input file; name another file with -o`);
  }
  if (target.present === undefined) return;
  for (const row of rows) {
    if (cellOf(row, pathColumn) === '') continue;
    const recording = await files.find(row.fields[pathColumn]!).catch(() => undefined);
    if (recording === undefined || !(await isSameFile(recording, target.path))) continue;
    throw new InputError(`output ${output} is the recording of line ${row.line}; name another file with -o`);
  }
}

/** How the predictions name a row. */
export interface RowNames {
  readonly identity: readonly ('id' | 'path')[];
  of(row: CsvRow): { readonly id?: string; readonly path?: string };
}

/** By `id` and path if the table has them; without either, by row number. */
export function rowNames({ rows, columns, hasPaths }: RecordingTable, pathColumn: string): RowNames {
  const hasIds = columns.includes('id') && pathColumn !== 'id';
  const isNamed = hasIds || rows.some((row) => cellOf(row, pathColumn) !== '');
  if (!isNamed) {
    const numbers = new Map(rows.map((row, index) => [row, String(index + 1)]));
    return { identity: ['id'], of: (row) => ({ id: numbers.get(row)! }) };
  }
  return {
    identity: [...(hasIds ? ['id' as const] : []), ...(hasPaths ? ['path' as const] : [])],
    of: ({ fields }) => ({
      ...(hasIds && { id: fields.id! }),
      ...(hasPaths && { path: fields[pathColumn]! }),
    }),
  };
}

/** The transcript, unmodified; '' if it is missing. */
export function transcriptOfRow(row: CsvRow, column: string): string {
  return textOf(row, column) === '' ? '' : row.fields[column]!;
}

/** The topic of a row's note: the audio was cut, or one of `AudioNoteKind`. */
export interface RowNote {
  readonly kind: string;
  readonly text: string;
}

export interface DecodedAudio {
  /** Mono [frames] at 16 kHz. */
  readonly samples: Float32Array;
  readonly notes: readonly RowNote[];
}

/** The channel to use; optional. */
export const CHANNEL_COLUMN = 'channel';

/**
 * The channel that a row of a table selects.
 * @throws InputError when it is invalid, worded to follow the row's line
 */
export function channelOfRow(row: CsvRow, fallback: ChannelChoice | undefined): ChannelChoice | undefined {
  const cell = cellOf(row, CHANNEL_COLUMN);
  if (cell === '') return fallback;
  const channel = parseChannel(cell);
  if (channel === undefined) throw new InputError(`channel "${cell}" is neither a number from 1 nor mix`);
  return channel;
}

/** Decodes the first `maxDurationSec` of a recording. @throws InputError as `decodeAudio` */
export async function decodeStart(
  path: string,
  channel: ChannelChoice | undefined,
  maxDurationSec: number,
): Promise<DecodedAudio> {
  const { samples, isCut, fileSec, notes } = await decodeAudio(path, { channel, maxDurationSec });
  if (!isCut) return { samples, notes };
  const whole = fileSec !== undefined && fileSec > maxDurationSec ? ` of ${fileSec.toFixed(1)} s` : '';
  const text = `judged on the first ${Number(maxDurationSec.toFixed(3))} s${whole}`;
  return { samples, notes: [{ kind: 'cut', text }, ...notes] };
}
