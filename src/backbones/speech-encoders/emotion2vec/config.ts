/**
 * @file The config of emotion2vec (Ma et al., 2024), a data2vec 2.0 (Baevski et al., 2023): the keys of `model_conf` in
 * its config.yaml, as a config.json.
 */

import { z } from 'zod';
import { InputError, quoted } from '../../../base/index.js';
import {
  checkDivides,
  checkModelType,
  epsilon,
  headCount,
  kernelSize,
  layerCount,
  only,
  parseFields,
  type RawConfig,
  width,
} from '../../backbone-family.js';
import type { Preprocessor } from '../preprocessor.js';
import type { SpeechEncoderConfig } from '../speech-encoder.js';
import type { FeatureEncoderConfig } from '../wav2vec2/feature-encoder.js';

/** Config of the network. `numHiddenLayers` counts the layers of the context encoder and those after it. */
export interface Emotion2vecConfig extends SpeechEncoderConfig, FeatureEncoderConfig {
  numAttentionHeads: number;
  intermediateSize: number;
  /** How many of the layers are the context encoder's. */
  contextLayers: number;
  /** Learned vectors before the frames. */
  extraTokens: number;
  /** Convolutions that give positions, one after the other, their kernel and groups. */
  positionLayers: number;
  positionKernel: number;
  positionGroups: number;
  /** The factors of the distances of frames: for each layer and head, or one for all. */
  alibiScalePerLayer: boolean;
  alibiScalePerHead: boolean;
  layerNormEps: number;
  /** The waveform is normalised in the network. */
  normalizesInput: boolean;
}

const audioFields = z.object({
  prenet_depth: layerCount,
  extractor_mode: only('layer_norm'),
  feature_encoder_spec: z.string().max(1000),
  conv_pos_width: kernelSize,
  conv_pos_groups: headCount,
  conv_pos_depth: layerCount,
  conv_pos_pre_ln: only(false),
  num_extra_tokens: z.int().positive().max(1024),
  use_alibi_encoder: only(true),
  num_alibi_heads: headCount,
  learned_alibi: only(false),
  learned_alibi_scale_per_layer: z.boolean(),
  learned_alibi_scale_per_head: z.boolean(),
});

/** Published configs have all of these; a default might be that of another version. */
const configFields = z.object({
  depth: layerCount,
  num_heads: headCount,
  embed_dim: width,
  mlp_ratio: z.number().positive().max(64),
  norm_eps: epsilon,
  norm_affine: only(true),
  layer_norm_first: only(false),
  normalize: z.boolean(),
  modalities: z.object({ audio: audioFields }),
});

const preprocessorFields = z.object({
  sampling_rate: only(16_000).default(16_000),
  do_normalize: only(false).default(false),
});

/** @throws InputError naming the file and key of anything that is not supported */
export function parseEmotion2vecConfig(
  raw: RawConfig,
  path: string,
  preprocessor?: Preprocessor,
): Emotion2vecConfig {
  checkModelType(raw, 'emotion2vec', path);
  const fields = parseFields(configFields, raw, path);
  const { audio } = fields.modalities;
  const { embed_dim: hiddenSize, num_heads: heads } = fields;
  checkDivides(path, 'embed_dim', hiddenSize, 'num_heads', heads);
  checkDivides(path, 'embed_dim', hiddenSize, 'modalities.audio.conv_pos_groups', audio.conv_pos_groups);
  if (audio.num_alibi_heads !== heads) {
    throw new InputError(
      `model config ${path}: modalities.audio.num_alibi_heads ${audio.num_alibi_heads} must be num_heads, ${heads}`,
    );
  }
  const convolutions = convolutionsOf(audio.feature_encoder_spec, path);
  if (preprocessor !== undefined) normalizedBefore(preprocessor);
  return {
    hiddenSize,
    numHiddenLayers: audio.prenet_depth + fields.depth,
    doNormalize: false,
    numAttentionHeads: heads,
    intermediateSize: Math.trunc(hiddenSize * fields.mlp_ratio),
    convDim: convolutions.map(([channels]) => channels),
    convKernel: convolutions.map(([, kernel]) => kernel),
    convStride: convolutions.map(([, , stride]) => stride),
    convBias: false,
    featExtractNorm: 'layer',
    contextLayers: audio.prenet_depth,
    extraTokens: audio.num_extra_tokens,
    positionLayers: audio.conv_pos_depth,
    positionKernel: Math.max(3, Math.floor(audio.conv_pos_width / audio.conv_pos_depth)),
    positionGroups: audio.conv_pos_groups,
    alibiScalePerLayer: audio.learned_alibi_scale_per_layer,
    alibiScalePerHead: audio.learned_alibi_scale_per_head,
    layerNormEps: fields.norm_eps,
    normalizesInput: fields.normalize,
  };
}

/** Waveforms are not normalised before the network. @throws InputError for settings that say otherwise */
export function normalizedBefore({ raw, path }: Preprocessor): boolean {
  return parseFields(preprocessorFields, raw, path).do_normalize;
}

type Convolution = readonly [channels: number, kernel: number, stride: number];

/**
 * The convolutions of a Python expression such as "[(512, 10, 5)] + [(512, 3, 2)] * 4".
 * @throws InputError if it is of another kind, or a number is out of range
 */
function convolutionsOf(spec: string, path: string): Convolution[] {
  // Without spaces there is one way to read it, however long it is.
  const terms = spec.replaceAll(/\s/g, '').split('+');
  const convolutions = terms.flatMap((term): Convolution[] => {
    const [, list = '', times = '1'] = /^\[((?:\(\d+,\d+,\d+\),?)+)\](?:\*(\d+))?$/.exec(term) ?? [];
    const each = [...list.matchAll(/(\d+),(\d+),(\d+)/g)].map(
      (found): Convolution => [Number(found[1]), Number(found[2]), Number(found[3])],
    );
    return Array.from({ length: Math.min(Number(times), MOST) }, () => each).flat();
  });
  const isWhole = terms.every((term) => term.startsWith('[('));
  const isUsable = convolutions.every((sizes) => {
    const [channels, ...others] = sizes;
    return width.safeParse(channels).success && others.every((size) => kernelSize.safeParse(size).success);
  });
  if (convolutions.length >= 1 && convolutions.length < MOST && isUsable && isWhole) return convolutions;
  throw new InputError(
    `model config ${path}: modalities.audio.feature_encoder_spec ${quoted(spec)} is not a sum of lists of (channels, kernel, stride)`,
  );
}

/** Published models have 7 convolutions. */
const MOST = 33;
