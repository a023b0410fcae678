/** @file The model of onnxruntime's arena: what it takes from a device, and how it cuts it up. */

import { describe, expect, it } from 'vitest';
import { createArena } from '../../src/engine/training/arena.js';

const MIB = 2 ** 20;

describe('the arena', () => {
  it('takes pieces that double up to 1 GiB', () => {
    const arena = createArena();
    const taken = Array.from({ length: 12 }, () => {
      const before = arena.taken();
      // Each is as large as the next piece, so that nothing is left of it.
      arena.allocate(Math.min(2 ** 30, Math.max(MIB, before + MIB)));
      return (arena.taken() - before) / MIB;
    });
    expect(taken).toEqual([1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1024]);
  });

  it('takes the next power of two for a tensor that is larger than a piece', () => {
    const arena = createArena();
    arena.allocate(1100 * MIB);
    expect(arena.taken()).toBe(2048 * MIB);
    arena.allocate(1100 * MIB); // the 948 MiB left are too few; the same size again, and 1 GiB from then on
    expect(arena.taken()).toBe(4096 * MIB);
    arena.allocate(1000 * MIB);
    expect(arena.taken()).toBe(5120 * MIB);
  });

  it('gives the smallest chunk that is large enough, whole if less than half of it would be left', () => {
    const arena = createArena();
    const [first, , third] = [100, 256, 60, 256].map((kib) => arena.allocate(kib * 1024)!);
    arena.free(first!);
    arena.free(third!);
    const used = arena.mostUsed();
    expect(arena.allocate(55 * 1024)).toBe(third);
    expect(third!.size).toBe(60 * 1024); // 5 KiB of it are not used
    expect(arena.allocate(40 * 1024)).toBe(first);
    expect(first!.size).toBe(40 * 1024); // 60 KiB are left
    expect(arena.allocate(60 * 1024)).not.toBe(first);
    expect(arena.mostUsed()).toBe(used - 100 * 1024 + 40 * 1024 + 60 * 1024);
    expect(arena.taken()).toBe(MIB);
  });

  it('wastes less than 128 MiB on a chunk', () => {
    const arena = createArena();
    const whole = arena.allocate(1000 * MIB)!;
    expect(whole.size).toBe(1024 * MIB);
    arena.free(whole);
    expect(arena.allocate(900 * MIB)!.size).toBe(1024 * MIB);
    const other = createArena();
    expect(other.allocate(890 * MIB)!.size).toBe(890 * MIB);
  });

  it('joins neighbours that are free', () => {
    const arena = createArena();
    const chunks = [1, 2, 3].map(() => arena.allocate(300 * 1024)!);
    for (const chunk of [chunks[0]!, chunks[2]!, chunks[1]!]) arena.free(chunk);
    arena.allocate(MIB);
    expect(arena.taken()).toBe(MIB);
  });

  it('joins what a run has used with what it has not only after the run', () => {
    const arena = createArena();
    arena.settle(); // loading is over
    const halves = [arena.allocate(512 * 1024, true)!, arena.allocate(512 * 1024)!];
    for (const half of halves) arena.free(half);
    const whole = arena.allocate(MIB)!;
    expect(arena.taken()).toBe(3 * MIB);
    arena.free(whole);
    arena.settle();
    arena.allocate(MIB);
    expect(arena.taken()).toBe(3 * MIB);
  });

  it('takes more for what is of no stream, where all that is free belongs to the run', () => {
    const arena = createArena();
    arena.settle();
    arena.free(arena.allocate(1000)!); // the whole piece of 1 MiB is the run's from here on
    const detached = arena.allocate(1000, true)!;
    expect(arena.taken()).toBe(3 * MIB);
    arena.free(detached);
    arena.free(arena.allocate(1000, true)!); // the same again
    expect(arena.taken()).toBe(3 * MIB);
    arena.allocate(1500 * 1024); // what is of no stream serves the run too, and is its own then
    arena.allocate(1000, true);
    expect(arena.taken()).toBe(7 * MIB);
  });

  it('takes less than a power of two where the device has no more, and nothing if that is not enough', () => {
    const arena = createArena(100 * MIB);
    expect(arena.allocate(90 * MIB)).toBeDefined(); // 128 MiB, 115.2, 103.7, 93.3
    expect(arena.taken()).toBeGreaterThan(90 * MIB);
    expect(arena.taken()).toBeLessThanOrEqual(100 * MIB);
    expect(arena.allocate(20 * MIB)).toBeUndefined();
    expect(createArena(1000).allocate(256)).toBeUndefined(); // it asks for 8 KiB at least
  });
});
