/**
 * @file Small random models in the real Hugging Face formats, so that everything runs without a download: a speech
 * encoder, the RoBERTa that initialises the Former, and decoder language models. These are frozen under LoRA, so their
 * random layers must pass information on.
 */

import { join } from 'node:path';
import { writeJsonAtomic } from '../../base/index.js';
import {
  type ToyTokenizerFiles,
  vocabularyOf,
  weightMaker,
  writeModel,
  writeTokenizer,
} from './model-files.js';
import { writeToySpeechEncoder } from './toy-speech-encoders.js';

export interface ToyBackboneOptions {
  /** Every weight depends only on the seed and its own key. */
  readonly seed: number;
  readonly roberta: ToyTokenizerFiles;
  readonly qwen2: ToyTokenizerFiles;
}

/** Writes `hubert`, `roberta` and `qwen2` under `dir`. Equal options give equal bytes. */
export async function writeToyBackbones(dir: string, options: ToyBackboneOptions): Promise<void> {
  await writeToySpeechEncoder(join(dir, 'hubert'), options.seed, 'hubert');
  await writeToyRoberta(join(dir, 'roberta'), options.seed, options.roberta);
  await writeToyDecoder(join(dir, 'qwen2'), options.seed, 'qwen2', options.qwen2);
}

const ROBERTA = { width: 64, layers: 4, heads: 4, feedForward: 256, positions: 130 };

/** Writes a RoBERTa folder (RobertaModel without pooler): config, weights and tokenizer. */
export async function writeToyRoberta(
  dir: string,
  seed: number,
  tokenizer: ToyTokenizerFiles,
): Promise<void> {
  const { width, layers, feedForward, positions } = ROBERTA;
  const { size, idOf } = vocabularyOf(tokenizer);
  const { weights, normal, linear, layerNorm } = weightMaker(seed, 'roberta');
  // The word must outweigh its position, or little of it survives the following layer norm.
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

const DECODER_SIZES = { width: 96, layers: 4, heads: 4, keyValueHeads: 2, feedForward: 256, positions: 2048 };
const HEAD_WIDTH = DECODER_SIZES.width / DECODER_SIZES.heads;

/** Differences between families. */
interface ToyFamily {
  readonly architecture: string;
  /** Queries, keys and values have biases. */
  readonly hasBiases: boolean;
  /** Query and key heads have norms. */
  readonly hasHeadNorms: boolean;
  readonly begin: string;
  readonly endOfText: string;
  readonly endOfTurn: string;
  /** Keys of config.json that the other families do not have. */
  readonly config: Readonly<Record<string, unknown>>;
}

const QWEN_TOKENS = { begin: '<|endoftext|>', endOfText: '<|endoftext|>', endOfTurn: '<|im_end|>' };
const QWEN_WINDOWS = { max_window_layers: DECODER_SIZES.layers, use_sliding_window: false };

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

/** Writes a folder (tied embeddings): config, generation settings, weights and tokenizer. */
export async function writeToyDecoder(
  dir: string,
  seed: number,
  family: keyof typeof FAMILIES,
  tokenizer: ToyTokenizerFiles,
): Promise<void> {
  const { width, layers, heads, keyValueHeads, feedForward } = DECODER_SIZES;
  const kind: ToyFamily = FAMILIES[family];
  const { size, idOf } = vocabularyOf(tokenizer);
  const { weights, normal, constant, linear } = weightMaker(seed, family);
  const keyValueWidth = HEAD_WIDTH * keyValueHeads;
  const bias = kind.hasBiases;
  // Logits are the normalised last state times these rows: with 0.2, one word can reach about 19 above the others.
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
    max_position_embeddings: DECODER_SIZES.positions,
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
