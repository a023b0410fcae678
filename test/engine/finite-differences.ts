/**
 * @file Checks gradients against finite differences: builds a case, runs it, and compares with differences of the loss.
 */

import { gradients } from '../../src/engine/autodiff/index.js';
import {
  addInput,
  addOutput,
  cast,
  createGraph,
  type Dim,
  type DimBindings,
  evaluateDim,
  type Graph,
  mul,
  type OperatorType,
  reduceSum,
  serializeModel,
  sum,
  type Value,
} from '../../src/engine/onnx/index.js';
import { createSession } from '../../src/engine/runtime/index.js';
import {
  createArray,
  type DType,
  elementCount,
  int64,
  type Random,
  seededRandom,
  type Tensor,
  tensor,
} from '../../src/engine/tensor/index.js';

/**
 * How an input is filled. normal: standard normal draws. positive: in [0.5, 2.5). spaced: all at least 0.06 apart and
 * never within 0.03 of a multiple of 0.25, so that no step crosses a kink.
 */
export type Fill = 'normal' | 'positive' | 'spaced';

export interface Differentiable {
  readonly shape: readonly Dim[];
  readonly fill?: Fill;
}

/** An input that is not differentiated. */
export interface Fixed {
  readonly dtype: 'int64' | 'bool';
  readonly shape: readonly Dim[];
  /** Draws are integers in [0, below). */
  readonly below: number;
}

interface CommonCase {
  readonly name: string;
  readonly inputs: Readonly<Record<string, Differentiable>>;
  readonly fixed?: Readonly<Record<string, Fixed>>;
  /** What to differentiate: one value or several, each with a random weight in the loss. */
  readonly build: (values: Readonly<Record<string, Value>>, graph: Graph) => Value | readonly Value[];
}

/** float64, unless onnxruntime's CPU provider has no kernel, for the reason in `why`. */
export type GradientCase = CommonCase & ({ readonly dtype?: 'float64' } | { dtype: 'float32'; why: string });

export interface GradientCheck {
  /** Largest |analytic - numeric| / max(1, |numeric|) over elements and directions. */
  readonly error: number;
  readonly operators: ReadonlySet<OperatorType>;
  /** Number of single elements compared. */
  readonly elements: number;
}

/** A step for every element of some inputs, by position of the input. */
type Direction = ReadonlyMap<number, Float64Array>;

/** Step and tolerance: the differences are of fourth order, so the step can be wide and rounding stays small. */
const precision = {
  float64: { step: 1e-3, bound: 1e-9 },
  float32: { step: 0.03, bound: 1e-4 },
} as const;

export function boundOf(gradientCase: GradientCase): number {
  return precision[gradientCase.dtype ?? 'float64'].bound;
}

const DIRECTIONS = 3;
/** Inputs up to this size are compared element by element, larger ones only along directions. */
const MAX_ELEMENTS = 150;

/** @param tamper changes the analytic gradients, to show that the comparison can fail */
export async function checkGradient(
  gradientCase: GradientCase,
  bindings: DimBindings,
  tamper: (gradient: Float64Array) => void = () => {},
): Promise<GradientCheck> {
  const { name, inputs, fixed = {}, build, dtype = 'float64' } = gradientCase;
  const random = seededRandom('finite differences', name, JSON.stringify(bindings));
  const graph = createGraph('case');
  const parameters = Object.entries(inputs).map(([key, { shape }]) => addInput(graph, key, dtype, shape));
  const others = Object.entries(fixed).map(([key, { dtype, shape }]) => addInput(graph, key, dtype, shape));
  const named = Object.fromEntries([...parameters, ...others].map((value) => [value.name, value]));
  const built = build(named, graph);
  const operators = new Set(graph.nodes.map(({ operator }) => operator));
  const results = (Array.isArray(built) ? built : [built]) as readonly Value[];
  // Random weights, or the loss of a softmax would be constant. In float64, so that the sum adds no rounding.
  const weights = results.map((y, i) => addInput(graph, `weight_${i}`, 'float64', y.shape));
  const loss = sum(results.map((y, i) => reduceSum(mul(cast(y, 'float64'), weights[i]!))));
  const analytic = gradients(loss, parameters);
  analytic.forEach((gradient, i) => {
    addOutput(graph, cast(gradient, 'float64'), `gradient_${i}`);
  });
  addOutput(graph, loss, 'loss');

  const filled = Object.values(inputs).map(({ shape, fill = 'normal' }, i) =>
    fillArray(fill, elementCount(sizes(shape, bindings)), random, i),
  );
  const feeds: Record<string, Tensor> = {};
  parameters.forEach(({ name, shape }, i) => {
    feeds[name] = floats(dtype, sizes(shape, bindings), filled[i]!);
  });
  for (const [name, { dtype, shape, below }] of Object.entries(fixed)) {
    feeds[name] = wholeNumbers(dtype, sizes(shape, bindings), below, random);
  }
  for (const weight of weights) {
    const shape = sizes(weight.shape, bindings);
    feeds[weight.name] = floats('float64', shape, fillArray('normal', elementCount(shape), random, 0));
  }

  const session = await createSession(serializeModel(graph), { device: { kind: 'cpu' }, threads: 1 });
  try {
    const outputs = await session.run(feeds);
    const found = analytic.map((_, i) => {
      const gradient = outputs[`gradient_${i}`]!;
      const expected = sizes(parameters[i]!.shape, bindings);
      if (gradient.shape.join() !== expected.join()) {
        throw new Error(
          `gradient of ${parameters[i]!.name} has shape [${gradient.shape}], not [${expected}]`,
        );
      }
      return gradient.data as Float64Array;
    });
    for (const gradient of found) tamper(gradient);

    const lossAt = async (direction: Direction, step: number): Promise<number> => {
      const moved = [...direction].map(([i, along]) => {
        const { name, shape } = parameters[i]!;
        const values = filled[i]!.map((value, at) => value + step * along[at]!);
        return [name, floats(dtype, sizes(shape, bindings), values)];
      });
      const { loss } = await session.run({ ...feeds, ...Object.fromEntries(moved) }, ['loss']);
      return (loss!.data as Float64Array)[0]!;
    };
    const { step } = precision[dtype];
    let error = 0;
    let elements = 0;
    const compare = async (direction: Direction): Promise<void> => {
      const near = (await lossAt(direction, step)) - (await lossAt(direction, -step));
      const far = (await lossAt(direction, 2 * step)) - (await lossAt(direction, -2 * step));
      const numeric = (8 * near - far) / (12 * step);
      let slope = 0;
      for (const [i, along] of direction) {
        for (const [at, gradient] of found[i]!.entries()) slope += gradient * along[at]!;
      }
      const difference = Math.abs(slope - numeric) / Math.max(1, Math.abs(numeric));
      error = Number.isNaN(difference) ? Number.NaN : Math.max(error, difference);
    };

    for (let k = 0; k < DIRECTIONS; k++) {
      const unit = filled.map((values) => values.map(() => random.normal()));
      const length = Math.hypot(...unit.map((part) => Math.hypot(...part)));
      await compare(new Map(unit.map((part, i) => [i, part.map((value) => value / length)])));
    }
    for (const [i, values] of filled.entries()) {
      if (values.length > MAX_ELEMENTS) continue;
      for (let at = 0; at < values.length; at++) {
        const one = new Float64Array(values.length);
        one[at] = 1;
        await compare(new Map([[i, one]]));
        elements += 1;
      }
    }
    return { error, operators, elements };
  } finally {
    await session.dispose();
  }
}

/** A symbolic shape as numbers. */
export function sizes(shape: readonly Dim[], bindings: DimBindings): number[] {
  return shape.map((dim) => evaluateDim(dim, bindings));
}

/** A floating-point tensor from plain numbers. */
export function floats(dtype: DType, shape: readonly number[], values: ArrayLike<number>): Tensor {
  const data = createArray(dtype, values.length) as Float64Array;
  data.set(values);
  return tensor(dtype, shape, data);
}

/** int64 or bool tensor of draws below a bound. */
export function wholeNumbers(
  dtype: 'int64' | 'bool',
  shape: readonly number[],
  below: number,
  random: Random,
): Tensor {
  const draws = Array.from({ length: elementCount(shape) }, () => random.integer(below));
  return dtype === 'int64' ? int64(shape, draws) : tensor('bool', shape, Uint8Array.from(draws));
}

/** Numbers for an input; `input` is its position. */
export function fillArray(fill: Fill, length: number, random: Random, input: number): Float64Array {
  if (fill === 'normal') return Float64Array.from({ length }, () => random.normal());
  if (fill === 'positive') return Float64Array.from({ length }, () => 0.5 + 2 * random.uniform());
  const steps = random.shuffle([...Array(length).keys()]);
  return Float64Array.from(steps, (step) => 0.25 * (step - Math.floor(length / 2)) + 0.05 + 0.06 * input);
}
