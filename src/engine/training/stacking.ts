/** @file Stacks batches of different sizes into the [K, ...] inputs of a training graph. */

import {
  createArray,
  elementCount,
  float32,
  int64,
  type Tensor,
  type TypedArray,
  tensor,
} from '../tensor/index.js';
import { noDropoutFeeds } from './dropout.js';
import {
  evaluationName,
  type GraphInput,
  SIZES_INPUT,
  symbolsOf,
  type TrainingGraph,
} from './training-graph.js';

/** One batch: its tensors by input name, and its value for each symbol of the inputs. */
export interface Batch {
  readonly tensors: Readonly<Record<string, Tensor>>;
  readonly sizes: Readonly<Record<string, number>>;
}

/** A part of a step's batch. */
export interface MicroBatch {
  readonly batch: Batch;
  /** Weight of its loss and gradients in the step's sums: its share of the elements that the loss averages over. */
  readonly weight: number;
}

/**
 * Stacks K batches: every input becomes [K, ...], zero-padded to the largest of the K, and `batch_sizes` int64 [1 +
 * symbols, K] gives each batch's own sizes.
 * @throws Error when a batch is missing an input or a size, or when a shape does not match the sizes
 */
export function stackBatches(
  inputs: readonly GraphInput[],
  batches: readonly Batch[],
): Record<string, Tensor> {
  const symbols = symbolsOf(inputs);
  return {
    ...stackInputs(inputs, symbols, batches),
    [SIZES_INPUT]: int64([1 + symbols.length, batches.length], sizeTable(symbols, batches)),
  };
}

/**
 * Stacks the micro-batches of K steps one after another, like {@link stackBatches}, with `batch_sizes` [1 + symbols,
 * micro-batches of the longest step, K], and adds the inputs `micro_batches` and `first_micro_batch` int64 [K] and
 * `micro_weight` float32 [total micro-batches].
 */
export function stackMicroBatches(
  inputs: readonly GraphInput[],
  steps: readonly (readonly MicroBatch[])[],
): Record<string, Tensor> {
  const all = steps.flat();
  const counts = steps.map(({ length }) => length);
  const longest = Math.max(...counts);
  let before = 0;
  const first = counts.map((count) => {
    before += count;
    return before - count;
  });
  const symbols = symbolsOf(inputs);
  const byPosition = Array.from({ length: longest }, (_, position) =>
    steps.map((parts) => parts[position]?.batch),
  );
  return {
    ...stackInputs(
      inputs,
      symbols,
      all.map(({ batch }) => batch),
    ),
    [SIZES_INPUT]: int64([1 + symbols.length, longest, steps.length], sizeTable(symbols, byPosition.flat())),
    micro_batches: int64([counts.length], counts),
    first_micro_batch: int64([first.length], first),
    micro_weight: float32(
      [all.length],
      all.map(({ weight }) => weight),
    ),
  };
}

/** No batches at all: the stacked inputs of a run that trains nothing, or of one that evaluates nothing. */
function noBatches(inputs: readonly GraphInput[], micro: boolean): Record<string, Tensor> {
  const empty = inputs.map(({ name, dtype, shape }): [string, Tensor] => {
    const axes = shape.map((dim) => (typeof dim === 'number' ? dim : 1));
    return [name, tensor(dtype, [0, ...axes])];
  });
  const rows = 1 + symbolsOf(inputs).length;
  return {
    ...Object.fromEntries(empty),
    [SIZES_INPUT]: tensor('int64', micro ? [rows, 1, 0] : [rows, 0]),
    ...(micro && {
      micro_batches: tensor('int64', [0]),
      first_micro_batch: tensor('int64', [0]),
      micro_weight: tensor('float32', [0]),
    }),
  };
}

/** The inputs of the evaluation in a run that trains: no batches. Empty for a graph without an evaluation. */
export function noEvaluationFeeds({ evaluation }: TrainingGraph): Record<string, Tensor> {
  return evaluation === undefined ? {} : renamed(noBatches(evaluation.inputs, false));
}

/**
 * All feeds of a run that evaluates batches and trains nothing, apart from the state.
 * @param inputs of training
 * @param batches with the same number of examples each
 */
export function evaluationFeeds(
  { evaluation, dropout, accumulates }: TrainingGraph,
  inputs: readonly GraphInput[],
  batches: readonly Batch[],
): Record<string, Tensor> {
  if (evaluation === undefined) throw new Error('the training graph has no evaluation');
  return {
    learning_rate: float32([], [0]),
    step: int64([], [0]),
    ...noBatches(inputs, accumulates),
    ...noDropoutFeeds(dropout, accumulates),
    ...renamed(stackBatches(evaluation.inputs, batches)),
  };
}

/** The outputs of each evaluated batch, by their own names. */
export function evaluationOutputs(
  outputs: Readonly<Record<string, Tensor>>,
  { evaluation }: TrainingGraph,
): Record<string, Tensor>[] {
  const stacked = evaluation!.outputs.map((name) => [name, outputs[evaluationName(name)]!] as const);
  const count = stacked[0]![1].shape[0]!;
  return Array.from({ length: count }, (_, index) =>
    Object.fromEntries(
      stacked.map(([name, { dtype, shape, data }]) => {
        const own = shape.slice(1);
        const size = elementCount(own);
        return [name, { dtype, shape: own, data: data.subarray(index * size, (index + 1) * size) } as Tensor];
      }),
    ),
  );
}

function renamed(feeds: Readonly<Record<string, Tensor>>): Record<string, Tensor> {
  return Object.fromEntries(Object.entries(feeds).map(([name, value]) => [evaluationName(name), value]));
}

/** A row of zeros, then one for each symbol with the batches' sizes; 0 where there is no batch. */
function sizeTable(symbols: readonly string[], batches: readonly (Batch | undefined)[]): number[] {
  const sizes = symbols.flatMap((symbol) => batches.map((batch) => (batch ? sizeIn(batch, symbol) : 0)));
  return [...batches.map(() => 0), ...sizes];
}

function stackInputs(
  inputs: readonly GraphInput[],
  symbols: readonly string[],
  batches: readonly Batch[],
): Record<string, Tensor> {
  const largest = Object.fromEntries(
    symbols.map((symbol) => [symbol, Math.max(...batches.map((batch) => sizeIn(batch, symbol)))]),
  );
  const feeds: Record<string, Tensor> = {};
  for (const input of inputs) {
    const padded = input.shape.map((dim) => (typeof dim === 'number' ? dim : largest[dim]!));
    const size = elementCount(padded);
    const data = createArray(input.dtype, batches.length * size);
    batches.forEach((batch, k) => {
      const own = batch.tensors[input.name];
      const expected = input.shape.map((dim) => (typeof dim === 'number' ? dim : sizeIn(batch, dim)));
      if (own === undefined || own.dtype !== input.dtype || own.shape.join() !== expected.join()) {
        throw new Error(
          `batch input ${input.name} should be ${typeOf(input.dtype, expected)}, got ${own ? typeOf(own.dtype, own.shape) : 'nothing'}`,
        );
      }
      copyInto(data, k * size, padded, own.data, 0, own.shape, 0);
    });
    feeds[input.name] = tensor(input.dtype, [batches.length, ...padded], data);
  }
  return feeds;
}

function sizeIn({ sizes }: Batch, symbol: string): number {
  const size = sizes[symbol];
  if (size === undefined) throw new Error(`a batch does not say its size of ${symbol}`);
  return size;
}

/** "float32 [8, 3]" */
function typeOf(dtype: string, shape: readonly number[]): string {
  return `${dtype} [${shape.join(', ')}]`;
}

/** Copies a smaller row-major block into the front corner of a larger one, contiguous runs at a time. */
function copyInto(
  target: TypedArray,
  targetOffset: number,
  targetShape: readonly number[],
  source: TypedArray,
  sourceOffset: number,
  sourceShape: readonly number[],
  axis: number,
): void {
  const tail = sourceShape.slice(axis + 1);
  const same = tail.every((size, position) => size === targetShape[axis + 1 + position]);
  if (same) {
    const length = elementCount(sourceShape.slice(axis));
    (target as Float32Array).set(
      (source as Float32Array).subarray(sourceOffset, sourceOffset + length),
      targetOffset,
    );
    return;
  }
  const targetStride = elementCount(targetShape.slice(axis + 1));
  const sourceStride = elementCount(tail);
  for (let index = 0; index < sourceShape[axis]!; index++) {
    copyInto(
      target,
      targetOffset + index * targetStride,
      targetShape,
      source,
      sourceOffset + index * sourceStride,
      sourceShape,
      axis + 1,
    );
  }
}
