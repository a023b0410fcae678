/** @file The embeddings e'_q of a test set, beside its predictions file and tied to it by a checksum. */

import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { InputError, pathExists, sha256OfFile } from '../base/index.js';
import {
  decodeHalf,
  encodeHalf,
  hasWholeContent,
  readSafetensors,
  tensor,
  writeSafetensors,
} from '../engine/tensor/index.js';

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
