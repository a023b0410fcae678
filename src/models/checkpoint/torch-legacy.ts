/**
 * @file PyTorch's format before 1.6: one pickle after the other (a magic number, the protocol's version, facts of the
 * machine, the state dict, the keys of its storages), then each storage behind its number of elements.
 */

import type { InputError } from '../../base/index.js';
import { MAX_PICKLE_BYTES, unpickle } from './pickle.js';
import { isList, type PickleValue, quote } from './pickle-values.js';
import type { TorchSource } from './torch-source.js';
import { readTorchState, storageBytes, type TorchState } from './torch-state.js';

const MAGIC = 0x1950a86a20f9469cfc6cn;
const PROTOCOL_VERSION = 1001;
const COUNT_BYTES = 8; // int64

/**
 * Reads the pickles, and the count in front of each storage.
 * @returns the state, and the byte offset in the file of each storage
 * @throws InputError when a pickle is not what it should be, or a storage is not of the size that the pickle says
 */
export async function readTorchLegacy(
  source: TorchSource,
): Promise<{ state: TorchState; offsets: Map<string, number> }> {
  const { fail, size } = source;
  const head = await source.read(0, Math.min(size, MAX_PICKLE_BYTES));
  const magic = readPlain(head, 0, fail);
  if (magic.value !== MAGIC) throw fail("does not begin with PyTorch's magic number; it is no PyTorch file");
  const version = readPlain(head, magic.end, fail);
  if (version.value !== PROTOCOL_VERSION) throw fail(`is not of protocol ${PROTOCOL_VERSION}`);
  const machine = readPlain(head, version.end, fail);
  if (!(machine.value instanceof Map) || machine.value.get('little_endian') !== true) {
    throw fail('has weights that are not little-endian; only little-endian ones can be read');
  }
  const state = readTorchState(head, machine.end, fail);
  const keys = readPlain(head, state.end, fail);
  if (!isList(keys.value)) throw fail('has no list of its storages');

  const offsets = new Map<string, number>();
  let position = keys.end;
  for (const key of keys.value.items) {
    const storage = typeof key === 'string' ? state.storages.get(key) : undefined;
    if (!storage || offsets.has(storage.key)) {
      throw fail(`lists a storage ${quote(String(key))} that its pickle does not have, or twice`);
    }
    const count = (await source.read(position, COUNT_BYTES)).readBigInt64LE();
    if (count !== BigInt(storage.elementCount)) {
      throw fail(
        `has ${count} elements of storage ${quote(storage.key)}, its pickle says ${storage.elementCount}`,
      );
    }
    offsets.set(storage.key, position + COUNT_BYTES);
    position += COUNT_BYTES + storageBytes(storage, fail);
  }
  if (position > size) throw fail(`is cut short: ${size} bytes, its storages take ${position}`);
  for (const key of state.storages.keys()) {
    if (!offsets.has(key)) throw fail(`has no storage ${quote(key)}, though its pickle asks for it`);
  }
  return { state, offsets };
}

/** A pickle of plain data. */
function readPlain(
  bytes: Buffer,
  start: number,
  fail: (why: string) => InputError,
): { value: PickleValue; end: number } {
  return unpickle(bytes, start, {
    fail,
    find: () => undefined,
    load: () => {
      throw fail('refers to something outside its pickle that is no storage');
    },
  });
}
