/** @file The learned sum of an encoder's layers: its value, its gradient, and how it begins. */

import { describe, expect, it } from 'vitest';
import { gradients } from '../../src/engine/autodiff/index.js';
import { addInput, addOutput, createGraph, mul, reduceSum, type Value } from '../../src/engine/onnx/index.js';
import { encodeHalf, float32, normalArray, seededRandom, tensor } from '../../src/engine/tensor/index.js';
import {
  equallyMixed,
  initialLayerMix,
  LAYER_MIX_KEY,
  layerShares,
  withLayerMix,
} from '../../src/systems/layer-mix.js';
import type { PhaseGraphs } from '../../src/systems/system.js';
import { run } from '../engine/onnx-operators.js';

const [ROWS, FRAMES, HELD, WIDTH] = [2, 3, 4, 5];
const random = seededRandom('layer mix');
const features = Float32Array.from(normalArray(random, ROWS * FRAMES * HELD * WIDTH, 1), (value) => value);
/** A phase whose output is its features. */
const phase = {
  ...{ name: 'bare', targets: [], isTrainable: (key: string) => key === 'own' },
  inputs: [{ name: 'audio_features', dtype: 'float16', shape: ['batch', 'frames', WIDTH] }],
  forward: (_: unknown, batch: { audio_features: Value }) => ({
    ...{ probabilities: batch.audio_features, embedding: undefined },
  }),
  loss: () => expect.fail(),
} as unknown as Omit<PhaseGraphs, 'frozen'>;

const parameters = [0.4, -0.2, 1.1, 0.1];

/** The mixed features, a loss of them, and the gradient of the loss. */
async function mixed(values: readonly number[], factors: Float32Array) {
  const { inputs, forward } = withLayerMix(phase, HELD, 1e-3);
  const graph = createGraph('mix');
  const batch = { audio_features: addInput(graph, 'audio_features', 'float16', inputs[0]!.shape) };
  const weight = addInput(graph, 'weight', 'float32', [HELD]);
  const weights = (key: string) => (key === LAYER_MIX_KEY ? weight : expect.fail(`reads ${key}`));
  const { probabilities } = forward(weights, batch);
  const scale = addInput(graph, 'scale', 'float32', ['batch', 'frames', WIDTH]);
  const loss = reduceSum(mul(probabilities, scale), [0, 1, 2]);
  const [gradient] = gradients(loss, [weight]);
  for (const [name, value] of Object.entries({ probabilities, loss, gradient: gradient! })) {
    addOutput(graph, value, name);
  }
  const outputs = await run(graph, {
    audio_features: tensor('float16', [ROWS, FRAMES, HELD * WIDTH], encodeHalf(features)),
    weight: float32([HELD], values),
    scale: tensor('float32', [ROWS, FRAMES, WIDTH], factors),
  });
  return {
    mix: outputs.probabilities!.data as Float32Array,
    loss: (outputs.loss!.data as Float32Array)[0]!,
    gradient: outputs.gradient!.data as Float32Array,
  };
}

const factors = Float32Array.from(normalArray(random, ROWS * FRAMES * WIDTH, 1), (value) => value);
const half = (value: number): number => new Float32Array([value])[0]!;

describe('the learned sum of layers', () => {
  it('weighs each layer by the share that its parameters give', async () => {
    const shares = layerShares(Float32Array.from(parameters));
    expect(shares.reduce((sum, share) => sum + share, 0)).toBeCloseTo(1, 12);
    expect(shares[2]! / shares[0]!).toBeCloseTo(Math.exp(half(1.1) - half(0.4)), 4);
    const { mix } = await mixed(parameters, factors);
    for (let frame = 0; frame < ROWS * FRAMES; frame++) {
      for (let channel = 0; channel < WIDTH; channel++) {
        const wanted = shares.reduce(
          (sum, share, layer) => sum + share * features[(frame * HELD + layer) * WIDTH + channel]!,
          0,
        );
        expect(Math.abs(mix[frame * WIDTH + channel]! - wanted)).toBeLessThan(2e-3); // features are float16
      }
    }
  });

  it('has the gradient of finite differences', async () => {
    const { gradient } = await mixed(parameters, factors);
    const step = 1e-2;
    for (const index of parameters.keys()) {
      const moved = (by: number) => parameters.map((value, at) => (at === index ? value + by : value));
      const [up, down] = [await mixed(moved(step), factors), await mixed(moved(-step), factors)];
      const wanted = (up.loss - down.loss) / (2 * step);
      expect(Math.abs(gradient[index]! - wanted)).toBeLessThan(0.02 * Math.max(1, Math.abs(wanted)));
    }
  });

  it('begins with the mean, which is what statistics are taken of', async () => {
    const initial = initialLayerMix([{ key: LAYER_MIX_KEY, shape: [HELD] }]);
    expect([...(initial[LAYER_MIX_KEY]!.data as Float32Array)]).toEqual([0, 0, 0, 0]);
    expect(initialLayerMix([{ key: 'other', shape: [1] }])).toEqual({});
    const words = encodeHalf(features.slice(0, FRAMES * HELD * WIDTH));
    const source = {
      frames: () => FRAMES,
      read: async () => ({ frames: FRAMES, width: HELD * WIDTH, words }),
    };
    const { width, words: means } = await equallyMixed(source, HELD).read({ id: '' });
    expect(width).toBe(WIDTH);
    const { mix } = await mixed([0, 0, 0, 0], factors);
    const wanted = encodeHalf(mix.slice(0, FRAMES * WIDTH));
    expect(means.every((word, index) => Math.abs(word - wanted[index]!) <= 1)).toBe(true);
    expect(equallyMixed(source, 1)).toBe(source);
  });

  it('is trained beside the rest, and absent where one layer is read', () => {
    const graphs = withLayerMix(phase, HELD, 1e-3);
    expect(graphs.learningRates).toEqual({ [LAYER_MIX_KEY]: 1e-3 });
    expect(graphs.inputs[0]!.shape).toEqual(['batch', 'frames', HELD * WIDTH]);
    expect([LAYER_MIX_KEY, 'own', 'frozen'].map((key) => graphs.isTrainable(key))).toEqual([
      true,
      true,
      false,
    ]);
    expect(withLayerMix(phase, 1, 1e-3)).toBe(phase);
  });
});
