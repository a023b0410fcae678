/**
 * @file Configuration and initial parameters of the EmoQ-Former: RoBERTa's weights where it has them, small random
 * values elsewhere.
 */

import { type Checkpoint, readWeight, requireWeight } from '../../checkpoints/index.js';
import { cast, type Value } from '../../engine/onnx/index.js';
import {
  elementCount,
  float32Of,
  normalArray,
  seededRandom,
  type Tensor,
  tensor,
} from '../../engine/tensor/index.js';
import type { GraphInput, ParameterShape } from '../../engine/training/index.js';

/** Sizes of a RoBERTa model, from its config.json. */
export interface RobertaConfig {
  vocabSize: number;
  hiddenSize: number;
  numHiddenLayers: number;
  numAttentionHeads: number;
  intermediateSize: number;
  /** Rows of the position table; positions begin at padTokenId + 1, so the longest text is shorter by that much. */
  maxPositionEmbeddings: number;
  typeVocabSize: number;
  padTokenId: number;
  layerNormEps: number;
  hiddenDropoutProb: number;
  attentionProbsDropoutProb: number;
}

export interface FormerConfig {
  /** The RoBERTa model it is initialised from: width, depth (of which the Former may have less), heads, vocabulary. */
  readonly roberta: RobertaConfig;
  /** Width d_a of the audio features. */
  readonly audioWidth: number;
  /** Learned queries N_q (not in the paper: 32, as BLIP-2). */
  readonly queries: number;
  /** Queries attend to the audio in layers 0, n, 2n, ... (not in the paper: 2, as BLIP-2). */
  readonly crossAttentionEvery: number;
  readonly poolingHeads: number;
  /** Add the projected mean of the audio frames to the pooled queries (not in the paper). Default `none`. */
  readonly residual?: FormerResidual;
  readonly dropout: number;
  readonly attentionDropout: number;
  /** Also train RoBERTa's word embeddings; otherwise they are frozen and read from the checkpoint file. */
  readonly trainWordEmbeddings: boolean;
}

/** What bypasses the Former's layers. */
export type FormerResidual = 'none' | 'mean';

/** The only weight that is frozen by default. */
export const WORD_EMBEDDINGS_KEY = 'embeddings.word_embeddings.weight';

/** True for layers in which the queries attend to the audio. */
export function hasCrossAttention(config: FormerConfig, layer: number): boolean {
  return layer % config.crossAttentionEvery === 0;
}

/** The two inputs of an utterance. One may be absent (the audio-only and text-only ablations), but not both. */
export interface FormerInputs {
  /** HuBERT features E_a [N, L_a, d_a], float32, with mask int64 [N, L_a] (1 = real frame). */
  readonly audio?: MaskedSequence | undefined;
  /** RoBERTa token ids int64 [N, L_t], with mask int64 [N, L_t]. */
  readonly text?: MaskedSequence | undefined;
}

export interface MaskedSequence {
  readonly values: Value;
  readonly mask: Value;
}

/** Which inputs of an utterance the system uses (paper, table 4). */
export type InputViews = 'both' | 'audio' | 'text';

export type BatchValues = Readonly<Record<string, Value>>;

/** Key prefix of the Former in checkpoints. */
export const FORMER_PREFIX = 'former.';

/** The Former's inputs in a batch: features are stored in float16 and used in float32. */
export function formerInputs(audioWidth: number, views: InputViews): GraphInput[] {
  const audio: GraphInput[] = [
    { name: 'audio_features', dtype: 'float16', shape: ['batch', 'frames', audioWidth] },
    { name: 'frame_mask', dtype: 'int64', shape: ['batch', 'frames'] },
  ];
  const text: GraphInput[] = [
    { name: 'input_ids', dtype: 'int64', shape: ['batch', 'text'] },
    { name: 'attention_mask', dtype: 'int64', shape: ['batch', 'text'] },
  ];
  return [...(views !== 'text' ? audio : []), ...(views !== 'audio' ? text : [])];
}

/** Extracts the Former's inputs from a batch. */
export function formerViews(batch: BatchValues, views: InputViews): FormerInputs {
  return {
    audio:
      views === 'text'
        ? undefined
        : { values: cast(batch.audio_features!, 'float32'), mask: batch.frame_mask! },
    text: views === 'audio' ? undefined : { values: batch.input_ids!, mask: batch.attention_mask! },
  };
}

/**
 * New weights preserve the variance of their input (gain 1): at width 768 a standard deviation of 0.036. BERT's 0.02
 * would reduce the audio's already small share to a third at each of the four new matrices between it and the queries.
 * Not in the paper.
 */
const INITIAL_GAIN = 1;

/**
 * RoBERTa's key for a Former key. The queries' FFN is initialised from the text FFN of the same layer; cross-attention,
 * queries, audio projection, pooling and residual are new.
 */
export function robertaKey(key: string): string | undefined {
  if (/crossattention|query_tokens|^(?:pooling|audio_projection|residual)\./.test(key)) return undefined;
  return key.replace('intermediate_query', 'intermediate').replace('output_query', 'output');
}

/** Mean and standard deviation of each audio feature channel over the training utterances: [d_a] each. */
export interface AudioStatistics {
  readonly mean: Float32Array;
  readonly deviation: Float32Array;
}

/**
 * Initial values of the Former's parameters.
 * @param audio statistics to fold into the audio projection; without them features are used as they are
 * @param means statistics of the clips' mean frames, for the residual
 * @param roberta checkpoint view without key prefix; undefined initialises everything randomly (tests, benchmarks)
 * @throws InputError when a RoBERTa weight is missing or has another shape
 */
export async function initialFormer(
  parameters: readonly ParameterShape[],
  roberta: Checkpoint | undefined,
  seed: number,
  audio?: AudioStatistics,
  means?: AudioStatistics,
): Promise<Map<string, Tensor<'float32'>>> {
  const values = new Map<string, Tensor<'float32'>>();
  for (const { key, shape } of parameters) {
    const source = robertaKey(key);
    values.set(
      key,
      roberta !== undefined && source !== undefined
        ? tensor('float32', shape, float32Of(await readWeight(requireWeight(roberta, source, shape))))
        : freshParameter(key, shape, seed),
    );
  }
  if (audio !== undefined) standardizeAudio(values, 'audio_projection', audio);
  if (means !== undefined) standardizeMeans(values, means);
  return values;
}

/**
 * Folds the standardisation (x - mean) / deviation into the initial linear layer `name`: W' = W / deviation, b' = -W'
 * mean. Self-supervised features share one large constant vector, which dwarfs the differences between utterances;
 * queries that first see that vector alone collapse onto each other. Not in the paper.
 */
export function standardizeAudio(
  values: ReadonlyMap<string, Tensor<'float32'>>,
  name: string,
  { mean, deviation }: AudioStatistics,
): void {
  const weight = values.get(`${name}.weight`)?.data;
  const bias = values.get(`${name}.bias`)?.data;
  if (weight === undefined || bias === undefined) return;
  const width = mean.length;
  // A nearly constant channel must not be amplified into noise.
  const floor = 0.01 * deviation.reduce((largest, value) => Math.max(largest, value), 0);
  for (let out = 0; out < bias.length; out++) {
    let shift = 0;
    for (let channel = 0; channel < width; channel++) {
      const scaled = weight[out * width + channel]! / Math.max(deviation[channel]!, floor, 1e-6);
      weight[out * width + channel] = scaled;
      shift += scaled * mean[channel]!;
    }
    bias[out] = -shift;
  }
}

/** Keys of the residual's scale and shift of each channel. */
export const RESIDUAL_NORM = { scale: 'residual.norm.weight', shift: 'residual.norm.bias' } as const;

/**
 * Initial scale and shift of the residual, which standardize the means of clips. They are parameters of their own,
 * unlike in {@link standardizeAudio}: means differ little, so that weights with the scale in them would be large, and
 * hardly move at a usual learning rate.
 */
export function standardizeMeans(
  values: Map<string, Tensor<'float32'>>,
  { mean, deviation }: AudioStatistics,
): void {
  if (!values.has(RESIDUAL_NORM.scale)) return;
  // A nearly constant channel must not be amplified into noise.
  const least = Math.max(0.01 * Math.max(...deviation), 1e-6);
  const scale = deviation.map((value) => 1 / Math.max(value, least));
  const shift = scale.map((value, channel) => -value * mean[channel]!);
  values.set(RESIDUAL_NORM.scale, tensor('float32', [mean.length], scale));
  values.set(RESIDUAL_NORM.shift, tensor('float32', [mean.length], shift));
}

/** A new parameter: ones for a layer norm's scale, zeros for biases, otherwise normal, scaled by the input width. */
export function freshParameter(key: string, shape: readonly number[], seed: number): Tensor<'float32'> {
  const size = elementCount(shape);
  if (key.endsWith('.bias')) return tensor('float32', shape);
  if (key.endsWith('LayerNorm.weight') || key === RESIDUAL_NORM.scale)
    return tensor('float32', shape, new Float32Array(size).fill(1));
  const deviation = INITIAL_GAIN / Math.sqrt(shape.at(-1)!);
  return tensor('float32', shape, normalArray(seededRandom(seed, 'parameter', key), size, deviation));
}
