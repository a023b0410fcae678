/** @file Checkpoints of random weights for tests of decoders. */

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { languageModelGraph, parseDecoderConfig } from '../../../src/backbones/index.js';
import {
  encodeBfloat16,
  normalArray,
  seededRandom,
  type Tensor,
  tensor,
  writeSafetensors,
} from '../../../src/engine/tensor/index.js';
import { declaredWeights } from '../../../src/nn/index.js';

export interface RandomDecoder {
  readonly config: Readonly<Record<string, unknown>>;
  readonly dtype: 'float32' | 'bfloat16';
  readonly seed?: number;
  /** Changes the weights before they are written. */
  readonly edit?: (tensors: Map<string, Tensor>) => void;
}

/** A small config whose rows are whole blocks of 32, but not all of 64. */
export const smallConfig = {
  model_type: 'qwen2',
  vocab_size: 60,
  hidden_size: 64,
  intermediate_size: 96,
  num_hidden_layers: 3,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 128,
  tie_word_embeddings: false,
};

/** Writes config.json and model.safetensors: norms of ones, everything else normal with variance 1 / inputs. */
export async function writeRandomDecoder(
  dir: string,
  { config, dtype, seed = 1, edit }: RandomDecoder,
): Promise<void> {
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, 'config.json'), JSON.stringify(config));
  const { define } = languageModelGraph(parseDecoderConfig(config, dir), 'input_ids');
  const tensors = new Map(
    declaredWeights(define).map(({ key, shape }): [string, Tensor] => {
      const count = shape.reduce((product, size) => product * size, 1);
      const isNorm = /norm\.weight$/.test(key);
      const values = isNorm
        ? new Float32Array(count).fill(1)
        : normalArray(seededRandom(seed, key), count, shape.at(-1)! ** -0.5);
      return [
        key,
        dtype === 'float32'
          ? tensor('float32', shape, values)
          : tensor('bfloat16', shape, encodeBfloat16(values)),
      ];
    }),
  );
  edit?.(tensors);
  await writeSafetensors(join(dir, 'model.safetensors'), tensors, { format: 'pt' });
}
