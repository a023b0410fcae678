/**
 * @file The config of a wav2vec 2.0 checkpoint (Baevski et al., 2020) and of the families that took its network over:
 * config.json and preprocessor_config.json.
 */

import { join } from 'node:path';
import { z } from 'zod';
import { InputError, pathExists, readJson } from '../../../base/index.js';
import type { RawConfig } from '../../backbone-family.js';
import {
  checkDivides,
  checkModelType,
  epsilon,
  headCount,
  kernelSize,
  layerCount,
  only,
  parseFields,
  width,
} from '../../backbone-family.js';

/** What the builder of the network needs to know. */
export interface Wav2Vec2Config {
  hiddenSize: number;
  numHiddenLayers: number;
  numAttentionHeads: number;
  intermediateSize: number;
  /** Output channels, kernel and stride of each convolution of the feature encoder; equally many of each. */
  convDim: number[];
  convKernel: number[];
  convStride: number[];
  convBias: boolean;
  /** `group`: group norm after the first convolution only (base). `layer`: layer norm after each (large). */
  featExtractNorm: 'group' | 'layer';
  /** Layer norm before the projection of the features to the hidden size. */
  featProjLayerNorm: boolean;
  /** Pre-norm transformer layers (large) instead of post-norm (base). */
  doStableLayerNorm: boolean;
  /** Kernel and groups of the positional convolution. */
  numConvPosEmbeddings: number;
  numConvPosEmbeddingGroups: number;
  layerNormEps: number;
  /** The waveform is brought to zero mean and unit variance first. */
  doNormalize: boolean;
}

/** One size for each convolution of the feature encoder; published models have 7. */
const convolutions = <T extends z.ZodType>(each: T) => z.array(each).min(1).max(32);

/** Samples that one frame may see, 60 s; shorter clips are padded to that. Those of published models see 400. */
const MAX_RECEPTIVE_FIELD = 60 * 16_000;

/** Keys that all families of the network have. */
export const networkFields = z.object({
  hidden_size: width.default(768),
  num_hidden_layers: layerCount.default(12),
  num_attention_heads: headCount.default(12),
  intermediate_size: width.default(3072),
  hidden_act: only('gelu').default('gelu'),
  feat_extract_activation: only('gelu').default('gelu'),
  conv_dim: convolutions(width).default([512, 512, 512, 512, 512, 512, 512]),
  conv_kernel: convolutions(kernelSize).default([10, 3, 3, 3, 3, 2, 2]),
  conv_stride: convolutions(kernelSize).default([5, 2, 2, 2, 2, 2, 2]),
  conv_bias: z.boolean().default(false),
  feat_extract_norm: z.enum(['group', 'layer']).default('group'),
  do_stable_layer_norm: z.boolean().default(false),
  num_conv_pos_embeddings: kernelSize.default(128),
  num_conv_pos_embedding_groups: headCount.default(16),
  adapter_attn_dim: only(null).default(null),
  layer_norm_eps: epsilon.default(1e-5),
});

/** Layers of wav2vec 2.0 behind the encoder, which shorten its output: emoq has none. */
const wav2vec2Fields = networkFields.extend({ add_adapter: only(false).default(false) });

const preprocessorFields = z.object({
  do_normalize: z.boolean().default(true),
  sampling_rate: only(16_000).default(16_000),
  feature_size: only(1).default(1),
});

/** preprocessor_config.json's object, and where it lies. */
export interface Preprocessor {
  readonly raw: unknown;
  readonly path: string;
}

/**
 * Reads config.json's object, and preprocessor_config.json's where there is one.
 * @throws InputError naming the file and key of anything that cannot be built.
 */
export function parseWav2Vec2Config(
  raw: RawConfig,
  path: string,
  preprocessor: Preprocessor = { raw: {}, path },
): Wav2Vec2Config {
  checkModelType(raw, 'wav2vec2', path);
  const fields = parseFields(wav2vec2Fields, raw, path);
  return networkConfig({ ...fields, feat_proj_layer_norm: true }, path, preprocessor);
}

/** The config of a family from its fields. @throws InputError for sizes that do not go together */
export function networkConfig(
  fields: z.output<typeof networkFields> & { readonly feat_proj_layer_norm: boolean },
  path: string,
  preprocessor: Preprocessor,
): Wav2Vec2Config {
  const { conv_dim: convDim, conv_kernel: convKernel, conv_stride: convStride } = fields;
  if (convKernel.length !== convDim.length || convStride.length !== convDim.length) {
    throw new InputError(
      `model config ${path}: conv_dim, conv_kernel and conv_stride have ${convDim.length}, ${convKernel.length} and ${convStride.length} entries; they must be equally many`,
    );
  }
  const seen = receptiveField({ convKernel, convStride });
  if (seen > MAX_RECEPTIVE_FIELD) {
    throw new InputError(
      `model config ${path}: by conv_kernel and conv_stride a frame sees ${seen} samples; at most ${MAX_RECEPTIVE_FIELD} (60 s) are supported`,
    );
  }
  checkDivides(path, 'hidden_size', fields.hidden_size, 'num_attention_heads', fields.num_attention_heads);
  const groups = fields.num_conv_pos_embedding_groups;
  checkDivides(path, 'hidden_size', fields.hidden_size, 'num_conv_pos_embedding_groups', groups);
  return {
    hiddenSize: fields.hidden_size,
    numHiddenLayers: fields.num_hidden_layers,
    numAttentionHeads: fields.num_attention_heads,
    intermediateSize: fields.intermediate_size,
    convDim,
    convKernel,
    convStride,
    convBias: fields.conv_bias,
    featExtractNorm: fields.feat_extract_norm,
    featProjLayerNorm: fields.feat_proj_layer_norm,
    doStableLayerNorm: fields.do_stable_layer_norm,
    numConvPosEmbeddings: fields.num_conv_pos_embeddings,
    numConvPosEmbeddingGroups: groups,
    layerNormEps: fields.layer_norm_eps,
    doNormalize: parseFields(preprocessorFields, preprocessor.raw, preprocessor.path).do_normalize,
  };
}

/** Samples that one frame sees: the fewest that give a frame (400, 25 ms, in every published model). */
export function receptiveField({
  convKernel,
  convStride,
}: Pick<Wav2Vec2Config, 'convKernel' | 'convStride'>): number {
  return convKernel.reduceRight((frames, kernel, layer) => (frames - 1) * convStride[layer]! + kernel, 1);
}

/**
 * Whether a folder's preprocessor_config.json has waveforms brought to zero mean and unit variance; undefined where there
 * is none.
 * @throws InputError where it cannot be read, or wants something else than one channel at 16 kHz
 */
export async function readNormalization(dir: string): Promise<boolean | undefined> {
  const preprocessor = await readPreprocessor(dir);
  return preprocessor && parseFields(preprocessorFields, preprocessor.raw, preprocessor.path).do_normalize;
}

/** undefined where a folder has no preprocessor_config.json. @throws InputError where it is no JSON */
export async function readPreprocessor(dir: string): Promise<Preprocessor | undefined> {
  const path = join(dir, 'preprocessor_config.json');
  return (await pathExists(path)) ? { raw: await readJson(path, 'preprocessor config'), path } : undefined;
}
