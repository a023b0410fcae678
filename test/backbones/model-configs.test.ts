/** @file Model configs: parsed like transformers does, and rejected if they cannot be built. */

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type DecoderConfig, recordedConfig } from '../../src/backbones/decoders/decoder-config.js';
import { parseLlamaConfig } from '../../src/backbones/decoders/llama/family.js';
import { parseMistralConfig } from '../../src/backbones/decoders/mistral/family.js';
import { parseQwen2Config } from '../../src/backbones/decoders/qwen2/family.js';
import { parseQwen3Config } from '../../src/backbones/decoders/qwen3/family.js';
import {
  parseDecoderConfig,
  parseEncoderConfig,
  parseTextEncoderConfig,
  readDecoderConfig,
  readEncoderConfig,
  readTextEncoderConfig,
} from '../../src/backbones/index.js';
import { parseHubertConfig } from '../../src/backbones/speech-encoders/hubert/family.js';
import { parseUniSpeechSatConfig } from '../../src/backbones/speech-encoders/unispeech-sat/family.js';
import { parseWav2Vec2Config } from '../../src/backbones/speech-encoders/wav2vec2/config.js';
import { parseWavLMConfig } from '../../src/backbones/speech-encoders/wavlm/config.js';
import { parseWhisperConfig } from '../../src/backbones/speech-encoders/whisper/config.js';
import { parseRobertaConfig } from '../../src/backbones/text-encoders/roberta/family.js';
import { InputError } from '../../src/base/index.js';

type Raw = Record<string, unknown>;
const parsers: Record<string, (raw: Raw, path: string) => object> = {
  hubert: parseHubertConfig,
  wav2vec2: parseWav2Vec2Config,
  'unispeech-sat': parseUniSpeechSatConfig,
  wavlm: parseWavLMConfig,
  whisper: parseWhisperConfig,
  roberta: parseRobertaConfig,
  qwen2: (raw, path) => recordedConfig(parseQwen2Config(raw, path)),
  llama: (raw, path) => recordedConfig(parseLlamaConfig(raw, path)),
  qwen3: (raw, path) => recordedConfig(parseQwen3Config(raw, path)),
  mistral: (raw, path) => recordedConfig(parseMistralConfig(raw, path)),
};
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'emoq-configs-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe('a config that the transformers library reads', () => {
  it('reads the same, sparse or complete', async () => {
    const file = new URL('../fixtures/checkpoint/model-configs.json', import.meta.url);
    const cases = JSON.parse(await readFile(file, 'utf8')) as { raw: Raw; read: Raw }[];
    expect(cases.length).toBe(56);
    for (const { raw, read } of cases) {
      const parsed = parsers[raw.model_type as string]!(raw, 'config.json');
      const unread = {
        hubert: { doNormalize: true },
        wav2vec2: { doNormalize: true, featProjLayerNorm: true },
        'unispeech-sat': { doNormalize: true, featProjLayerNorm: true },
        wavlm: { doNormalize: true, featProjLayerNorm: true },
        whisper: { doNormalize: false },
      };
      expect(parsed).toEqual({ ...read, ...unread[raw.model_type as keyof typeof unread] });
    }
  });
});

describe('a config that cannot be built', () => {
  const cases: [Raw, string][] = [
    [{ model_type: 'hubert', hidden_act: 'relu' }, 'hidden_act: "relu" is not supported, only "gelu" is'],
    [{ model_type: 'hubert', feat_extract_activation: 'gelu_new' }, 'feat_extract_activation: "gelu_new"'],
    [{ model_type: 'hubert', conv_pos_batch_norm: true }, 'conv_pos_batch_norm: true is not supported'],
    [{ model_type: 'hubert', adapter_attn_dim: 16 }, 'adapter_attn_dim: 16 is not supported'],
    [{ model_type: 'hubert', feat_extract_norm: 'batch' }, 'feat_extract_norm: '],
    [{ model_type: 'hubert', conv_dim: [512, 512] }, 'have 2, 7 and 7 entries'],
    [
      { model_type: 'hubert', num_attention_heads: 5 },
      'hidden_size 768 is not a multiple of num_attention_heads 5',
    ],
    [{ model_type: 'hubert', num_conv_pos_embedding_groups: 7 }, 'num_conv_pos_embedding_groups 7'],
    [{ model_type: 'roberta', hidden_act: 'gelu_new' }, 'hidden_act: "gelu_new" is not supported'],
    [
      { model_type: 'roberta', position_embedding_type: 'relative_key' },
      'position_embedding_type: "relative_key"',
    ],
    [{ model_type: 'roberta', is_decoder: true }, 'is_decoder: true'],
    [{ model_type: 'roberta', hidden_size: '768', vocab_size: 0 }, 'vocab_size: '],
    [
      { model_type: 'roberta', hidden_size: 10 },
      'hidden_size 10 is not a multiple of num_attention_heads 12',
    ],
    [{ model_type: 'qwen2', hidden_act: 'gelu' }, 'hidden_act: "gelu" is not supported, only "silu" is'],
    [{ model_type: 'qwen2', use_sliding_window: true }, 'use_sliding_window is true for 4 layers'],
    [
      { model_type: 'qwen2', layer_types: ['full_attention', 'sliding_attention'] },
      'layer_types.1: "sliding_attention"',
    ],
    [{ model_type: 'qwen2', rope_scaling: { type: 'yarn', factor: 4 } }, 'rope_scaling.type: "yarn"'],
    [
      { model_type: 'qwen2', rope_parameters: { rope_type: 'linear' } },
      'rope_parameters.rope_type: "linear"',
    ],
    [
      { model_type: 'qwen2', rope_parameters: { full_attention: { rope_theta: 1e6 } } },
      'rope_parameters has "full_attention", which is specific to a kind of layer',
    ],
    [
      { model_type: 'qwen2', num_key_value_heads: 5 },
      'num_attention_heads 32 is not a multiple of num_key_value_heads 5',
    ],
    [{ model_type: 'qwen2', head_dim: 15 }, 'head_dim 15 is odd'],
    [{ model_type: 'qwen2', rope_parameters: { rope_theta: 1e308 } }, 'rope_parameters.rope_theta: Too big'],
    [
      { model_type: 'qwen2', num_hidden_layers: 1e9 },
      'num_hidden_layers: Too big: expected number to be <=256',
    ],
    [{ model_type: 'hubert', layer_norm_eps: 1e-300 }, 'layer_norm_eps: Too small'],
    [
      { model_type: 'hubert', conv_stride: [1000, 1000, 1, 1, 1, 1, 1] },
      'by conv_kernel and conv_stride a frame spans 8002010 samples; at most 960000 (60 s)',
    ],
    [
      { model_type: 'roberta', max_position_embeddings: 3 },
      'max_position_embeddings 3 leaves no positions for text; they begin at pad_token_id + 1 = 2',
    ],
    [{ model_type: 'roberta', pad_token_id: 50265 }, 'pad_token_id 50265 is not under vocab_size 50265'],
    [{ model_type: 'qwen2', layer_types: Array(100).fill('odd') }, 'layer_types.7: "odd" is not supported'],
    [{ model_type: 'qwen2', layer_types: Array(100).fill('odd') }, '; and 92 more faults'],
    [{ model_type: 'qwen2', hidden_act: 'x'.repeat(1e6) }, 'x... is not supported'],
    [{ model_type: 'qwen2', quantization_config: { quant_method: 'awq' } }, 'quantization_config'],
    [{ model_type: 'qwen2', rope_scaling: { rope_type: 'llama3' } }, 'rope_scaling.rope_type: "llama3"'],
    [{ model_type: 'wav2vec2', add_adapter: true }, 'add_adapter: true is not supported, only false is'],
    [{ model_type: 'wav2vec2', adapter_attn_dim: 16 }, 'adapter_attn_dim: 16 is not supported'],
    [{ model_type: 'wav2vec2', conv_kernel: [10] }, 'have 7, 1 and 7 entries'],
    [{ model_type: 'unispeech-sat', add_adapter: true }, 'add_adapter: true is not supported'],
    [{ model_type: 'unispeech-sat', adapter_attn_dim: 16 }, 'adapter_attn_dim: 16 is not supported'],
    [{ model_type: 'unispeech-sat', feat_extract_activation: 'relu' }, 'feat_extract_activation: "relu"'],
    [{ model_type: 'wavlm', add_adapter: true }, 'add_adapter: true is not supported, only false is'],
    [{ model_type: 'wavlm', hidden_act: 'relu' }, 'hidden_act: "relu" is not supported'],
    [{ model_type: 'wavlm', num_buckets: 3 }, 'num_buckets: Too small: expected number to be >=4'],
    [{ model_type: 'wavlm', num_buckets: 1e6 }, 'num_buckets: Too big: expected number to be <=65536'],
    [{ model_type: 'wavlm', max_bucket_distance: 800.5 }, 'max_bucket_distance: '],
    [
      { model_type: 'wavlm', max_bucket_distance: 80 },
      'max_bucket_distance 80 must be more than 80, a quarter of num_buckets 320',
    ],
    [
      { model_type: 'whisper', scale_embedding: true },
      'scale_embedding: true is not supported, only false is',
    ],
    [{ model_type: 'whisper', activation_function: 'relu' }, 'activation_function: "relu" is not supported'],
    [{ model_type: 'whisper', num_mel_bins: 1000 }, 'num_mel_bins: Too big'],
    [{ model_type: 'whisper', max_source_positions: 1e6 }, 'max_source_positions: Too big'],
    [
      { model_type: 'whisper', encoder_attention_heads: 7 },
      'd_model 384 is not a multiple of encoder_attention_heads 7',
    ],
    [{ model_type: 'llama', hidden_act: 'gelu' }, 'hidden_act: "gelu" is not supported, only "silu" is'],
    [
      { model_type: 'llama', rope_scaling: { type: 'linear', factor: 2 } },
      'rope_scaling.type: "linear" is not supported, only "default" and "llama3" are',
    ],
    [
      { model_type: 'llama', rope_parameters: { rope_type: 'llama3', factor: 8 } },
      'rope_parameters.low_freq_factor: ',
    ],
    [
      {
        model_type: 'llama',
        rope_scaling: {
          rope_type: 'llama3',
          factor: 8,
          low_freq_factor: 4,
          high_freq_factor: 4,
          original_max_position_embeddings: 8192,
        },
      },
      'rope_scaling: low_freq_factor must be less than high_freq_factor',
    ],
    [{ model_type: 'llama', attention_bias: 'yes' }, 'attention_bias: '],
    [{ model_type: 'llama', num_attention_heads: 3 }, 'hidden_size 4096 is not a multiple of'],
    [{ model_type: 'llama', quantization_config: { quant_method: 'gptq' } }, 'quantization_config'],
    [{ model_type: 'qwen3', head_dim: 15 }, 'head_dim 15 is odd'],
    [{ model_type: 'qwen3', use_sliding_window: true }, 'use_sliding_window is true for 4 layers'],
    [{ model_type: 'qwen3', rope_scaling: { rope_type: 'yarn', factor: 4 } }, 'rope_type: "yarn"'],
    [
      { model_type: 'mistral', sliding_window: null, layer_types: ['sliding_attention'] },
      'layer_types.0: "sliding_attention" is not supported',
    ],
    [{ model_type: 'mistral', rope_scaling: { type: 'yarn', factor: 4 } }, 'rope_scaling.type: "yarn"'],
  ];
  it.each(cases)('%j', (raw, message) => {
    const parse = () => parsers[raw.model_type as string]!(raw, '/models/x/config.json');
    expect(parse).toThrow(InputError);
    expect(parse).toThrow(message);
    expect(parse).toThrow(/^model config \/models\/x\/config\.json[^\n]+$/);
  });

  it('of another model names both types', () => {
    expect(() => parseHubertConfig({ model_type: 'wav2vec2' }, 'c.json')).toThrow(
      'model config c.json is of model_type "wav2vec2"; a "hubert" checkpoint is needed here',
    );
    expect(() => parseRobertaConfig({}, 'c.json')).toThrow('c.json has no model_type');
    expect(() => parseQwen2Config({ model_type: 'qwen3' }, 'c.json')).toThrow(InputError);
  });

  it('of a model of no family names those that there are', () => {
    expect(() => parseDecoderConfig({ model_type: 'gpt2' }, 'c.json')).toThrow(
      'model config c.json is of model_type "gpt2"; a "qwen2", "llama", "qwen3" or "mistral" checkpoint is needed here',
    );
    expect(() => parseEncoderConfig({ model_type: 'speech_to_text' }, 'c.json')).toThrow(
      'a "hubert", "wav2vec2", "unispeech-sat", "wavlm", "whisper" or "emotion2vec" checkpoint is needed here',
    );
    expect(() => parseTextEncoderConfig({}, 'c.json')).toThrow('c.json has no model_type; a "roberta"');
  });

  it('with several faults names them all in one line', () => {
    expect(() =>
      parseRobertaConfig({ model_type: 'roberta', hidden_size: '768', vocab_size: 0 }, 'c'),
    ).toThrow(/^model config c: vocab_size: [^;\n]+; hidden_size: [^;\n]+$/);
  });

  it('of Mistral limits texts to its window, in which each token sees all before it', () => {
    const positions = (raw: Raw) =>
      parseMistralConfig({ model_type: 'mistral', ...raw }, 'c').maxPositionEmbeddings;
    expect(positions({ max_position_embeddings: 32768 })).toBe(4096); // transformers' default window
    expect(positions({ sliding_window: 64, max_position_embeddings: 32768 })).toBe(64);
    expect(positions({ sliding_window: 64, max_position_embeddings: 48 })).toBe(48);
    expect(positions({ sliding_window: null, max_position_embeddings: 32768 })).toBe(32768);
  });

  it('may set a window that no layer is under', () => {
    const raw = { model_type: 'qwen2', use_sliding_window: true, max_window_layers: 32 };
    expect(parseQwen2Config(raw, 'c').numHiddenLayers).toBe(32);
  });
});

describe('what sets the families of decoders apart', () => {
  const attention = ['q_proj', 'k_proj', 'v_proj', 'o_proj'];
  const traits = ({ biases, queryKeyNorm }: DecoderConfig) => ({ biases, queryKeyNorm });

  it('is which projections have a bias, and whether heads have a norm', () => {
    const qwen2 = traits(parseQwen2Config({ model_type: 'qwen2' }, 'c'));
    expect(qwen2).toEqual({ biases: ['q_proj', 'k_proj', 'v_proj'], queryKeyNorm: false });
    const llama = (raw: Raw) => traits(parseLlamaConfig({ model_type: 'llama', ...raw }, 'c'));
    expect(llama({})).toEqual({ biases: [], queryKeyNorm: false });
    expect(llama({ attention_bias: true }).biases).toEqual(attention);
    expect(llama({ mlp_bias: true }).biases).toEqual(['gate_proj', 'up_proj', 'down_proj']);
    const qwen3 = (raw: Raw) => traits(parseQwen3Config({ model_type: 'qwen3', ...raw }, 'c'));
    expect(qwen3({})).toEqual({ biases: [], queryKeyNorm: true });
    expect(qwen3({ attention_bias: true }).biases).toEqual(attention);
    const mistral = traits(parseMistralConfig({ model_type: 'mistral', sliding_window: null }, 'c'));
    expect(mistral).toEqual({ biases: [], queryKeyNorm: false });
  });

  it('runs do not record, whose weights tell it; of Qwen2 they record what they always did', () => {
    const recorded = recordedConfig(parseQwen2Config({ model_type: 'qwen2' }, 'c'));
    expect(Object.keys(recorded)).toEqual(
      'vocabSize hiddenSize numHiddenLayers numAttentionHeads numKeyValueHeads headDim intermediateSize rmsNormEps ropeTheta tieWordEmbeddings maxPositionEmbeddings'.split(
        ' ',
      ),
    );
  });
});

describe('configs in a folder', () => {
  const write = (name: string, value: unknown) => writeFile(join(folder, name), JSON.stringify(value));

  it('say whether HuBERT normalises its input in preprocessor_config.json', async () => {
    await write('config.json', { model_type: 'hubert', feat_extract_norm: 'layer' });
    expect((await readEncoderConfig(folder)).doNormalize).toBe(true);
    await write('preprocessor_config.json', { do_normalize: false, sampling_rate: 16000 });
    expect((await readEncoderConfig(folder)).doNormalize).toBe(false);
    await write('preprocessor_config.json', { sampling_rate: 8000 });
    await expect(readEncoderConfig(folder)).rejects.toThrow(
      `${join(folder, 'preprocessor_config.json')}: sampling_rate: 8000 is not supported, only 16000 is`,
    );
  });

  it('need no weights', async () => {
    await write('config.json', { model_type: 'roberta', hidden_size: 24 });
    expect((await readTextEncoderConfig(folder)).hiddenSize).toBe(24);
    await write('config.json', { model_type: 'qwen2', hidden_size: 64 });
    expect((await readDecoderConfig(folder)).headDim).toBe(2);
  });
});
