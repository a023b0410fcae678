/** @file The lightweight MLP that classifies e'_q in stage 1 and is discarded after it. */

import { gelu, type Value } from '../engine/onnx/index.js';
import { normalArray, seededRandom, type Tensor, tensor } from '../engine/tensor/index.js';
import { freshParameter } from './former/index.js';
import { dense } from './layers.js';
import type { Dropout, ParameterShape, Weights } from './weights.js';

/** Class logits z [N, C] of embeddings e'_q [N, d]. */
export function auxiliaryHead(
  weights: Weights,
  { hidden, classes, dropout: rate }: { hidden: number; classes: number; dropout: number },
  embeddings: Value,
  dropout: Dropout,
): Value {
  const inner = dropout(gelu(dense(weights, 'dense', embeddings, hidden)), rate, 'head');
  return dense(weights, 'out_proj', inner, classes);
}

/**
 * Initial values. e'_q has unit length, not unit variance, so the first layer starts at deviation 1 and its outputs
 * at unit variance.
 */
export function initialHead(
  parameters: readonly ParameterShape[],
  seed: number,
): Map<string, Tensor<'float32'>> {
  return new Map(
    parameters.map(({ key, shape }) => [
      key,
      key === 'dense.weight'
        ? tensor('float32', shape, normalArray(seededRandom(seed, 'head'), shape[0]! * shape[1]!, 1))
        : freshParameter(`head.${key}`, shape, seed),
    ]),
  );
}
