/** @file A stored weight's bytes as they lie in its file, in pieces, so that a weight may be larger than memory. */

import { open } from 'node:fs/promises';
import { ComputationError, InputError } from '../../base/index.js';
import { float32Of, type StreamedTensor } from '../../engine/tensor/index.js';
import type { WeightRef } from './checkpoint.js';
import { readWeight } from './weights.js';

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
