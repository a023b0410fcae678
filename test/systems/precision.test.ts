/** @file The precision of products, from what is asked for, the device and the checkpoint. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { quantizeDecoder } from '../../src/backbones/index.js';
import { encoderGraph } from '../../src/backbones/speech-encoders/encoder-families.js';
import { openCheckpoint, type WeightRef } from '../../src/checkpoints/index.js';
import { openFeatureCache } from '../../src/data/features/index.js';
import { writeToySpeechEncoder } from '../../src/data/toy-backbones/toy-speech-encoders.js';
import type { DType } from '../../src/engine/tensor/index.js';
import { resolvePrecision } from '../../src/systems/index.js';
import { smallConfig, writeRandomDecoder } from '../backbones/decoders/random-decoder.js';

const cuda = { kind: 'cuda', index: 0 } as const;
const cpu = { kind: 'cpu' } as const;

/** A checkpoint with a matrix of each type, and a float32 vector. */
const checkpoint = (...dtypes: DType[]) => ({
  weights: new Map(
    [...dtypes.map((dtype) => ({ dtype, shape: [2, 2] })), { dtype: 'float32', shape: [2] }].map(
      (ref, index) => [`w${index}`, ref as unknown as WeightRef],
    ),
  ),
});

describe('--precision', () => {
  it('auto is bfloat16 on CUDA for matrices of 16 bits, and float32 otherwise', () => {
    expect(resolvePrecision('auto', cuda, checkpoint('bfloat16', 'bfloat16'))).toBe('bfloat16');
    expect(resolvePrecision('auto', cuda, checkpoint('float16'))).toBe('bfloat16');
    expect(resolvePrecision('auto', cuda, checkpoint('bfloat16', 'float32'))).toBe('float32');
    expect(resolvePrecision('auto', cpu, checkpoint('bfloat16'))).toBe('float32');
    expect(resolvePrecision('auto', cuda, undefined)).toBe('float32');
  });

  it('auto goes by the weights that emoq quantize left as they were', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'emoq-quantized-precision-'));
    try {
      for (const dtype of ['bfloat16', 'float32'] as const) {
        const source = join(folder, dtype);
        await writeRandomDecoder(source, { config: smallConfig, dtype });
        for (const bits of [4, 8] as const) {
          const packed = `${source}-${bits}`;
          await quantizeDecoder(source, packed, { bits, blockSize: 32 });
          const quantized = await openCheckpoint(packed);
          expect(resolvePrecision('auto', cuda, quantized)).toBe(dtype);
          expect(resolvePrecision('auto', cpu, quantized)).toBe('float32');
        }
      }
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('named is what is computed with, also for float32 weights', () => {
    expect(resolvePrecision('float16', cuda, checkpoint('bfloat16'))).toBe('float16');
    expect(resolvePrecision('bfloat16', cuda, checkpoint('float32'))).toBe('bfloat16');
    expect(resolvePrecision('float32', cuda, checkpoint('bfloat16'))).toBe('float32');
    // A phase without a language model has no products to reduce.
    expect(resolvePrecision('bfloat16', cuda, undefined)).toBe('float32');
  });

  it('of 16 bits is refused where there are no such products', () => {
    for (const choice of ['bfloat16', 'float16'] as const) {
      expect(() => resolvePrecision(choice, cpu, checkpoint('bfloat16'))).toThrow(
        `--precision ${choice}: onnxruntime has matrix products of 16 bits on CUDA only, not on cpu; leave it out, or choose --device cuda`,
      );
    }
  });
});

describe('a speech encoder in bfloat16', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'emoq-precision-'));
    await writeToySpeechEncoder(join(folder, 'hubert'), 0, 'hubert');
  });
  afterAll(() => rm(folder, { recursive: true }));

  it('computes its linear layers in it, and nothing else', async () => {
    const encoder = await openCheckpoint(join(folder, 'hubert'));
    const typesOf = (precision?: 'bfloat16') => {
      const { nodes } = encoderGraph(encoder, { precision });
      // A convolution over windows of frames is a product too.
      const types = nodes.map(({ operator, name, outputs }) => {
        const kind = name.startsWith('/feature_extractor/') ? 'Conv' : operator;
        return [kind, outputs[0]!.dtype] as const;
      });
      return {
        gemm: new Set(types.filter(([operator]) => operator === 'Gemm').map(([, dtype]) => dtype)),
        others: new Set(
          types
            .filter(
              ([kind, dtype]) =>
                ['Conv', 'Softmax', 'LayerNormalization', 'Erf'].includes(kind) && dtype.startsWith('float'),
            )
            .map(([, dtype]) => dtype),
        ),
      };
    };
    expect(typesOf()).toEqual({ gemm: new Set(['float32']), others: new Set(['float32']) });
    expect(typesOf('bfloat16')).toEqual({ gemm: new Set(['bfloat16']), others: new Set(['float32']) });
  });

  it('has a cache of its own', async () => {
    const files = [join(folder, 'hubert', 'config.json')];
    const cache = join(folder, 'cache');
    const [plain, same, reduced] = [
      await openFeatureCache(cache, files),
      await openFeatureCache(cache, files, { precision: 'float32' }),
      await openFeatureCache(cache, files, { precision: 'bfloat16' }),
    ];
    expect(same).toEqual(plain);
    expect(reduced.dir).toBe(`${plain.dir}-bfloat16`);
    const of = { precision: 'bfloat16', selection: 'layers-9-12' };
    expect((await openFeatureCache(cache, files, of)).dir).toBe(`${plain.dir}-bfloat16-layers-9-12`);
  });
});
