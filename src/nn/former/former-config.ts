/**
 * @file The EmoQ-Former's sizes, and where its parameters start: RoBERTa's weights where it has them, small random
 * numbers elsewhere.
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

/** The sizes of a RoBERTa, as its config.json gives them. */
export interface RobertaConfig {
  vocabSize: number;
  hiddenSize: number;
  numHiddenLayers: number;
  numAttentionHeads: number;
  intermediateSize: number;
  /** Rows of the position table; positions begin at padTokenId + 1, so texts are shorter by that much. */
  maxPositionEmbeddings: number;
  typeVocabSize: number;
  padTokenId: number;
  layerNormEps: number;
  hiddenDropoutProb: number;
  attentionProbsDropoutProb: number;
}

export interface FormerConfig {
  /** The RoBERTa that it starts from: width, depth, heads, vocabulary. */
  readonly roberta: RobertaConfig;
  /** Width d_a of the audio features. */
  readonly audioWidth: number;
  /** Learned queries N_q (not in the paper: 32, as BLIP-2). */
  readonly queries: number;
  /** Queries attend to the audio in layers 0, n, 2n, ... (not in the paper: 2, as BLIP-2). */
  readonly crossAttentionEvery: number;
  readonly poolingHeads: number;
  readonly dropout: number;
  readonly attentionDropout: number;
  /** Train RoBERTa's word embeddings too; else they are read in place and stay as they are. */
  readonly trainWordEmbeddings: boolean;
}

/** The only weight that stays frozen unless the config says otherwise. */
export const WORD_EMBEDDINGS_KEY = 'embeddings.word_embeddings.weight';

/** True for layers whose queries attend to the audio. */
export function hasCrossAttention(config: FormerConfig, layer: number): boolean {
  return layer % config.crossAttentionEvery === 0;
}

/** The two views of an utterance; one may be absent (the audio-only and text-only ablations), not both. */
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

/** Which views of an utterance the system is given (paper, table 4). */
export type InputViews = 'both' | 'audio' | 'text';

export type BatchValues = Readonly<Record<string, Value>>;

/** Key prefix of the Former in checkpoints. */
export const FORMER_PREFIX = 'former.';

/** What the Former reads of a batch: features are float16 on the way in and float32 inside. */
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

/** The Former's inputs out of a batch. */
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
 * New weights keep the variance of their input (gain 1): at width 768 a deviation of 0.036. BERT's 0.02 would let through
 * a third of the audio's already small share at each of the four new matrices on its way into the queries. Not in the
 * paper.
 */
const INITIAL_GAIN = 1;

/**
 * RoBERTa's key for a Former key: the queries' FFN starts from the text's FFN of the same layer; cross-attention,
 * queries, audio projection and pooling are new.
 */
export function robertaKey(key: string): string | undefined {
  if (/crossattention|query_tokens|^pooling\.|^audio_projection\./.test(key)) return undefined;
  return key.replace('intermediate_query', 'intermediate').replace('output_query', 'output');
}

/** Mean and standard deviation of each audio feature channel over training utterances: [d_a] each. */
export interface AudioStatistics {
  readonly mean: Float32Array;
  readonly deviation: Float32Array;
}

/**
 * Initial values of Former parameters.
 * @param audio statistics that the audio projection starts from; without them it takes features as they come
 * @param roberta checkpoint view without key prefix; undefined starts everything at random (tests, benchmarks)
 * @throws InputError when RoBERTa lacks a weight or holds it in another shape
 */
export async function initialFormer(
  parameters: readonly ParameterShape[],
  roberta: Checkpoint | undefined,
  seed: number,
  audio?: AudioStatistics,
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
  return values;
}

/**
 * Folds the standardisation (x - mean) / deviation into the start of the linear layer `name`: W' = W / deviation,
 * b' = -W' mean. Self-supervised features share one large constant vector, beside which what tells utterances apart
 * is small; queries that first see that vector alone collapse onto each other. Not in the paper.
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
  // A channel that hardly moves must not be blown up to noise.
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

/** A new parameter: ones for a layer norm's scale, zeros for biases, else normal by the width of its input. */
export function freshParameter(key: string, shape: readonly number[], seed: number): Tensor<'float32'> {
  const size = elementCount(shape);
  if (key.endsWith('.bias')) return tensor('float32', shape);
  if (key.endsWith('LayerNorm.weight')) return tensor('float32', shape, new Float32Array(size).fill(1));
  const deviation = INITIAL_GAIN / Math.sqrt(shape.at(-1)!);
  return tensor('float32', shape, normalArray(seededRandom(seed, 'parameter', key), size, deviation));
}
