/**
 * @file The training graph: K optimizer steps in one ONNX Loop. The loop carries parameters and moments; batches are
 * stacked [K, ...], and each is cut to its own sizes inside. With gradient accumulation a step takes several entries of
 * the stack.
 */

import { gradients } from '../autodiff/index.js';
import {
  add,
  addInput,
  addOutput,
  cast,
  concat,
  createGraph,
  type Dim,
  type DimBindings,
  type Graph,
  gather,
  loop,
  mul,
  sizeOf,
  sliceTo,
  unsqueeze,
  type Value,
  withScope,
} from '../onnx/index.js';
import type { StateSlot } from '../runtime/index.js';
import type { DType } from '../tensor/index.js';
import { accumulate, type Differentiable, declareMicroInputs, MICRO_BATCHES } from './accumulation.js';
import { type AdamWOptions, adamwUpdate, type Schedule, scheduledRate } from './adamw.js';
import { createDropout, type DropoutPlan } from './dropout.js';

/** A per-batch input. Symbolic axes vary from batch to batch; fixed axes are numbers. */
export interface GraphInput {
  readonly name: string;
  readonly dtype: DType;
  /** For example ['batch', 'frames', 1024]. */
  readonly shape: readonly Dim[];
}

/** A parameter's key and shape. */
export interface ParameterShape {
  readonly key: string;
  readonly shape: readonly number[];
}

/** Context for building a model's loss. `body` is the graph of one step, `root` the one that holds frozen weights. */
export interface StepContext {
  readonly root: Graph;
  readonly body: Graph;
  readonly parameters: ReadonlyMap<string, Value>;
  readonly batch: Readonly<Record<string, Value>>;
  readonly dropout: (x: Value, rate: number, site: string) => Value;
}

export interface StepLoss {
  /** Scalar to minimise. */
  readonly loss: Value;
  /** Further scalars to report, by name. */
  readonly reported: Readonly<Record<string, Value>>;
}

export interface TrainingSpec {
  readonly name: string;
  readonly parameters: readonly ParameterShape[];
  readonly batch: readonly GraphInput[];
  readonly step: (context: StepContext) => StepLoss;
  readonly optimizer: AdamWOptions;
  readonly schedule: Schedule;
  /** Activation checkpointing: recompute inner values of the model's blocks instead of keeping them. */
  readonly recompute?: boolean;
  /** Gradient accumulation: a step's batch comes as micro-batches, see {@link accumulate}. */
  readonly accumulate?: boolean;
}

export interface TrainingGraph {
  readonly graph: Graph;
  /** The graph of one step, inside the loop. */
  readonly body: Graph;
  /** Where loss and gradients are computed: `body`, or with accumulation the graph of one micro-batch inside it. */
  readonly gradientBody: Graph;
  /** Parameters and moments that stay in the worker. */
  readonly state: readonly StateSlot[];
  readonly dropout: DropoutPlan;
  /** Symbols whose per-batch sizes are fed as `<symbol>_size` int64 [K]. */
  readonly symbols: readonly string[];
  /** Names of the per-step outputs, each float32 [K]. */
  readonly reported: readonly string[];
}

export const firstMomentName = (key: string): string => `exp_avg/${key}`;
export const secondMomentName = (key: string): string => `exp_avg_sq/${key}`;
export const sizeInputName = (symbol: string): string => `${symbol}_size`;

/** Biases and normalisation scales, which have fewer than two axes, are exempt from weight decay. */
const decays = (parameter: ParameterShape): boolean => parameter.shape.length >= 2;

/**
 * Builds the training graph. Inputs: `learning_rate` (float32 scalar), `step` (int64 scalar, steps done before), every
 * batch input stacked as [K, ...], `<symbol>_size` int64 [K], dropout pools and offsets, parameters by their own keys
 * and moments as `exp_avg/<key>`, `exp_avg_sq/<key>`. Outputs: `loss`, `gradient_norm`, `learning_rate_used` and the
 * reported scalars, each [K], and the updated state as `updated/<input>`.
 *
 * With accumulation, the stack, sizes and dropout offsets are per micro-batch, those of a step one after another;
 * `micro_batches` and `first_micro_batch` int64 [K] locate each step's micro-batches, and `micro_weight` float32 is the
 * weight of each.
 */
export function buildTrainingGraph(spec: TrainingSpec): TrainingGraph {
  const root = createGraph(spec.name);
  const baseRate = addInput(root, 'learning_rate', 'float32', []);
  const firstStep = addInput(root, 'step', 'int64', []);
  const stack = spec.accumulate ? MICRO_BATCHES : 'K';
  const stacked = spec.batch.map(({ name, dtype, shape }) =>
    addInput(root, name, dtype, [stack, ...shape.map(padded)]),
  );
  const symbols = symbolsOf(spec.batch);
  const sizes = new Map(
    symbols.map((symbol) => [symbol, addInput(root, sizeInputName(symbol), 'int64', [stack])]),
  );
  const micro = spec.accumulate ? declareMicroInputs(root) : undefined;
  const stateInputs = declareState(root, spec.parameters);
  const count = spec.parameters.length;
  const reportedNames: string[] = [];
  let dropoutPlan: DropoutPlan = { rates: [], sites: [] };
  let stepGraph: Graph = root;
  let gradientBody: Graph = root;

  const tripCount = sizeOf(micro?.counts ?? stacked[0]!, 0);
  const result = loop(tripCount, 'K', stateInputs, (body, iteration, states) => {
    stepGraph = body;
    const [current, first, second] = [
      states.slice(0, count),
      states.slice(count, 2 * count),
      states.slice(2 * count),
    ];
    /** The batch at `index` of the stack, built in `graph`; loss and scalars are multiplied by the weight, if given. */
    const forward = (
      graph: Graph,
      index: Value,
      values: readonly Value[],
      weight?: Value,
    ): Differentiable => {
      gradientBody = graph;
      const batch = withScope(graph, 'batch', () => cutBatch(spec.batch, stacked, sizes, index));
      const dropout = createDropout(root, index, stack);
      const parameters = new Map(spec.parameters.map(({ key }, position) => [key, values[position]!]));
      const whole = spec.step({ root, body: graph, parameters, batch, dropout: dropout.apply });
      dropoutPlan = dropout.plan;
      const weighted = (value: Value): Value => (weight === undefined ? value : mul(value, weight));
      const loss = weighted(whole.loss);
      const reported = Object.entries(whole.reported).map(([name, value]) => [name, weighted(value)]);
      return {
        loss,
        reported: Object.fromEntries(reported),
        gradients: () => gradients(loss, values, { recompute: spec.recompute ?? false }),
      };
    };
    const step =
      micro === undefined
        ? forward(body, iteration, current)
        : accumulate(micro, iteration, current, forward);

    const stepNumber = add(firstStep, iteration);
    const rate = scheduledRate(baseRate, stepNumber, spec.schedule);
    const slots = step.gradients().map((gradient, position) => ({
      parameter: current[position]!,
      gradient,
      firstMoment: first[position]!,
      secondMoment: second[position]!,
      decays: decays(spec.parameters[position]!),
    }));
    const update = adamwUpdate(slots, rate, stepNumber, spec.optimizer);
    const collected = Object.entries({
      loss: step.loss,
      gradient_norm: update.gradientNorm,
      learning_rate_used: cast(rate, 'float32'),
      ...step.reported,
    }).map(([name, value]) => ({ name, value }));
    reportedNames.push(...collected.map(({ name }) => name));
    return { states: [...update.parameters, ...update.firstMoments, ...update.secondMoments], collected };
  });

  const state = stateInputs.map((input, position): StateSlot => {
    const output = addOutput(root, result.states[position]!, `updated/${input.name}`);
    return {
      input: input.name,
      output: output.name,
      dtype: 'float32',
      shape: input.shape as readonly number[],
    };
  });
  result.collected.forEach((value, position) => {
    addOutput(root, value, reportedNames[position]!);
  });
  return {
    graph: root,
    body: stepGraph,
    gradientBody,
    state,
    dropout: dropoutPlan,
    symbols,
    reported: reportedNames,
  };
}

/** Name of a symbol in the stack, where batches are padded to the largest of the K. */
const paddedSymbol = (symbol: string): string => `${symbol}_padded`;
/** Sizes of a batch that fills its stack: each symbol, and its padded form with the same size. */
export function stackedBindings(bindings: DimBindings): DimBindings {
  const padded = Object.entries(bindings).map(([symbol, size]) => [paddedSymbol(symbol), size]);
  return { ...Object.fromEntries(padded), ...bindings };
}

const padded = (dim: Dim): Dim => (typeof dim === 'number' ? dim : paddedSymbol(dim));

function symbolsOf(inputs: readonly GraphInput[]): string[] {
  const symbols = inputs.flatMap(({ shape }) =>
    shape.filter((dim): dim is string => typeof dim === 'string'),
  );
  return [...new Set(symbols)];
}

function declareState(root: Graph, parameters: readonly ParameterShape[]): Value[] {
  const names = [(key: string) => key, firstMomentName, secondMomentName];
  return names.flatMap((nameOf) =>
    parameters.map(({ key, shape }) => addInput(root, nameOf(key), 'float32', shape)),
  );
}

/** Batch `iteration` of every stacked input, cut from the padded sizes to its own. */
function cutBatch(
  inputs: readonly GraphInput[],
  stacked: readonly Value[],
  sizes: ReadonlyMap<string, Value>,
  iteration: Value,
): Record<string, Value> {
  const own = new Map([...sizes].map(([symbol, all]) => [symbol, unsqueeze(gather(all, iteration, 0), [0])]));
  return Object.fromEntries(
    inputs.map(({ name, shape }, position) => {
      const whole = gather(stacked[position]!, iteration, 0);
      const axes = [...shape.keys()].filter((axis) => typeof shape[axis] === 'string');
      if (axes.length === 0) return [name, whole];
      const ends = concat(
        axes.map((axis) => own.get(shape[axis] as string)!),
        0,
      );
      return [name, sliceTo(whole, axes, ends, shape)];
    }),
  );
}
