/** @file The linear probe and its MLP: loss, gradients and probabilities equal to PyTorch's, regardless of padding. */

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { gradients } from '../../../src/engine/autodiff/index.js';
import type { Graph, Value } from '../../../src/engine/onnx/index.js';
import { encodeHalf, float32, int64, type Tensor, tensor } from '../../../src/engine/tensor/index.js';
import type { Weights } from '../../../src/nn/weights.js';
import { noDropout } from '../../../src/nn/weights.js';
import { probeGraphs } from '../../../src/systems/linear-probe/system.js';
import { phaseParameters } from '../../../src/systems/phase-graphs.js';
import { compute, type Feed } from '../../backbones/decoders/graph-run.js';

interface ProbeCase {
  readonly hidden: number;
  readonly standardize: boolean;
  readonly parameters: Readonly<Record<string, { shape: number[]; values: number[] }>>;
  readonly loss: number;
  readonly embedding: number[];
  readonly probabilities: number[];
  readonly gradients: Readonly<Record<string, number[]>>;
}

const reference = JSON.parse(
  readFileSync(new URL('../../fixtures/linear-probe.json', import.meta.url), 'utf8'),
) as {
  width: number;
  classes: number;
  frames: number[];
  labels: number[];
  features: number[];
  cases: ProbeCase[];
};
const { width, classes, frames, labels } = reference;
const longest = Math.max(...frames);
const mask = frames.flatMap((real) => Array.from({ length: longest }, (_, frame) => (frame < real ? 1 : 0)));
const batch: Record<string, Feed> = {
  audio_features: [
    tensor('float16', [frames.length, longest, width], encodeHalf(Float32Array.from(reference.features))),
    ['batch', 'frames', width],
  ],
  frame_mask: [int64([frames.length, longest], mask), ['batch', 'frames']],
  labels: [int64([frames.length], labels), ['batch']],
};

/** The largest difference of a tensor from PyTorch's. */
function errorOf(found: Tensor, expected: readonly number[]): number {
  expect(found.data).toHaveLength(expected.length);
  return Math.max(...expected.map((value, index) => Math.abs(Number(found.data[index]) - value)));
}

describe.each(reference.cases)('a probe with $hidden hidden units, standardised: $standardize', (probe) => {
  const sizes = { audioWidth: width, classes, hidden: probe.hidden, standardize: probe.standardize };
  const graphs = probeGraphs(sizes);
  const feeds: Record<string, Feed> = {
    ...batch,
    ...Object.fromEntries(
      Object.entries(probe.parameters).map(([key, { shape, values }]) => [
        key,
        [float32(shape, values), shape] as const,
      ]),
    ),
  };

  it('has the parameters of the reference, and trains all of them', () => {
    const { trainable, frozen } = phaseParameters(graphs);
    const shapes = Object.fromEntries(trainable.map(({ key, shape }) => [key, shape]));
    expect(shapes).toEqual(
      Object.fromEntries(Object.entries(probe.parameters).map(([key, { shape }]) => [key, shape])),
    );
    expect(frozen).toEqual([]);
  });

  it('gives the loss, its gradients, the probabilities and the pooled features of PyTorch', async () => {
    const found = await compute(feeds, (_graph: Graph, inputs: Record<string, Value>) => {
      const weights: Weights = (key) => inputs[key]!;
      const { loss } = graphs.loss(weights, inputs, noDropout);
      const keys = Object.keys(probe.parameters);
      const partial = gradients(
        loss,
        keys.map((key) => inputs[key]!),
      );
      const { probabilities, embedding } = graphs.forward(weights, inputs);
      return {
        loss,
        probabilities,
        embedding: embedding!,
        ...Object.fromEntries(keys.map((key, index) => [`d ${key}`, partial[index]!])),
      };
    });
    expect(errorOf(found.loss!, [probe.loss])).toBeLessThan(1e-5);
    expect(errorOf(found.probabilities!, probe.probabilities)).toBeLessThan(1e-5);
    expect(errorOf(found.embedding!, probe.embedding)).toBeLessThan(1e-5);
    for (const [key, expected] of Object.entries(probe.gradients)) {
      expect(errorOf(found[`d ${key}`]!, expected), key).toBeLessThan(1e-5);
    }
  });
});
