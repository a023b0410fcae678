/**
 * @file Rank-stabilised LoRA and the start from principal singular vectors, against PEFT
 * (test/reference/lora-variants.py).
 */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { mergeLora } from '../../src/backbones/decoders/decoder-lora.js';
import { decoder, embedTokens, loraParameters, principalLora } from '../../src/backbones/index.js';
import { gradients } from '../../src/engine/autodiff/index.js';
import { cast, constant, mul, reduceSum } from '../../src/engine/onnx/index.js';
import {
  float32,
  float32Of,
  normalArray,
  readSafetensors,
  seededRandom,
  type Tensor,
  tensor,
} from '../../src/engine/tensor/index.js';
import { type LoraConfig, loraLinear, loraShapes } from '../../src/nn/index.js';
import { principalPart } from '../../src/nn/principal-part.js';
import { type Dropout, givenWeights } from '../../src/nn/weights.js';
import { compute, type Feed, openFixture, relativeError } from '../backbones/decoders/graph-run.js';
import { largestError, parityError, recordParity } from '../parity/figures.js';

const { tensors, metadata } = await readSafetensors(
  new URL('../fixtures/lora-variants.safetensors', import.meta.url).pathname,
);
const reference = JSON.parse(metadata.reference!) as {
  rank: number;
  alpha: number;
  targets: string[];
  merged: string;
};

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'emoq-lora-variants-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const cases = [
  ['tied', 'rslora'],
  ['tied', 'pissa'],
  ['untied', 'pissa rslora'],
] as const;

describe.each(cases)('on the checkpoint "%s", %s', (checkpointName, name) => {
  const of = (key: string): Tensor => tensors.get(`${checkpointName} ${name}/${key}`)!;
  const under = (prefix: string): Map<string, Tensor> => {
    const whole = `${checkpointName} ${name}/${prefix}`;
    return new Map(
      [...tensors].flatMap(([key, value]) =>
        key.startsWith(whole) ? [[key.slice(whole.length), value]] : [],
      ),
    );
  };
  const isPissa = name.includes('pissa');
  const lora: LoraConfig = {
    rank: reference.rank,
    alpha: reference.alpha,
    dropout: 0.1,
    targets: reference.targets,
    use_rslora: name.includes('rslora'),
    init: isPissa ? 'pissa' : 'kaiming',
  };
  const startKey = (key: string): string => key.replace(/(lora_[AB])/, '$1_start');
  /** PEFT's parameters, with those that they started from. */
  const given = (prefix: string): Map<string, Tensor> =>
    new Map(
      [...under(prefix)].flatMap(([key, value]): [string, Tensor][] => [
        [key, value],
        ...(isPissa ? ([[startKey(key), of(`start.${key}`)]] as [string, Tensor][]) : []),
      ]),
    );

  /** Hidden states, and the gradient of each parameter for the sum of the states times the probe. */
  async function run(parameters: ReadonlyMap<string, Tensor>, config = lora, dropout?: Dropout) {
    const fixture = await openFixture(checkpointName);
    const { expected } = fixture;
    const trained = loraParameters(fixture.config, config).map(({ key }) => key);
    const feeds: Record<string, Feed> = {
      inputIds: [expected('input_ids'), ['N', 'L']],
      attentionMask: [expected('right.mask'), ['N', 'L']],
      probe: [of('probe'), ['N', 'L', fixture.config.hiddenSize]],
      ...Object.fromEntries(trained.map((key) => [key, [parameters.get(key)!, parameters.get(key)!.shape]])),
    };
    const outputs = await compute(
      feeds,
      (graph, { inputIds, attentionMask, probe, ...values }) => {
        const weights = fixture.weights(graph);
        const embeddings = embedTokens(weights, fixture.config, inputIds!);
        const beside = { config, weights: givenWeights(new Map(Object.entries(values))) };
        const options = { lora: beside, ...(dropout && { dropout }) };
        const hidden = decoder(
          weights,
          fixture.config,
          { embeddings, attentionMask: attentionMask! },
          options,
        );
        const loss = reduceSum(mul(hidden, probe!), [0, 1, 2]);
        const slopes = gradients(
          loss,
          trained.map((key) => values[key]!),
        );
        return { hidden, ...Object.fromEntries(trained.map((key, at) => [`d ${key}`, slopes[at]!])) };
      },
      fixture.checkpoint.dir,
    );
    const mask = expected('right.mask');
    return { outputs, trained, real: (row: number): boolean => mask.data[row] === 1n };
  }

  it('has the hidden states and gradients of PEFT, and none for what does not change', async () => {
    const { outputs, trained, real } = await run(given('parameter.'));
    const errors = [parityError(outputs.hidden!, of('hidden'), real)];
    expect(errors[0]!.relative).toBeLessThan(2e-5);
    for (const key of trained) {
      const slope = outputs[`d ${key}`]!;
      if (key.includes('_start')) {
        expect(
          float32Of(slope).every((value) => value === 0),
          key,
        ).toBe(true);
        continue;
      }
      const error = parityError(slope, of(`gradient.${key}`));
      expect(error.relative, key).toBeLessThan(1e-4);
      errors.push(error);
    }
    recordParity({
      model: `Qwen2 with LoRA, ${name}`,
      shape: `rank ${lora.rank}, checkpoint "${checkpointName}"`,
      dtype: 'float32, reference PEFT in float32',
      quantity: 'hidden states and gradients of every LoRA parameter',
      ...largestError(errors),
    });
  });

  it('merges to the weight that PEFT merges to', async () => {
    const { checkpoint } = await openFixture(checkpointName);
    const file = join(folder, `${checkpointName}-${name}.safetensors`);
    await mergeLora(checkpoint, given('parameter.'), lora, file);
    const merged = (await readSafetensors(file)).tensors.get(`${reference.merged}.weight`)!;
    expect(relativeError(merged, of('merged'))).toBeLessThan(2e-6);
    // A test of the test: neither the usual scale nor the whole of B A comes close.
    const other = { ...lora, use_rslora: !lora.use_rslora };
    await mergeLora(checkpoint, given('parameter.'), other, file);
    const wrong = (await readSafetensors(file)).tensors.get(`${reference.merged}.weight`)!;
    expect(relativeError(wrong, of('merged'))).toBeGreaterThan(1e-2);
  });

  it('is another model at the usual scale', async () => {
    const other = { ...lora, use_rslora: !lora.use_rslora };
    const { outputs, real } = await run(given('parameter.'), other);
    expect(relativeError(outputs.hidden!, of('hidden'), real)).toBeGreaterThan(1e-2);
  });

  if (!isPissa) return;

  it('starts from the part of each weight that PEFT starts from', async () => {
    const { checkpoint, config } = await openFixture(checkpointName);
    const own = await principalLora(checkpoint, config, lora, 7);
    const theirs = under('start.');
    const keys = [...theirs.keys()].filter((key) => key.includes('lora_A'));
    expect(keys).toHaveLength(lora.targets.length * config.numHiddenLayers);
    for (const key of keys) {
      const product = (from: ReadonlyMap<string, Tensor>): number[] =>
        timesTransposed(from.get(key)!, from.get(key.replace('lora_A', 'lora_B'))!);
      const [actual, wanted] = [product(own), product(theirs)];
      // PEFT decomposes in float32, where the vectors of close singular values mix by some 1e-5.
      const error = relativeError(float32([actual.length], actual), float32([wanted.length], wanted));
      expect(error, key).toBeLessThan(1e-4);
      // Each singular value is shared evenly by both factors; signs are free.
      const lengths = (value: Tensor): number[] => rowNorms(value);
      const [a, b] = [lengths(own.get(key)!), lengths(theirs.get(key)!)];
      a.forEach((length, row) => {
        expect(Math.abs(length / b[row]! - 1), key).toBeLessThan(1e-5);
      });
      expect(own.get(startKey(key))).toEqual(own.get(key));
    }
  });

  it('changes nothing at the start, with dropout neither', async () => {
    const { checkpoint, config } = await openFixture(checkpointName);
    const own = await principalLora(checkpoint, config, lora, 7);
    const { outputs, real } = await run(own);
    expect(relativeError(outputs.hidden!, of('before'), real)).toBeLessThan(2e-5);
    const dropped = await run(own, lora, (x) => mul(x, 0.3));
    expect(dropped.outputs.hidden).toEqual(outputs.hidden);
  });

  it('refuses a rank above the number of singular values, and a merge without the start', async () => {
    const { checkpoint, config } = await openFixture(checkpointName);
    await expect(principalLora(checkpoint, config, { ...lora, rank: 33 }, 7)).rejects.toThrow(
      /lora\.rank 33 is more than the \d+ singular values of model\.layers\.0\.self_attn/,
    );
    const file = join(folder, 'refused.safetensors');
    await expect(mergeLora(checkpoint, under('parameter.'), lora, file)).rejects.toThrow(
      /is missing its lora_A_start/,
    );
  });
});

/** A' B' as one list: [in, out]. */
function timesTransposed(a: Tensor, b: Tensor): number[] {
  const [rank, width] = a.shape as [number, number];
  const [x, y] = [float32Of(a), float32Of(b)];
  const out = b.shape[0]!;
  return Array.from({ length: out * width }, (_, at) => {
    const [o, i] = [Math.floor(at / width), at % width];
    let sum = 0;
    for (let k = 0; k < rank; k++) sum += y[o * rank + k]! * x[k * width + i]!;
    return sum;
  });
}

function rowNorms(value: Tensor): number[] {
  const [rows, width] = value.shape as [number, number];
  const data = float32Of(value);
  return Array.from({ length: rows }, (_, row) =>
    Math.hypot(...data.subarray(row * width, (row + 1) * width)),
  );
}

describe('an update from principal vectors in 16 bits', () => {
  it('keeps its digits where it is a small difference of large products', async () => {
    const [out, width, rank] = [6, 8, 3];
    const lora: LoraConfig = { rank, alpha: rank, dropout: 0, targets: [], init: 'pissa' };
    const random = seededRandom('pissa in bfloat16');
    const module = { path: 'm', shape: [out, width] } as const;
    const values = new Map<string, Tensor>();
    for (const { key, shape } of loraShapes(module, lora)) {
      const base = values.get(key.replace('_start', ''));
      const size = shape[0]! * shape[1]!;
      const data = base
        ? float32Of(base).map((value) => value + 1e-4 * random.normal())
        : normalArray(random, size, 5);
      values.set(key, tensor('float32', shape, Float32Array.from(data)));
    }
    const x = float32([1, width], [...normalArray(random, width, 1)]);
    const feeds: Record<string, Feed> = { x: [x, ['N', width]] };
    for (const [key, value] of values) feeds[key] = [value, value.shape];
    const { y } = await compute(feeds, (graph, { x: input, ...parameters }) => {
      const weight = cast(constant(graph, tensor('float32', [out, width])), 'bfloat16');
      const given = givenWeights(new Map(Object.entries(parameters)));
      return {
        y: cast(
          loraLinear(input!, { path: 'm', weight }, lora, given, (value) => value),
          'float32',
        ),
      };
    }).catch(() => ({ y: undefined }));
    if (y === undefined) return; // onnxruntime has no products of bfloat16 on this machine
    const of = (name: string): Float32Array => float32Of(values.get(`base_model.model.m.${name}.weight`)!);
    const inner = (a: Float32Array, k: number): number =>
      x.data.reduce((sum, value, i) => sum + value * a[k * width + i]!, 0);
    const wanted = Array.from({ length: out }, (_, o) => {
      let sum = 0;
      for (let k = 0; k < rank; k++) {
        sum += of('lora_B')[o * rank + k]! * inner(of('lora_A'), k);
        sum -= of('lora_B_start')[o * rank + k]! * inner(of('lora_A_start'), k);
      }
      return sum;
    });
    expect(relativeError(y, float32([1, out], wanted))).toBeLessThan(0.03);
  });
});

describe('the principal part of a matrix', () => {
  it('has the singular values and vectors that the matrix was made of', () => {
    // diag(3, 2) turned by angles: W = U S V'.
    const [u, v] = [0.4, 1.1];
    const turn = (angle: number) =>
      [Math.cos(angle), -Math.sin(angle), Math.sin(angle), Math.cos(angle)] as const;
    const [a, b] = [turn(u), turn(v)];
    const w = [0, 1].flatMap((row) =>
      [0, 1].map((column) => 3 * a[2 * row]! * b[2 * column]! + 2 * a[2 * row + 1]! * b[2 * column + 1]!),
    );
    const { values, left, right } = principalPart(Float32Array.from(w), [2, 2], 2, [1, 'test']);
    expect(values[0]).toBeCloseTo(3, 6);
    expect(values[1]).toBeCloseTo(2, 6);
    expect(Math.abs(left[0]! * a[0] + left[1]! * a[2])).toBeCloseTo(1, 6);
    expect(Math.abs(right[0]! * b[0] + right[1]! * b[2])).toBeCloseTo(1, 6);
  });

  it('is the best approximation: what is left has the remaining singular values', () => {
    const [out, width, rank] = [70, 90, 5];
    const w = normalArray(seededRandom('matrix'), out * width, 1);
    // Decaying columns, as weights have them.
    for (let i = 0; i < w.length; i++) w[i] = w[i]! / (1 + (i % width)) ** 0.5;
    const whole = principalPart(w, [out, width], out, [1, 'whole']);
    const { values, left, right } = principalPart(w, [out, width], rank, [2, 'part']);
    values.forEach((value, k) => {
      expect(Math.abs(value / whole.values[k]! - 1)).toBeLessThan(1e-5);
    });
    let left2 = 0;
    for (let o = 0; o < out; o++) {
      for (let i = 0; i < width; i++) {
        let part = 0;
        for (let k = 0; k < rank; k++) part += values[k]! * left[k * out + o]! * right[k * width + i]!;
        left2 += (w[o * width + i]! - part) ** 2;
      }
    }
    const rest = whole.values.slice(rank).reduce((sum, value) => sum + value * value, 0);
    expect(Math.abs(left2 / rest - 1)).toBeLessThan(1e-6);
    // What is left is no rounding.
    expect(rest).toBeGreaterThan(0.1 * whole.values.reduce((sum, value) => sum + value * value, 0));
  });

  it('of a matrix of lower rank has zeros, and no NaN', () => {
    const w = Float32Array.from({ length: 12 }, (_, i) => (1 + Math.floor(i / 4)) * (1 + (i % 4)));
    const { values, left, right } = principalPart(w, [3, 4], 3, [1, 'test']);
    expect(values[0]).toBeCloseTo(Math.sqrt(14 * 30), 5);
    expect(values[1]).toBeLessThan(1e-5);
    expect([...left, ...right].every(Number.isFinite)).toBe(true);
  });
});
