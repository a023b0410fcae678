/** @file Looks weights up in a checkpoint, whatever prefix its keys carry, and checks them against the config. */

import { open } from 'node:fs/promises';
import { ComputationError, InputError } from '../base/index.js';
import {
  float32Of,
  isFloating,
  readSafetensorsTensor,
  type StreamedTensor,
  type Tensor,
} from '../engine/tensor/index.js';
import type { Checkpoint, WeightRef } from './checkpoint.js';

/**
 * The checkpoint with its weights also under their keys without a prefix: for `['hubert.', '']`, "encoder.x" finds
 * "hubert.encoder.x" or else "encoder.x". Earlier prefixes win; a weight under none of them is not seen. References
 * keep the stored key.
 */
export function weightsUnder(checkpoint: Checkpoint, prefixes: readonly string[]): Checkpoint {
  const weights = new Map<string, WeightRef>();
  for (const prefix of prefixes.toReversed()) {
    for (const [key, ref] of checkpoint.weights) {
      if (key.startsWith(prefix)) weights.set(key.slice(prefix.length), ref);
    }
  }
  return { ...checkpoint, weights };
}

/**
 * The weight `key`, checked to be floating and of the `shape` that the config asks for.
 * @throws InputError naming the key and the folder.
 */
export function requireWeight(checkpoint: Checkpoint, key: string, shape: readonly number[]): WeightRef {
  const ref = checkpoint.weights.get(key);
  if (!ref) {
    const stored = [...new Set(checkpoint.weights.values())];
    const holds = stored[0] ? `it holds ${stored.length}, such as "${stored[0].key}"` : 'it holds none';
    throw new InputError(`checkpoint ${checkpoint.dir} has no weight "${key}"; ${holds}`);
  }
  if (ref.shape.length !== shape.length || ref.shape.some((size, axis) => size !== shape[axis])) {
    throw new InputError(
      `weight "${ref.key}" in ${checkpoint.dir} has shape [${ref.shape.join(', ')}], the config asks for [${shape.join(', ')}]`,
    );
  }
  if (!isFloating(ref.dtype)) {
    throw new InputError(
      `weight "${ref.key}" in ${checkpoint.dir} is ${ref.dtype}; quantised checkpoints cannot be read, only floating ones`,
    );
  }
  return ref;
}

/** Reads one weight into memory. @throws InputError when the file has changed since it was opened. */
export async function readWeight({
  key,
  path,
  dtype,
  shape,
  offset,
  byteLength,
}: WeightRef): Promise<Tensor> {
  const entry = { dtype, shape: [...shape], offset, byteLength };
  return readSafetensorsTensor({ path, entries: new Map([[key, entry]]), metadata: {} }, key);
}

/** The files that hold a checkpoint's weights, in the order of their paths. */
export function weightFiles({ weights }: Checkpoint): string[] {
  return [...new Set([...weights.values()].map(({ path }) => path))].sort();
}

const PIECE_BYTES = 16 * 1024 * 1024;

/** A weight as a tensor for `streamSafetensors`, byte for byte as it is stored. `key` renames it. */
export function storedTensor(ref: WeightRef, key = ref.key): StreamedTensor {
  const { dtype, shape } = ref;
  return { key, dtype, shape, read: () => storedBytes(ref) };
}

/**
 * A weight that was trained, as {@link storedTensor} gives it, but read whole and looked at first.
 * @throws ComputationError, when it is read, where it holds a value that is not a number
 */
export function trainedTensor(ref: WeightRef, key = ref.key): StreamedTensor {
  return {
    ...storedTensor(ref, key),
    async *read() {
      const value = await readWeight(ref);
      if (!float32Of(value).every(Number.isFinite)) {
        throw new ComputationError(
          `"${ref.key}" in ${ref.path} holds values that are not numbers; it is damaged`,
        );
      }
      yield new Uint8Array(value.data.buffer, value.data.byteOffset, value.data.byteLength);
    },
  };
}

/**
 * The bytes of one weight. Every piece is in the same buffer: use it before asking for the next.
 * @throws InputError when the file has become shorter than it was when it was opened
 */
async function* storedBytes({ path, offset, byteLength }: WeightRef): AsyncGenerator<Uint8Array> {
  const file = await open(path, 'r');
  try {
    const buffer = Buffer.alloc(Math.min(PIECE_BYTES, byteLength));
    for (let done = 0; done < byteLength; ) {
      const wanted = Math.min(buffer.length, byteLength - done);
      const { bytesRead } = await file.read(buffer, 0, wanted, offset + done);
      if (bytesRead === 0) throw new InputError(`weight file ${path} has become shorter while it was read`);
      yield buffer.subarray(0, bytesRead);
      done += bytesRead;
    }
  } finally {
    await file.close();
  }
}
