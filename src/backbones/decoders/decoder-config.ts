/**
 * @file Decoder configuration: the config keys and rotary frequencies of all families, and the interface of a decoder
 * family.
 */

import { z } from 'zod';
import { InputError, quoted } from '../../base/index.js';
import type { ChatTemplate } from '../../data/text/index.js';
import type { BackboneFamily } from '../backbone-family.js';
import {
  checkDivides,
  epsilon,
  headCount,
  layerCount,
  only,
  parseFields,
  positionCount,
  vocabulary,
  width,
} from '../backbone-family.js';

/** The linear projections of a layer's attention and of its feed-forward network, by their checkpoint names. */
export const attentionProjections = ['q_proj', 'k_proj', 'v_proj', 'o_proj'] as const;
export const feedForwardProjections = ['gate_proj', 'up_proj', 'down_proj'] as const;
export const projections = [...attentionProjections, ...feedForwardProjections] as const;

export type Projection = (typeof projections)[number];

/** A pre-norm decoder of grouped-query attention and SwiGLU. */
export interface DecoderConfig extends DecoderTraits, RecordedConfig {}

/** Properties that a family fixes or that follow from a checkpoint's weights. */
export interface DecoderTraits {
  /** `model_type` of its family. */
  readonly family: string;
  /** Projections with a bias. */
  readonly biases: readonly Projection[];
  /** RMSNorm on each query and key head, before the rotation. */
  readonly queryKeyNorm: boolean;
}

/** The properties of a model that a run records and checks later: sizes, and whatever the weights do not show. */
export interface RecordedConfig {
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
  /** Scaling of the rotary frequencies; absent if they are not scaled. */
  ropeScaling?: Llama3Scaling;
  /** The output matrix is the embedding matrix. */
  tieWordEmbeddings: boolean;
  maxPositionEmbeddings: number;
}

/** The part of a config that is recorded with a run. */
export function recordedConfig({
  family: _family,
  biases: _biases,
  queryKeyNorm: _norm,
  ...recorded
}: DecoderConfig): RecordedConfig {
  return recorded;
}

/** Base of the rotary angles: Qwen2.5 has 1e6, Qwen2.5-1M 1e7. Its powers must fit in float32. */
const ropeTheta = z.number().min(1).max(1e12);

/** Supported kinds of rotary positions. */
export type RopeType = 'default' | 'llama3';

/** Rotary settings; older files call the type "type". Partial rotations and other scalings are rejected. */
function ropeFields(types: readonly [RopeType, ...RopeType[]]) {
  return z.looseObject({
    rope_theta: ropeTheta.optional(),
    rope_type: only(...types).optional(),
    type: only(...types).optional(),
    partial_rotary_factor: only(1).optional(),
  });
}

/** Defaults for keys that a family's config may omit. */
interface DecoderDefaults {
  readonly vocab_size: number;
  readonly intermediate_size: number;
  /** null: same as the number of attention heads. */
  readonly num_key_value_heads: number | null;
  /** null: hidden_size / num_attention_heads. */
  readonly head_dim: number | null;
  readonly max_position_embeddings: number;
}

/** Keys common to all families. */
export function decoderFields(
  defaults: DecoderDefaults,
  ropeTypes: readonly [RopeType, ...RopeType[]] = ['default'],
) {
  const rope = ropeFields(ropeTypes);
  return z.object({
    vocab_size: vocabulary.default(defaults.vocab_size),
    hidden_size: width.default(4096),
    num_hidden_layers: layerCount.default(32),
    num_attention_heads: headCount.default(32),
    num_key_value_heads: headCount.nullable().default(defaults.num_key_value_heads),
    head_dim: width.nullable().default(defaults.head_dim),
    intermediate_size: width.default(defaults.intermediate_size),
    hidden_act: only('silu').default('silu'),
    rms_norm_eps: epsilon.default(1e-6),
    rope_theta: ropeTheta.nullish(),
    rope_parameters: rope.nullish(),
    rope_scaling: rope.nullish(),
    partial_rotary_factor: only(1).nullish(),
    tie_word_embeddings: z.boolean().default(false),
    max_position_embeddings: positionCount.default(defaults.max_position_embeddings),
  });
}

/** Keys of families with optional sliding windows; a config is rejected if any layer uses one. */
export const windowFields = {
  use_sliding_window: z.boolean().default(false),
  sliding_window: positionCount.nullish(),
  max_window_layers: z.int().nonnegative().default(28),
  layer_types: z.array(only('full_attention')).nullish(),
};

/** @throws InputError if a layer uses a sliding window */
export function checkWindows(
  fields: z.output<z.ZodObject<typeof windowFields>> & { readonly num_hidden_layers: number },
  path: string,
): void {
  // Without layer_types, the window applies to the layers from max_window_layers on.
  const windowed = fields.layer_types ? 0 : fields.num_hidden_layers - fields.max_window_layers;
  if (fields.use_sliding_window && fields.sliding_window !== null && windowed > 0) {
    throw new InputError(
      `model config ${path}: use_sliding_window is true for ${windowed} layers; sliding windows are not supported`,
    );
  }
}

const DEFAULT_ROPE_THETA = 10_000;

/** A family's config from its parsed fields. @throws InputError for inconsistent sizes */
export function decoderConfig(
  fields: z.output<ReturnType<typeof decoderFields>>,
  traits: DecoderTraits,
  path: string,
): DecoderConfig {
  const { hidden_size: hiddenSize, num_attention_heads: heads } = fields;
  const key = fields.rope_scaling ? 'rope_scaling' : 'rope_parameters';
  const rope = fields.rope_scaling ?? fields.rope_parameters ?? {};
  for (const [name, value] of Object.entries(rope)) {
    if (typeof value === 'object' && value !== null) {
      throw new InputError(
        `model config ${path}: rope_parameters has ${quoted(name)}, which is specific to a kind of layer; that is not supported`,
      );
    }
  }
  const isScaled = (rope.rope_type ?? rope.type) === 'llama3';
  const ropeScaling = isScaled ? parseFields(llama3Fields(key), { [key]: rope }, path)[key] : undefined;
  const keyValueHeads = fields.num_key_value_heads ?? heads;
  checkDivides(path, 'num_attention_heads', heads, 'num_key_value_heads', keyValueHeads);
  if (!fields.head_dim) checkDivides(path, 'hidden_size', hiddenSize, 'num_attention_heads', heads);
  const headDim = fields.head_dim ?? hiddenSize / heads;
  if (headDim % 2 !== 0) {
    throw new InputError(`model config ${path}: head_dim ${headDim} is odd; rotary positions need pairs`);
  }
  return {
    ...traits,
    vocabSize: fields.vocab_size,
    hiddenSize,
    numHiddenLayers: fields.num_hidden_layers,
    numAttentionHeads: heads,
    numKeyValueHeads: keyValueHeads,
    headDim,
    intermediateSize: fields.intermediate_size,
    rmsNormEps: fields.rms_norm_eps,
    ropeTheta: rope.rope_theta ?? fields.rope_theta ?? DEFAULT_ROPE_THETA,
    ...(ropeScaling && { ropeScaling }),
    tieWordEmbeddings: fields.tie_word_embeddings,
    maxPositionEmbeddings: fields.max_position_embeddings,
  };
}

export interface DecoderFamily extends BackboneFamily<DecoderConfig> {
  /** Projections that a LoRA may adapt, by their checkpoint names. */
  readonly loraTargets: readonly Projection[];
  /**
   * The chat format of a checkpoint of this family.
   * @param dir its folder, with tokenizer and chat template
   * @throws InputError if the template is of an unsupported kind
   */
  chatTemplate(dir: string): Promise<ChatTemplate>;
}

/** Additional weights that published checkpoints of any family may contain. */
export const harmlessDecoderWeights: readonly RegExp[] = [
  /(?:^|\.)rotary_emb\.inv_freq$/, // computed from the config
  /^lm_head\.weight$/, // unused only if it equals the word embeddings
  /^(?:score|v_head|classifier|qa_outputs)\./,
];

/** Scaled low frequencies, for texts longer than in the original training (Llama 3.1). */
export interface Llama3Scaling {
  /** Divisor of the low frequencies. */
  readonly factor: number;
  /** Wavelengths above originalPositions / lowFrequencyFactor are scaled fully. */
  readonly lowFrequencyFactor: number;
  /** Wavelengths below originalPositions / highFrequencyFactor are unchanged; those in between are interpolated. */
  readonly highFrequencyFactor: number;
  /** Number of positions in the original training. */
  readonly originalPositions: number;
}

const factor = z.number().min(1).max(1e6);

/** Keys of `rope_type: llama3`, under the config.json key that contains them. */
export function llama3Fields<const K extends string>(key: K) {
  const scaling = z
    .object({
      factor,
      low_freq_factor: factor,
      high_freq_factor: factor,
      original_max_position_embeddings: positionCount,
    })
    .refine(({ low_freq_factor, high_freq_factor }) => low_freq_factor < high_freq_factor, {
      error: 'low_freq_factor must be less than high_freq_factor',
    })
    .transform(
      (fields): Llama3Scaling => ({
        factor: fields.factor,
        lowFrequencyFactor: fields.low_freq_factor,
        highFrequencyFactor: fields.high_freq_factor,
        originalPositions: fields.original_max_position_embeddings,
      }),
    );
  return z.object({ [key]: scaling } as Record<K, typeof scaling>);
}

// Rounded to float32 at each step, as in training: an error of one ulp in a frequency is multiplied by the position.
const round = Math.fround;

/** theta^(-2i / headDim) for i below headDim / 2, scaled if `scaling` is given. */
export function rotaryFrequencies(
  headDim: number,
  theta: number,
  scaling: Llama3Scaling | undefined,
): number[] {
  const frequencies = Array.from(
    { length: headDim / 2 },
    (_, i) => 1 / round(theta ** round((2 * i) / headDim)),
  );
  return scaling === undefined ? frequencies : frequencies.map((frequency) => stretched(frequency, scaling));
}

/**
 * Follows transformers' `_compute_llama3_parameters`, where number / tensor is computed as reciprocal(tensor) * number.
 */
function stretched(frequency: number, scaling: Llama3Scaling): number {
  const { factor: by, lowFrequencyFactor: low, highFrequencyFactor: high, originalPositions } = scaling;
  const own = round(frequency);
  const wavelength = round(round(1 / own) * round(2 * Math.PI));
  const slow = round(own / by);
  if (wavelength > originalPositions / low) return slow;
  if (wavelength < originalPositions / high) return own;
  const smooth = round(round(round(round(1 / wavelength) * originalPositions) - low) / (high - low));
  return round(round(round(round(1 - smooth) * own) / by) + round(smooth * own));
}
