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
import { type GraphInput, sizeInputName } from './training-graph.js';

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
 * Stacks K batches: every input becomes [K, ...], zero-padded to the largest of the K, and `<symbol>_size` [K] gives
 * each batch's own sizes.
 * @throws Error when a batch is missing an input or a size, or when a shape does not match the sizes
 */
export function stackBatches(
  inputs: readonly GraphInput[],
  batches: readonly Batch[],
): Record<string, Tensor> {
  const symbols = [...new Set(inputs.flatMap(({ shape }) => shape.filter((dim) => typeof dim === 'string')))];
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
  for (const symbol of symbols) {
    const sizes = BigInt64Array.from(batches.map((batch) => BigInt(sizeIn(batch, symbol))));
    feeds[sizeInputName(symbol)] = tensor('int64', [batches.length], sizes);
  }
  return feeds;
}

/**
 * Stacks the micro-batches of K steps one after another, like {@link stackBatches}, and adds the inputs `micro_batches`
 * and `first_micro_batch` int64 [K] and `micro_weight` float32 [total micro-batches].
 */
export function stackMicroBatches(
  inputs: readonly GraphInput[],
  steps: readonly (readonly MicroBatch[])[],
): Record<string, Tensor> {
  const all = steps.flat();
  const counts = steps.map(({ length }) => length);
  let before = 0;
  const first = counts.map((count) => {
    before += count;
    return before - count;
  });
  const batches = all.map(({ batch }) => batch);
  const weights = all.map(({ weight }) => weight);
  return {
    ...stackBatches(inputs, batches),
    micro_batches: int64([counts.length], counts),
    first_micro_batch: int64([first.length], first),
    micro_weight: float32([weights.length], weights),
  };
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
