/**
 * @file A small model without speech, and its training graph on the CPU: tokens through an MLP, pooled by a masked
 * softmax, normalised and projected. Shared by the training tests.
 */

import {
  add,
  cast,
  div,
  type Graph,
  gelu,
  layerNorm,
  linear,
  matmul,
  mul,
  reduceSum,
  reshape,
  serializeModel,
  sizeOf,
  softmax,
  sub,
  unsqueeze,
} from '../../src/engine/onnx/index.js';
import type { SessionWorker, WorkerSession } from '../../src/engine/runtime/index.js';
import {
  float32,
  int64,
  normalArray,
  seededRandom,
  type Tensor,
  tensor,
} from '../../src/engine/tensor/index.js';
import {
  type Batch,
  buildTrainingGraph,
  dropoutPools,
  dropoutWindows,
  firstMomentName,
  type GraphInput,
  type MicroBatch,
  type ParameterShape,
  type StepContext,
  type StepLoss,
  secondMomentName,
  stackBatches,
  stackMicroBatches,
  type TrainingGraph,
  type TrainingSpec,
} from '../../src/engine/training/index.js';

export const [WIDTH, HIDDEN, OUT] = [4, 6, 3];

export const parameters: readonly ParameterShape[] = [
  { key: 'hidden.weight', shape: [HIDDEN, WIDTH] },
  { key: 'hidden.bias', shape: [HIDDEN] },
  { key: 'score.weight', shape: [1, HIDDEN] },
  { key: 'norm.weight', shape: [HIDDEN] },
  { key: 'norm.bias', shape: [HIDDEN] },
  { key: 'output.weight', shape: [OUT, HIDDEN] },
  { key: 'output.bias', shape: [OUT] },
];

export const inputs: readonly GraphInput[] = [
  { name: 'x', dtype: 'float32', shape: ['batch', 'length', WIDTH] },
  { name: 'mask', dtype: 'int64', shape: ['batch', 'length'] },
  { name: 'target', dtype: 'float32', shape: ['batch', OUT] },
];

/** Mean over the batch of the squared distance from the target. */
export function pooledLoss({ parameters, batch, dropout }: StepContext, rate = 0): StepLoss {
  const weight = (key: string) => parameters.get(key)!;
  const { x, mask, target } = batch as Record<'x' | 'mask' | 'target', NonNullable<(typeof batch)[string]>>;
  const [rows, length] = x.shape as [string, string];
  const inner = gelu(linear(x, weight('hidden.weight'), weight('hidden.bias')));
  const hidden = dropout(inner, rate, 'hidden'); // [batch, length, hidden]
  const scores = reshape(linear(hidden, weight('score.weight')), [rows, length]);
  const bias = mul(sub(1, cast(mask, 'float32')), -1e9);
  const shares = unsqueeze(softmax(add(scores, bias)), [1]); // [batch, 1, length]
  const pooled = reshape(matmul(shares, hidden), [rows, HIDDEN]);
  const normed = dropout(layerNorm(pooled, weight('norm.weight'), weight('norm.bias'), 1e-5), rate, 'pooled');
  const error = sub(linear(normed, weight('output.weight'), weight('output.bias')), target);
  return { loss: div(reduceSum(mul(error, error)), cast(sizeOf(target, 0), 'float32')), reported: {} };
}

/** A complete spec except for the step, for tests that are not about the optimizer. */
export const settings: Omit<TrainingSpec, 'step'> = {
  name: 'small_training',
  parameters,
  batch: inputs,
  optimizer: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01, clipNorm: 1 },
  schedule: { warmupSteps: 3, totalSteps: 20 },
};

export const pooledSpec = (rate = 0): TrainingSpec => ({
  ...settings,
  step: (context) => pooledLoss(context, rate),
});

/** A seeded batch of the given sizes, with masks of all lengths. */
export function randomBatch(batch: number, length: number, seed: number): Batch {
  const random = seededRandom('training batch', seed);
  const lengths = Array.from({ length: batch }, (_, row) =>
    row === 0 ? length : 1 + random.integer(length),
  );
  const mask = lengths.flatMap((own) => Array.from({ length }, (_, at) => (at < own ? 1 : 0)));
  return {
    tensors: {
      x: tensor('float32', [batch, length, WIDTH], normalArray(random, batch * length * WIDTH, 1)),
      mask: int64([batch, length], mask),
      target: tensor('float32', [batch, OUT], normalArray(random, batch * OUT, 1)),
    },
    sizes: { batch, length },
  };
}

/** Batches of different sizes, one per step. */
export const randomBatches = (count: number): Batch[] =>
  Array.from({ length: count }, (_, step) => randomBatch(1 + ((3 * step) % 5), 2 + ((7 * step) % 6), step));

/** A batch as micro-batches of at most `size` rows, in order, each padded like the whole. */
export function rowsOf(batch: Batch, size: number): MicroBatch[] {
  const rows = batch.sizes.batch!;
  return Array.from({ length: Math.ceil(rows / size) }, (_, part): MicroBatch => {
    const [from, to] = [part * size, Math.min((part + 1) * size, rows)];
    const tensors = Object.entries(batch.tensors).map(([name, { dtype, shape, data }]) => {
      const row = data.length / rows;
      const values = (data as Float32Array).slice(from * row, to * row);
      return [name, tensor(dtype, [to - from, ...shape.slice(1)], values)] as const;
    });
    const sizes = { ...batch.sizes, batch: to - from };
    return { batch: { tensors: Object.fromEntries(tensors), sizes }, weight: (to - from) / rows };
  });
}

/** Bounds of the sizes of `randomBatches`. */
export const LARGEST = { batch: 5, length: 7 };

/** All state names of a model, parameters before moments. */
export const stateNames = (of: readonly ParameterShape[] = parameters): string[] =>
  [(key: string) => key, firstMomentName, secondMomentName].flatMap((name) => of.map(({ key }) => name(key)));

/** Seeded initial values of a model's parameters. */
export function startValues(of: readonly ParameterShape[], seed: number): Record<string, Tensor> {
  return Object.fromEntries(
    of.map(({ key, shape }) => {
      const size = shape.reduce((product, axis) => product * axis, 1);
      const deviation = 1 / Math.sqrt(shape.at(-1) ?? 1);
      return [key, tensor('float32', shape, normalArray(seededRandom(seed, key), size, deviation))];
    }),
  );
}

/** A training graph with its session. */
export interface Training {
  readonly graph: TrainingGraph;
  readonly session: WorkerSession;
}

export async function openTraining(
  worker: SessionWorker,
  spec: TrainingSpec,
  start: Record<string, Tensor> = startValues(spec.parameters, 0),
  threads = 1,
  weightsFolder?: string,
  rewrite: (graph: Graph) => void = () => undefined,
): Promise<Training> {
  const graph = buildTrainingGraph(spec);
  rewrite(graph.graph);
  const folder = weightsFolder === undefined ? {} : { weightsFolder };
  const options = { device: { kind: 'cpu' }, threads, ...folder } as const;
  const session = await worker.open(serializeModel(graph.graph, folder), options, graph.state);
  await session.setState(start);
  return { graph, session };
}

export interface StepsOptions {
  /** Steps done before. */
  readonly firstStep?: number;
  readonly rate?: number;
  readonly seed?: number;
  readonly largest?: Readonly<Record<string, number>>;
  readonly batchInputs?: readonly GraphInput[];
  /** How a step's batch is split, for a graph that accumulates gradients. */
  readonly cut?: (batch: Batch) => readonly MicroBatch[];
  /** Further feeds. */
  readonly more?: Record<string, Tensor>;
}

/** Takes one step per batch, all in one run of the graph; returns per-step outputs by name. */
export async function takeSteps(
  { graph, session }: Training,
  batches: readonly Batch[],
  {
    firstStep = 0,
    rate = 0.01,
    seed = 7,
    largest = LARGEST,
    batchInputs = inputs,
    cut,
    more,
  }: StepsOptions = {},
): Promise<Record<string, Tensor>> {
  const micro = cut && batches.map(cut);
  const sizes =
    micro?.map((parts) => parts.map(({ batch }) => batch.sizes)) ?? batches.map((batch) => batch.sizes);
  return session.run({
    learning_rate: float32([], [rate]),
    step: int64([], [firstStep]),
    ...(micro ? stackMicroBatches(batchInputs, micro) : stackBatches(batchInputs, batches)),
    ...dropoutPools(graph.dropout, seed, largest),
    ...dropoutWindows(graph.dropout, seed, firstStep, sizes, largest),
    ...more,
  });
}

/** Takes steps in runs of the given sizes; returns every per-step output as one list of numbers. */
export async function takeStepsIn(
  training: Training,
  batches: readonly Batch[],
  runSizes: readonly number[],
  options: StepsOptions = {},
): Promise<Record<string, number[]>> {
  const series: Record<string, number[]> = Object.fromEntries(
    training.graph.reported.map((name) => [name, []]),
  );
  let done = 0;
  for (const size of runSizes) {
    const firstStep = (options.firstStep ?? 0) + done;
    const outputs = await takeSteps(training, batches.slice(done, done + size), { ...options, firstStep });
    for (const [name, values] of Object.entries(outputs))
      series[name]!.push(...(values.data as Float32Array));
    done += size;
  }
  return series;
}

/** Largest error of `actual`, each relative to the larger of its expected element and the root mean square of all. */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  const wanted = Array.from(expected);
  if (actual.length !== wanted.length) return Number.POSITIVE_INFINITY;
  const scale = Math.sqrt(wanted.reduce((sum, value) => sum + value * value, 0) / wanted.length);
  return wanted.reduce((worst, value, i) => {
    const error = Math.abs(actual[i]! - value);
    const relative = error === 0 ? 0 : error / Math.max(Math.abs(value), scale);
    return Number.isNaN(relative) ? Number.POSITIVE_INFINITY : Math.max(worst, relative);
  }, 0);
}
