/** @file The memory of a CUDA device: reading it with nvidia-smi, and naming what ran out of it. */

import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { OutOfMemoryError } from '../../src/base/index.js';
import { parseCardMemory, readCardMemory } from '../../src/engine/runtime/index.js';
import { namingShortage, outOfMemory } from '../../src/engine/runtime/memory-shortage.js';

describe('what nvidia-smi reports', () => {
  let folder = '';
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'emoq-smi-'));
    const script = `#!/bin/sh
case "$1" in
  --id=1) echo "24564, 20111" ;;
  --id=GPU-8a) echo "81559, 81000" ;;
  --id=7) echo "[N/A], [N/A]" ;;
  *) echo "No devices were found"; exit 6 ;;
esac
`;
    await writeFile(join(folder, 'nvidia-smi'), script);
    await chmod(join(folder, 'nvidia-smi'), 0o755);
  });
  afterAll(() => rm(folder, { recursive: true }));
  const read = (index: number, visible?: string) =>
    readCardMemory(index, {
      PATH: `${folder}:${process.env.PATH}`,
      ...(visible !== undefined && { CUDA_VISIBLE_DEVICES: visible }),
    });

  it('is the memory of a card, in MiB', () => {
    expect(parseCardMemory('143771, 143051\n')).toEqual({
      totalBytes: 143771 * 2 ** 20,
      freeBytes: 143051 * 2 ** 20,
    });
    expect(parseCardMemory('[N/A], [N/A]')).toBeUndefined();
  });

  it('is read for the device as CUDA counts them', async () => {
    expect(await read(1)).toEqual({ totalBytes: 24564 * 2 ** 20, freeBytes: 20111 * 2 ** 20 });
    expect(await read(0, '1')).toEqual(await read(1));
    expect((await read(1, '1, GPU-8a'))?.totalBytes).toBe(81559 * 2 ** 20);
  });

  it('is undefined where it cannot be read', async () => {
    expect(await read(0)).toBeUndefined();
    expect(await read(7)).toBeUndefined();
    expect(await read(1, '1')).toBeUndefined();
    expect(await readCardMemory(0, { PATH: '/nowhere' })).toBeUndefined();
  });
});

describe('an error of onnxruntime', () => {
  const cuda = { kind: 'cuda', index: 1 } as const;
  const arena =
    'bfc_arena.cc:360 void* onnxruntime::BFCArena::AllocateRawInternal(size_t, bool, Stream*) Failed to allocate memory for requested buffer of size 66060288';
  const inLoop = `Non-zero status code returned while running Loop node. Name:'/Loop' Status Message: Non-zero status code returned while running Mul node. Name:'/adamw/Mul_10' Status Message: ${arena}`;

  it.each([
    ['in a node of a loop', inLoop, false, 'in Mul /adamw/Mul_10, which asked for another 66.1 MB'],
    ['while loading', arena, true, 'loading the model, which asked for another 66.1 MB'],
    ['between nodes', arena, false, 'in a run, which asked for another 66.1 MB'],
    [
      'with a limit of the arena',
      'Available memory of 512 is smaller than requested bytes of 1024',
      false,
      'in a run, which asked for another 1.02 kB',
    ],
    ['of CUDA itself', 'CUDA failure 2: out of memory ; GPU=0', true, 'loading the model'],
    ['of cuBLAS', 'CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED', false, 'in a run'],
  ])('names what ran out of memory %s', (_, message, loading, rest) => {
    const found = outOfMemory(new Error(message), cuda, loading);
    expect(found).toBeInstanceOf(OutOfMemoryError);
    expect(found!.message).toBe(`cuda:1 ran out of memory ${rest}`);
  });

  it('stays as it is where memory is not what was missing', async () => {
    const other = new Error('CUDA failure 209: no kernel image is available');
    expect(outOfMemory(other, cuda, true)).toBeUndefined();
    await expect(namingShortage(cuda, true, Promise.reject(other))).rejects.toBe(other);
    const onCpu = new Error(arena);
    await expect(namingShortage({ kind: 'cpu' }, false, Promise.reject(onCpu))).rejects.toBe(onCpu);
    await expect(namingShortage(cuda, false, Promise.resolve(1))).resolves.toBe(1);
  });
});
