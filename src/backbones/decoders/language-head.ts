/**
 * @file The language model head: logits over the whole vocabulary or the label words only, and the choice of output
 * matrix when a checkpoint's config and weights disagree.
 */

import { InputError } from '../../base/index.js';
import { type Checkpoint, requireWeight, storedTensor, type WeightRef } from '../../checkpoints/index.js';
import {
  addInput,
  addOutput,
  cast,
  gather,
  int64Vector,
  linear,
  type Value,
  withScope,
} from '../../engine/onnx/index.js';
import { dtypeInfo, type StreamedTensor } from '../../engine/tensor/index.js';
import { asStored, type ModelGraph, type Weights } from '../../nn/index.js';
import { decoder, embedTokens } from './decoder.js';
import type { DecoderConfig } from './decoder-config.js';
import { decoderFamilyOf } from './decoder-families.js';

/** The output matrix W_o [V, d]: the word embeddings if the config ties them. */
function outputMatrix(weights: Weights, config: DecoderConfig): Value {
  const key = config.tieWordEmbeddings ? 'model.embed_tokens.weight' : 'lm_head.weight';
  return weights(key, [config.vocabSize, config.hiddenSize]);
}

/** l = h W_o (paper, eq. 8): hidden float32 [M, d] -> logits float32 [M, V]. */
export function lmHead(weights: Weights, config: DecoderConfig, hidden: Value): Value {
  const matrix = outputMatrix(weights, config);
  return cast(linear(cast(hidden, matrix.dtype), matrix), 'float32');
}

/**
 * Logits of the C label words' tokens only: hidden float32 [N, d] -> [N, C], in the order of `labelTokenIds`. Reads
 * only their rows of the output matrix.
 * @throws RangeError for an id outside the vocabulary
 */
export function labelLogits(
  weights: Weights,
  config: DecoderConfig,
  hidden: Value,
  labelTokenIds: readonly number[],
): Value {
  const outside = labelTokenIds.find((id) => !Number.isInteger(id) || id < 0 || id >= config.vocabSize);
  if (outside !== undefined)
    throw new RangeError(`label token ${outside} is outside the vocabulary of ${config.vocabSize} tokens`);
  const matrix = outputMatrix(weights, config);
  // Built in the matrix' own graph, where onnxruntime folds it at load and drops the other rows. Gathered before the
  // cast: constants of more than about 1 GB, such as a 7B model's matrix, are not folded and would be cast in every
  // run.
  const stored = gather(asStored(matrix), int64Vector(matrix.graph, labelTokenIds), 0);
  return wordLogits(hidden, cast(stored, matrix.dtype));
}

/** Logits of words over their rows of the output matrix alone [C, d]: hidden float32 [N, d] -> [N, C]. */
export function wordLogits(hidden: Value, rows: Value): Value {
  return cast(linear(cast(hidden, rows.dtype), rows), 'float32');
}

/** Rows of a stored matrix [V, d] as a tensor [C, d] of its own. */
export function storedRows(ref: WeightRef, key: string, indices: readonly number[]): StreamedTensor {
  const [, width] = ref.shape as [number, number];
  const rowBytes = width * dtypeInfo[ref.dtype].bytes;
  return {
    key,
    dtype: ref.dtype,
    shape: [indices.length, width],
    async *read() {
      for (const index of indices) {
        const row = {
          ...ref,
          shape: [1, width],
          offset: ref.offset + index * rowBytes,
          byteLength: rowBytes,
        };
        yield* storedTensor(row).read();
      }
    },
  };
}

/** The stored output matrix of a checkpoint with this config. @throws InputError if it is missing */
export function outputMatrixRef(checkpoint: Checkpoint, config: DecoderConfig): WeightRef {
  const key = config.tieWordEmbeddings ? EMBEDDINGS : HEAD;
  return requireWeight(checkpoint, key, [config.vocabSize, config.hiddenSize]);
}

/** The language model's input besides its mask: token ids, or embeddings that include a soft prompt. */
export type LanguageModelInputs = 'input_ids' | 'inputs_embeds';

/**
 * Inputs `input_ids` int64 [batch, sequence], or `inputs_embeds` float32 [batch, sequence, width], and `attention_mask`
 * int64 [batch, sequence], 1 on real tokens, padding on either side. Output `logits` float32 [batch, sequence,
 * vocabulary], meaningless at padding. Positions are counted over the real tokens.
 */
export function languageModelGraph(config: DecoderConfig, inputs: LanguageModelInputs): ModelGraph {
  const { modelType, title } = decoderFamilyOf(config);
  return {
    name: modelType,
    description: `${title} language model: ${inputs} to logits over ${config.vocabSize} tokens`,
    define(graph, weights) {
      const tokens = ['batch', 'sequence'] as const;
      const given =
        inputs === 'input_ids'
          ? addInput(graph, inputs, 'int64', tokens)
          : addInput(graph, inputs, 'float32', [...tokens, config.hiddenSize]);
      const attentionMask = addInput(graph, 'attention_mask', 'int64', tokens);
      const logits = withScope(graph, 'llm', () => {
        const embeddings = inputs === 'input_ids' ? embedTokens(weights, config, given) : given;
        return lmHead(weights, config, decoder(weights, config, { embeddings, attentionMask }));
      });
      addOutput(graph, logits, 'logits');
    },
  };
}

const HEAD = 'lm_head.weight';
const EMBEDDINGS = 'model.embed_tokens.weight';

/** A config whose tie_word_embeddings matches the weights. */
export interface HeadChoice {
  readonly config: DecoderConfig;
  /** A note for the user about the decision, if config and weights disagreed. */
  readonly note: string | undefined;
}

/**
 * Decides which matrix is the head: the checkpoint's own if it differs from the word embeddings, whatever the config
 * says (like transformers since version 5). If both exist, both are read.
 * @throws InputError where the config unties the head and the checkpoint has none
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
