/**
 * @file The checkpoints of the measured graphs: emoq's toy backbones, of which the language models are stored in
 * bfloat16 as published ones are, one of them also in 8 and 4 bits, and a language model with Qwen2.5-7B's shapes as a
 * sparse file of zeros.
 */

import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeSparseQwen2 } from '../checkpoints/sparse-qwen2.mjs';
import { emoqModule } from './session-child.mjs';

/** Words of the prompts and transcripts; each is one token. */
export const WORDS =
  'neutral happy angry sad system user assistant it was a long day and we all went home tired'.split(' ');

/** Qwen2.5-7B with two of its 28 layers and a short vocabulary, so that it loads fast. */
export const SHAPES_7B = {
  architectures: ['Qwen2ForCausalLM'],
  model_type: 'qwen2',
  attention_dropout: 0,
  hidden_act: 'silu',
  hidden_size: 3584,
  intermediate_size: 18_944,
  max_position_embeddings: 32_768,
  max_window_layers: 2,
  num_attention_heads: 28,
  num_hidden_layers: 2,
  num_key_value_heads: 4,
  rms_norm_eps: 1e-6,
  rope_theta: 1_000_000,
  tie_word_embeddings: false,
  torch_dtype: 'bfloat16',
  use_sliding_window: false,
  vocab_size: 8192,
};

/** Writes every checkpoint into a folder of its own under `dir`. */
export async function writeToyModels(checkout, dir) {
  const toy = {
    ...(await emoqModule(checkout, 'data/toy-backbones/toy-backbones.js')),
    ...(await emoqModule(checkout, 'data/toy-backbones/toy-speech-encoders.js')),
    ...(await emoqModule(checkout, 'data/toy-backbones/model-files.js')),
  };
  const { writeToyWhisper } = await emoqModule(checkout, 'data/toy-backbones/toy-whisper.js');
  const { buildByteLevelTokenizer } = await emoqModule(checkout, 'data/text/index.js');
  const tokenizer = (kind) => buildByteLevelTokenizer({ words: WORDS, kind });
  const folder = (name) => join(dir, name);
  await toy.writeToySpeechEncoder(folder('hubert'), 0, 'hubert');
  await toy.writeToySpeechEncoder(folder('wav2vec2'), 0, 'wav2vec2');
  await toy.writeToySpeechEncoder(folder('wavlm'), 0, 'wavlm');
  await toy.writeToyRecogniser(folder('recogniser'), 0);
  await writeToyWhisper(folder('whisper'), 0);
  const fixture = (path) => new URL(`../fixtures/${path}`, import.meta.url);
  cpSync(fixture('emotion2vec/base'), folder('emotion2vec'), { recursive: true });
  cpSync(fixture('whisper-decoder/multilingual'), folder('whisper-decoder'), { recursive: true });
  await toy.writeToyRoberta(folder('roberta'), 0, tokenizer('roberta'));
  for (const [family, kind] of Object.entries({ qwen2: 'qwen2', qwen3: 'qwen3', llama: 'llama3' })) {
    await toy.writeToyDecoder(folder(family), 0, family, tokenizer(kind));
    await storeInBfloat16(checkout, folder(family));
  }
  const { quantizeDecoder } = await emoqModule(checkout, 'backbones/index.js');
  for (const bits of [8, 4]) {
    await quantizeDecoder(folder('qwen2'), folder(`qwen2-int${bits}`), { bits, blockSize: 32 });
  }
  await writeBaseVariant(checkout, folder('hubert'), folder('hubert-base'));
  writeSparseQwen2(folder('qwen2-7b'), SHAPES_7B, 2 ** 40);
  await toy.writeTokenizer(folder('qwen2-7b'), tokenizer('qwen2'));
  cpSync(join(folder('qwen2'), 'generation_config.json'), join(folder('qwen2-7b'), 'generation_config.json'));
}

async function storeInBfloat16(checkout, folder) {
  const { encodeBfloat16, tensor } = await emoqModule(checkout, 'engine/tensor/index.js');
  await rewrite(checkout, folder, folder, {
    config: (config) => ({ ...config, torch_dtype: 'bfloat16' }),
    weight: (key, { shape, data }) => [key, tensor('bfloat16', shape, encodeBfloat16(data))],
  });
}

/** HuBERT base: group norm after the first convolution alone, no biases there, layer norms after the sublayers. */
async function writeBaseVariant(checkout, from, to) {
  cpSync(from, to, { recursive: true });
  const isAbsent = (key) =>
    /conv_layers\.(\d+)\.(conv\.bias|layer_norm)/.test(key) && !key.includes('conv_layers.0.layer');
  await rewrite(checkout, from, to, {
    config: (config) => ({
      ...config,
      conv_bias: false,
      do_stable_layer_norm: false,
      feat_extract_norm: 'group',
    }),
    weight: (key, value) => (isAbsent(key) ? undefined : [key, value]),
  });
}

async function rewrite(checkout, from, to, { config, weight }) {
  const { readSafetensors, writeSafetensors } = await emoqModule(checkout, 'engine/tensor/index.js');
  const settings = JSON.parse(readFileSync(join(from, 'config.json'), 'utf8'));
  const { tensors } = await readSafetensors(join(from, 'model.safetensors'));
  const kept = [...tensors].map(([key, value]) => weight(key, value)).filter((entry) => entry !== undefined);
  writeFileSync(join(to, 'config.json'), JSON.stringify(config(settings)));
  await writeSafetensors(join(to, 'model.safetensors'), kept, { format: 'pt' });
}
