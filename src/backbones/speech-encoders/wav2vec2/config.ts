/**
 * @file The config of a wav2vec 2.0 checkpoint (Baevski et al., 2020), and of families with the same network:
 * config.json and preprocessor_config.json.
 */

import { z } from 'zod';
import { InputError } from '../../../base/index.js';
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
import { normalizesWaveforms, type Preprocessor } from '../preprocessor.js';
import type { SpeechEncoderConfig } from '../speech-encoder.js';

/** Config of the network. */
export interface Wav2Vec2Config extends SpeechEncoderConfig {
  numAttentionHeads: number;
  intermediateSize: number;
  /** Output channels, kernel size and stride of each convolution of the feature encoder, in lists of equal length. */
  convDim: number[];
  convKernel: number[];
  convStride: number[];
  convBias: boolean;
  /** `group`: group norm after the first convolution only (base). `layer`: layer norm after each (large). */
  featExtractNorm: 'group' | 'layer';
  /** Layer norm before features are projected to the hidden size. */
  featProjLayerNorm: boolean;
  /** Pre-norm transformer layers (large) instead of post-norm (base). */
  doStableLayerNorm: boolean;
  /** Kernel and groups of the positional convolution. */
  numConvPosEmbeddings: number;
  numConvPosEmbeddingGroups: number;
  layerNormEps: number;
}

/** One value per convolution of the feature encoder; published models have 7. */
const convolutions = <T extends z.ZodType>(each: T) => z.array(each).min(1).max(32);

/**
 * Maximum receptive field of a frame, 60 s; shorter clips are padded to the receptive field. Published models have 400.
 */
const MAX_RECEPTIVE_FIELD = 60 * 16_000;

/** Keys common to all families with this network. */
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

/** wav2vec 2.0's optional adapter, which shortens the encoder's output, is not supported. */
const wav2vec2Fields = networkFields.extend({ add_adapter: only(false).default(false) });

/**
 * Parses config.json, and preprocessor_config.json if present.
 * @throws InputError naming the file and key of anything that is not supported
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

/** A family's config from its parsed fields. @throws InputError for inconsistent sizes */
export function networkConfig(
  fields: z.output<typeof networkFields> & { readonly feat_proj_layer_norm: boolean },
  path: string,
  preprocessor: Preprocessor,
): Wav2Vec2Config {
  const { conv_dim: convDim, conv_kernel: convKernel, conv_stride: convStride } = fields;
  if (convKernel.length !== convDim.length || convStride.length !== convDim.length) {
    throw new InputError(
      `model config ${path}: conv_dim, conv_kernel and conv_stride have ${convDim.length}, ${convKernel.length} and ${convStride.length} entries; the numbers must be equal`,
    );
  }
  const seen = receptiveField({ convKernel, convStride });
  if (seen > MAX_RECEPTIVE_FIELD) {
    throw new InputError(
      `model config ${path}: by conv_kernel and conv_stride a frame spans ${seen} samples; at most ${MAX_RECEPTIVE_FIELD} (60 s) are supported`,
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
    doNormalize: normalizesWaveforms(preprocessor),
  };
}

/** Receptive field of a frame: the fewest samples that give one (400, 25 ms, in every published model). */
export function receptiveField({
  convKernel,
  convStride,
}: Pick<Wav2Vec2Config, 'convKernel' | 'convStride'>): number {
  return convKernel.reduceRight((frames, kernel, layer) => (frames - 1) * convStride[layer]! + kernel, 1);
}
