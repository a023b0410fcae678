/**
 * @file The wav2vec 2.0 encoder (Baevski et al., 2020) as a graph fragment, in the base and the large variant. HuBERT
 * (Hsu et al., 2021) uses the same network, WavLM (Chen et al., 2021) one with a position bias.
 */

import {
  add,
  asBlock,
  cast,
  conv1d,
  div,
  gelu,
  mul,
  reduceSum,
  sqrt,
  transpose,
  unsqueeze,
  type Value,
  withScope,
} from '../../../engine/onnx/index.js';
import { attentionBias, dense, multiHeadAttention, norm, under, type Weights } from '../../../nn/index.js';
import type { LayerFrames, LayerRange } from '../speech-encoder.js';
import type { Wav2Vec2Config } from './config.js';
import { featureEncoder, type GroupNormSteps } from './feature-encoder.js';

export interface Wav2Vec2Inputs {
  /** Waveforms at 16 kHz, float32 [N, samples], normalised if the checkpoint requires it, zero-padded at the end. */
  readonly inputValues: Value;
  /** int64 [N, samples]: 1 on real samples, then 0. */
  readonly attentionMask: Value;
}

export interface Wav2Vec2Options {
  /**
   * Time steps that the group norm of the base variant averages over. `real`, the default: the clip's own, so that a
   * clip has the same features whatever the padding. `padded`: all time steps of the batch, as in transformers'
   * Wav2Vec2Model and HubertModel, for graphs that are compared with them; a clip's features then depend on its batch.
   * Without padding, and for the large variant, which has no group norm, both are the same.
   */
  readonly groupNormSteps?: GroupNormSteps;
  /** How many layers are computed; absent: all. */
  readonly layers?: number;
}

export interface Wav2Vec2Outputs {
  /**
   * The input of the first layer and the output of each layer that is computed, [N, frames, hiddenSize]; that of the
   * model's last layer is transformers' `last_hidden_state`. Meaningless where the frame mask is 0.
   */
  readonly hiddenStates: readonly Value[];
  /**
   * int64 [N, frames]: 1 on frames that see only real samples. Same as in Wav2Vec2Model, except for a row too short for
   * a frame: it has none here, while Wav2Vec2Model's index of the last frame wraps around to the end.
   */
  readonly frameMask: Value;
}

/** What layers add to the scores of their attention, by frame that attends and frame attended to. */
export interface PositionBias {
  /** What all layers share. */
  readonly shared: Value;
  /**
   * The bias of a layer: [N, heads, L, L].
   * @param weights of the layer's attention
   * @param x [N, L, width], the input of its attention
   */
  readonly ofLayer: (weights: Weights, x: Value) => Value;
}

/**
 * Waveforms to hidden states, 50 frames per second. A clip has the same frames alone or padded in a batch, unless the
 * options ask for Wav2Vec2Model's own group norm.
 * @param positionBias makes the bias of all layers, from frames [N, L, width]; absent: there is none
 */
export function wav2vec2Encoder(
  weights: Weights,
  config: Wav2Vec2Config,
  inputs: Wav2Vec2Inputs,
  { groupNormSteps = 'real', layers = config.numHiddenLayers }: Wav2Vec2Options = {},
  positionBias?: (frames: Value) => PositionBias,
): Wav2Vec2Outputs {
  const { graph } = inputs.inputValues;
  const scoped = <T>(name: string, build: () => T): T => withScope(graph, name, build);
  const { features, frameMask } = scoped('feature_extractor', () =>
    featureEncoder(weights, config, inputs, groupNormSteps),
  );
  const projected = scoped('feature_projection', () => {
    const projection = under(weights, 'feature_projection.');
    const normed = config.featProjLayerNorm
      ? norm(projection, 'layer_norm', features, config.layerNormEps)
      : features;
    return dense(projection, 'projection', normed, config.hiddenSize);
  });
  const hiddenStates = scoped('encoder', () => {
    const real = mul(projected, unsqueeze(cast(frameMask, projected.dtype), [2]));
    const position = scoped('pos_conv_embed', () => positionalConvolution(weights, config, real));
    const positioned = add(real, position);
    const first = config.doStableLayerNorm ? positioned : finalNorm(weights, config, positioned);
    const range = { from: 0, to: layers };
    return [first, ...transformerLayers(weights, config, { states: first, frameMask }, range, positionBias)];
  });
  return { hiddenStates, frameMask };
}

/** The norm after the first hidden state of base models and after the last of large ones. */
function finalNorm(weights: Weights, config: Wav2Vec2Config, x: Value): Value {
  return norm(weights, 'encoder.layer_norm', x, config.layerNormEps);
}

/**
 * Some of the layers of {@link wav2vec2Encoder}, from the hidden state before them to the states after each.
 * @returns [N, L, width] for each layer; that of the model's last layer is normalised as in the whole encoder
 */
export function transformerLayers(
  weights: Weights,
  config: Wav2Vec2Config,
  { states, frameMask }: LayerFrames,
  { from, to, dropout }: LayerRange,
  positionBias?: (frames: Value) => PositionBias,
): Value[] {
  const { graph } = states;
  const bias = unsqueeze(attentionBias(frameMask), [1, 2]); // [N, 1, 1, L]
  const biasOfLayer = positionBias?.(states);
  const after: Value[] = [];
  for (let layer = from; layer < to; layer++) {
    const name = `layers.${layer}`;
    const layerWeights = under(weights, `encoder.${name}.`);
    const before = after.at(-1) ?? states;
    const computedFrom = [before, ...(biasOfLayer ? [biasOfLayer.shared] : [])];
    const drop = (x: Value, site: string): Value =>
      dropout === undefined ? x : dropout.apply(x, dropout.rate, `speech_encoder.${name}.${site}`);
    after.push(
      asBlock(graph, computedFrom, () =>
        withScope(graph, name, () =>
          transformerLayer(layerWeights, config, before, { bias, positionBias: biasOfLayer, drop }),
        ),
      ),
    );
  }
  if (config.doStableLayerNorm && to === config.numHiddenLayers && to > from) {
    after.push(finalNorm(weights, config, after.pop()!));
  }
  return after;
}

/** Shared by all layers. */
interface LayerContext {
  /** Additive, [N, 1, 1, L]: 0 on real frames, hugely negative on padded ones. */
  readonly bias: Value;
  readonly positionBias: PositionBias | undefined;
  readonly drop: (x: Value, site: string) => Value;
}

/** One layer: x [N, L, width] -> [N, L, width]. */
function transformerLayer(
  weights: Weights,
  config: Wav2Vec2Config,
  x: Value,
  { bias, positionBias, drop }: LayerContext,
): Value {
  const normed = (value: Value, name: string): Value => norm(weights, name, value, config.layerNormEps);
  const attend = (value: Value): Value => {
    const attended = withScope(x.graph, 'attention', () => {
      const layer = under(weights, 'attention.');
      const biases = positionBias === undefined ? bias : add(positionBias.ofLayer(layer, value), bias);
      return attention(layer, config, value, biases, (shares) => drop(shares, 'attention'));
    });
    return drop(attended, 'attended');
  };
  const feed = (value: Value): Value => {
    const fed = withScope(x.graph, 'feed_forward', () =>
      feedForward(under(weights, 'feed_forward.'), config, value),
    );
    return drop(fed, 'fed');
  };
  if (config.doStableLayerNorm) {
    const attended = add(x, attend(normed(x, 'layer_norm')));
    return add(attended, feed(normed(attended, 'final_layer_norm')));
  }
  const attended = normed(add(x, attend(x)), 'layer_norm');
  return normed(add(attended, feed(attended)), 'final_layer_norm');
}

/** Multi-head self-attention (Vaswani et al., 2017); the bias is added to its scores. */
function attention(
  weights: Weights,
  config: Wav2Vec2Config,
  x: Value,
  bias: Value,
  dropShares: (shares: Value) => Value,
): Value {
  const { hiddenSize: width, numAttentionHeads: heads } = config;
  const project = (name: string): Value => dense(weights, name, x, width);
  const attended = { queries: project('q_proj'), keys: project('k_proj'), values: project('v_proj'), bias };
  const joined = multiHeadAttention(attended, heads, dropShares);
  return dense(weights, 'out_proj', joined, width);
}

function feedForward(weights: Weights, config: Wav2Vec2Config, x: Value): Value {
  const inner = gelu(dense(weights, 'intermediate_dense', x, config.intermediateSize));
  return dense(weights, 'output_dense', inner, config.hiddenSize);
}

/** Key prefix of its weights. */
const PREFIX = 'encoder.pos_conv_embed.conv.';

/**
 * Position embeddings of x [N, L, width], of the same shape. The weight is g v / |v| with one norm per kernel tap. All
 * of it is constant, so onnxruntime folds it at load.
 */
export function positionalConvolution(weights: Weights, config: Wav2Vec2Config, x: Value): Value {
  const { hiddenSize: width, numConvPosEmbeddings: kernel, numConvPosEmbeddingGroups: groups } = config;
  const magnitude = weights(`${PREFIX}parametrizations.weight.original0`, [1, 1, kernel]);
  const direction = weights(`${PREFIX}parametrizations.weight.original1`, [width, width / groups, kernel]);
  const norm = sqrt(reduceSum(mul(direction, direction), [0, 1], true)); // [1, 1, kernel]
  const weight = mul(direction, div(magnitude, norm));
  const half = Math.floor(kernel / 2);
  // Padding by half a kernel gives one frame too many for an even kernel, and the model drops the last one: equivalent
  // to padding the end by one less.
  const padding = [half, kernel % 2 === 0 ? half - 1 : half] as const;
  const steps = transpose(x, [0, 2, 1]); // [N, width, L]
  const position = conv1d(steps, weight, weights(`${PREFIX}bias`, [width]), { padding, groups });
  return transpose(gelu(position), [0, 2, 1]);
}
