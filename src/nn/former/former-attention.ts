/** @file What the queries of an EmoQ-Former attend to: the shares of its attention, as further outputs of its graph. */

import { add, mul, reduceMean, slice, type Value } from '../../engine/onnx/index.js';
import type { Dropout, Weights } from '../weights.js';
import { emoqFormer } from './former.js';
import { type FormerConfig, type FormerInputs, hasCrossAttention } from './former-config.js';

/** Shares of the queries' attention, means over heads and layers. Each row of the last axis adds up to 1. */
export interface FormerAttention {
  /** Cross-attention to the audio [N, N_q, L_a], over the layers that have it; undefined without audio. */
  readonly frames: Value | undefined;
  /** Joint self-attention [N, N_q, N_q + L_t], over all layers: to the queries, then to the tokens of the text. */
  readonly joint: Value;
  /** Attentive pooling [N, N_q], over its heads: how much of each query is in e'_q. */
  readonly pooling: Value;
}

/** The site of the shares of a layer's attention, as the layers name it for dropout. */
const SHARES = /^layer\.\d+\.(attention|crossattention)\.probabilities$/;

/**
 * The attention of a Former's queries. Shares of padded frames and tokens are exactly 0.
 * @param weights as of {@link emoqFormer}
 */
export function formerAttention(
  weights: Weights,
  config: FormerConfig,
  inputs: FormerInputs,
): FormerAttention {
  const self: Value[] = [];
  const cross: Value[] = [];
  let pooling: Value | undefined;
  // Dropout is the one place that sees all shares; this one drops nothing.
  const record: Dropout = (x, _rate, site) => {
    const kind = SHARES.exec(site)?.[1];
    if (kind !== undefined) (kind === 'attention' ? self : cross).push(x);
    return x;
  };
  emoqFormer(weights, config, inputs, record, (shares) => {
    pooling = reduceMean(shares, [1]);
  });
  const layers = [...Array(config.roberta.numHiddenLayers).keys()];
  const crossing = inputs.audio === undefined ? 0 : layers.filter((i) => hasCrossAttention(config, i)).length;
  if (self.length !== layers.length || cross.length !== crossing || pooling === undefined) {
    throw new Error(`the Former gave the shares of ${self.length} and ${cross.length} layers`);
  }
  const ofQueries = (shares: Value): Value => slice(reduceMean(shares, [1]), 1, 0, config.queries);
  return {
    frames: crossing === 0 ? undefined : mean(cross.map(ofQueries)),
    joint: mean(self.map(ofQueries)),
    pooling,
  };
}

function mean(values: readonly Value[]): Value {
  return mul(
    values.reduce((sum, value) => add(sum, value)),
    1 / values.length,
  );
}
