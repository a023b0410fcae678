/** @file A small random Qwen2 with tied embeddings: frozen under LoRA, so its random layers must mix what they are given. */

import { join } from 'node:path';
import { writeJsonAtomic } from '../../base/index.js';
import {
  type ToyTokenizerFiles,
  vocabularyOf,
  weightMaker,
  writeModel,
  writeTokenizer,
} from './random-weights.js';

const QWEN2 = { width: 96, layers: 4, heads: 4, keyValueHeads: 2, feedForward: 256, positions: 2048 };

/** Writes a Qwen2 directory (tied embeddings): config, generation settings, weights and tokenizer. */
export async function writeToyQwen2(dir: string, seed: number, tokenizer: ToyTokenizerFiles): Promise<void> {
  const { width, layers, heads, keyValueHeads, feedForward } = QWEN2;
  const { size, idOf } = vocabularyOf(tokenizer);
  const { weights, normal, constant, linear } = weightMaker(seed, 'qwen2');
  const keyValueWidth = (width / heads) * keyValueHeads;
  // Logits are the normed last state times these rows: 0.2 lets one word reach about 19 over the others.
  normal('model.embed_tokens.weight', [size, width], 0.2);
  for (let layer = 0; layer < layers; layer++) {
    const key = `model.layers.${layer}`;
    linear(`${key}.self_attn.q_proj`, width, width);
    linear(`${key}.self_attn.k_proj`, keyValueWidth, width);
    linear(`${key}.self_attn.v_proj`, keyValueWidth, width);
    linear(`${key}.self_attn.o_proj`, width, width, { gain: 0.25, bias: false });
    linear(`${key}.mlp.gate_proj`, feedForward, width, { gain: Math.SQRT2, bias: false });
    linear(`${key}.mlp.up_proj`, feedForward, width, { bias: false });
    linear(`${key}.mlp.down_proj`, width, feedForward, { gain: 0.25, bias: false });
    constant(`${key}.input_layernorm.weight`, [width], 1);
    constant(`${key}.post_attention_layernorm.weight`, [width], 1);
  }
  constant('model.norm.weight', [width], 1);
  const endOfText = idOf('<|endoftext|>');
  await writeTokenizer(dir, tokenizer);
  await writeJsonAtomic(join(dir, 'generation_config.json'), {
    bos_token_id: endOfText,
    eos_token_id: [idOf('<|im_end|>'), endOfText],
    pad_token_id: endOfText,
  });
  await writeModel(dir, weights, {
    architectures: ['Qwen2ForCausalLM'],
    model_type: 'qwen2',
    attention_dropout: 0,
    bos_token_id: endOfText,
    eos_token_id: idOf('<|im_end|>'),
    hidden_act: 'silu',
    hidden_size: width,
    intermediate_size: feedForward,
    max_position_embeddings: QWEN2.positions,
    max_window_layers: layers,
    num_attention_heads: heads,
    num_hidden_layers: layers,
    num_key_value_heads: keyValueHeads,
    rms_norm_eps: 1e-6,
    rope_theta: 10_000,
    tie_word_embeddings: true,
    use_sliding_window: false,
    vocab_size: size,
  });
}
