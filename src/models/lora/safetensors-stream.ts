/** @file Writes safetensors files that are larger than memory: the layout first, then each tensor's bytes as they come. */

import { createAtomicFile } from '../../base/index.js';
import { type DType, dtypeInfo, elementCount } from '../../engine/tensor/index.js';

/** A tensor whose bytes are produced when their turn comes. */
export interface StreamedTensor {
  readonly key: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** The tensor's little-endian bytes, in pieces. */
  read(): AsyncIterable<Uint8Array>;
}

const LENGTH_BYTES = 8;
const DATA_ALIGNMENT = 64;

/**
 * Writes a file atomically. The data is ordered by element size, widest first (then as given), so that every tensor is
 * aligned to its element. Equal arguments give equal bytes.
 * @throws Error when a tensor yields more or fewer bytes than its shape takes
 */
export async function streamSafetensors(
  path: string,
  tensors: readonly StreamedTensor[],
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  const inDataOrder = tensors.toSorted((a, b) => dtypeInfo[b.dtype].bytes - dtypeInfo[a.dtype].bytes);
  const file = await createAtomicFile(path);
  try {
    await file.write(headerBytes(inDataOrder, metadata));
    for (const tensor of inDataOrder) {
      let written = 0;
      for await (const piece of tensor.read()) {
        await file.write(piece);
        written += piece.byteLength;
      }
      if (written !== byteLengthOf(tensor)) {
        throw new Error(
          `tensor ${tensor.key} gave ${written} bytes, its shape takes ${byteLengthOf(tensor)}`,
        );
      }
    }
    await file.commit();
  } finally {
    await file.discard();
  }
}

function byteLengthOf({ dtype, shape }: StreamedTensor): number {
  return elementCount(shape) * dtypeInfo[dtype].bytes;
}

function headerBytes(
  tensors: readonly StreamedTensor[],
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  let end = 0;
  const members = [`"__metadata__":${JSON.stringify(metadata)}`];
  for (const tensor of tensors) {
    const begin = end;
    end += byteLengthOf(tensor);
    const entry = {
      dtype: dtypeInfo[tensor.dtype].safetensors,
      shape: tensor.shape,
      data_offsets: [begin, end],
    };
    members.push(`${JSON.stringify(tensor.key)}:${JSON.stringify(entry)}`);
  }
  const json = Buffer.from(`{${members.join(',')}}`, 'utf8');
  const dataStart = Math.ceil((LENGTH_BYTES + json.length) / DATA_ALIGNMENT) * DATA_ALIGNMENT;
  const bytes = Buffer.alloc(dataStart, ' ');
  bytes.writeBigUInt64LE(BigInt(dataStart - LENGTH_BYTES));
  json.copy(bytes, LENGTH_BYTES);
  return bytes;
}
