/**
 * @file The predictions file: one row per utterance, as CSV or JSON Lines, the same for eval and predict; its rows and
 * its writer; and the embeddings e'_q of a test set beside it, tied to it by a checksum.
 */

import { rm } from 'node:fs/promises';
import { dirname, extname, join } from 'node:path';
import Papa from 'papaparse';
import { createOutput, InputError, pathExists, sha256OfFile } from '../base/index.js';
import {
  decodeHalf,
  encodeHalf,
  hasWholeContent,
  readSafetensors,
  tensor,
  writeSafetensors,
} from '../engine/tensor/index.js';
import type { Outcome } from './metrics/index.js';

/** One row of a predictions file. A row has an `id`, a `path` or both, and either a `label` or an `error`. */
export interface Prediction {
  readonly id?: string | undefined;
  readonly path?: string | undefined;
  /** Which fold's model made it, in a cross-validation. */
  readonly fold?: string | undefined;
  readonly speaker?: string | undefined;
  /** The conversation that it is part of. */
  readonly dialogue?: string | undefined;
  /** The true label, where it is known. */
  readonly reference?: string | undefined;
  /** The predicted label; absent where the utterance could not be predicted. */
  readonly label?: string | undefined;
  /** Class probabilities in the order of the file's labels. */
  readonly probabilities?: ArrayLike<number> | undefined;
  /** What should be known of its sound. */
  readonly note?: string | undefined;
  /** Why there is no label. */
  readonly error?: string | undefined;
}

/** A predictions file in memory. */
export interface PredictionTable {
  readonly path: string;
  /** Classes: those asked for, else of the `prob_` columns, else the labels that occur, sorted. */
  readonly labels: readonly string[];
  /** Whether the classes were asked for or have columns, rather than being what occurs. */
  readonly declared: boolean;
  readonly rows: readonly Prediction[];
}

/** A row whose truth is known, so that it can be scored. */
export type ScoredPrediction = Prediction & Outcome;

/** What an utterance is called in messages; '' where its file gives it neither id nor path. */
export function nameOf({ id, path }: Prediction): string {
  return id ?? path ?? '';
}

export function hasReference(row: Prediction): row is ScoredPrediction {
  return row.reference !== undefined;
}

export type PredictionFormat = 'csv' | 'jsonl';

/** What the rows of a file carry; decided before the first row is written. */
export interface PredictionColumns {
  /** Classes, in the order of the `prob_<label>` columns. */
  readonly labels: readonly string[];
  readonly identity: readonly ('id' | 'path')[];
  readonly fold?: boolean;
  readonly speaker?: boolean;
  readonly dialogue?: boolean;
  readonly reference?: boolean;
  readonly note?: boolean;
  /** False for predictions without probabilities. Default true. */
  readonly probabilities?: boolean;
}

/** Takes rows one by one; the file appears under its name on `commit`, whole. */
export interface PredictionWriter {
  write(row: Prediction): Promise<void>;
  commit(): Promise<void>;
  /** Deletes what was written. Safe after `commit`. */
  discard(): Promise<void>;
}

export const probabilityPrefix = 'prob_';

/** Format by file name: `.jsonl` and `.ndjson` are JSON Lines, everything else CSV. */
export function predictionFormatOf(path: string): PredictionFormat {
  return ['.jsonl', '.ndjson'].includes(extname(path).toLowerCase()) ? 'jsonl' : 'csv';
}

/** How far the largest probability lies above the second largest. `probabilities` are of one class or more. */
export function marginOf(probabilities: ArrayLike<number>): number {
  const [first, second = 0] = Array.from(probabilities).sort((a, b) => b - a);
  return first! - second;
}

/** The column names of a file, in order. */
export function predictionColumnNames(columns: PredictionColumns): string[] {
  return [
    ...columns.identity,
    ...(['fold', 'speaker', 'dialogue', 'reference'] as const).filter((name) => columns[name]),
    'label',
    ...(columns.probabilities === false
      ? []
      : [...columns.labels.map((label) => probabilityPrefix + label), 'margin']),
    ...(columns.note ? ['note'] : []),
    'error',
  ];
}

/**
 * Opens a predictions file for writing, row by row and atomically; `-` is standard output, which like a pipe takes rows
 * as they come. Probabilities are written with nine significant digits, which is what brings a float32 back exactly.
 * @param signal ends the waiting for somebody to read a named pipe
 */
export async function openPredictionWriter(
  path: string,
  columns: PredictionColumns,
  format: PredictionFormat = predictionFormatOf(path),
  signal?: AbortSignal,
): Promise<PredictionWriter> {
  const names = predictionColumnNames(columns);
  const file = await createOutput(path, { signal });
  if (format === 'csv') await file.write(csvLine(names));
  return {
    async write(row) {
      const cells = rowCells(row, columns);
      if (format === 'csv') await file.write(csvLine(names.map((name) => cells[name] ?? '')));
      else await file.write(`${JSON.stringify(Object.fromEntries(definedCells(names, cells)))}\n`);
    },
    commit: file.commit,
    discard: file.discard,
  };
}

/**
 * Writes a whole predictions file atomically. Columns that no row fills (`id` or `path`, `fold`, `speaker`, `dialogue`,
 * `reference`, probabilities) are left out.
 * @throws InputError when some row has neither an id nor a path.
 */
export async function writePredictions(
  path: string,
  labels: readonly string[],
  rows: readonly Prediction[],
  format: PredictionFormat = predictionFormatOf(path),
): Promise<void> {
  const nameless = rows.findIndex((row) => row.id === undefined && row.path === undefined);
  if (nameless >= 0)
    throw new InputError(`prediction ${nameless + 1} of ${path} has neither an id nor a path`);
  const filled = (key: keyof Prediction): boolean => rows.some((row) => row[key] !== undefined);
  const writer = await openPredictionWriter(
    path,
    {
      labels,
      identity: filled('path') ? (filled('id') ? ['id', 'path'] : ['path']) : ['id'],
      fold: filled('fold'),
      speaker: filled('speaker'),
      dialogue: filled('dialogue'),
      reference: filled('reference'),
      probabilities: filled('probabilities'),
    },
    format,
  );
  try {
    for (const row of rows) await writer.write(row);
    await writer.commit();
  } finally {
    await writer.discard();
  }
}

function rowCells(
  row: Prediction,
  { labels }: PredictionColumns,
): Record<string, string | number | undefined> {
  const { probabilities, ...rest } = row;
  const cells: Record<string, string | number | undefined> = { ...rest };
  if (probabilities !== undefined) {
    labels.forEach((name, i) => {
      cells[probabilityPrefix + name] = nineDigits(probabilities[i]!);
    });
    cells.margin = nineDigits(marginOf(probabilities));
  }
  return cells;
}

function nineDigits(value: number): number {
  return Number(value.toPrecision(9));
}

function definedCells(names: readonly string[], cells: Record<string, string | number | undefined>) {
  return names.filter((name) => cells[name] !== undefined).map((name) => [name, cells[name]] as const);
}

function csvLine(cells: readonly (string | number)[]): string {
  return `${Papa.unparse([[...cells]], { newline: '\n' })}\n`;
}

/** Rows in the order of the predictions file. */
export interface Embeddings {
  readonly kind: 'embeddings';
  readonly rows: number;
  /** d_h */
  readonly width: number;
  /** [rows, width] */
  readonly data: Float32Array;
}

/** Something that is not there, and why. */
export interface Missing {
  readonly kind: 'missing';
  readonly reason: string;
}

const KEY = 'embeddings';
const CHECKSUM = 'predictions_sha256';

/** Where the embeddings of a predictions file lie: `embeddings.safetensors` in its folder. */
export function embeddingsPath(predictionsPath: string): string {
  return join(dirname(predictionsPath), 'embeddings.safetensors');
}

/**
 * Writes embeddings beside a predictions file that is there already, as float16 [rows, width]; a model without a Former
 * has none, and then those of an earlier model are deleted.
 * @param rows e'_q [d_h] of each row of the predictions file
 */
export async function writeEmbeddings(
  predictionsPath: string,
  rows: readonly (Float32Array | undefined)[],
): Promise<void> {
  const path = embeddingsPath(predictionsPath);
  const width = rows[0]?.length;
  if (width === undefined || rows.some((row) => row?.length !== width)) {
    await rm(path, { force: true });
    return;
  }
  const data = new Float32Array(rows.length * width);
  rows.forEach((row, index) => {
    data.set(row!, index * width);
  });
  await writeSafetensors(
    path,
    [[KEY, tensor('float16', [rows.length, width], encodeHalf(data))]],
    { [CHECKSUM]: await sha256OfFile(predictionsPath) },
    { checksum: true },
  );
}

/**
 * Reads the embeddings of a predictions file.
 * @returns why there are none, where there are none that belong to this file
 * @throws InputError when the file is damaged or something else
 */
export async function readEmbeddings(predictionsPath: string): Promise<Embeddings | Missing> {
  const path = embeddingsPath(predictionsPath);
  if (!(await pathExists(path))) return { kind: 'missing', reason: `there is no ${path}` };
  const { metadata, tensors } = await readSafetensors(path);
  if (metadata[CHECKSUM] !== (await sha256OfFile(predictionsPath))) {
    return {
      kind: 'missing',
      reason: `${path} belongs to other predictions than ${predictionsPath}; run eval again`,
    };
  }
  if ((await hasWholeContent(path)) === false) {
    throw new InputError(`${path} is damaged: its checksum does not fit its content; run eval again`);
  }
  const embeddings = tensors.get(KEY);
  if (embeddings?.dtype !== 'float16' || embeddings.shape.length !== 2) {
    throw new InputError(`${path} holds no float16 tensor "${KEY}" [rows, width]; run eval again`);
  }
  const [rows, width] = embeddings.shape as [number, number];
  return { kind: 'embeddings', rows, width, data: decodeHalf(embeddings.data as Uint16Array) };
}
