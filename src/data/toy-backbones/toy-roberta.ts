/** @file A small random RoBERTa, which the Former starts from. */

import {
  type ToyTokenizerFiles,
  vocabularyOf,
  weightMaker,
  writeModel,
  writeTokenizer,
} from './random-weights.js';

const ROBERTA = { width: 64, layers: 4, heads: 4, feedForward: 256, positions: 130 };

/** Writes a RoBERTa directory (RobertaModel without pooler): config, weights and tokenizer. */
export async function writeToyRoberta(
  dir: string,
  seed: number,
  tokenizer: ToyTokenizerFiles,
): Promise<void> {
  const { width, layers, feedForward, positions } = ROBERTA;
  const { size, idOf } = vocabularyOf(tokenizer);
  const { weights, normal, linear, layerNorm } = weightMaker(seed, 'roberta');
  // The word must outweigh its position, or the layer norm that follows leaves little of it.
  normal('embeddings.word_embeddings.weight', [size, width], 0.3);
  normal('embeddings.token_type_embeddings.weight', [1, width], 0.02);
  layerNorm('embeddings.LayerNorm', width);
  normal('embeddings.position_embeddings.weight', [positions, width], 0.03);
  for (let layer = 0; layer < layers; layer++) {
    const key = `encoder.layer.${layer}`;
    for (const part of ['query', 'key', 'value']) linear(`${key}.attention.self.${part}`, width, width);
    linear(`${key}.attention.output.dense`, width, width, { gain: 0.25 });
    layerNorm(`${key}.attention.output.LayerNorm`, width);
    linear(`${key}.intermediate.dense`, feedForward, width, { gain: Math.SQRT2 });
    linear(`${key}.output.dense`, width, feedForward, { gain: 0.25 });
    layerNorm(`${key}.output.LayerNorm`, width);
  }
  await writeTokenizer(dir, tokenizer);
  await writeModel(dir, weights, {
    architectures: ['RobertaModel'],
    model_type: 'roberta',
    attention_probs_dropout_prob: 0.1,
    bos_token_id: idOf('<s>'),
    eos_token_id: idOf('</s>'),
    hidden_act: 'gelu',
    hidden_dropout_prob: 0.1,
    hidden_size: width,
    intermediate_size: feedForward,
    layer_norm_eps: 1e-5,
    max_position_embeddings: positions,
    num_attention_heads: ROBERTA.heads,
    num_hidden_layers: layers,
    pad_token_id: idOf('<pad>'),
    type_vocab_size: 1,
    vocab_size: size,
  });
}
