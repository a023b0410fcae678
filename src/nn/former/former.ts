/**
 * @file The EmoQ-Former (paper section 2.1), as a fragment and as a standalone graph. Learned queries and text attend
 * to each other, the queries attend to the audio, and attentive pooling of the queries gives one L2-normalised
 * embedding e'_q.
 */

import {
  add,
  addDims,
  addInput,
  addOutput,
  asBlock,
  concat,
  int64Vector,
  l2Normalize,
  mul,
  pad,
  slice,
  unsqueeze,
  type Value,
  withScope,
} from '../../engine/onnx/index.js';
import { attentivePooling, dense, maskedMean } from '../layers.js';
import { attentionBias, type Dropout, type ModelGraph, noDropout, under, type Weights } from '../weights.js';
import {
  FORMER_PREFIX,
  type FormerConfig,
  type FormerInputs,
  formerInputs,
  formerViews,
  hasCrossAttention,
  type InputViews,
  type MaskedSequence,
  RESIDUAL_NORM,
} from './former-config.js';
import {
  type AttentionShape,
  attentionBlock,
  feedForward,
  queryEmbeddings,
  textEmbeddings,
} from './former-layers.js';

/** Shared by all layers. */
interface LayerContext {
  readonly config: FormerConfig;
  readonly shape: AttentionShape;
  /** Additive bias over the joint sequence [N, 1, 1, N_q + L_t]; absent without text, as nothing is padded then. */
  readonly jointBias: Value | undefined;
  /** Projected audio E'_a [N, L_a, d_h] and its bias [N, 1, 1, L_a]. */
  readonly audio: { readonly frames: Value; readonly bias: Value } | undefined;
  readonly dropout: Dropout;
}

/**
 * The fused embedding e'_q of each utterance.
 * @param onPooling is given the weights of the queries in it [N, heads, N_q]
 * @returns [N, d_h], rows of unit length
 */
export function emoqFormer(
  weights: Weights,
  config: FormerConfig,
  inputs: FormerInputs,
  dropout: Dropout,
  onPooling?: (shares: Value) => void,
): Value {
  const { audio, text } = inputs;
  const { graph } = (audio ?? text)!.values;
  const { roberta } = config;
  const context: LayerContext = {
    config,
    shape: {
      width: roberta.hiddenSize,
      heads: roberta.numAttentionHeads,
      layerNormEps: roberta.layerNormEps,
      dropout: config.dropout,
      attentionDropout: config.attentionDropout,
    },
    jointBias: text && overHeads(withQueries(attentionBias(text.mask), config.queries)),
    audio: audio && {
      // E'_a = W E_a + b: to the Former's width.
      frames: withScope(graph, 'audio_projection', () =>
        dense(weights, 'audio_projection', audio.values, roberta.hiddenSize),
      ),
      bias: overHeads(attentionBias(audio.mask)),
    },
    dropout,
  };
  let [queries, words] = withScope(graph, 'embeddings', (): [Value, Value | undefined] => [
    queryEmbeddings(weights, config, (audio ?? text)!.values, dropout),
    text && textEmbeddings(weights, config, text.values, dropout),
  ]);
  for (let layer = 0; layer < roberta.numHiddenLayers; layer++) {
    const computedFrom = [queries, words, context.audio?.frames].filter((value) => value !== undefined);
    [queries, words] = asBlock(graph, computedFrom, () =>
      withScope(graph, `layer.${layer}`, () =>
        formerLayer(under(weights, `encoder.layer.${layer}.`), context, layer, queries, words),
      ),
    );
  }
  const pooled = withScope(graph, 'pooling', () =>
    attentivePooling(under(weights, 'pooling.'), queries, config.poolingHeads, undefined, onPooling),
  );
  if (config.residual !== 'mean' || audio === undefined)
    return withScope(graph, 'pooling', () => l2Normalize(pooled));
  return withScope(graph, 'residual', () =>
    l2Normalize(add(pooled, residual(weights, config, audio, dropout))),
  );
}

/** The mean of the audio frames, scaled and shifted by channel, and projected: [N, d_h]. */
function residual(
  weights: Weights,
  { audioWidth, roberta, dropout: rate }: FormerConfig,
  audio: MaskedSequence,
  dropout: Dropout,
): Value {
  const scaled = mul(maskedMean(audio.values, audio.mask), weights(RESIDUAL_NORM.scale, [audioWidth]));
  const standardized = add(scaled, weights(RESIDUAL_NORM.shift, [audioWidth]));
  return dense(weights, 'residual', dropout(standardized, rate, 'residual'), roberta.hiddenSize);
}

/** Joint self-attention (eq. 2), cross-attention of the queries (eq. 3), and separate FFNs for queries and text. */
function formerLayer(
  weights: Weights,
  context: LayerContext,
  layer: number,
  queries: Value,
  words: Value | undefined,
): [Value, Value | undefined] {
  const { config, shape, jointBias, audio, dropout } = context;
  const { graph } = queries;
  const site = `layer.${layer}`;
  const joint = words === undefined ? queries : concat([queries, words], 1); // X [N, N_q + L_t, d]
  // Only the queries are read after the last layer, so only they are computed there.
  const keepWords = words !== undefined && layer < config.roberta.numHiddenLayers - 1;
  const asking = keepWords ? joint : queries;
  const attended = withScope(graph, 'attention', () => {
    const inputs = { queries: asking, keys: joint, residual: asking, bias: jointBias };
    return attentionBlock(under(weights, 'attention.'), shape, inputs, dropout, `${site}.attention`);
  });
  let ownQueries = keepWords ? slice(attended, 1, 0, config.queries) : attended; // Q' [N, N_q, d]
  if (audio !== undefined && hasCrossAttention(config, layer)) {
    ownQueries = withScope(graph, 'crossattention', () => {
      const inputs = { queries: ownQueries, keys: audio.frames, residual: ownQueries, bias: audio.bias };
      return attentionBlock(
        under(weights, 'crossattention.'),
        shape,
        inputs,
        dropout,
        `${site}.crossattention`,
      );
    });
  }
  const outQueries = withScope(graph, 'ffn_query', () =>
    feedForward(weights, '_query', config, ownQueries, dropout, `${site}.ffn_query`),
  );
  if (!keepWords) return [outQueries, undefined];
  const outWords = withScope(graph, 'ffn', () =>
    feedForward(weights, '', config, slice(attended, 1, config.queries), dropout, `${site}.ffn`),
  );
  return [outQueries, outWords];
}

/** The text's bias [N, L_t] preceded by zeros for the queries, which are never masked: [N, N_q + L_t]. */
function withQueries(textBias: Value, queries: number): Value {
  const { graph } = textBias;
  const joint = addDims(textBias.shape[1]!, queries);
  return pad(textBias, 1, int64Vector(graph, [queries]), int64Vector(graph, [0]), joint);
}

/** [N, L] -> [N, 1, 1, L]. */
function overHeads(bias: Value): Value {
  return unsqueeze(bias, [1, 2]);
}

/**
 * Inputs `audio_features` float32 [batch, frames, d_a] and `frame_mask` int64 [batch, frames], `input_ids` and
 * `attention_mask` int64 [batch, text]; those of an unused view are left out. Output `embedding` float32 [batch, d_h],
 * rows of unit length. Weights have the keys of a run's checkpoint, `former.*`.
 */
export function formerGraph(config: FormerConfig, views: InputViews): ModelGraph {
  const seen = { both: 'HuBERT features and text', audio: 'HuBERT features', text: 'text' }[views];
  return {
    name: 'emoq_former',
    description: `EmoQ-Former: ${seen} to one embedding of unit length`,
    define(graph, weights) {
      // Training reads cached features in float16; other runtimes read them as HuBERT outputs them.
      const inputs = formerInputs(config.audioWidth, views).map(
        ({ name, dtype, shape }) =>
          [name, addInput(graph, name, dtype === 'float16' ? 'float32' : dtype, shape)] as const,
      );
      const batch = formerViews(Object.fromEntries(inputs), views);
      const embedding = withScope(graph, 'former', () =>
        emoqFormer(under(weights, FORMER_PREFIX), config, batch, noDropout),
      );
      addOutput(graph, embedding, 'embedding');
    },
  };
}
