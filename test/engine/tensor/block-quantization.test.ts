/** @file Blockwise quantization: against numpy, its packing, its error, and what it refuses. */

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  createArray,
  dequantizeBlocks,
  dtypeInfo,
  normalArray,
  type QuantizedBits,
  quantizeBlocks,
  seededRandom,
  tensor,
} from '../../../src/engine/tensor/index.js';

const fixture = JSON.parse(readFileSync('test/fixtures/quantization.json', 'utf8')) as {
  types: Record<'uint4' | 'int4' | 'int8', number>;
  weights: number[];
  cases: {
    bits: QuantizedBits;
    blockSize: number;
    integers: number[];
    scales: number[];
    zeroPoints: number[] | null;
    restored: number[];
  }[];
};

const settings = [
  [4, 32],
  [4, 64],
  [8, 32],
  [8, 64],
] as const;

describe('blocks of 4 and 8 bits', () => {
  it.each(fixture.cases)('are those of numpy: $bits bits, $blockSize per scale', (expected) => {
    const { bits, blockSize, integers, scales, zeroPoints, restored } = expected;
    const made = quantizeBlocks(Float32Array.from(fixture.weights), bits, blockSize);
    expect([...made.integers]).toEqual(integers);
    expect([...made.scales]).toEqual(scales);
    expect(made.zeroPoints === undefined ? null : [...made.zeroPoints]).toEqual(zeroPoints);
    expect([...dequantizeBlocks(made)]).toEqual(
      restored.map((value) => (value === 0 ? expect.closeTo(0) : value)),
    );
  });

  it.each(settings)('keep what can be represented exactly: %i bits, blocks of %i', (bits, blockSize) => {
    // Steps of 1/8, with both ends of the range in each block, so that the scale must be 1/8.
    const [low, high] = bits === 4 ? [-5, 10] : [-127, 127];
    const random = seededRandom(3, 'steps');
    const steps = Float32Array.from({ length: 4 * blockSize }, (_, i) =>
      i % blockSize === 0
        ? low / 8
        : i % blockSize === 1
          ? high / 8
          : (low + random.integer(high - low + 1)) / 8,
    );
    const made = quantizeBlocks(steps, bits, blockSize);
    expect([...dequantizeBlocks(made)].map((value) => value + 0)).toEqual(
      [...steps].map((value) => value + 0),
    );
    const again = quantizeBlocks(dequantizeBlocks(made), bits, blockSize);
    expect(again).toEqual(made);
  });

  it.each(settings)('have a known error on normal weights: %i bits, blocks of %i', (bits, blockSize) => {
    const values = normalArray(seededRandom(1, 'weights'), 1 << 16, 0.02);
    const restored = dequantizeBlocks(quantizeBlocks(values, bits, blockSize));
    const squares = (of: (i: number) => number) => values.reduce((sum, _, i) => sum + of(i) ** 2, 0);
    const error = Math.sqrt(squares((i) => restored[i]! - values[i]!) / squares((i) => values[i]!));
    console.log(`relative error, ${bits} bits, blocks of ${blockSize}: ${error.toFixed(4)}`);
    expect(error).toBeLessThan(bits === 8 ? 0.0065 : 0.09);
    expect(error).toBeGreaterThan(bits === 8 ? 0.005 : 0.07);
  });

  it.each([4, 8] as const)('refuse values without a float16 scale: %i bits', (bits) => {
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 1e9, -1e9]) {
      for (const position of [0, 17, 31]) {
        const values = new Float32Array(64).fill(0.5);
        values[32 + position] = bad;
        expect(() => quantizeBlocks(values, bits, 32), `${bad} at ${position}`).toThrow(RangeError);
      }
    }
  });
});

describe('4-bit element types', () => {
  it("have ONNX's numbers, and two elements in a byte", () => {
    for (const [dtype, onnx] of Object.entries(fixture.types)) {
      expect(dtypeInfo[dtype as keyof typeof fixture.types].onnx).toBe(onnx);
    }
    expect(createArray('uint4', 5).length).toBe(3);
    expect(tensor('int4', [3, 3]).data.length).toBe(5);
    expect(() => tensor('uint4', [4], Uint8Array.of(1))).toThrow('needs 2 elements, got 1');
  });
});
