/** @file Cases of the PyTorch references of stages 1 and 2: batch, parameters and gradients of one small model. */

import { gradients } from '../../src/engine/autodiff/index.js';
import type { Graph, Value } from '../../src/engine/onnx/index.js';
import {
  elementCount,
  float32Of,
  readSafetensors,
  type Tensor,
  tensor,
} from '../../src/engine/tensor/index.js';
import type { FormerConfig } from '../../src/models/former/index.js';
import type { ModelInput } from '../../src/models/stage1-model.js';
import { givenWeights, type Weights } from '../../src/models/weights.js';
import { compute, type Feed, relativeError } from './qwen2/graph-run.js';

export interface ReferenceCase {
  /** Sizes and settings, as the script has them. */
  readonly config: Readonly<Record<string, number>>;
  readonly parameters: ReadonlyMap<string, Tensor>;
  readonly gradients: ReadonlyMap<string, Tensor>;
  expected(key: string): Tensor;
  batch(name: string): Tensor;
}

/** Opens a fixture of test/reference/stage1.py or stage2.py. */
export async function openReference(name: string) {
  const path = new URL(`../fixtures/${name}.safetensors`, import.meta.url).pathname;
  const { metadata, tensors } = await readSafetensors(path);
  const configs = JSON.parse(metadata.configs!) as Record<string, Record<string, number>>;
  const shapes = JSON.parse(metadata.shapes!) as Record<string, [string, number[]][]>;
  const expected = (key: string): Tensor => {
    const value = tensors.get(key);
    if (value === undefined) throw new Error(`the fixture ${name} has no ${key}`);
    return value;
  };
  /** The tensors of a case that lie end to end, by key. */
  const unpacked = (id: string, packed: Float32Array): Map<string, Tensor> => {
    let start = 0;
    return new Map(
      shapes[id]!.map(([key, shape]) => {
        const end = start + elementCount(shape);
        const values = tensor('float32', shape, packed.slice(start, end));
        start = end;
        return [key, values];
      }),
    );
  };
  return {
    expected,
    caseOf: (id: string): ReferenceCase => ({
      config: configs[id]!,
      parameters: unpacked(id, float32Of(expected(`${id}/parameters`))),
      gradients: unpacked(id, float32Of(expected(`${id}/gradients`))),
      expected: (key) => expected(`${id}/${key}`),
      batch: (key) => expected(`${id}/batch/${key}`),
    }),
  };
}

/** The Former of a case. */
export function formerOf({ config }: ReferenceCase): FormerConfig {
  const size = (key: string): number => config[key]!;
  return {
    roberta: {
      vocabSize: size('vocabulary'),
      hiddenSize: size('width'),
      numHiddenLayers: size('layers'),
      numAttentionHeads: size('heads'),
      intermediateSize: size('intermediate'),
      maxPositionEmbeddings: size('positions'),
      typeVocabSize: 1,
      padTokenId: 1,
      layerNormEps: 1e-5,
      hiddenDropoutProb: 0.1,
      attentionProbsDropoutProb: 0.1,
    },
    audioWidth: size('audio_width'),
    queries: size('queries'),
    crossAttentionEvery: size('cross_attention_every'),
    poolingHeads: size('pooling_heads'),
    dropout: 0.1,
    attentionDropout: 0.1,
    trainWordEmbeddings: true,
  };
}

/** What a case computes, from its parameters and its batch. */
export type CaseModel = (
  weights: Weights,
  batch: Readonly<Record<string, Value>>,
  graph: Graph,
) => Record<string, Value>;

/** Runs a case's model on a batch; with `loss` among the results, the gradient of every parameter too. */
export async function runCase(
  { parameters, batch }: ReferenceCase,
  inputs: readonly ModelInput[],
  build: CaseModel,
  {
    replace = {},
    weightsFolder,
  }: { replace?: Readonly<Record<string, Tensor>>; weightsFolder?: string } = {},
): Promise<{ results: Record<string, Tensor>; gradients: Map<string, Tensor> }> {
  const feeds: Record<string, Feed> = {};
  for (const { name, shape } of inputs) feeds[name] = [replace[name] ?? batch(name), shape];
  for (const [key, value] of parameters) feeds[key] = [value, value.shape];
  const outputs = await compute(
    feeds,
    (graph, values) => {
      const trained = new Map([...parameters.keys()].map((key) => [key, values[key]!]));
      const read = Object.fromEntries(inputs.map(({ name }) => [name, values[name]!]));
      const results = build(givenWeights(trained), read, graph);
      if (results.loss === undefined) return results;
      const slopes = gradients(results.loss, [...trained.values()]);
      const named = [...trained.keys()].map((key, at) => [`gradient/${key}`, slopes[at]!] as const);
      return { ...results, ...Object.fromEntries(named) };
    },
    weightsFolder,
  );
  const results = Object.entries(outputs).filter(([key]) => !key.startsWith('gradient/'));
  const slopes = Object.entries(outputs).filter(([key]) => key.startsWith('gradient/'));
  return {
    results: Object.fromEntries(results),
    gradients: new Map(slopes.map(([key, value]) => [key.slice('gradient/'.length), value])),
  };
}

/**
 * Errors of gradients by key, as in `relativeError`. Where there is no gradient, as for the bias of a key projection,
 * which softmax takes out, what is left of it is rounding: it is told in proportion to a hundredth of the root mean
 * square over all keys.
 */
export function gradientErrors(
  actual: ReadonlyMap<string, Tensor>,
  expected: ReadonlyMap<string, Tensor>,
): Map<string, number> {
  const overall = rootMeanSquare([...expected.values()].flatMap((value) => [...float32Of(value)]));
  return new Map(
    [...expected].map(([key, wanted]) => {
      const got = actual.get(key)!;
      if (rootMeanSquare(float32Of(wanted)) > 1e-6 * overall) return [key, relativeError(got, wanted)];
      const largest = float32Of(got).reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      return [key, largest / (0.01 * overall)];
    }),
  );
}

function rootMeanSquare(values: ArrayLike<number>): number {
  return Math.sqrt(Array.from(values).reduce((sum, value) => sum + value * value, 0) / values.length);
}

/** A sequence tensor [N, L, ...] made longer by `extra` places that hold `filler`. */
export function lengthened(value: Tensor, extra: number, filler: number | bigint): Tensor {
  const [batch, length, ...rest] = value.shape as [number, number, ...number[]];
  const inner = elementCount(rest);
  const longer = tensor(value.dtype, [batch, length + extra, ...rest]);
  (longer.data as Float32Array).fill(filler as number);
  for (let row = 0; row < batch; row++) {
    const own = (value.data as Float32Array).subarray(row * length * inner, (row + 1) * length * inner);
    (longer.data as Float32Array).set(own, row * (length + extra) * inner);
  }
  return longer;
}
