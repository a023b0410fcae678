/**
 * @file The output matrix of a language model whose config and weights disagree about it: tied to the word embeddings by
 * the config, and in the file all the same, as merging an adapter of the head leaves it.
 */

import { InputError } from '../../base/index.js';
import type { Checkpoint, WeightRef } from '../../checkpoints/index.js';
import { storedTensor } from '../../checkpoints/index.js';
import type { DecoderConfig } from './decoder-config.js';

const HEAD = 'lm_head.weight';
const EMBEDDINGS = 'model.embed_tokens.weight';

/** A config that says of the head what the weights do. */
export interface HeadChoice {
  readonly config: DecoderConfig;
  /** Where the two disagreed: what was decided, for the user. */
  readonly note: string | undefined;
}

/**
 * Decides which matrix is the head: the file's own where it differs from the word embeddings, whatever the config says
 * (as transformers does since version 5). Both are read where both are there.
 * @throws InputError where the config unties the head and the file has none
 */
export async function chooseHead(
  { dir, weights }: Pick<Checkpoint, 'dir' | 'weights'>,
  config: DecoderConfig,
): Promise<HeadChoice> {
  const [head, embeddings] = [weights.get(HEAD), weights.get(EMBEDDINGS)];
  if (head === undefined && !config.tieWordEmbeddings) {
    throw new InputError(
      `checkpoint ${dir} has no ${HEAD}, and its config.json does not tie it to the word embeddings; fetch the whole checkpoint, or set tie_word_embeddings to true there if they are its head`,
    );
  }
  const asConfigured = { config, note: undefined };
  if (!config.tieWordEmbeddings || head === undefined || embeddings === undefined) return asConfigured;
  if (await haveEqualBytes(head, embeddings)) return asConfigured;
  return {
    config: { ...config, tieWordEmbeddings: false },
    note: `${dir} has an ${HEAD} that is not its word embeddings, though its config.json ties the two; its own ${HEAD} is used`,
  };
}

async function haveEqualBytes(a: WeightRef, b: WeightRef): Promise<boolean> {
  if (a.dtype !== b.dtype || a.byteLength !== b.byteLength) return false;
  if (a.path === b.path && a.offset === b.offset) return true;
  const others = storedTensor(b).read()[Symbol.asyncIterator]();
  try {
    let rest: Uint8Array = new Uint8Array();
    for await (const piece of storedTensor(a).read()) {
      for (let done = 0; done < piece.byteLength; ) {
        if (rest.byteLength === 0) rest = (await others.next()).value as Uint8Array;
        const length = Math.min(rest.byteLength, piece.byteLength - done);
        if (Buffer.compare(piece.subarray(done, done + length), rest.subarray(0, length)) !== 0) return false;
        rest = rest.subarray(length);
        done += length;
      }
    }
    return true;
  } finally {
    await others.return?.();
  }
}
