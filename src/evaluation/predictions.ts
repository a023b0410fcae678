/**
 * @file Predictions files: one row per utterance, as CSV, TSV or JSON Lines, written by eval and predict. Also the
 * embeddings e'_q of a test set, stored in the same folder and tied to the predictions by a checksum.
 */

import { rm } from 'node:fs/promises';
import { dirname, extname, join } from 'node:path';
import Papa from 'papaparse';
import { createAtomicFile, InputError, pathExists, sha256OfFile } from '../base/index.js';
import {
  decodeHalf,
  encodeHalf,
  hasWholeContent,
  readSafetensors,
  tensor,
  writeSafetensors,
} from '../engine/tensor/index.js';
import type { Outcome } from './metrics/index.js';

/** One row of a predictions file. It has an `id`, a `path` or both, and either a `label` or an `error`. */
export interface Prediction {
  readonly id?: string | undefined;
  readonly path?: string | undefined;
  /** The fold whose model made it, in a cross-validation. */
  readonly fold?: string | undefined;
  readonly speaker?: string | undefined;
  /** The conversation it belongs to. */
  readonly dialogue?: string | undefined;
  /** The true label, if known. */
  readonly reference?: string | undefined;
  /** The predicted label; absent if the utterance could not be predicted. */
  readonly label?: string | undefined;
  /** Class probabilities in the order of the file's labels. */
  readonly probabilities?: ArrayLike<number> | undefined;
  /** A note on its audio. */
  readonly note?: string | undefined;
  /** Why there is no label. */
  readonly error?: string | undefined;
}

/** A predictions file in memory. */
export interface PredictionTable {
  readonly path: string;
  /** Classes: those requested, else those of the `prob_` columns, else the labels that occur, sorted. */
  readonly labels: readonly string[];
  /** Whether the classes were requested or have columns, rather than inferred from the labels that occur. */
  readonly declared: boolean;
  readonly rows: readonly Prediction[];
  /** Rows for windows of long recordings, which are left out: the rows for the whole recordings have their mean. */
  readonly windows?: number;
}

/** A row with a known reference, which can be scored. */
export type ScoredPrediction = Prediction & Outcome;

/** The utterance's name in messages; '' if its file gives neither id nor path. */
export function nameOf({ id, path }: Prediction): string {
  return id ?? path ?? '';
}

export function hasReference(row: Prediction): row is ScoredPrediction {
  return row.reference !== undefined;
}

export type PredictionFormat = 'csv' | 'tsv' | 'jsonl';

export const probabilityPrefix = 'prob_';

/** Format by file name: `.jsonl` and `.ndjson` are JSON Lines, `.tsv` and `.tab` TSV, everything else CSV. */
export function predictionFormatOf(path: string): PredictionFormat {
  const extension = extname(path).toLowerCase();
  if (['.jsonl', '.ndjson'].includes(extension)) return 'jsonl';
  return ['.tsv', '.tab'].includes(extension) ? 'tsv' : 'csv';
}

/** Difference between the largest and the second largest probability. `probabilities` has one class or more. */
export function marginOf(probabilities: ArrayLike<number>): number {
  const [first, second = 0] = Array.from(probabilities).sort((a, b) => b - a);
  return first! - second;
}

/** The value of a column in one record; in JSON Lines, `json` is written as it is. */
export type RecordCell = string | number | { readonly json: string } | undefined;

/** The line of column names; '' in JSON Lines, which has none. */
export function headerRecord(names: readonly string[], format: PredictionFormat): string {
  return format === 'jsonl' ? '' : delimited(names, format);
}

/** One record with its line end. JSON Lines omits cells that are undefined. */
export function formatRecord(
  names: readonly string[],
  cells: Readonly<Record<string, RecordCell>>,
  format: PredictionFormat,
): string {
  if (format !== 'jsonl') {
    return delimited(
      names.map((name) => {
        const cell = cells[name] ?? '';
        return typeof cell === 'object' ? cell.json : cell;
      }),
      format,
    );
  }
  const members = names.flatMap((name) => {
    const cell = cells[name];
    if (cell === undefined) return [];
    return [`${JSON.stringify(name)}:${typeof cell === 'object' ? cell.json : JSON.stringify(cell)}`];
  });
  return `{${members.join(',')}}\n`;
}

/**
 * Writes a whole predictions file atomically. Columns that no row fills (`id` or `path`, `fold`, `speaker`, `dialogue`,
 * `reference`, probabilities) are omitted.
 * @param labels classes, in the order of the `prob_<label>` columns
 * @throws InputError when some row has neither an id nor a path.
 */
export async function writePredictions(
  path: string,
  labels: readonly string[],
  rows: readonly Prediction[],
): Promise<void> {
  const nameless = rows.findIndex((row) => row.id === undefined && row.path === undefined);
  if (nameless >= 0)
    throw new InputError(`prediction ${nameless + 1} of ${path} has neither an id nor a path`);
  const filled = (key: keyof Prediction): boolean => rows.some((row) => row[key] !== undefined);
  const names = [
    ...(filled('id') || !filled('path') ? ['id'] : []),
    ...(['path', 'fold', 'speaker', 'dialogue', 'reference'] as const).filter(filled),
    'label',
    ...(filled('probabilities') ? [...labels.map((label) => probabilityPrefix + label), 'margin'] : []),
    'error',
  ];
  const format = predictionFormatOf(path);
  const file = await createAtomicFile(path);
  try {
    await file.write(headerRecord(names, format));
    for (const row of rows) await file.write(formatRecord(names, predictionCells(row, labels), format));
    await file.commit();
  } finally {
    await file.discard();
  }
}

/** The cells of a row by column, probabilities with nine significant digits: enough to restore a float32 exactly. */
export function predictionCells(
  { probabilities, ...rest }: Prediction,
  labels: readonly string[],
): Record<string, RecordCell> {
  const cells: Record<string, RecordCell> = { ...rest };
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

function delimited(cells: readonly (string | number)[], format: PredictionFormat): string {
  const delimiter = format === 'tsv' ? '\t' : ',';
  return `${Papa.unparse([[...cells]], { newline: '\n', delimiter })}\n`;
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

/** Something that is missing, and why. */
export interface Missing {
  readonly kind: 'missing';
  readonly reason: string;
}

const KEY = 'embeddings';
const CHECKSUM = 'predictions_sha256';

/** Path of the embeddings of a predictions file: `embeddings.safetensors` in the same folder. */
export function embeddingsPath(predictionsPath: string): string {
  return join(dirname(predictionsPath), 'embeddings.safetensors');
}

/**
 * Writes the embeddings of an existing predictions file as float16 [rows, width]. A model without a Former has none;
 * embeddings of an earlier model are then deleted.
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
 * @returns the reason if there are none, or they belong to other predictions
 * @throws InputError when the file is damaged or not an embeddings file
 */
export async function readEmbeddings(predictionsPath: string): Promise<Embeddings | Missing> {
  const path = embeddingsPath(predictionsPath);
  if (!(await pathExists(path))) return { kind: 'missing', reason: `there is no ${path}` };
  const { metadata, tensors } = await readSafetensors(path);
  if (metadata[CHECKSUM] !== (await sha256OfFile(predictionsPath))) {
    return {
      kind: 'missing',
      reason: `${path} does not belong to ${predictionsPath}; run eval again`,
    };
  }
  if ((await hasWholeContent(path)) === false) {
    throw new InputError(`${path} is damaged: its checksum does not match its content; run eval again`);
  }
  const embeddings = tensors.get(KEY);
  if (embeddings?.dtype !== 'float16' || embeddings.shape.length !== 2) {
    throw new InputError(`${path} holds no float16 tensor "${KEY}" [rows, width]; run eval again`);
  }
  const [rows, width] = embeddings.shape as [number, number];
  return { kind: 'embeddings', rows, width, data: decodeHalf(embeddings.data as Uint16Array) };
}
