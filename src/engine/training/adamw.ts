/**
 * @file AdamW as graph nodes (Loshchilov and Hutter, 2019): decoupled weight decay, bias correction, and gradient
 * clipping by global norm as in PyTorch's clip_grad_norm_.
 */

import {
  add,
  cast,
  div,
  min,
  mul,
  pow,
  reduceSumSquare,
  scalar,
  sqrt,
  sub,
  sum,
  type Value,
  withScope,
} from '../onnx/index.js';

export interface AdamWOptions {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly weightDecay: number;
  /** Maximum global gradient norm; 0 disables clipping. */
  readonly clipNorm: number;
}

/** One parameter with its gradient and moments. */
export interface AdamWSlot {
  readonly parameter: Value;
  readonly gradient: Value;
  readonly firstMoment: Value;
  readonly secondMoment: Value;
  /** False for biases and normalisation scales, which are exempt from weight decay. */
  readonly decays: boolean;
  /** Its learning rate relative to `rate`; default 1. */
  readonly rateFactor?: number;
}

export interface AdamWUpdate {
  readonly parameters: readonly Value[];
  readonly firstMoments: readonly Value[];
  readonly secondMoments: readonly Value[];
  /** Global norm before clipping, float32 scalar. */
  readonly gradientNorm: Value;
}

/**
 * One AdamW step for all parameters:
 * m' = b1 m + (1 - b1) g, v' = b2 v + (1 - b2) g^2, p' = p (1 - lr wd) - lr/(1 - b1^t) m' / (sqrt(v'/(1 - b2^t)) + eps).
 * The clipping factor c enters through the scalars c (1 - b1) and c^2 (1 - b2), so clipped gradients are never stored.
 * @param rate learning rate of this step, float64 scalar
 * @param step 0-based step, int64 scalar (t = step + 1)
 */
export function adamwUpdate(
  slots: readonly AdamWSlot[],
  rate: Value,
  step: Value,
  options: AdamWOptions,
): AdamWUpdate {
  const { beta1, beta2, epsilon, weightDecay, clipNorm } = options;
  const { graph } = step;
  return withScope(graph, 'adamw', () => {
    const gradientNorm = sqrt(sum(slots.map(({ gradient }) => reduceSumSquare(gradient))));
    // In float64: 1 - 0.999^t loses half its digits in float32 at small t.
    const t = add(cast(step, 'float64'), 1);
    const power = (beta: number): Value => pow(scalar(graph, beta, 'float64'), t);
    const toFloat32 = (x: Value): Value => cast(x, 'float32');
    // sqrt(v / c) + eps = (sqrt(v) + eps sqrt(c)) / sqrt(c): folding the correction into the step size saves a pass
    // over v.
    const rootCorrection = sqrt(sub(1, power(beta2)));
    const stepSize = toFloat32(mul(div(rate, sub(1, power(beta1))), rootCorrection));
    const correctedEpsilon = toFloat32(mul(rootCorrection, epsilon));
    const keep = toFloat32(sub(1, mul(rate, weightDecay)));
    const clip = clipNorm > 0 ? min(div(clipNorm, add(gradientNorm, 1e-6)), 1) : scalar(graph, 1);
    const firstFactor = mul(clip, 1 - beta1);
    const secondFactor = mul(mul(clip, clip), 1 - beta2);

    const updated = (
      [p, g, m, v]: readonly Value[],
      { decays, rateFactor = 1 }: Pick<AdamWSlot, 'decays' | 'rateFactor'>,
    ): [Value, Value, Value] => {
      const first = add(mul(m!, beta1), mul(g!, firstFactor));
      const second = add(mul(v!, beta2), mul(mul(g!, g!), secondFactor));
      const denominator = add(sqrt(second), correctedEpsilon);
      const kept = rateFactor === 1 ? keep : toFloat32(sub(1, mul(rate, rateFactor * weightDecay)));
      const decayed = decays && weightDecay !== 0 ? mul(p!, kept) : p!;
      const size = rateFactor === 1 ? stepSize : mul(stepSize, rateFactor);
      return [sub(decayed, mul(div(first, denominator), size)), first, second];
    };
    const updates = slots.map(({ parameter, gradient, firstMoment, secondMoment, ...own }) => {
      return updated([parameter, gradient, firstMoment, secondMoment], own);
    });
    return {
      parameters: updates.map(([p]) => p),
      firstMoments: updates.map(([, m]) => m),
      secondMoments: updates.map(([, , v]) => v),
      gradientNorm,
    };
  });
}
