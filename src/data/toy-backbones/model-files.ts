/** @file What all toy models share: weights drawn by key, and the files of a Hugging Face folder. */

import { join } from 'node:path';
import { InputError, writeJsonAtomic } from '../../base/index.js';
import {
  elementCount,
  normalArray,
  seededRandom,
  type Tensor,
  tensor,
  writeSafetensors,
} from '../../engine/tensor/index.js';

export type Weights = [key: string, value: Tensor][];

/** Draws each weight from its own stream, so that changing one shape leaves the others unchanged. */
export function weightMaker(seed: number, model: string) {
  const weights: Weights = [];
  const constant = (key: string, shape: number[], value: number): void => {
    weights.push([key, tensor('float32', shape, new Float32Array(elementCount(shape)).fill(value))]);
  };
  const normal = (key: string, shape: number[], standardDeviation: number): void => {
    const random = seededRandom(seed, 'toy backbone', model, key);
    weights.push([
      key,
      tensor('float32', shape, normalArray(random, elementCount(shape), standardDeviation)),
    ]);
  };
  return {
    weights,
    constant,
    normal,
    /** `[outputs, inputs]` with a standard deviation of gain / sqrt(inputs), and its bias. */
    linear(key: string, outputs: number, inputs: number, { gain = 1, bias = true } = {}): void {
      normal(`${key}.weight`, [outputs, inputs], gain / Math.sqrt(inputs));
      if (bias) constant(`${key}.bias`, [outputs], 0);
    },
    layerNorm(key: string, width: number): void {
      constant(`${key}.weight`, [width], 1);
      constant(`${key}.bias`, [width], 0);
    },
  };
}

/**
 * Writes the files of every Hugging Face model folder. The weights come last, so a folder that has them is complete.
 */
export async function writeModel(
  dir: string,
  weights: Weights,
  config: Record<string, unknown>,
): Promise<void> {
  await writeJsonAtomic(join(dir, 'config.json'), { ...config, torch_dtype: 'float32' });
  await writeSafetensors(join(dir, 'model.safetensors'), weights, { format: 'pt' });
}

/** The contents of tokenizer.json and tokenizer_config.json. */
export interface ToyTokenizerFiles {
  readonly tokenizerJson: object;
  readonly tokenizerConfig: object;
}

export async function writeTokenizer(
  dir: string,
  { tokenizerJson, tokenizerConfig }: ToyTokenizerFiles,
): Promise<void> {
  await writeJsonAtomic(join(dir, 'tokenizer.json'), tokenizerJson);
  await writeJsonAtomic(join(dir, 'tokenizer_config.json'), tokenizerConfig);
}

/** Number of rows the embeddings need, and the ids of the special tokens. */
export function vocabularyOf({ tokenizerJson }: ToyTokenizerFiles): {
  size: number;
  idOf: (token: string) => number;
} {
  const { model, added_tokens: added = [] } = tokenizerJson as {
    model: { vocab: Record<string, number> };
    added_tokens?: { id: number; content: string }[];
  };
  const ids = new Map([
    ...Object.entries(model.vocab),
    ...added.map(({ content, id }) => [content, id] as const),
  ]);
  let largest = 0;
  for (const id of ids.values()) largest = Math.max(largest, id);
  return {
    size: largest + 1,
    idOf(token) {
      const id = ids.get(token);
      if (id === undefined) throw new InputError(`the toy tokenizer has no token ${token}`);
      return id;
    },
  };
}
