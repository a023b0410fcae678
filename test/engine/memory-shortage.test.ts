/** @file Naming what ran out of the memory of a CUDA device. */

import { describe, expect, it } from 'vitest';
import { OutOfMemoryError } from '../../src/base/index.js';
import { namingShortage, outOfMemory } from '../../src/engine/runtime/memory-shortage.js';

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
