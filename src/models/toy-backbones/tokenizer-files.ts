/** @file The tokenizer files that a toy backbone is given, and what the model must know of them. */

import { join } from 'node:path';
import { InputError, writeJsonAtomic } from '../../base/index.js';

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

/** Number of rows that the embeddings need, and the ids of the special tokens. */
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
