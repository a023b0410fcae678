/** @file A stage of a recipe, ready to train or to evaluate: corpus, backbones, examples, graphs' definition. */

import { InputError } from '../base/index.js';
import type { ValidationDraw } from '../data/corpora/index.js';
import { hasFormer } from '../models/index.js';
import type { Recipe } from '../recipe/index.js';
import { type Backbones, openBackbones } from './backbones.js';
import { balancedBatches, type EpochBatches, lengthBatches, shuffledBatches } from './batches.js';
import type { Collation } from './collation.js';
import { type ExperimentCorpus, labelCounts, loadCorpus, TRAINING_PARTS } from './corpus.js';
import { type Example, makeExamples, type PromptSetting, promptSetting, type Spoken } from './examples.js';
import { type ComputeOptions, type ExtractedFeatures, type FeatureSource, openFeatures } from './features.js';
import { pooledFeatures } from './pooled-features.js';
import { recipePrompt } from './prompts.js';
import type { RunPrompt } from './run/index.js';
import { type Stage, type StageParameters, stageParameters } from './stage.js';
import { stageSettings } from './stage-settings.js';
import { defineStage1, defineStage2, formerConfig } from './stages.js';

/** A stage with its models' definition; knows no corpus. */
export interface StageModel {
  readonly recipe: Recipe;
  readonly backbones: Backbones;
  readonly stage: Stage;
  readonly parameters: StageParameters;
  /** Stage 2 only. */
  readonly prompt: PromptSetting | undefined;
  /** Whether clips are encoded at all (not for a text-only experiment). */
  readonly needsAudio: boolean;
  /** The most tokens of a transcript that the Former is given. */
  readonly maxTextTokens: number;
  examples(utterances: readonly Spoken[]): Example[];
  /** What keeps the language model from reading an example's prompt, in words; undefined where nothing does. */
  promptProblem(example: Example): string | undefined;
  /** How batches are put together; with `targets` for training. */
  collation(features: FeatureSource, targets: boolean): Collation;
}

/**
 * Opens the backbones and defines the stage on them.
 * @param trainingCounts training utterances per label, for the focal loss; equal weights where only inference is asked
 * @param runPrompt that of the run, where there is one; else the recipe's
 */
export async function openStageModel(
  recipe: Recipe,
  stageNumber: 1 | 2,
  trainingCounts: readonly number[] = recipe.labels.map(() => 1),
  runPrompt: RunPrompt = recipePrompt(recipe),
): Promise<StageModel> {
  const backbones = await openBackbones(recipe, stageNumber);
  const former = formerConfig(recipe, backbones.configs.encoder, backbones.configs.former);
  const prompt = stageNumber === 2 ? promptSetting(recipe, backbones.llm!.tokenizer, runPrompt) : undefined;
  const stage =
    prompt === undefined
      ? defineStage1(recipe, former, trainingCounts, backbones.frozen)
      : defineStage2(
          recipe,
          former,
          backbones.configs.llm!,
          prompt.labelWordIds.map((ids) => ids[0]!),
          backbones.frozen,
        );
  const { tokenizer } = backbones.former;
  // RoBERTa's position table also holds the rows up to the padding id.
  const longest = former.roberta.maxPositionEmbeddings - former.roberta.padTokenId - 1;
  const maxTokens = Math.min(recipe.max_text_tokens, longest);
  const slotPerFrame = stageNumber === 2 && !hasFormer(recipe);
  const isRead = stage.inputs.some(({ name }) => name === 'input_ids');
  return {
    recipe,
    backbones,
    stage,
    parameters: stageParameters(stage),
    prompt,
    needsAudio: stage.inputs.some(({ name }) => name === 'audio_features'),
    maxTextTokens: maxTokens,
    examples: (utterances) =>
      makeExamples(utterances, recipe.labels, recipe.inputs, { tokenizer, maxTokens, isRead }, prompt),
    promptProblem: ({ prompt: own }) => {
      if (own === undefined) return undefined;
      // How many slots a clip takes is known when its features are: the most that it may.
      const slots = slotPerFrame && own.audioPosition >= 0 ? recipe.projector.slots : 1;
      const tokens = own.ids.length - 1 + slots + own.answer.length;
      const { maxPositionEmbeddings: most } = backbones.configs.llm!;
      if (tokens <= most) return undefined;
      return `its prompt of ${tokens} tokens is longer than the ${most} that ${recipe.backbones.llm} reads (max_position_embeddings)`;
    },
    collation: (features, targets) => {
      const { audioWidth } = former;
      const { read, frames } = slotPerFrame
        ? pooledFeatures(features, audioWidth, recipe.projector.slots)
        : features;
      return {
        wanted: new Set([...stage.inputs, ...(targets ? stage.targets : [])].map(({ name }) => name)),
        audioWidth,
        textPadId: former.roberta.padTokenId,
        promptPadId: prompt?.tokenizer.padId ?? 0,
        emotionTokenWeight: recipe.stage2.emotion_token_weight,
        slotPerFrame,
        features: read,
        frames,
      };
    },
  };
}

/** A stage model on its corpus. */
export interface Experiment extends StageModel {
  readonly corpus: ExperimentCorpus;
}

/** Loads the recipe's corpus and defines the stage for it. `draw` and `prompt` are those of a run that goes on. */
export async function openExperiment(
  recipe: Recipe,
  stage: 1 | 2,
  fold: number | undefined,
  draw?: ValidationDraw,
  prompt?: RunPrompt,
): Promise<Experiment> {
  const corpus = await loadCorpus(recipe, fold, TRAINING_PARTS, draw);
  const counts = labelCounts(corpus.train, recipe.labels);
  const model = await openStageModel(recipe, stage, counts, prompt ?? recipePrompt(recipe, corpus));
  return { ...model, corpus };
}

/** What an experiment trains on and what it is validated on, tokenized. */
export interface TrainingExamples {
  readonly train: readonly Example[];
  readonly dev: readonly Example[];
}

/** @throws InputError for a prompt that is longer than the language model reads, naming its utterance */
export function trainingExamples(experiment: Experiment): TrainingExamples {
  const { corpus } = experiment;
  return { train: fittingExamples(experiment, corpus.train), dev: fittingExamples(experiment, corpus.dev) };
}

/** The utterances, tokenized. @throws InputError for a prompt that is longer than the language model reads */
export function fittingExamples(model: StageModel, utterances: readonly Spoken[]): Example[] {
  const examples = model.examples(utterances);
  for (const example of examples) {
    const problem = model.promptProblem(example);
    if (problem !== undefined) throw new InputError(`utterance ${example.id}: ${problem}; shorten its text`);
  }
  return examples;
}

/** A text token costs the Former about as much as this many frames: 12 layers of 12 d^2 against 6 of 2 d^2 and 1.3 d^2. */
export const FRAMES_PER_TOKEN = 10;
/** Of the speech encoder. */
export const FRAMES_PER_SEC = 50;

/** How many tokens an example has; an {@link Example} is one. */
export interface ExampleLengths {
  readonly textIds: { readonly length: number };
  /** Stage 2 only. */
  readonly prompt?: {
    readonly ids: { readonly length: number };
    readonly answer: { readonly length: number };
  };
}

/** What decides about batches beside the examples' tokens; an {@link Experiment} is one. */
export interface BatchSetting {
  readonly recipe: Recipe;
  readonly stage: Pick<Stage, 'number'>;
  readonly corpus: Pick<ExperimentCorpus, 'train'>;
}

/** Which training utterances share a batch in each epoch, as the recipe wants it. */
export function trainingBatches(
  { recipe, stage, corpus }: BatchSetting,
  examples: readonly ExampleLengths[],
): EpochBatches {
  const { batches, batch_size } = stageSettings(recipe, stage.number);
  const { train } = corpus;
  if (batches === 'shuffled') return shuffledBatches(train.length, batch_size, recipe.seed);
  if (batches === 'balanced') {
    return balancedBatches(
      train.map(({ label }) => recipe.labels.indexOf(label)),
      batch_size,
      recipe.seed,
    );
  }
  const lengths = examples.map(({ textIds, prompt }, index) => {
    const audioSec = Math.min(train[index]!.durationSec, recipe.max_audio_sec);
    const tokens = textIds.length + (prompt === undefined ? 0 : prompt.ids.length + prompt.answer.length);
    return tokens + (audioSec * FRAMES_PER_SEC) / FRAMES_PER_TOKEN;
  });
  return lengthBatches(lengths, batch_size, recipe.seed);
}

/** Features of some utterances of an experiment; extracts what the cache lacks. */
export function experimentFeatures(
  model: StageModel,
  utterances: readonly Spoken[],
  compute: ComputeOptions,
): Promise<ExtractedFeatures> {
  return openFeatures(model.recipe, model.needsAudio ? utterances : [], compute);
}
