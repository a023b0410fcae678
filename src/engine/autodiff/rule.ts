/** @file Interface of a gradient rule: maps the gradient of an operator's output to the gradients of its inputs. */

import { type Node, reduceSum, reshape, reshapeLike, squeeze, type Value } from '../onnx/index.js';

/** The arguments of a rule. `a`, `b`, `c` are the first three inputs, `y` the first output, `dy` its gradient. */
export interface RuleContext {
  readonly node: Node;
  readonly a: Value;
  readonly b: Value;
  readonly c: Value;
  readonly y: Value;
  readonly dy: Value;
  /** Gradients of all outputs; undefined for an output that the loss does not depend on. */
  readonly outputGradients: readonly (Value | undefined)[];
}

/** A gradient that is built only if it is needed. */
export type Lazy = () => Value;

/** One entry per input; undefined if the operator is not differentiable in that input. */
export type Rule = (context: RuleContext) => readonly (Lazy | undefined)[];

/** Why an operator has no gradient. `integer`: its output is not differentiable, so no gradient flows. */
export type NoGradient = 'integer' | { readonly refuse: string };

/** Sums a gradient over the axes that broadcasting added or stretched, back to the shape of `like`. */
export function unbroadcast(gradient: Value, like: Value): Value {
  const extra = gradient.shape.length - like.shape.length;
  const stretched = gradient.shape
    .map((_, axis) => axis)
    .filter((axis) => axis < extra || (like.shape[axis - extra] === 1 && gradient.shape[axis] !== 1));
  if (stretched.length === 0) return gradient;
  const summed = reduceSum(gradient, stretched, true);
  return extra === 0 ? summed : squeeze(summed, summed.shape.map((_, axis) => axis).slice(0, extra));
}

/** `x` in the shape of `like`, known statically where possible. */
export function restoreShape(x: Value, like: Value): Value {
  const moved = like.shape.filter((dim, axis) => typeof dim !== 'number' && dim !== x.shape[axis]);
  return moved.length <= 1 ? reshape(x, like.shape) : reshapeLike(x, like);
}
