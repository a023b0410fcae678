/**
 * @file Stage 2 (paper section 2.3): the projected embedding of the Former replaces `<AUDIO>` in the prompt, and the
 * language model with LoRA names the emotion. Without a Former (table 4) the projected audio frames replace it.
 */

import {
  type DecoderConfig,
  type DecoderOutputs,
  decoderOutputs,
  embedTokens,
  labelLogits,
  lmHead,
  pastShape,
  spliceSoftPrompt,
  stackedKeyValues,
  wordLogits,
} from '../../backbones/index.js';
import {
  add,
  arange,
  cast,
  countAlong,
  gelu,
  mul,
  reduceSum,
  sizeOf,
  sub,
  type Value,
  withScope,
} from '../../engine/onnx/index.js';
import { normalArray, seededRandom, type Tensor, tensor } from '../../engine/tensor/index.js';
import type { GraphInput, ParameterShape } from '../../engine/training/index.js';
import type { LoraConfig } from '../../nn/index.js';
import {
  type AudioStatistics,
  answerLoss,
  type BatchValues,
  type Dropout,
  dense,
  emoqFormer,
  emotionSoftmax,
  FORMER_PREFIX,
  type FormerConfig,
  formerInputs,
  formerViews,
  type InputViews,
  noDropout,
  standardizeAudio,
  under,
  type Weights,
} from '../../nn/index.js';
import { PRESENT_KEY_VALUES } from '../phase-graphs.js';
import type { PhaseGraphs, StandaloneModel } from '../system.js';
import type { EmoqRecipe } from './settings.js';
import { hasFormer, trainsFormerKey } from './settings.js';
import { stageAttention } from './stage1.js';

/** Where the modalities are fused: in the EmoQ-Former, or without one in the language model itself (paper, table 4). */
export type Fusion = 'former' | 'none';

export interface Stage2Config {
  /** Without a Former, only the width of the audio. */
  readonly former: FormerConfig | Pick<FormerConfig, 'audioWidth'>;
  readonly inputs: InputViews;
  readonly fusion: Fusion;
  readonly llm: DecoderConfig;
  readonly lora: LoraConfig;
  /** Hidden width of the projector; 0 for a single linear layer. */
  readonly projectorHidden: number;
  /** First token of each label word, in label order. */
  readonly labelTokenIds: readonly number[];
}

export const PROJECTOR_PREFIX = 'projector.';

/**
 * Inputs of stage 2. Prompts are padded on the right; `audio_position` is -1 without a slot. Without a Former,
 * `prompt_ids` has one slot per frame from there on.
 */
export function stage2Inputs(config: Stage2Config): GraphInput[] {
  const views = hasFormer(config) ? config.inputs : 'audio';
  return [
    ...(config.inputs === 'text' ? [] : formerInputs(config.former.audioWidth, views)),
    { name: 'prompt_ids', dtype: 'int64', shape: ['batch', 'prompt'] },
    { name: 'prompt_mask', dtype: 'int64', shape: ['batch', 'prompt'] },
    ...(config.inputs === 'text'
      ? []
      : [{ name: 'audio_position', dtype: 'int64', shape: ['batch'] } as const]),
  ];
}

/**
 * The answers of a training batch, flattened over utterances and answer tokens: the rows of the hidden states that
 * predict them, the tokens, and their weights (0 for padding).
 */
export const answerInputs: readonly GraphInput[] = [
  { name: 'answer_positions', dtype: 'int64', shape: ['answers'] },
  { name: 'answer_tokens', dtype: 'int64', shape: ['answers'] },
  { name: 'answer_weights', dtype: 'float32', shape: ['answers'] },
];

/** e_h = projector(e'_q): [N, d_h] -> [N, d_l]; without a Former, of frames E_a: [N, L_a, d_a] -> [N, L_a, d_l]. */
function project(weights: Weights, config: Stage2Config, x: Value): Value {
  const width = config.llm.hiddenSize;
  const own = under(weights, PROJECTOR_PREFIX);
  return withScope(x.graph, 'projector', () =>
    config.projectorHidden === 0
      ? dense(own, 'linear', x, width)
      : dense(own, 'out', gelu(dense(own, 'hidden', x, config.projectorHidden)), width),
  );
}

/** What takes the place of `<AUDIO>`. */
interface ProjectedAudio {
  /** [N, d_l], or of each frame [N, L_a, d_l] with their mask [N, L_a]; undefined without audio. */
  readonly softPrompt: Value | undefined;
  readonly slotMask: Value | undefined;
  /** e'_q [N, d_h]; undefined without a Former. */
  readonly embedding: Value | undefined;
}

function projectedAudio(
  weights: Weights,
  config: Stage2Config,
  batch: BatchValues,
  dropout: Dropout,
): ProjectedAudio {
  const { inputs } = config;
  if (hasFormer(config)) {
    const former = config.former as FormerConfig;
    const views = formerViews(batch, inputs);
    const { graph } = Object.values(batch)[0]!;
    const embedding = withScope(graph, 'former', () =>
      emoqFormer(under(weights, FORMER_PREFIX), former, views, dropout),
    );
    return { softPrompt: project(weights, config, embedding), slotMask: undefined, embedding };
  }
  if (inputs === 'text') return { softPrompt: undefined, slotMask: undefined, embedding: undefined };
  const { values, mask } = formerViews(batch, 'audio').audio!;
  return { softPrompt: project(weights, config, values), slotMask: mask, embedding: undefined };
}

/** How the language model reads prompts. */
interface Reading {
  /** Absent if it is merged into the weights. */
  readonly lora?: LoraConfig;
  readonly dropout: Dropout;
  /** The only tokens whose hidden states are wanted; absent: all. */
  readonly read?: Value;
}

/** What the language model computes of prompts whose word embeddings are `words`. */
function readPrompts(
  weights: Weights,
  { llm }: Stage2Config,
  batch: BatchValues,
  words: Value,
  { softPrompt, slotMask }: Pick<ProjectedAudio, 'softPrompt' | 'slotMask'>,
  { lora, dropout, read }: Reading,
): DecoderOutputs {
  const embeddings =
    softPrompt === undefined
      ? words
      : spliceSoftPrompt({
          ...{ embeddings: words, softPrompt, audioPosition: batch.audio_position! },
          ...(slotMask && { slotMask }),
        });
  const past = batch[PAST];
  const given = {
    ...{ embeddings, attentionMask: batch.prompt_mask! },
    ...(past && { past }),
    ...(read && { read }),
  };
  const adapted = { ...(lora && { lora: { config: lora, weights } }), dropout };
  return withScope(words.graph, 'llm', () => decoderOutputs(weights, llm, given, adapted));
}

/** What the language model computes of a batch, and e'_q [N, d_h] if there is a Former. */
function stage2Outputs(
  weights: Weights,
  config: Stage2Config,
  batch: BatchValues,
  dropout: Dropout,
  read?: Value,
): DecoderOutputs & { readonly embedding: Value | undefined } {
  const words = embedTokens(weights, config.llm, batch.prompt_ids!);
  const { embedding, ...audio } = projectedAudio(weights, config, batch, dropout);
  const reading = { lora: config.lora, dropout, ...(read && { read }) };
  return { ...readPrompts(weights, config, batch, words, audio, reading), embedding };
}

/** The stage-2 objective (eq. 7) on a batch with `answerInputs`, where each prompt is followed by its answer. */
export function stage2Loss(
  weights: Weights,
  config: Stage2Config,
  batch: BatchValues,
  dropout: Dropout,
): Value {
  const { hidden } = stage2Outputs(weights, config, batch, dropout);
  const answers = {
    hidden,
    answerPositions: batch.answer_positions!,
    answerTokens: batch.answer_tokens!,
    answerWeights: batch.answer_weights!,
  };
  return withScope(hidden.graph, 'answer', () =>
    answerLoss(answers, (rows) => lmHead(weights, config.llm, rows)),
  );
}

/** The input of inference that holds the keys and values of the prompt's constant beginning. */
const PAST = 'past_key_values';

function pastInput({ llm }: Stage2Config): GraphInput {
  return { name: PAST, dtype: 'float32', shape: pastShape(llm, 'past') };
}

/**
 * Probabilities of the C emotions [N, C] (eqs. 8 and 9) at the last token of each prompt, and e'_q [N, d_h] if there is
 * a Former. If the batch has `past_key_values`, its prompts begin after them.
 */
export function stage2Forward(
  weights: Weights,
  config: Stage2Config,
  batch: BatchValues,
  dropout: Dropout,
): { probabilities: Value; embedding: Value | undefined; presentKeyValues: Value | undefined } {
  const read = withScope(batch.prompt_mask!.graph, 'answer', () => lastRows(batch.prompt_mask!));
  const { hidden, embedding, keysAndValues } = stage2Outputs(weights, config, batch, dropout, read);
  const probabilities = withScope(hidden.graph, 'answer', () =>
    emotionSoftmax(labelLogits(weights, config.llm, hidden, config.labelTokenIds)),
  );
  const presentKeyValues =
    batch[PAST] && withScope(hidden.graph, 'llm', () => stackedKeyValues(keysAndValues));
  return { probabilities, embedding, presentKeyValues };
}

/** Key of the label words' rows of the output matrix [C, d_l] in a standalone language model. */
export const LABEL_ROWS_KEY = 'label_words.weight';

/** The models of a trained stage 2: the Former with the projector, if there is one, and the language model. */
export function stage2Models(
  config: Stage2Config,
): readonly Pick<
  StandaloneModel,
  'name' | 'description' | 'inputs' | 'outputs' | 'isLanguageModel' | 'define'
>[] {
  const inputs = stage2Inputs(config);
  const soft: GraphInput = { name: 'soft_prompt', dtype: 'float32', shape: ['batch', config.llm.hiddenSize] };
  const fused = hasFormer(config);
  const isPromptInput = ({ name }: GraphInput): boolean => /^prompt_|^audio_position$/.test(name);
  return [
    ...(fused
      ? [
          {
            name: 'emoq_former',
            description: 'EmoQ-Former and projector: speech features and text to the soft prompt',
            inputs: inputs.filter((input) => !isPromptInput(input)),
            outputs: ['soft_prompt', 'embedding'],
            isLanguageModel: false,
            define: (weights: Weights, batch: BatchValues) => {
              const { softPrompt, embedding } = projectedAudio(weights, config, batch, noDropout);
              return { soft_prompt: softPrompt!, embedding: embedding! };
            },
          },
        ]
      : []),
    {
      name: 'llm',
      description: `language model: prompt${config.inputs === 'text' ? '' : ` and ${fused ? 'soft prompt' : 'speech features'}`} to probabilities of the labels`,
      inputs: [...(fused ? [...inputs.filter(isPromptInput), soft] : inputs), pastInput(config)],
      outputs: ['probabilities', PRESENT_KEY_VALUES],
      isLanguageModel: true,
      define: (weights, batch) => {
        const words = embedTokens(weights, config.llm, batch.prompt_ids!);
        const audio = fused
          ? { softPrompt: batch.soft_prompt!, slotMask: undefined }
          : projectedAudio(weights, config, batch, noDropout);
        const read = lastRows(batch.prompt_mask!);
        const reading = { dropout: noDropout, read };
        const { hidden, keysAndValues } = readPrompts(weights, config, batch, words, audio, reading);
        const rows = weights(LABEL_ROWS_KEY, [config.labelTokenIds.length, config.llm.hiddenSize]);
        return {
          probabilities: emotionSoftmax(wordLogits(hidden, rows)),
          [PRESENT_KEY_VALUES]: stackedKeyValues(keysAndValues),
        };
      },
    },
  ];
}

/** Each prompt's last token before the padding, among the tokens of all prompts: [N, L] -> int64 [N]. */
function lastRows(mask: Value): Value {
  const batch = mask.shape[0]!;
  const starts = mul(arange(sizeOf(mask, 0), batch), countAlong(mask, [1], 'int64')); // [N]
  return cast(add(starts, sub(reduceSum(mask, [1]), 1)), 'int64');
}

/**
 * Initial projector parameters. e'_q has unit length, so weights of standard deviation s give a soft prompt of RMS s.
 * It starts at the scale of the word embeddings, so the first steps need not learn that scale. Standardised frames
 * behave the same way, with length equal to the square root of their width.
 * @param embeddingRms root mean square of the language model's word embeddings
 * @param audio statistics of the projected frames, if there is no Former
 */
export function initialProjector(
  parameters: readonly ParameterShape[],
  embeddingRms: number,
  seed: number,
  audio?: AudioStatistics,
): Map<string, Tensor<'float32'>> {
  const inputLength = audio === undefined ? 1 : Math.sqrt(audio.mean.length);
  const values = new Map(
    parameters.map(({ key, shape }): [string, Tensor<'float32'>] => {
      if (key.endsWith('.bias')) return [key, tensor('float32', shape)];
      const [out, width] = shape as [number, number];
      const random = seededRandom(seed, 'projector', key);
      // The hidden layer gives its inputs unit variance; the next layer accounts for E[gelu(x)^2] = 0.43.
      const deviation =
        key === 'linear.weight'
          ? embeddingRms / inputLength
          : key === 'hidden.weight'
            ? 1 / inputLength
            : embeddingRms / Math.sqrt(0.425 * width);
      return [key, tensor('float32', shape, normalArray(random, out * width, deviation))];
    }),
  );
  if (audio !== undefined) standardizeAudio(values, values.has('linear.weight') ? 'linear' : 'hidden', audio);
  return values;
}

/** @param labelTokenIds first token of each label word */
export function stage2Config(
  recipe: EmoqRecipe,
  former: Stage2Config['former'],
  llm: DecoderConfig,
  labelTokenIds: readonly number[],
): Stage2Config {
  return {
    former,
    inputs: recipe.inputs,
    fusion: recipe.fusion,
    llm,
    lora: recipe.lora,
    projectorHidden: recipe.projector.hidden,
    labelTokenIds,
  };
}

/**
 * Stage 2 of a recipe as a phase: Former (if any), projector and LoRA, trained with token-weighted cross-entropy.
 * @param labelTokenIds first token of each label word
 */
export function stage2Graphs(
  recipe: EmoqRecipe,
  former: Stage2Config['former'],
  llm: DecoderConfig,
  labelTokenIds: readonly number[],
  frozen: PhaseGraphs['frozen'],
): PhaseGraphs {
  const config = stage2Config(recipe, former, llm, labelTokenIds);
  return {
    name: 'stage2',
    inputs: stage2Inputs(config),
    targets: answerInputs,
    isTrainable: (key) => !/^(model|lm_head)\./.test(key) && trainsFormerKey(recipe, key),
    frozen,
    loss: (weights, batch, dropout) => ({ loss: stage2Loss(weights, config, batch, dropout), reported: {} }),
    forward: (weights, batch) => stage2Forward(weights, config, batch, noDropout),
    past: pastInput(config),
    ...(hasFormer(config) && { attention: stageAttention(former as FormerConfig, config.inputs) }),
  };
}
