/** @file A stage of a recipe, ready to train or to evaluate: corpus, backbones, examples, graphs' definition. */

import { InputError } from '../base/index.js';
import type { ValidationDraw } from '../data/corpora/index.js';
import type { RobertaConfig } from '../nn/index.js';
import type { Recipe } from '../recipe/index.js';
import { hasFormer } from '../systems/index.js';
import { type Backbones, openBackbones } from './backbones.js';
import { balancedBatches, type EpochBatches, lengthBatches, shuffledBatches } from './batches.js';
import type { Collation } from './collation.js';
import { type ExperimentCorpus, labelCounts, loadCorpus, TRAINING_PARTS } from './corpus.js';
import { type Example, makeExamples, type PromptSetting, promptSetting, type Spoken } from './examples.js';
import { type ComputeOptions, type ExtractedFeatures, type FeatureSource, openFeatures } from './features.js';
import { pooledFeatures } from './pooled-features.js';
import { promptProblem } from './prompt-limit.js';
import { recipePrompt } from './prompts.js';
import type { RunPrompt } from './run/index.js';
import { type Stage, type StageParameters, stageParameters } from './stage.js';
import { type Start, stageNeeds, trainingStart } from './stage-needs.js';
import { stageSettings } from './stage-settings.js';
import { defineStage } from './stages.js';

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
  /** The most tokens of a transcript that the Former is given; 0 where none reads text. */
  readonly maxTextTokens: number;
  examples(utterances: readonly Spoken[]): Example[];
  /** What keeps the language model from reading an example's prompt, in words; undefined where nothing does. */
  promptProblem(example: Example): string | undefined;
  /** How batches are put together; with `targets` for training. */
  collation(features: FeatureSource, targets: boolean): Collation;
}

/**
 * Opens the backbones as far as the stage reads them, and defines the stage on them.
 * @param trainingCounts training utterances per label, for the focal loss; equal weights where only inference is asked
 * @param runPrompt that of the run, where there is one; else the recipe's
 * @param start where the parameters come from; a run's own checkpoint where only inference is asked
 */
export async function openStageModel(
  recipe: Recipe,
  stageNumber: 1 | 2,
  trainingCounts: readonly number[] = recipe.labels.map(() => 1),
  runPrompt: RunPrompt = recipePrompt(recipe),
  start: Start = 'checkpoint',
): Promise<StageModel> {
  const needs = stageNeeds(recipe, stageNumber, start);
  const backbones = await openBackbones(recipe, needs);
  const { configs, former, llm } = backbones;
  const prompt = llm && promptSetting(recipe, llm, runPrompt);
  const labelTokenIds = prompt?.labelWordIds.map((ids) => ids[0]!) ?? [];
  const stage = defineStage(
    recipe,
    stageNumber,
    configs,
    { trainingCounts, labelTokenIds },
    backbones.frozen,
  );
  const text = former.tokenizer && {
    tokenizer: former.tokenizer,
    maxTokens: Math.min(recipe.max_text_tokens, longestText(configs.former!)),
  };
  const slotPerFrame = stageNumber === 2 && !hasFormer(recipe);
  return {
    recipe,
    backbones,
    stage,
    parameters: stageParameters(stage),
    prompt,
    needsAudio: needs.audio,
    maxTextTokens: text?.maxTokens ?? 0,
    examples: (utterances) => makeExamples(utterances, recipe.labels, recipe.inputs, text, prompt),
    promptProblem: ({ prompt: own }) => own && promptProblem(recipe, configs.llm!, own),
    collation: (features, targets) => {
      const { audioWidth } = configs;
      const { read, frames } = slotPerFrame
        ? pooledFeatures(features, audioWidth, recipe.projector.slots)
        : features;
      return {
        wanted: new Set([...stage.inputs, ...(targets ? stage.targets : [])].map(({ name }) => name)),
        audioWidth,
        textPadId: configs.former?.padTokenId ?? 0,
        promptPadId: prompt?.tokenizer.padId ?? 0,
        emotionTokenWeight: recipe.stage2.emotion_token_weight,
        slotPerFrame,
        features: read,
        frames,
      };
    },
  };
}

/** Tokens of the longest text that a RoBERTa reads: its position table also holds the rows up to the padding id. */
function longestText({ maxPositionEmbeddings, padTokenId }: RobertaConfig): number {
  return maxPositionEmbeddings - padTokenId - 1;
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
  const start = trainingStart(recipe, stage);
  const heard = stageNeeds(recipe, stage, start).audio ? TRAINING_PARTS : [];
  const corpus = await loadCorpus(recipe, fold, heard, draw);
  const counts = labelCounts(corpus.train, recipe.labels);
  const model = await openStageModel(recipe, stage, counts, prompt ?? recipePrompt(recipe, corpus), start);
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
  /** Whether clips count for the length of an utterance, as they do unless this says otherwise. */
  readonly needsAudio?: boolean;
}

/** Which training utterances share a batch in each epoch, as the recipe wants it. */
export function trainingBatches(
  { recipe, stage, corpus, needsAudio = true }: BatchSetting,
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
    const audioSec = needsAudio ? Math.min(train[index]!.durationSec, recipe.max_audio_sec) : 0;
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
