/** @file The models and batches of the check: those of published models, and tiny ones of the same architectures. */

import { decoderFamilies } from '../../dist/backbones/decoders/decoder-families.js';
import { publishedConfigs } from '../../dist/backbones/index.js';
import { encoderFamilies } from '../../dist/backbones/speech-encoders/encoder-families.js';

const TINY_TEXT = { hidden_size: 32, num_hidden_layers: 2, num_attention_heads: 4, intermediate_size: 64 };
const TINY_DECODER = { ...TINY_TEXT, num_key_value_heads: 2, vocab_size: 160 };
const TINY_CONVOLUTIONS = {
  conv_dim: Array(7).fill(24),
  num_conv_pos_embeddings: 8,
  num_conv_pos_embedding_groups: 4,
};

/** A small model of the same architecture as a published one. */
export function tinyConfig(id) {
  const config = publishedConfigs[id];
  if (config.model_type === 'roberta') return { ...config, ...TINY_TEXT, vocab_size: 160 };
  if (!('vocab_size' in config)) return { ...config, ...TINY_TEXT, ...TINY_CONVOLUTIONS };
  return { ...config, ...TINY_DECODER, ...('head_dim' in config && { head_dim: 8 }) };
}

const ROBERTA = 'FacebookAI/roberta-base';
const HUBERT = 'facebook/hubert-large-ll60k';
const QWEN_7B = 'Qwen/Qwen2.5-7B-Instruct';
const QWEN_HALF_B = 'Qwen/Qwen2.5-0.5B-Instruct';

/**
 * What is timed, by `--size`. Batches: utterances, frames of audio (50 a second), tokens of text, of the prompt with its
 * answer, and of the answer.
 */
export const sizes = {
  full: {
    text: publishedConfigs[ROBERTA],
    encoder: publishedConfigs[HUBERT],
    decoder: publishedConfigs[QWEN_7B],
    smallDecoder: publishedConfigs[QWEN_HALF_B],
    names: {
      text: 'RoBERTa-base',
      encoder: 'HuBERT-large',
      decoder: 'Qwen2.5-7B',
      smallDecoder: 'Qwen2.5-0.5B',
    },
    audioWidth: 1024,
    queries: 32,
    stage1: { batches: [8, 64], frames: 160, text: 30 },
    stage2: { batch: 8, recomputed: [32, 64], frames: 250, text: 20, prompt: 110, answer: 2 },
    /** Products of n x n matrices, and how many a run has. */
    matrix: { size: 8192, products: 8 },
    clips: { batches: [4, 16, 64], samples: 64_000 },
    inference: { batch: 64, prompt: 110 },
    rows: [64, 512],
  },
  tiny: {
    text: tinyConfig(ROBERTA),
    encoder: tinyConfig(HUBERT),
    decoder: tinyConfig(QWEN_7B),
    smallDecoder: tinyConfig(QWEN_HALF_B),
    names: {
      text: 'tiny RoBERTa',
      encoder: 'tiny HuBERT',
      decoder: 'tiny Qwen2',
      smallDecoder: 'tiny Qwen2',
    },
    audioWidth: 16,
    queries: 4,
    stage1: { batches: [2, 4], frames: 12, text: 5 },
    stage2: { batch: 2, recomputed: [4], frames: 12, text: 5, prompt: 14, answer: 2 },
    matrix: { size: 64, products: 8 },
    clips: { batches: [1, 2], samples: 8_000 },
    inference: { batch: 2, prompt: 14 },
    rows: [4, 12],
  },
};

const typesOf = (families) => families.map(({ modelType }) => modelType);
/** Published configs of some types. */
const published = (types) =>
  Object.entries(publishedConfigs).filter(([, { model_type: type }]) => types.includes(type));

/** Whose config a family gets of which none is published here. */
const SIBLINGS = [HUBERT, 'TinyLlama/TinyLlama-1.1B-Chat-v1.0'];

/** Small models of every architecture of a kind: `name`, and `config` as in config.json. */
function architecturesOf(families) {
  const known = published(typesOf(families)).map(([id]) => ({ name: id, config: tinyConfig(id) }));
  const missing = typesOf(families).filter((type) => !known.some(({ config }) => config.model_type === type));
  const siblings = missing.map((type) => {
    const { config } = known.find(({ name }) => SIBLINGS.includes(name));
    return { name: type, config: { ...config, model_type: type } };
  });
  // Some published models differ in size alone.
  const all = new Map([...known, ...siblings].reverse().map((each) => [JSON.stringify(each.config), each]));
  return [...all.values()].reverse();
}

export const encoders = architecturesOf(encoderFamilies);
export const decoders = architecturesOf(decoderFamilies);
export const textEncoder = tinyConfig(ROBERTA);
