/** @file What the layers of Whisper's encoder and decoder have in common. */

import { add, cast, gelu, linear, type Value, withScope } from '../../../engine/onnx/index.js';
import { dense, norm, type Weights } from '../../../nn/index.js';

/** PyTorch's default; Whisper's config has no key for it. */
export const NORM_EPSILON = 1e-5;

/** As `dense`, without a bias, which keys do not have: softmax would cancel it. x [..., width] -> [..., width] */
export function unbiased(weights: Weights, name: string, x: Value): Value {
  const width = x.shape.at(-1) as number;
  return withScope(x.graph, name, () => {
    const weight = weights(`${name}.weight`, [width, width]);
    return cast(linear(cast(x, weight.dtype), weight), 'float32');
  });
}

/** The second half of a pre-norm layer: x [N, L, width] -> [N, L, width]. */
export function feedForward(weights: Weights, x: Value, innerWidth: number): Value {
  return withScope(x.graph, 'feed_forward', () => {
    const normed = norm(weights, 'final_layer_norm', x, NORM_EPSILON);
    const inner = gelu(dense(weights, 'fc1', normed, innerWidth));
    return add(x, dense(weights, 'fc2', inner, x.shape.at(-1) as number));
  });
}
