/**
 * @file The training graph: K optimizer steps in one ONNX Loop. The loop carries parameters and moments, and on request
 * averages of the parameters and what a model remembers from one step to the next; batches are stacked [K, ...], and
 * each is cut to its own sizes inside. With gradient accumulation a step takes several entries of the stack.
 */

import { gradients } from '../autodiff/index.js';
import {
  add,
  addInput,
  addOutput,
  cast,
  createGraph,
  type Dim,
  type DimBindings,
  type Graph,
  gather,
  hostColumn,
  hostEntries,
  hostTable,
  loop,
  mul,
  onDevice,
  sizeOf,
  sliceTo,
  type Value,
  withScope,
} from '../onnx/index.js';
import type { StateSlot } from '../runtime/index.js';
import type { DType } from '../tensor/index.js';
import { accumulate, type Differentiable, declareMicroInputs, MICRO_BATCHES } from './accumulation.js';
import { type AdamWOptions, adamwUpdate } from './adamw.js';
import { createDropout, type DropoutPlan } from './dropout.js';
import { type Schedule, scheduledRate } from './schedule.js';
import {
  gathered,
  membersOf,
  type ParameterShape,
  partsOf,
  type StateGroup,
  stateGroups,
} from './state-groups.js';
import { updatedAverages, type WeightAverage } from './weight-average.js';

/** A per-batch input. Symbolic axes vary from batch to batch; fixed axes are numbers. */
export interface GraphInput {
  readonly name: string;
  readonly dtype: DType;
  /** For example ['batch', 'frames', 1024]. */
  readonly shape: readonly Dim[];
}

/** Context for building a model's loss. `body` is the graph of one step, `root` the one that holds frozen weights. */
export interface StepContext {
  readonly root: Graph;
  readonly body: Graph;
  readonly parameters: ReadonlyMap<string, Value>;
  readonly batch: Readonly<Record<string, Value>>;
  readonly dropout: (x: Value, rate: number, site: string) => Value;
  /** What the step before left, by name; zeros at the first step. Empty without {@link TrainingSpec.memory}. */
  readonly memory: Readonly<Record<string, Value>>;
}

export interface StepLoss {
  /** Scalar to minimise. */
  readonly loss: Value;
  /** Further scalars to report, by name. */
  readonly reported: Readonly<Record<string, Value>>;
  /** What the next step finds in its memory, by name. No gradient flows from step to step. */
  readonly memory?: Readonly<Record<string, Value>>;
}

/** A float32 tensor that a model hands from each step to the next. */
export interface MemorySlot {
  readonly name: string;
  readonly shape: readonly number[];
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
  /** Parameters with fewer elements share a vector, see {@link stateGroups}. Default: each is a tensor of its own. */
  readonly sharedBelow?: number;
  /** Keep an average of the parameters in the state; the evaluation then computes with it. */
  readonly average?: WeightAverage;
  /** What the model hands from step to step, and with `accumulate` from micro-batch to micro-batch. */
  readonly memory?: readonly MemorySlot[];
  /** What the graph computes besides, from the parameters that it is given. */
  readonly evaluation?: EvaluationSpec;
}

/** Inference in the training graph, which then shares its weights with training. */
export interface EvaluationSpec {
  readonly batch: readonly GraphInput[];
  /** Builds one batch and returns its outputs by name. */
  readonly forward: (context: Omit<StepContext, 'dropout' | 'memory'>) => Readonly<Record<string, Value>>;
}

export interface TrainingGraph {
  readonly graph: Graph;
  /** The graph of one step, inside the loop. */
  readonly body: Graph;
  /** Where loss and gradients are computed: `body`, or with accumulation the graph of one micro-batch inside it. */
  readonly gradientBody: Graph;
  /** Parameters, moments, averages and memory, which stay in the worker. */
  readonly state: readonly StateSlot[];
  /** The state has an average of each parameter, under {@link averageName}. */
  readonly averages: boolean;
  /** Names of the memory in the state. */
  readonly memory: readonly string[];
  readonly dropout: DropoutPlan;
  /** A step's batch comes as micro-batches. */
  readonly accumulates: boolean;
  /** Names of the per-step outputs, each float32 [K]. */
  readonly reported: readonly string[];
  /** Absent without an evaluation. */
  readonly evaluation: EvaluationPart | undefined;
}

/** The evaluation in a training graph. */
export interface EvaluationPart {
  /** The graph of one batch. */
  readonly body: Graph;
  /** Inputs of a batch, by their names in it. */
  readonly inputs: readonly GraphInput[];
  /** Outputs of a batch, by their names in it; in the graph stacked, under {@link evaluationName}. */
  readonly outputs: readonly string[];
}

export const firstMomentName = (key: string): string => `exp_avg/${key}`;
export const secondMomentName = (key: string): string => `exp_avg_sq/${key}`;
/** Name of a parameter's average over the steps. */
export const averageName = (key: string): string => `average/${key}`;
/** Name in the state of what a model remembers. */
const memoryName = (name: string): string => `memory/${name}`;
/** The input with the sizes of the batches: a column begins with 0, then has a size for each symbol. */
export const SIZES_INPUT = 'batch_sizes';
/** Name of an evaluation's input or output in a training graph. */
export const evaluationName = (name: string): string => `evaluation/${name}`;
/** Number of batches that a run evaluates. */
export const EVALUATED = 'evaluated';

/**
 * Builds the training graph. Inputs: `learning_rate` (float32 scalar), `step` (int64 scalar, steps done before), every
 * batch input stacked as [K, ...], `batch_sizes` int64 [1 + symbols, K], dropout pools and windows, the groups of
 * parameters by name and their moments as `exp_avg/<group>`, `exp_avg_sq/<group>`; with an average `average/<group>`,
 * with memory `memory/<name>`. Outputs: `loss`, `gradient_norm`, `learning_rate_used` and the reported scalars, each
 * [K], and the updated state as `updated/<input>`.
 *
 * With accumulation, the stack is of micro-batches, those of a step one after another; sizes and dropout windows are [...,
 * micro-batches of the longest step, K]; `micro_batches` and `first_micro_batch` int64 [K] locate each step's
 * micro-batches, and `micro_weight` float32 is the weight of each.
 *
 * With an evaluation, there are also the inputs of its batches and their sizes, stacked as [evaluated, ...] under
 * `evaluation/<name>`, and its outputs. A run that trains has no batches to evaluate, and the other way round.
 */
export function buildTrainingGraph(spec: TrainingSpec): TrainingGraph {
  const root = createGraph(spec.name);
  const baseRate = addInput(root, 'learning_rate', 'float32', []);
  const firstStep = addInput(root, 'step', 'int64', []);
  const stack = spec.accumulate ? MICRO_BATCHES : 'K';
  const groups = stateGroups(spec.parameters, spec.sharedBelow ?? 0);
  const columns = spec.accumulate ? ['micro_columns', 'K'] : ['K'];
  const batches = declareBatches(root, spec.batch, stack, columns);
  const micro = spec.accumulate ? declareMicroInputs(root) : undefined;
  const { average, memory: remembers = [] } = spec;
  const names = average === undefined ? stateNames : [...stateNames, averageName];
  const groupInputs = names.flatMap((nameOf) =>
    groups.map(({ name, shape }) => addInput(root, nameOf(name), 'float32', shape)),
  );
  const memoryInputs = remembers.map(({ name, shape }) => addInput(root, memoryName(name), 'float32', shape));
  const stateInputs = [...groupInputs, ...memoryInputs];
  const count = groups.length;
  const reportedNames: string[] = [];
  let dropoutPlan: DropoutPlan = { rates: [], sites: [] };
  let stepGraph: Graph = root;
  let gradientBody: Graph = root;

  const tripCount = sizeOf(micro?.first ?? batches.stacked[0]!, 0);
  const result = loop(tripCount, 'K', stateInputs, (body, iteration, states) => {
    stepGraph = body;
    const current = states.slice(0, count);
    const first = states.slice(count, 2 * count);
    const second = states.slice(2 * count, 3 * count);
    const averages = states.slice(3 * count, groupInputs.length);
    const memory = states.slice(groupInputs.length);
    /** One batch in `graph`, at `index` of the stack; loss and scalars are multiplied by the weight, if given. */
    const forward = (
      graph: Graph,
      index: Value,
      pick: PickBatch,
      { values, memory: before, weight }: Given,
    ): Differentiable => {
      gradientBody = graph;
      const batch = withScope(graph, 'batch', () =>
        cutBatch(batches, index, hostColumn(...pick(batches.sizes))),
      );
      const dropout = createDropout(root, columns, (table) => hostColumn(...pick(table)));
      const parameters = membersOf(groups, values);
      const whole = spec.step({
        ...{ root, body: graph, parameters, batch, dropout: dropout.apply },
        memory: Object.fromEntries(remembers.map(({ name }, index) => [name, before[index]!])),
      });
      dropoutPlan = dropout.plan;
      const weighted = (value: Value): Value => (weight === undefined ? value : mul(value, weight));
      const loss = weighted(whole.loss);
      const reported = Object.entries(whole.reported).map(([name, value]) => [name, weighted(value)]);
      return {
        loss,
        reported: Object.fromEntries(reported),
        memory: remembers.map(({ name }) => requireMemory(whole.memory, name)),
        gradients: () => {
          const slopes = gradients(loss, [...parameters.values()], { recompute: spec.recompute ?? false });
          const slopeOf = new Map([...parameters.keys()].map((key, index) => [key, slopes[index]!]));
          return gathered(groups, ({ key }) => slopeOf.get(key)!);
        },
      };
    };
    const ordinal = onDevice(iteration);
    const step =
      micro === undefined
        ? forward(body, ordinal, (table) => [table, iteration], { values: current, memory })
        : accumulate(micro, iteration, { state: current, memory }, (graph, { position, index }, given) =>
            forward(graph, index, (table) => [gather(table, iteration, -1), position], given),
          );

    const stepNumber = add(firstStep, ordinal);
    const rate = scheduledRate(baseRate, stepNumber, spec.schedule);
    const slots = step.gradients().map((gradient, position) => ({
      parameter: current[position]!,
      gradient,
      firstMoment: first[position]!,
      secondMoment: second[position]!,
      decays: groups[position]!.decays,
      rateFactor: groups[position]!.rateFactor,
    }));
    const update = adamwUpdate(slots, rate, stepNumber, spec.optimizer);
    const collected = Object.entries({
      loss: step.loss,
      gradient_norm: update.gradientNorm,
      learning_rate_used: cast(rate, 'float32'),
      ...step.reported,
    }).map(([name, value]) => ({ name, value }));
    reportedNames.push(...collected.map(({ name }) => name));
    const updatedStates = [
      ...update.parameters,
      ...update.firstMoments,
      ...update.secondMoments,
      ...(average ? updatedAverages(averages, update.parameters, stepNumber, average) : []),
      ...step.memory,
    ];
    return { states: updatedStates, collected };
  });

  const state = stateInputs.map((input, position): StateSlot => {
    const output = addOutput(root, result.states[position]!, `updated/${input.name}`);
    return {
      input: input.name,
      output: output.name,
      dtype: 'float32',
      shape: input.shape as readonly number[],
      ...(position < groupInputs.length && {
        parts: partsOf(groups[position % count]!, names[Math.floor(position / count)]!),
      }),
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
    averages: average !== undefined,
    memory: memoryInputs.map(({ name }) => name),
    dropout: dropoutPlan,
    accumulates: micro !== undefined,
    reported: reportedNames,
    evaluation:
      spec.evaluation &&
      addEvaluation(
        root,
        spec.evaluation,
        groups,
        average === undefined ? groupInputs.slice(0, count) : groupInputs.slice(3 * count),
      ),
  };
}

function requireMemory(remembered: StepLoss['memory'], name: string): Value {
  const value = remembered?.[name];
  if (value === undefined) throw new Error(`the model does not say what it remembers as ${name}`);
  return value;
}

/** How inputs and files call parameters and moments. */
const stateNames = [(key: string) => key, firstMomentName, secondMomentName];

/** What a batch is computed with: the groups' values, what was left to it, and the weight of a micro-batch. */
interface Given {
  readonly values: readonly Value[];
  readonly memory: readonly Value[];
  readonly weight?: Value;
}

/** Picks what a table holds for the current batch: a table whose last axis is the batches' own, and where in it. */
type PickBatch = (table: Value) => [table: Value, position: Value];

/** Adds a loop over batches to evaluate with the parameters that are given to a run. */
function addEvaluation(
  root: Graph,
  { batch, forward }: EvaluationSpec,
  groups: readonly StateGroup[],
  parameters: readonly Value[],
): EvaluationPart {
  const named = batch.map((input) => ({ ...input, name: evaluationName(input.name) }));
  const batches = declareBatches(root, named, EVALUATED, [EVALUATED], evaluationName(SIZES_INPUT));
  let evaluationBody: Graph = root;
  let outputs: string[] = [];
  const { collected } = loop(sizeOf(batches.stacked[0]!, 0), EVALUATED, [], (body, iteration) => {
    evaluationBody = body;
    const cut = withScope(body, 'batch', () =>
      cutBatch(batches, onDevice(iteration), hostColumn(batches.sizes, iteration)),
    );
    const own = Object.fromEntries(batch.map(({ name }) => [name, cut[evaluationName(name)]!]));
    const here = parameters.map((value): Value => ({ ...value, graph: body }));
    const made = forward({ root, body, parameters: membersOf(groups, here), batch: own });
    outputs = Object.keys(made);
    return { states: [], collected: Object.entries(made).map(([name, value]) => ({ name, value })) };
  });
  outputs.forEach((name, position) => {
    addOutput(root, collected[position]!, evaluationName(name));
  });
  return { body: evaluationBody, inputs: batch, outputs };
}

/** Name of a symbol in the stack, where batches are padded to the largest of the K. */
const paddedSymbol = (symbol: string): string => `${symbol}_padded`;
/** Sizes of a batch that fills its stack: each symbol, and its padded form with the same size. */
export function stackedBindings(bindings: DimBindings): DimBindings {
  const padded = Object.entries(bindings).map(([symbol, size]) => [paddedSymbol(symbol), size]);
  return { ...Object.fromEntries(padded), ...bindings };
}

const padded = (dim: Dim): Dim => (typeof dim === 'number' ? dim : paddedSymbol(dim));
const paddedToEvaluate = (dim: Dim): Dim => (typeof dim === 'number' ? dim : `evaluated_${padded(dim)}`);

/** The symbols of inputs, in the order in which tables of sizes have them. */
export function symbolsOf(inputs: readonly GraphInput[]): string[] {
  const symbols = inputs.flatMap(({ shape }) =>
    shape.filter((dim): dim is string => typeof dim === 'string'),
  );
  return [...new Set(symbols)];
}

/** Stacked batches, and the table of their sizes. */
interface StackedBatches {
  readonly inputs: readonly GraphInput[];
  readonly stacked: readonly Value[];
  /** Prepared for the host: [1 + symbols, ...columns]. */
  readonly sizes: Value;
  readonly symbols: readonly string[];
}

function declareBatches(
  root: Graph,
  inputs: readonly GraphInput[],
  stack: Dim,
  columns: readonly Dim[],
  sizesName = SIZES_INPUT,
): StackedBatches {
  const stacked = inputs.map(({ name, dtype, shape }) =>
    // Batches to evaluate have sizes of their own.
    addInput(root, name, dtype, [stack, ...shape.map(stack === EVALUATED ? paddedToEvaluate : padded)]),
  );
  const symbols = symbolsOf(inputs);
  const sizes = hostTable(addInput(root, sizesName, 'int64', [1 + symbols.length, ...columns]));
  return { inputs, stacked, sizes, symbols };
}

/** The batch at `index` of every stacked input, cut from the padded sizes to its own, which are a column of the table. */
function cutBatch(
  { inputs, stacked, symbols }: StackedBatches,
  index: Value,
  column: Value,
): Record<string, Value> {
  return Object.fromEntries(
    inputs.map(({ name, shape }, position) => {
      const whole = gather(stacked[position]!, index, 0);
      const axes = [...shape.keys()].filter((axis) => typeof shape[axis] === 'string');
      if (axes.length === 0) return [name, whole];
      const ends = hostEntries(
        column,
        axes.map((axis) => 1 + symbols.indexOf(shape[axis] as string)),
      );
      return [name, sliceTo(whole, axes, ends, shape)];
    }),
  );
}
