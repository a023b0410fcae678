/** @file A stored weight's bytes as they lie in its file, in pieces, so that a weight may be larger than memory. */

import { open } from 'node:fs/promises';
import { InputError } from '../../base/index.js';
import type { StreamedTensor } from '../../engine/tensor/index.js';
import type { WeightRef } from './checkpoint.js';

const PIECE_BYTES = 16 * 1024 * 1024;

/** A weight as a tensor for `streamSafetensors`, byte for byte as it is stored. `key` renames it. */
export function storedTensor(ref: WeightRef, key = ref.key): StreamedTensor {
  const { dtype, shape } = ref;
  return { key, dtype, shape, read: () => storedBytes(ref) };
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
