/** @file The tensors that batches of several systems are put together from. */

import { type Tensor, tensor } from '../engine/tensor/index.js';
import type { Batch } from '../engine/training/index.js';
import type { Example, FeatureSource } from './system.js';

/** One batch of the tensors and sizes of its parts. */
export function joined(parts: readonly Batch[]): Batch {
  return {
    tensors: Object.assign({}, ...parts.map(({ tensors }) => tensors)),
    sizes: Object.assign({}, ...parts.map(({ sizes }) => sizes)),
  };
}

/** `labels`, int64 [batch]. */
export function labelPart(examples: readonly Pick<Example, 'label'>[]): Batch {
  const labels = idVector(
    [examples.length],
    examples.map(({ label }) => label),
  );
  return { tensors: { labels }, sizes: {} };
}

/** StoredFeatures, padded with zeros: `audio_features` float16 [batch, frames, width] and `frame_mask` int64 [batch, frames]. */
export async function audioPart(
  examples: readonly Pick<Example, 'id'>[],
  source: FeatureSource,
  audioWidth: number,
): Promise<Batch> {
  const features = await Promise.all(examples.map(({ id }) => source.read({ id })));
  const frames = Math.max(...features.map((each) => each.frames));
  const values = tensor('float16', [features.length, frames, audioWidth]);
  const mask = tensor('int64', [features.length, frames]);
  features.forEach((each, row) => {
    values.data.set(each.words, row * frames * audioWidth);
    mask.data.fill(1n, row * frames, row * frames + each.frames);
  });
  return { tensors: { audio_features: values, frame_mask: mask }, sizes: { frames } };
}

/** Token ids, padded on the right, with their mask: both int64 [batch, length]. */
export function sequencePart(
  sequences: readonly (readonly number[])[],
  symbol: string,
  idsName: string,
  maskName: string,
  padId: number,
): Batch {
  const length = Math.max(...sequences.map((sequence) => sequence.length));
  const values = tensor('int64', [sequences.length, length]);
  const mask = tensor('int64', [sequences.length, length]);
  values.data.fill(BigInt(padId));
  sequences.forEach((sequence, row) => {
    sequence.forEach((id, position) => {
      values.data[row * length + position] = BigInt(id);
    });
    mask.data.fill(1n, row * length, row * length + sequence.length);
  });
  return { tensors: { [idsName]: values, [maskName]: mask }, sizes: { [symbol]: length } };
}

/** Whole numbers as int64. */
export function idVector(shape: readonly number[], values: readonly number[]): Tensor<'int64'> {
  return tensor(
    'int64',
    shape,
    BigInt64Array.from(values, (value) => BigInt(value)),
  );
}
