/** @file The two layers behind an attention block, with a residual and a layer norm behind them. */

import { add, gelu, type Value } from '../../engine/onnx/index.js';
import { dense, norm } from '../layers.js';
import type { Dropout, Weights } from '../weights.js';
import type { FormerConfig } from './config.js';

/** W_2 gelu(W_1 x + b_1) + b_2 with residual and layer norm. `suffix` tells the queries' FFN from the text's. */
export function feedForward(
  weights: Weights,
  suffix: string,
  config: FormerConfig,
  x: Value,
  dropout: Dropout,
  site: string,
): Value {
  const { intermediateSize, hiddenSize, layerNormEps } = config.roberta;
  const inner = gelu(dense(weights, `intermediate${suffix}.dense`, x, intermediateSize));
  const output = dropout(dense(weights, `output${suffix}.dense`, inner, hiddenSize), config.dropout, site);
  return norm(weights, `output${suffix}.LayerNorm`, add(output, x), layerNormEps);
}
