/**
 * @file A small random decoder language model with tied embeddings: frozen under LoRA, so its random layers must mix what
 * they are given.
 */

import { join } from 'node:path';
import { writeJsonAtomic } from '../../base/index.js';
import {
  type ToyTokenizerFiles,
  vocabularyOf,
  weightMaker,
  writeModel,
  writeTokenizer,
} from './random-weights.js';

const SIZES = { width: 96, layers: 4, heads: 4, keyValueHeads: 2, feedForward: 256, positions: 2048 };
const HEAD_WIDTH = SIZES.width / SIZES.heads;

/** What sets a family apart. */
interface ToyFamily {
  readonly architecture: string;
  /** Queries, keys and values have biases. */
  readonly hasBiases: boolean;
  /** Heads of queries and keys have norms. */
  readonly hasHeadNorms: boolean;
  readonly begin: string;
  readonly endOfText: string;
  readonly endOfTurn: string;
  /** Keys of config.json that the others do not have. */
  readonly config: Readonly<Record<string, unknown>>;
}

const QWEN_TOKENS = { begin: '<|endoftext|>', endOfText: '<|endoftext|>', endOfTurn: '<|im_end|>' };
const QWEN_WINDOWS = { max_window_layers: SIZES.layers, use_sliding_window: false };

const FAMILIES = {
  qwen2: {
    architecture: 'Qwen2ForCausalLM',
    hasBiases: true,
    hasHeadNorms: false,
    ...QWEN_TOKENS,
    config: QWEN_WINDOWS,
  },
  qwen3: {
    architecture: 'Qwen3ForCausalLM',
    hasBiases: false,
    hasHeadNorms: true,
    ...QWEN_TOKENS,
    config: { attention_bias: false, head_dim: HEAD_WIDTH, ...QWEN_WINDOWS },
  },
  llama: {
    architecture: 'LlamaForCausalLM',
    hasBiases: false,
    hasHeadNorms: false,
    begin: '<|begin_of_text|>',
    endOfText: '<|end_of_text|>',
    endOfTurn: '<|eot_id|>',
    config: {
      attention_bias: false,
      mlp_bias: false,
      rope_scaling: {
        rope_type: 'llama3',
        factor: 8,
        low_freq_factor: 1,
        high_freq_factor: 4,
        original_max_position_embeddings: 512,
      },
    },
  },
} as const satisfies Record<string, ToyFamily>;

/** Writes a directory (tied embeddings): config, generation settings, weights and tokenizer. */
export async function writeToyDecoder(
  dir: string,
  seed: number,
  family: keyof typeof FAMILIES,
  tokenizer: ToyTokenizerFiles,
): Promise<void> {
  const { width, layers, heads, keyValueHeads, feedForward } = SIZES;
  const kind: ToyFamily = FAMILIES[family];
  const { size, idOf } = vocabularyOf(tokenizer);
  const { weights, normal, constant, linear } = weightMaker(seed, family);
  const keyValueWidth = HEAD_WIDTH * keyValueHeads;
  const bias = kind.hasBiases;
  // Logits are the normed last state times these rows: 0.2 lets one word reach about 19 over the others.
  normal('model.embed_tokens.weight', [size, width], 0.2);
  for (let layer = 0; layer < layers; layer++) {
    const key = `model.layers.${layer}`;
    linear(`${key}.self_attn.q_proj`, width, width, { bias });
    linear(`${key}.self_attn.k_proj`, keyValueWidth, width, { bias });
    linear(`${key}.self_attn.v_proj`, keyValueWidth, width, { bias });
    linear(`${key}.self_attn.o_proj`, width, width, { gain: 0.25, bias: false });
    if (kind.hasHeadNorms) {
      for (const norm of ['q_norm', 'k_norm']) constant(`${key}.self_attn.${norm}.weight`, [HEAD_WIDTH], 1);
    }
    linear(`${key}.mlp.gate_proj`, feedForward, width, { gain: Math.SQRT2, bias: false });
    linear(`${key}.mlp.up_proj`, feedForward, width, { bias: false });
    linear(`${key}.mlp.down_proj`, width, feedForward, { gain: 0.25, bias: false });
    constant(`${key}.input_layernorm.weight`, [width], 1);
    constant(`${key}.post_attention_layernorm.weight`, [width], 1);
  }
  constant('model.norm.weight', [width], 1);
  const [begin, endOfText, endOfTurn] = [kind.begin, kind.endOfText, kind.endOfTurn].map(idOf);
  await writeTokenizer(dir, tokenizer);
  await writeJsonAtomic(join(dir, 'generation_config.json'), {
    bos_token_id: begin,
    eos_token_id: [endOfTurn, endOfText],
    pad_token_id: endOfText,
  });
  const config = {
    ...kind.config,
    attention_dropout: 0,
    bos_token_id: begin,
    eos_token_id: endOfTurn,
    hidden_act: 'silu',
    hidden_size: width,
    intermediate_size: feedForward,
    max_position_embeddings: SIZES.positions,
    num_attention_heads: heads,
    num_hidden_layers: layers,
    num_key_value_heads: keyValueHeads,
    rms_norm_eps: 1e-6,
    rope_theta: 10_000,
    tie_word_embeddings: true,
    vocab_size: size,
  };
  const inOrder = Object.entries(config).sort(([a], [b]) => (a < b ? -1 : 1));
  await writeModel(dir, weights, {
    architectures: [kind.architecture],
    model_type: family,
    ...Object.fromEntries(inOrder),
  });
}
