/**
 * @file Multinomial logistic regression with an L2 penalty, on a few thousand rows in seconds: the linear probe that
 * scores are compared with. It minimises the objective of scikit-learn's LogisticRegression, by L-BFGS (Liu and Nocedal,
 * 1989).
 */

/** Labelled rows. */
export interface LabelledRows {
  /** [n, width], row by row. */
  readonly rows: Float32Array;
  readonly width: number;
  /** Class index of each row. */
  readonly labels: readonly number[];
  readonly classes: number;
}

/** Weights [classes, width + 1], the last of each class its intercept. */
export type LogisticModel = Float64Array;

/** Scales columns to mean 0 and deviation 1 over the rows that it was made of; a constant column becomes 0. */
export function standardizer({ rows, width }: Pick<LabelledRows, 'rows' | 'width'>) {
  const count = rows.length / width;
  const mean = new Float64Array(width);
  const scale = new Float64Array(width);
  for (let at = 0; at < rows.length; at++) mean[at % width]! += rows[at]! / count;
  for (let at = 0; at < rows.length; at++) scale[at % width]! += (rows[at]! - mean[at % width]!) ** 2 / count;
  for (let i = 0; i < width; i++) scale[i] = scale[i]! > 1e-20 ? 1 / Math.sqrt(scale[i]!) : 0;
  return (of: Float32Array): Float32Array =>
    of.map((value, at) => (value - mean[at % width]!) * scale[at % width]!);
}

/** Iterations end when no element of the gradient is larger than this share of c, or after so many. */
const [TOLERANCE, MOST_ITERATIONS] = [1e-3, 200];

/**
 * Fits a model: the minimum of c sum_i w_i (-log p_i) + 1/2 |W|^2, without the intercepts in the norm. w weighs classes
 * inversely to their counts (`class_weight="balanced"`). For two classes, scikit-learn has one vector of weights, whose
 * penalty is that of 2 c here.
 * @param data every class has rows
 * @param c inverse strength of the penalty
 * @param start weights to begin with, such as those for another c
 */
export function fitLogistic(data: LabelledRows, c: number, start?: LogisticModel): LogisticModel {
  const { labels, classes, width } = data;
  const counts = Array.from(
    { length: classes },
    (_, label) => labels.filter((each) => each === label).length,
  );
  const weightOf = counts.map((count) => (c * labels.length) / (classes * count));
  const objective = (x: Float64Array, gradient: Float64Array): number =>
    penalizedLoss(data, weightOf, x, gradient);
  return minimum(objective, start ?? new Float64Array(classes * (width + 1)), TOLERANCE * c);
}

/** Probabilities [n, classes] of rows [n, width]. */
export function logisticProbabilities(
  model: LogisticModel,
  { rows, width, classes }: Pick<LabelledRows, 'rows' | 'width' | 'classes'>,
): Float64Array {
  const count = rows.length / width;
  const probabilities = new Float64Array(count * classes);
  for (let row = 0; row < count; row++) {
    const own = probabilities.subarray(row * classes, (row + 1) * classes);
    logitsOf(model, rows, row, width, own);
    const largest = Math.max(...own);
    let sum = 0;
    for (let label = 0; label < classes; label++) {
      own[label] = Math.exp(own[label]! - largest);
      sum += own[label]!;
    }
    for (let label = 0; label < classes; label++) own[label]! /= sum;
  }
  return probabilities;
}

function logitsOf(
  model: LogisticModel,
  rows: Float32Array,
  row: number,
  width: number,
  into: Float64Array,
): void {
  const from = row * width;
  for (let label = 0; label < into.length; label++) {
    const at = label * (width + 1);
    let sum = model[at + width]!;
    for (let i = 0; i < width; i++) sum += model[at + i]! * rows[from + i]!;
    into[label] = sum;
  }
}

/** The objective, and its gradient in `gradient`. */
function penalizedLoss(
  { rows, width, labels, classes }: LabelledRows,
  weightOf: readonly number[],
  x: Float64Array,
  gradient: Float64Array,
): number {
  const probabilities = logisticProbabilities(x, { rows, width, classes });
  let loss = 0;
  for (let at = 0; at < x.length; at++) {
    const value = at % (width + 1) === width ? 0 : x[at]!;
    gradient[at] = value;
    loss += (value * value) / 2;
  }
  labels.forEach((own, row) => {
    const weight = weightOf[own]!;
    const from = row * width;
    loss -= weight * Math.log(Math.max(probabilities[row * classes + own]!, 1e-300));
    for (let label = 0; label < classes; label++) {
      const slope = weight * (probabilities[row * classes + label]! - (label === own ? 1 : 0));
      if (slope === 0) continue;
      const at = label * (width + 1);
      for (let i = 0; i < width; i++) gradient[at + i]! += slope * rows[from + i]!;
      gradient[at + width]! += slope;
    }
  });
  return loss;
}

/** Pairs of steps and changes of the gradient that L-BFGS keeps. */
const MEMORY = 10;

interface Pair {
  readonly step: Float64Array;
  readonly change: Float64Array;
  readonly inverse: number;
}

function minimum(
  objective: (x: Float64Array, gradient: Float64Array) => number,
  start: Float64Array,
  tolerance: number,
): Float64Array {
  let x = start.slice();
  let gradient = new Float64Array(x.length);
  let value = objective(x, gradient);
  const pairs: Pair[] = [];
  for (let iteration = 0; iteration < MOST_ITERATIONS; iteration++) {
    if (gradient.every((slope) => Math.abs(slope) <= tolerance)) break;
    const direction = descent(gradient, pairs);
    const slope = dot(direction, gradient);
    // The first step has no curvature to go by.
    let length = pairs.length === 0 ? Math.min(1, 1 / Math.sqrt(dot(gradient, gradient))) : 1;
    let next = x;
    let nextGradient = gradient;
    let nextValue = Number.POSITIVE_INFINITY;
    for (let halvings = 0; halvings < 40; halvings++) {
      next = x.map((each, at) => each + length * direction[at]!);
      nextGradient = new Float64Array(x.length);
      nextValue = objective(next, nextGradient);
      if (nextValue <= value + 1e-4 * length * slope) break;
      length /= 2;
    }
    if (!(nextValue < value)) break;
    const step = next.map((each, at) => each - x[at]!);
    const change = nextGradient.map((each, at) => each - gradient[at]!);
    const curvature = dot(step, change);
    if (curvature > 0) pairs.push({ step, change, inverse: 1 / curvature });
    if (pairs.length > MEMORY) pairs.shift();
    [x, gradient, value] = [next, nextGradient, nextValue];
  }
  return x;
}

/** -H g, with the inverse Hessian H that the pairs approximate. */
function descent(gradient: Float64Array, pairs: readonly Pair[]): Float64Array {
  const direction = gradient.map((each) => -each);
  const factors: number[] = [];
  for (const { step, change, inverse } of pairs.toReversed()) {
    const factor = inverse * dot(step, direction);
    factors.push(factor);
    addTo(direction, change, -factor);
  }
  const last = pairs.at(-1);
  if (last !== undefined) {
    const scale = 1 / (last.inverse * dot(last.change, last.change));
    for (let at = 0; at < direction.length; at++) direction[at]! *= scale;
  }
  for (const { step, change, inverse } of pairs) {
    addTo(direction, step, factors.pop()! - inverse * dot(change, direction));
  }
  return direction;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let at = 0; at < a.length; at++) sum += a[at]! * b[at]!;
  return sum;
}

function addTo(target: Float64Array, value: Float64Array, factor: number): void {
  for (let at = 0; at < target.length; at++) target[at]! += factor * value[at]!;
}
