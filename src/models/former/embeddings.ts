/** @file RoBERTa's text embeddings and the learned queries, which pass the same layer norm. */

import {
  add,
  cast,
  concat,
  equal,
  expand,
  gather,
  int64Vector,
  mul,
  not,
  reshape,
  sizeOf,
  slice,
  unsqueeze,
  type Value,
} from '../../engine/onnx/index.js';
import { norm } from '../layers.js';
import { causalMask, runningCount } from '../positions.js';
import type { Dropout, Weights } from '../weights.js';
import { type FormerConfig, WORD_EMBEDDINGS_KEY } from './config.js';

/**
 * Text embeddings E_t: words, positions and the first token type, normalised.
 * @param inputIds int64 [N, L], padded with padTokenId on either side
 * @returns [N, L, d]
 */
export function textEmbeddings(
  weights: Weights,
  config: FormerConfig,
  inputIds: Value,
  dropout: Dropout,
): Value {
  const { roberta } = config;
  const width = roberta.hiddenSize;
  const words = gather(weights(WORD_EMBEDDINGS_KEY, [roberta.vocabSize, width]), inputIds, 0);
  const positionTable = weights('embeddings.position_embeddings.weight', [
    roberta.maxPositionEmbeddings,
    width,
  ]);
  const positions = gather(positionTable, textPositions(inputIds, roberta.padTokenId), 0); // [N, L, d]
  const types = weights('embeddings.token_type_embeddings.weight', [roberta.typeVocabSize, width]);
  const type = reshape(slice(types, 0, 0, 1), [width]);
  const summed = add(words, add(positions, type));
  return dropout(
    norm(weights, 'embeddings.LayerNorm', summed, roberta.layerNormEps),
    config.dropout,
    'embeddings.text',
  );
}

/** Rows of the position table: real tokens count from padTokenId + 1 on, padding has padTokenId: int64 [N, L]. */
function textPositions(inputIds: Value, padTokenId: number): Value {
  const real = cast(not(equal(inputIds, padTokenId)), 'float32');
  return cast(add(mul(runningCount(real, causalMask(inputIds)), real), padTokenId), 'int64');
}

/**
 * The learned queries Q for each utterance of a batch; no positions, since they are a set.
 * @param like any value with the batch as its first axis
 * @returns [N, N_q, d]
 */
export function queryEmbeddings(
  weights: Weights,
  config: FormerConfig,
  like: Value,
  dropout: Dropout,
): Value {
  const width = config.roberta.hiddenSize;
  const queries = weights('query_tokens', [1, config.queries, width]);
  const normalized = norm(weights, 'embeddings.LayerNorm', queries, config.roberta.layerNormEps);
  const sizes = concat(
    [unsqueeze(sizeOf(like, 0), [0]), int64Vector(like.graph, [config.queries, width])],
    0,
  );
  const repeated = expand(normalized, sizes, [like.shape[0]!, config.queries, width]);
  return dropout(repeated, config.dropout, 'embeddings.queries');
}
