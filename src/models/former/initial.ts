/** @file Where the Former's parameters start: RoBERTa's weights where it has them, small random numbers elsewhere. */

import {
  elementCount,
  float32Of,
  normalArray,
  seededRandom,
  type Tensor,
  tensor,
} from '../../engine/tensor/index.js';
import { type Checkpoint, readWeight, requireWeight } from '../checkpoint/index.js';
import type { ParameterShape } from '../weights.js';

/** Standard deviation of new weights, as BERT, RoBERTa and BLIP-2 initialise theirs. */
const INITIAL_DEVIATION = 0.02;

/**
 * RoBERTa's key for a Former key: the queries' FFN starts from the text's FFN of the same layer; cross-attention,
 * queries, audio projection and pooling are new.
 */
export function robertaKey(key: string): string | undefined {
  if (/crossattention|query_tokens|^pooling\.|^audio_projection\./.test(key)) return undefined;
  return key.replace('intermediate_query', 'intermediate').replace('output_query', 'output');
}

/**
 * Initial values of Former parameters.
 * @param roberta checkpoint view without key prefix; undefined starts everything at random (tests, benchmarks)
 * @throws InputError when RoBERTa lacks a weight or holds it in another shape
 */
export async function initialFormer(
  parameters: readonly ParameterShape[],
  roberta: Checkpoint | undefined,
  seed: number,
): Promise<Map<string, Tensor<'float32'>>> {
  const values = new Map<string, Tensor<'float32'>>();
  for (const { key, shape } of parameters) {
    const source = robertaKey(key);
    values.set(
      key,
      roberta !== undefined && source !== undefined
        ? tensor('float32', shape, float32Of(await readWeight(requireWeight(roberta, source, shape))))
        : freshParameter(key, shape, seed, INITIAL_DEVIATION),
    );
  }
  return values;
}

/** A new parameter: ones for a layer norm's scale, zeros for biases, else normal with the given deviation. */
export function freshParameter(
  key: string,
  shape: readonly number[],
  seed: number,
  deviation: number,
): Tensor<'float32'> {
  const size = elementCount(shape);
  if (key.endsWith('.bias')) return tensor('float32', shape);
  if (key.endsWith('LayerNorm.weight')) return tensor('float32', shape, new Float32Array(size).fill(1));
  return tensor('float32', shape, normalArray(seededRandom(seed, 'parameter', key), size, deviation));
}
