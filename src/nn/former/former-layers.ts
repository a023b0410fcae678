/**
 * @file Building blocks of the EmoQ-Former: RoBERTa's text embeddings, learned queries, attention and feed-forward
 * blocks.
 */

import {
  add,
  cast,
  concat,
  equal,
  expand,
  gather,
  gelu,
  int64Vector,
  mul,
  not,
  reshape,
  sizeOf,
  slice,
  unsqueeze,
  type Value,
} from '../../engine/onnx/index.js';
import { causalMask, dense, multiHeadAttention, norm, runningCount } from '../layers.js';
import { type Dropout, under, type Weights } from '../weights.js';
import { type FormerConfig, WORD_EMBEDDINGS_KEY } from './former-config.js';

/**
 * Text embeddings E_t: word, position and first token type embeddings, normalised.
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

/** Rows of the position table: real tokens count up from padTokenId + 1, padding gets padTokenId: int64 [N, L]. */
function textPositions(inputIds: Value, padTokenId: number): Value {
  const real = cast(not(equal(inputIds, padTokenId)), 'float32');
  return cast(add(mul(runningCount(real, causalMask(inputIds)), real), padTokenId), 'int64');
}

/**
 * The learned queries Q, repeated for each utterance. They form a set and have no positions.
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

export interface AttentionShape {
  readonly width: number;
  readonly heads: number;
  readonly layerNormEps: number;
  readonly dropout: number;
  readonly attentionDropout: number;
}

/**
 * softmax(Q K' / sqrt(d_k) + bias) V, then output projection, dropout, residual and layer norm (eqs. 2 and 3).
 * @param queries [N, L_q, d]
 * @param keys [N, L_k, d], also the source of the values
 * @param bias additive, broadcast to [N, heads, L_q, L_k]; 0 where a key may be attended to
 * @param residual [N, L_q, d]
 */
export function attentionBlock(
  weights: Weights,
  shape: AttentionShape,
  {
    queries,
    keys,
    bias,
    residual,
  }: { queries: Value; keys: Value; bias: Value | undefined; residual: Value },
  dropout: Dropout,
  site: string,
): Value {
  const { width, heads } = shape;
  const self = under(weights, 'self.');
  const attended = {
    queries: dense(self, 'query', queries, width),
    keys: dense(self, 'key', keys, width),
    values: dense(self, 'value', keys, width),
    bias,
  };
  const merged = multiHeadAttention(attended, heads, (shares) =>
    dropout(shares, shape.attentionDropout, `${site}.probabilities`),
  );
  const output = dropout(dense(weights, 'output.dense', merged, width), shape.dropout, `${site}.output`);
  return norm(weights, 'output.LayerNorm', add(output, residual), shape.layerNormEps);
}

/**
 * W_2 gelu(W_1 x + b_1) + b_2 with residual and layer norm. `suffix` distinguishes the queries' FFN from the text's.
 */
export function feedForward(
  weights: Weights,
  suffix: string,
  config: FormerConfig,
  x: Value,
  dropout: Dropout,
  site: string,
): Value {
  const { intermediateSize, hiddenSize, layerNormEps } = config.roberta;
  const inner = gelu(dense(weights, `intermediate${suffix}.dense`, x, intermediateSize));
  const output = dropout(dense(weights, `output${suffix}.dense`, inner, hiddenSize), config.dropout, site);
  return norm(weights, `output${suffix}.LayerNorm`, add(output, x), layerNormEps);
}
