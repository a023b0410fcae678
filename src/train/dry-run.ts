/** @file A stage sized without its weights: parameters, memory and steps, from configs alone. */

import { availableParallelism } from 'node:os';
import { errorMessage, InputError } from '../base/index.js';
import { DEFAULT_PROMPT, type PromptTemplate } from '../data/text/index.js';
import type { Graph } from '../engine/onnx/index.js';
import { elementCount } from '../engine/tensor/index.js';
import {
  estimateMemory,
  type MemoryEstimate,
  matrixFlops,
  stepNodes,
  type TrainingGraph,
} from '../engine/training/index.js';
import {
  checkpointWeights,
  findCheckpointFolder,
  parseHubertConfig,
  parseQwen2Config,
  parseRobertaConfig,
  publishedConfigs,
  readExportedEncoder,
  readHubertConfig,
  readQwen2Config,
  readRobertaConfig,
} from '../models/index.js';
import type { Recipe } from '../recipe/index.js';
import { labelCounts, loadCorpus, TRAINING_PARTS } from './corpus.js';
import { labelWords } from './examples.js';
import { promptTemplate } from './experiment.js';
import { countOf } from './run-facts.js';
import { planSteps } from './schedule.js';
import { type Stage, stageParameters } from './stage.js';
import {
  accumulationWarning,
  batchSplit,
  buildTraining,
  microBatchSize,
  stageSettings,
} from './stage-settings.js';
import { type BackboneConfigs, defineStage1, defineStage2, formerConfig } from './stages.js';

export interface StageSize {
  readonly trainable: number;
  readonly frozen: number;
  readonly memory: MemoryEstimate;
  /** Nodes of one training step. */
  readonly nodes: number;
  readonly buildSec: number;
  /** Absent where the corpus is not prepared; `corpusProblem` says why. */
  readonly steps?: { readonly perEpoch: number; readonly total: number; readonly utterances: number };
  readonly corpusProblem?: string;
  /** The batch that the memory is for, or each of its micro-batches. */
  readonly batch: Readonly<Record<string, number>>;
  /** How many micro-batches a step's batch is cut into; 1 where it goes through the models whole. */
  readonly microBatches: number;
  /** What gradient accumulation changes in the results, where it does. */
  readonly warning: string | undefined;
}

import { TARGET_RUN_SEC } from './trainer.js';

/** Builds the full training graph of a stage and sizes it. @throws InputError for a config that cannot be built */
export async function sizeStage(recipe: Recipe, number: 1 | 2, fold: number | undefined): Promise<StageSize> {
  const settings = stageSettings(recipe, number);
  const warning = accumulationWarning(recipe, number);
  const configs = await backboneConfigs(recipe, number);
  const corpus = await loadCorpus(recipe, fold, TRAINING_PARTS).catch((error: unknown) => {
    if (error instanceof InputError) return errorMessage(error);
    throw error;
  });
  const known = typeof corpus === 'string' ? undefined : corpus;
  const counts = known ? labelCounts(known.train, recipe.labels) : recipe.labels.map(() => 1);
  const plan = planSteps(known?.train.length ?? settings.batch_size, {
    epochs: settings.epochs,
    batchSize: settings.batch_size,
    warmupFraction: settings.warmup_fraction,
    seed: recipe.seed,
  });
  const { encoder_onnx } = recipe.backbones;
  // Unlike weights, which may still be to fetch, an exported encoder is there or the recipe is wrong.
  if (encoder_onnx !== null) await readExportedEncoder(encoder_onnx, configs.encoder);
  const startedAt = performance.now();
  const stage = defineUnweighted(recipe, number, configs, counts);
  const parameters = stageParameters(stage);
  const training = buildTraining({ recipe, stage, parameters }, plan);
  const buildSec = (performance.now() - startedAt) / 1000;
  const typical = typicalStep(recipe, number);
  return {
    trainable: countOf(parameters.trainable),
    frozen: countOf(parameters.frozen),
    memory: trainingMemory(training, typical),
    nodes: stepNodes(training),
    buildSec,
    ...typical,
    warning,
    ...(known
      ? { steps: { perEpoch: plan.stepsPerEpoch, total: plan.totalSteps, utterances: known.train.length } }
      : { corpusProblem: corpus as string }),
  };
}

/** Multiply-adds count two; measured on server cores with AVX2, for whole steps. */
const FLOPS_PER_CORE = 60e9;

/** The estimate for the trainer's runs of the graph, which take several steps where two are within the time of a run. */
function trainingMemory(training: TrainingGraph, { batch, microBatches }: TypicalStep): MemoryEstimate {
  const stepSec = matrixFlops(training, batch, microBatches) / (FLOPS_PER_CORE * availableParallelism());
  return estimateMemory(training, batch, 2 * stepSec > TARGET_RUN_SEC ? 1 : 2, microBatches);
}

/** One line: the peak of this process so far, all threads, beside what `--dry-run` says. */
export function peakMemory(training: TrainingGraph, recipe: Recipe, stage: 1 | 2): string {
  const estimate = trainingMemory(training, typicalStep(recipe, stage)).totalBytes;
  const mib = (bytes: number): string => `${Math.round(bytes / 2 ** 20).toLocaleString('en')} MiB`;
  return `peak memory of this process: ${mib(process.resourceUsage().maxRSS * 1024)} (estimated for a batch of 5-second clips: ${mib(estimate)})`;
}

/** Configs from the checkpoints where they are present, else as published. */
export async function backboneConfigs(
  recipe: Pick<Recipe, 'backbones'>,
  stage: 1 | 2,
): Promise<BackboneConfigs> {
  const { encoder, former, llm } = recipe.backbones;
  const orPublished = async <T>(
    name: string,
    read: (name: string) => Promise<T>,
    parse: (raw: Readonly<Record<string, unknown>>, path: string) => T,
  ): Promise<T> => {
    const published = publishedConfigs[name];
    // A checkpoint that is there but broken is told of: only an absent one is looked up.
    const isPresent = await findCheckpointFolder(name).then(
      () => true,
      () => false,
    );
    return isPresent || published === undefined ? read(name) : parse(published, `${name} (as published)`);
  };
  return {
    encoder: await orPublished(encoder, readHubertConfig, (raw, path) => parseHubertConfig(raw, path)),
    former: await orPublished(former, readRobertaConfig, parseRobertaConfig),
    llm: stage === 2 ? await orPublished(llm, readQwen2Config, parseQwen2Config) : undefined,
  };
}

/** The stage over weights that are never loaded: references into no file. */
function defineUnweighted(
  recipe: Recipe,
  number: 1 | 2,
  configs: BackboneConfigs,
  counts: readonly number[],
): Stage {
  const frozen = (graph: Graph) =>
    checkpointWeights(graph, (key, shape) => ({
      key,
      shape,
      dtype: 'float32',
      path: '/unweighted.safetensors',
      offset: 0,
      byteLength: 4 * elementCount(shape),
    }));
  const former = formerConfig(recipe, configs.encoder, configs.former);
  if (number === 1) return defineStage1(recipe, former, counts, frozen);
  // Which token a label word is does not change any size.
  return defineStage2(recipe, former, configs.llm!, [...recipe.labels.keys()], frozen);
}

type TypicalStep = Pick<StageSize, 'batch' | 'microBatches'>;

/** Tokens of the default prompt, and of a middling transcript in it. */
const [PROMPT_TOKENS, TRANSCRIPT_TOKENS] = [128, 32];

/** Tokens of the recipe's prompt: what it adds to the transcript goes by its length beside the default one's. */
function promptTokens(recipe: Recipe): number {
  const labels = labelWords(recipe).join(', ');
  const lengthOf = ({ system, user, answer }: PromptTemplate): number =>
    [system, user, answer].join('\n').replaceAll('{labels}', labels).length;
  const share = lengthOf(promptTemplate(recipe)) / lengthOf(DEFAULT_PROMPT);
  return Math.round(TRANSCRIPT_TOKENS + (PROMPT_TOKENS - TRANSCRIPT_TOKENS) * share);
}

/** A step of middling clips: 5 s of audio, 30 words' tokens, and the recipe's prompt around them. */
function typicalStep(recipe: Recipe, stage: 1 | 2): TypicalStep {
  const settings = stageSettings(recipe, stage);
  const utterances = [...Array(settings.batch_size).keys()];
  const microBatches = batchSplit(settings)?.(utterances).length ?? 1;
  const batch = microBatchSize(settings);
  const audio = Math.round(Math.min(5, recipe.max_audio_sec) * 50);
  const isUnfused = recipe.fusion === 'none' && recipe.inputs !== 'text';
  const frames = isUnfused ? Math.min(audio, recipe.projector.slots) : audio;
  const text = Math.min(32, recipe.max_text_tokens);
  const prompt = promptTokens(recipe) + (isUnfused ? frames : 0);
  return { batch: { batch, frames, text, prompt, answers: 2 * batch }, microBatches };
}
