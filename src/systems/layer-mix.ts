/**
 * @file A learned sum of an encoder's layers before any system: softmax weights over the hidden states that features
 * hold, trained with the model, as in SUPERB (Yang et al., 2021).
 */

import {
  cast,
  matmul,
  reshape,
  softmax,
  squeeze,
  unsqueeze,
  type Value,
  withScope,
} from '../engine/onnx/index.js';
import { decodeHalf, encodeHalf, type Tensor, tensor } from '../engine/tensor/index.js';
import type { GraphInput } from '../engine/training/index.js';
import type { BatchValues, Weights } from '../nn/index.js';
import type { FeatureSource, PhaseGraphs, StandaloneModel } from './system.js';

/** Key of the sum's parameters in checkpoints. */
export const LAYER_MIX_KEY = 'layer_mix.weight';

const AUDIO = 'audio_features';

/** Weights [held] of the layers in the sum, from the parameters in a checkpoint. */
export function layerShares(parameters: Float32Array): number[] {
  const largest = Math.max(...parameters);
  const powers = Array.from(parameters, (value) => Math.exp(value - largest));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}

/** [N, L, held * d] -> float32 [N, L, d]. */
function mixed(weights: Weights, x: Value, held: number): Value {
  const width = x.shape[2] as number;
  return withScope(x.graph, 'layer_mix', () => {
    const states = reshape(cast(x, 'float32'), [...x.shape.slice(0, 2), held, width / held]);
    const shares = softmax(weights(LAYER_MIX_KEY, [held]));
    return squeeze(matmul(unsqueeze(shares, [0, 1, 2]), states), [2]);
  });
}

function mixing<R>(held: number, use: (weights: Weights, batch: BatchValues) => R): typeof use {
  return (weights, batch) => {
    const features = batch[AUDIO];
    return use(weights, features ? { ...batch, [AUDIO]: mixed(weights, features, held) } : batch);
  };
}

function widened(inputs: readonly GraphInput[], held: number): GraphInput[] {
  return inputs.map((input) =>
    input.name === AUDIO
      ? { ...input, shape: [...input.shape.slice(0, 2), held * (input.shape[2] as number)] }
      : input,
  );
}

/**
 * The graphs of a phase over features that hold several layers; the same graphs where they hold one.
 * @param learningRate of the sum's parameters: at a rate for pretrained models they would stay where they begin
 */
export function withLayerMix<T extends Omit<PhaseGraphs, 'frozen'>>(
  graphs: T,
  held: number,
  learningRate: number,
): T {
  if (held === 1 || graphs.inputs.every(({ name }) => name !== AUDIO)) return graphs;
  return {
    ...graphs,
    inputs: widened(graphs.inputs, held),
    isTrainable: (key) => key === LAYER_MIX_KEY || graphs.isTrainable(key),
    learningRates: { ...graphs.learningRates, [LAYER_MIX_KEY]: learningRate },
    loss: (weights, batch, dropout) =>
      mixing(held, (own, mixedBatch) => graphs.loss(own, mixedBatch, dropout))(weights, batch),
    forward: mixing(held, graphs.forward),
  };
}

/** A standalone model over features that hold several layers. */
export function standaloneWithLayerMix<T extends Pick<StandaloneModel, 'inputs' | 'define'>>(
  model: T,
  held: number,
): T {
  if (held === 1 || model.inputs.every(({ name }) => name !== AUDIO)) return model;
  return { ...model, inputs: widened(model.inputs, held), define: mixing(held, model.define) };
}

/** The parameters of a new sum, in which all layers count equally; none where features hold one layer. */
export function initialLayerMix(
  parameters: readonly { readonly key: string; readonly shape: readonly number[] }[],
): Record<string, Tensor> {
  const own = parameters.find(({ key }) => key === LAYER_MIX_KEY);
  return own === undefined ? {} : { [LAYER_MIX_KEY]: tensor('float32', own.shape) };
}

/** Features of a new sum: the means over the layers. */
export function equallyMixed(features: FeatureSource, held: number): FeatureSource {
  if (held === 1) return features;
  return {
    frames: features.frames,
    async read(utterance) {
      const { frames, width: whole, words } = await features.read(utterance);
      const width = whole / held;
      const values = decodeHalf(words);
      const means = new Float32Array(frames * width);
      values.forEach((value, index) => {
        const frame = Math.floor(index / whole);
        means[frame * width + (index % width)]! += value / held;
      });
      return { frames, width, words: encodeHalf(means) };
    },
  };
}
