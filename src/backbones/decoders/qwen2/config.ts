/** @file The config of a Qwen2 or Qwen2.5 checkpoint. */

import { join } from 'node:path';
import { z } from 'zod';
import { InputError, quoted } from '../../../base/index.js';
import { findCheckpointFolder, readConfig } from '../../../checkpoints/index.js';
import {
  checkDivides,
  checkModelType,
  epsilon,
  headCount,
  layerCount,
  only,
  parseFields,
  positionCount,
  vocabulary,
  width,
} from '../../config-fields.js';

/** What a Qwen2 builder needs to know. */
export interface Qwen2Config {
  vocabSize: number;
  hiddenSize: number;
  numHiddenLayers: number;
  numAttentionHeads: number;
  /** Key and value heads; each serves numAttentionHeads / numKeyValueHeads query heads. */
  numKeyValueHeads: number;
  headDim: number;
  intermediateSize: number;
  rmsNormEps: number;
  /** Base of the rotary position angles. */
  ropeTheta: number;
  /** The output matrix is the embedding matrix. */
  tieWordEmbeddings: boolean;
  maxPositionEmbeddings: number;
}

/** Base of the rotary angles: Qwen2.5 has 1e6, Qwen2.5-1M 1e7. Beyond these, float32 would not hold its powers. */
const ropeTheta = z.number().min(1).max(1e12);

/** Rotary settings; older files call the type "type". Scaled and partial rotations are refused below. */
const ropeFields = z.looseObject({
  rope_theta: ropeTheta.optional(),
  rope_type: only('default').optional(),
  type: only('default').optional(),
  partial_rotary_factor: only(1).optional(),
});

const qwen2Fields = z.object({
  vocab_size: vocabulary.default(151936),
  hidden_size: width.default(4096),
  num_hidden_layers: layerCount.default(32),
  num_attention_heads: headCount.default(32),
  num_key_value_heads: headCount.nullable().default(32),
  head_dim: width.nullish(),
  intermediate_size: width.default(22016),
  hidden_act: only('silu').default('silu'),
  rms_norm_eps: epsilon.default(1e-6),
  rope_theta: ropeTheta.nullish(),
  rope_parameters: ropeFields.nullish(),
  rope_scaling: ropeFields.nullish(),
  partial_rotary_factor: only(1).nullish(),
  tie_word_embeddings: z.boolean().default(false),
  max_position_embeddings: positionCount.default(32768),
  use_sliding_window: z.boolean().default(false),
  sliding_window: positionCount.nullish(),
  max_window_layers: z.int().nonnegative().default(28),
  layer_types: z.array(only('full_attention')).nullish(),
});

const DEFAULT_ROPE_THETA = 10_000;

/** Reads config.json's object. @throws InputError naming `path` and the key of anything that cannot be built. */
export function parseQwen2Config(raw: Readonly<Record<string, unknown>>, path: string): Qwen2Config {
  checkModelType(raw, 'qwen2', path);
  const fields = parseFields(qwen2Fields, raw, path);
  const { hidden_size: hiddenSize, num_attention_heads: heads, num_hidden_layers: layers } = fields;
  // Without layer_types the window holds for the layers from max_window_layers on, if there are any.
  const windowed = fields.layer_types ? 0 : layers - fields.max_window_layers;
  if (fields.use_sliding_window && fields.sliding_window !== null && windowed > 0) {
    throw new InputError(
      `model config ${path}: use_sliding_window is true for ${windowed} layers; sliding windows are not supported`,
    );
  }
  const rope = fields.rope_scaling ?? fields.rope_parameters ?? {};
  for (const [key, value] of Object.entries(rope)) {
    if (typeof value === 'object' && value !== null) {
      throw new InputError(
        `model config ${path}: rope_parameters has ${quoted(key)}, which sets a kind of layer apart; that is not supported`,
      );
    }
  }
  const keyValueHeads = fields.num_key_value_heads ?? heads;
  checkDivides(path, 'num_attention_heads', heads, 'num_key_value_heads', keyValueHeads);
  if (!fields.head_dim) checkDivides(path, 'hidden_size', hiddenSize, 'num_attention_heads', heads);
  const headDim = fields.head_dim ?? hiddenSize / heads;
  if (headDim % 2 !== 0) {
    throw new InputError(`model config ${path}: head_dim ${headDim} is odd; rotary positions turn pairs`);
  }
  return {
    vocabSize: fields.vocab_size,
    hiddenSize,
    numHiddenLayers: layers,
    numAttentionHeads: heads,
    numKeyValueHeads: keyValueHeads,
    headDim,
    intermediateSize: fields.intermediate_size,
    rmsNormEps: fields.rms_norm_eps,
    ropeTheta: rope.rope_theta ?? fields.rope_theta ?? DEFAULT_ROPE_THETA,
    tieWordEmbeddings: fields.tie_word_embeddings,
    maxPositionEmbeddings: fields.max_position_embeddings,
  };
}

/** Reads the config of a folder or of a model id in the Hugging Face cache. @throws InputError */
export async function readQwen2Config(nameOrPath: string): Promise<Qwen2Config> {
  const dir = await findCheckpointFolder(nameOrPath);
  return parseQwen2Config(await readConfig(dir), join(dir, 'config.json'));
}
