/**
 * @file Reads a PyTorch checkpoint (`pytorch_model.bin`): where each tensor of its state dict lies in the file. Nothing
 * is executed, and no weight is read.
 */

import { readTorchArchive } from './torch-archive.js';
import { readTorchLegacy } from './torch-legacy.js';
import { type TorchSource, withTorchSource } from './torch-source.js';
import type { WeightPlace } from './weight-place.js';

const TAR_MAGIC_OFFSET = 257;
const SNIFF_BYTES = 512;

/**
 * The places of a file's tensors by key, in the order of its state dict. Several keys may share bytes.
 * @throws InputError: one line with the file and the fault. A global that no state dict needs is named.
 */
export async function readTorchFile(path: string): Promise<Map<string, WeightPlace>> {
  return withTorchSource(path, async (source) => {
    const { state, offsets } = await readContainer(source);
    const places = new Map<string, WeightPlace>();
    for (const [key, { storage, offset, ...place }] of state.tensors) {
      places.set(key, { ...place, offset: offsets.get(storage.key)! + offset });
    }
    return places;
  });
}

async function readContainer(source: TorchSource): ReturnType<typeof readTorchArchive> {
  const { size, fail } = source;
  const head = (await source.read(0, Math.min(size, SNIFF_BYTES))).toString('latin1');
  if (head.startsWith('PK\x03\x04')) return readTorchArchive(source);
  if (head.startsWith('\x80')) return readTorchLegacy(source);
  if (head.startsWith('version https://git-lfs')) {
    throw fail('is a Git LFS pointer, not the weights; fetch them with "git lfs pull"');
  }
  if (head.startsWith('ustar', TAR_MAGIC_OFFSET)) {
    throw fail('is a tar, as PyTorch wrote before 0.2; load it with PyTorch and save it again');
  }
  throw fail(size === 0 ? 'is empty' : 'is no PyTorch file: neither a zip nor a pickle');
}
