/** @file Element types, 16-bit floats, tensors and seeded random numbers, against numpy, torch and onnx. */

import { readFile } from 'node:fs/promises';
import { TensorProto_DataType } from 'onnx-buf';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  bfloat16ToFloat32,
  createArray,
  type DType,
  decodeBfloat16,
  decodeHalf,
  dtypeInfo,
  dtypes,
  elementCount,
  encodeBfloat16,
  encodeHalf,
  float32,
  float32Of,
  float32ToBfloat16,
  float32ToHalf,
  halfToFloat32,
  int64,
  isFloating,
  normalArray,
  type Random,
  seededRandom,
  tensor,
} from '../../src/engine/tensor/index.js';

interface Fixture {
  conversions: Record<'float32' | 'float16' | 'bfloat16', number[]>;
  elementTypes: Record<DType, { bytes: number; onnx: number; safetensors: string }>;
  random: { seed: (number | string)[]; uint32: number[] }[];
}

let fixture: Fixture;
beforeAll(async () => {
  fixture = JSON.parse(await readFile(new URL('../fixtures/tensor.json', import.meta.url), 'utf8'));
});

/** The value of binary16 bits by the standard's own formula. */
function halfByFormula(word: number): number {
  const sign = word & 0x8000 ? -1 : 1;
  const exponent = (word >> 10) & 31;
  const fraction = (word & 0x3ff) / 1024;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return exponent === 0 ? sign * 2 ** -14 * fraction : sign * 2 ** (exponent - 15) * (1 + fraction);
}

const words = [...Array(0x10000).keys()];

describe('float16', () => {
  it('is encoded as numpy does it: ties to even, subnormals, overflow, infinity, NaN', () => {
    const { float32: patterns, float16 } = fixture.conversions;
    const values = new Float32Array(Uint32Array.from(patterns).buffer);
    const encoded = encodeHalf(values);
    patterns.forEach((pattern, i) => {
      const what = `0x${pattern.toString(16)}`;
      // numpy keeps part of a NaN's payload; any NaN of the same sign is right.
      if (Number.isNaN(values[i]))
        expect([encoded[i]! & 0x7c00, (encoded[i]! & 0x3ff) > 0], what).toEqual([0x7c00, true]);
      else expect(encoded[i], what).toBe(float16[i]);
    });
  });
  it('is decoded by the formula of IEEE 754, all 65,536 words', () => {
    for (const word of words) {
      if (!Object.is(halfToFloat32(word), halfByFormula(word)))
        expect(halfToFloat32(word), `${word}`).toBe(halfByFormula(word));
    }
    expect([...decodeHalf(Uint16Array.of(0x3c00, 0xc000, 0x0001))]).toEqual([1, -2, 2 ** -24]);
  });
  it('survives a round trip, and rounds every tie to the even word', () => {
    for (const word of words) {
      const value = halfToFloat32(word);
      if (Number.isNaN(value)) continue;
      if (float32ToHalf(value) !== word) expect(float32ToHalf(value), `${word}`).toBe(word);
      const next = halfToFloat32(word + 1);
      if ((word & 0x7fff) >= 0x7bff || Number.isNaN(next)) continue;
      const even = word & 1 ? word + 1 : word;
      if (float32ToHalf((value + next) / 2) !== even)
        expect(float32ToHalf((value + next) / 2), `${word}`).toBe(even);
    }
  });
});

describe('bfloat16', () => {
  it('is encoded as torch does it: ties to even, overflow, infinity, NaN', () => {
    const { float32: patterns, bfloat16 } = fixture.conversions;
    const values = new Float32Array(Uint32Array.from(patterns).buffer);
    const encoded = encodeBfloat16(values);
    patterns.forEach((pattern, i) => {
      const what = `0x${pattern.toString(16)}`;
      if (Number.isNaN(values[i])) expect(bfloat16ToFloat32(encoded[i]!), what).toBeNaN();
      else expect(encoded[i], what).toBe(bfloat16[i]);
    });
  });
  it('is the upper half of float32: decoding and coding again changes no word', () => {
    const decoded = decodeBfloat16(Uint16Array.from(words));
    const bits = new Uint32Array(decoded.buffer);
    for (const word of words) {
      if (Number.isNaN(decoded[word])) continue;
      if (bits[word] !== word * 0x10000) expect(bits[word]).toBe(word * 0x10000);
      if (float32ToBfloat16(decoded[word]!) !== word) expect(float32ToBfloat16(decoded[word]!)).toBe(word);
    }
  });
});

describe('element types', () => {
  it('have the sizes and names of torch, onnx and safetensors', () => {
    expect([...dtypes].sort()).toEqual(Object.keys(fixture.elementTypes).sort());
    for (const dtype of dtypes) {
      expect(dtypeInfo[dtype], dtype).toEqual(fixture.elementTypes[dtype]);
      expect(createArray(dtype, 3).BYTES_PER_ELEMENT, dtype).toBe(dtypeInfo[dtype].bytes);
    }
    expect(dtypeInfo.bfloat16.onnx).toBe(TensorProto_DataType.BFLOAT16);
  });
  it('know which of them are floats', () => {
    expect(dtypes.filter(isFloating).sort()).toEqual(['bfloat16', 'float16', 'float32', 'float64']);
  });
  it('lie on a given buffer', () => {
    const buffer = new ArrayBuffer(16);
    createArray('int32', 2, buffer, 8).set([1, 2]);
    expect([...new Int32Array(buffer)]).toEqual([0, 0, 1, 2]);
  });
});

describe('tensors', () => {
  it('hold as many elements as their shape says', () => {
    expect(elementCount([2, 3, 4])).toBe(24);
    expect(elementCount([])).toBe(1);
    expect(elementCount([5, 0])).toBe(0);
    expect(tensor('bool', [2, 2]).data).toEqual(new Uint8Array(4));
    expect(() => float32([2, 2], [1, 2, 3])).toThrow('tensor of shape [2, 2] needs 4 elements, got 3');
  });
  it('are made from plain numbers', () => {
    expect(int64([2], [2 ** 40, -1]).data).toEqual(BigInt64Array.of(1n << 40n, -1n));
    expect(float32([2], [0.1, 2]).data).toEqual(Float32Array.of(0.1, 2));
  });
  it('give their floats as float32, and refuse what has none', () => {
    const values = Float32Array.of(1, -0.5, 1024);
    for (const encoded of [
      tensor('float32', [3], values),
      tensor('float64', [3], Float64Array.from(values)),
      tensor('float16', [3], encodeHalf(values)),
      tensor('bfloat16', [3], encodeBfloat16(values)),
    ]) {
      expect(float32Of(encoded), encoded.dtype).toEqual(values);
    }
    expect(float32Of(tensor('float32', [3], values))).toBe(values);
    expect(() => float32Of(int64([1], [1]))).toThrow('a int64 tensor has no float32 values');
  });
});

const draw = <T>(count: number, next: () => T): T[] => Array.from({ length: count }, next);

describe('seeded random numbers', () => {
  it('are those of an independent implementation, for ever', () => {
    for (const { seed, uint32 } of fixture.random) {
      const random = seededRandom(...seed);
      expect(draw(uint32.length, random.uint32), JSON.stringify(seed)).toEqual(uint32);
    }
  });
  it('have these first values, which checkpoints and toy corpora rest on', () => {
    const random = seededRandom(7, 'stability');
    expect({
      uniform: draw(3, random.uniform),
      normal: draw(3, random.normal),
      integer: draw(6, () => random.integer(100)),
      pick: draw(4, () => random.pick(['a', 'b', 'c'])),
      shuffle: random.shuffle([0, 1, 2, 3, 4, 5, 6, 7]),
    }).toEqual({
      uniform: [0.8913500905036926, 0.9536530375480652, 0.18262070417404175],
      normal: [-0.025181792801379044, 0.8367718078094408, 1.2621182665153408],
      integer: [23, 43, 0, 25, 80, 74],
      pick: ['c', 'a', 'a', 'c'],
      shuffle: [3, 1, 0, 7, 4, 2, 5, 6],
    });
  });
  it('depend on every part of the seed, and on nothing else', () => {
    const first = (random: Random): number[] => draw(4, random.uint32);
    expect(first(seededRandom(1, 'a'))).toEqual(first(seededRandom(1, 'a')));
    const seeds = [[1, 'a'], [1, 'b'], [2, 'a'], ['a', 1], [1], [11, 'a'], [1, '1a'], []] as const;
    const streams = new Set(seeds.map((seed) => first(seededRandom(...seed)).join()));
    expect(streams.size).toBe(seeds.length);
  });
  it('are uniform: mean, variance and every sixteenth', () => {
    const values = draw(100_000, seededRandom('uniform').uniform);
    const mean = values.reduce((a, b) => a + b) / values.length;
    const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
    // Standard errors: 0.29 / sqrt(1e5) = 0.0009, and 0.0002.
    expect(Math.abs(mean - 0.5)).toBeLessThan(0.004);
    expect(Math.abs(variance - 1 / 12)).toBeLessThan(0.001);
    expect(Math.min(...values.slice(0, 1000))).toBeGreaterThanOrEqual(0);
    const counts = new Array<number>(16).fill(0);
    for (const value of values) counts[Math.floor(16 * value)]! += 1;
    for (const count of counts) expect(Math.abs(count - 6250)).toBeLessThan(5 * Math.sqrt(6250));
    expect(values.every((value) => value === Math.fround(value))).toBe(true);
  });
  it('are normal: mean, variance, skew, tails', () => {
    const values = [...normalArray(seededRandom('normal'), 100_000, 2)].map((value) => value / 2);
    const moment = (order: number): number =>
      values.reduce((sum, value) => sum + value ** order, 0) / values.length;
    expect(Math.abs(moment(1))).toBeLessThan(0.02);
    expect(Math.abs(moment(2) - 1)).toBeLessThan(0.03);
    expect(Math.abs(moment(3))).toBeLessThan(0.06);
    expect(Math.abs(moment(4) - 3)).toBeLessThan(0.2);
    const beyondTwo = values.filter((value) => Math.abs(value) > 2).length / values.length;
    expect(Math.abs(beyondTwo - 0.0455)).toBeLessThan(0.005);
    expect(values.every(Number.isFinite)).toBe(true);
  });
  it('give whole numbers below the bound, and shuffles in which every place is alike', () => {
    const random = seededRandom('integers');
    const counts = new Array<number>(7).fill(0);
    for (const value of draw(70_000, () => random.integer(7))) counts[value]! += 1;
    for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(500);
    const firstPlace = new Array<number>(5).fill(0);
    for (let round = 0; round < 10_000; round++) firstPlace[random.shuffle([0, 1, 2, 3, 4])[0]!]! += 1;
    for (const count of firstPlace) expect(Math.abs(count - 2000)).toBeLessThan(200);
    const items = [1, 2, 3, 4];
    expect(random.shuffle(items)).toBe(items);
    expect([...items].sort()).toEqual([1, 2, 3, 4]);
    expect(random.shuffle([])).toEqual([]);
  });
});
