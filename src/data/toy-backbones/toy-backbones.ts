/**
 * @file Small random models in the real Hugging Face formats, so that everything runs without a download: HuBERT,
 * wav2vec 2.0 or WavLM (large variant), also with a CTC head, the RoBERTa that initialises the Former, and decoder
 * language models. These are frozen under LoRA, so their random layers must pass information on.
 */

import { join } from 'node:path';
import { InputError, writeJsonAtomic } from '../../base/index.js';
import {
  elementCount,
  normalArray,
  type Random,
  seededRandom,
  type Tensor,
  tensor,
  writeSafetensors,
} from '../../engine/tensor/index.js';

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

const ENCODER_SIZES = {
  convDim: 40,
  kernels: [10, 3, 3, 3, 3, 2, 2],
  strides: [5, 2, 2, 2, 2, 2, 2],
  width: 64,
  layers: 2,
  heads: 4,
  feedForward: 128,
  positionKernel: 16,
  positionGroups: 4,
  /** Layer norm cancels any gain of the convolutions; with a bias of this size loudness still matters. */
  convBias: 0.5,
  /**
   * Correlation of the taps of a random filter. Independent taps scramble time, and little is left after seven layers.
   */
  tapCorrelation: 0.9,
};

/** Supported families of speech encoders, with their classes in transformers. */
const ARCHITECTURES = { hubert: 'HubertModel', wav2vec2: 'Wav2Vec2Model', wavlm: 'WavLMModel' } as const;

/** WavLM's buckets of relative positions: nearer frames than 0.08 s have a bucket to themselves. */
const BUCKETS = { num_buckets: 16, max_bucket_distance: 50 };

/** Symbols of the toy recogniser, the blank first. */
const SYMBOLS = ['<pad>', '<s>', '</s>', '<unk>', '|', ..."ETAONIHSRDLUMWCFGYPBVK'XJQZ"];

/** Writes a folder of a HuBERT with a CTC head and a vocabulary of letters. What it recognises is random. */
export async function writeToyRecogniser(dir: string, seed: number): Promise<void> {
  await writeToySpeechEncoder(dir, seed, 'hubert', SYMBOLS.length);
  await writeJsonAtomic(
    join(dir, 'vocab.json'),
    Object.fromEntries(SYMBOLS.map((symbol, id) => [symbol, id])),
  );
  await writeJsonAtomic(join(dir, 'tokenizer_config.json'), {
    ...{ tokenizer_class: 'Wav2Vec2CTCTokenizer', pad_token: '<pad>', unk_token: '<unk>' },
    ...{ word_delimiter_token: '|', do_lower_case: true },
  });
}

/**
 * Writes a folder of the large variant: config, preprocessor settings and weights.
 * @param symbols of a CTC head; without one by default
 */
export async function writeToySpeechEncoder(
  dir: string,
  seed: number,
  family: keyof typeof ARCHITECTURES,
  symbols?: number,
): Promise<void> {
  const { convDim, kernels, strides, width, layers, heads, feedForward, positionKernel, positionGroups } =
    ENCODER_SIZES;
  const { weights, constant, normal, linear, layerNorm } = weightMaker(seed, family);
  constant('masked_spec_embed', [width], 0);
  kernels.forEach((kernel, layer) => {
    const key = `feature_extractor.conv_layers.${layer}`;
    const inputs = layer === 0 ? 1 : convDim;
    const random = seededRandom(seed, 'toy backbone', family, key);
    weights.push([`${key}.conv.weight`, smoothFilters(random, [convDim, inputs, kernel])]);
    normal(`${key}.conv.bias`, [convDim], ENCODER_SIZES.convBias);
    layerNorm(`${key}.layer_norm`, convDim);
  });
  layerNorm('feature_projection.layer_norm', convDim);
  linear('feature_projection.projection', width, convDim);

  const position = 'encoder.pos_conv_embed.conv';
  const shape = [width, width / positionGroups, positionKernel];
  constant(`${position}.bias`, [width], 0);
  const direction = `${position}.parametrizations.weight.original1`;
  normal(direction, shape, 0.5 / Math.sqrt((width / positionGroups) * positionKernel));
  const directionTensor = weights.at(-1)![1] as Tensor<'float32'>;
  // The weight is g v / |v|, with one norm per tap; g = |v| makes it v itself.
  const norms = tensor('float32', [1, 1, positionKernel], tapNorms(directionTensor));
  weights.push([`${position}.parametrizations.weight.original0`, norms]);

  layerNorm('encoder.layer_norm', width);
  for (let layer = 0; layer < layers; layer++) {
    const key = `encoder.layers.${layer}`;
    for (const part of ['k', 'v', 'q']) linear(`${key}.attention.${part}_proj`, width, width);
    linear(`${key}.attention.out_proj`, width, width, { gain: 0.5 });
    if (family === 'wavlm') {
      if (layer === 0) normal(`${key}.attention.rel_attn_embed.weight`, [BUCKETS.num_buckets, heads], 1);
      linear(`${key}.attention.gru_rel_pos_linear`, 8, width / heads);
      constant(`${key}.attention.gru_rel_pos_const`, [1, heads, 1, 1], 1);
    }
    layerNorm(`${key}.layer_norm`, width);
    linear(`${key}.feed_forward.intermediate_dense`, feedForward, width, { gain: Math.SQRT2 });
    linear(`${key}.feed_forward.output_dense`, width, feedForward, { gain: 0.5 });
    layerNorm(`${key}.final_layer_norm`, width);
  }
  if (symbols !== undefined) linear('lm_head', symbols, width, { gain: 3 });

  await writeJsonAtomic(join(dir, 'preprocessor_config.json'), {
    do_normalize: true,
    feature_extractor_type: 'Wav2Vec2FeatureExtractor',
    feature_size: 1,
    padding_side: 'right',
    padding_value: 0,
    return_attention_mask: true,
    sampling_rate: 16_000,
  });
  const isHead = (key: string): boolean => key.startsWith('lm_head.');
  const named = weights.map(([key, value]): Weights[number] => [
    symbols === undefined || isHead(key) ? key : `${family}.${key}`,
    value,
  ]);
  await writeModel(dir, named, {
    architectures: [symbols === undefined ? ARCHITECTURES[family] : 'HubertForCTC'],
    model_type: family,
    conv_bias: true,
    conv_dim: kernels.map(() => convDim),
    conv_kernel: kernels,
    conv_stride: strides,
    do_stable_layer_norm: true,
    feat_extract_activation: 'gelu',
    feat_extract_norm: 'layer',
    ...(family === 'hubert' && { feat_proj_layer_norm: true }),
    ...(family === 'wavlm' && BUCKETS),
    hidden_act: 'gelu',
    hidden_size: width,
    intermediate_size: feedForward,
    layer_norm_eps: 1e-5,
    num_attention_heads: heads,
    num_conv_pos_embedding_groups: positionGroups,
    num_conv_pos_embeddings: positionKernel,
    num_feat_extract_layers: kernels.length,
    num_hidden_layers: layers,
    vocab_size: symbols ?? 32,
  });
}

/** He-scaled filters `[outputs, inputs, taps]` whose taps share a component, so that they also average over time. */
function smoothFilters(random: Random, shape: readonly [number, number, number]): Tensor {
  const [outputs, inputs, taps] = shape;
  const scale = Math.sqrt(2 / (inputs * taps));
  const own = Math.sqrt(1 - ENCODER_SIZES.tapCorrelation ** 2);
  const data = new Float32Array(outputs * inputs * taps);
  for (let filter = 0; filter < outputs * inputs; filter++) {
    const shared = ENCODER_SIZES.tapCorrelation * random.normal();
    for (let tap = 0; tap < taps; tap++) data[filter * taps + tap] = scale * (shared + own * random.normal());
  }
  return tensor('float32', shape, data);
}

/** Euclidean norm over the first two axes of `[outputs, inputs, taps]`. */
function tapNorms({ shape, data }: Tensor<'float32'>): Float32Array {
  const taps = shape[2]!;
  const norms = new Float32Array(taps);
  data.forEach((value, index) => {
    norms[index % taps]! += value * value;
  });
  return norms.map(Math.sqrt);
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

export type Weights = [key: string, value: Tensor][];

/** Draws each weight from its own stream, so that changing one shape leaves the others unchanged. */
export function weightMaker(seed: number, model: string) {
  const weights: Weights = [];
  const constant = (key: string, shape: number[], value: number): void => {
    weights.push([key, tensor('float32', shape, new Float32Array(elementCount(shape)).fill(value))]);
  };
  const normal = (key: string, shape: number[], standardDeviation: number): void => {
    const random = seededRandom(seed, 'toy backbone', model, key);
    weights.push([
      key,
      tensor('float32', shape, normalArray(random, elementCount(shape), standardDeviation)),
    ]);
  };
  return {
    weights,
    constant,
    normal,
    /** `[outputs, inputs]` with a standard deviation of gain / sqrt(inputs), and its bias. */
    linear(key: string, outputs: number, inputs: number, { gain = 1, bias = true } = {}): void {
      normal(`${key}.weight`, [outputs, inputs], gain / Math.sqrt(inputs));
      if (bias) constant(`${key}.bias`, [outputs], 0);
    },
    layerNorm(key: string, width: number): void {
      constant(`${key}.weight`, [width], 1);
      constant(`${key}.bias`, [width], 0);
    },
  };
}

/**
 * Writes the files of every Hugging Face model folder. The weights come last, so a folder that has them is complete.
 */
export async function writeModel(
  dir: string,
  weights: Weights,
  config: Record<string, unknown>,
): Promise<void> {
  await writeJsonAtomic(join(dir, 'config.json'), { ...config, torch_dtype: 'float32' });
  await writeSafetensors(join(dir, 'model.safetensors'), weights, { format: 'pt' });
}

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

/** Number of rows the embeddings need, and the ids of the special tokens. */
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
