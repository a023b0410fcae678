/** @file A stage sized without its weights: parameters, memory and steps, from configs alone. */

import { availableParallelism } from 'node:os';
import {
  checkLoraTargets,
  chooseHead,
  type DecoderConfig,
  encoderWidth,
  parseDecoderConfig,
  parseEncoderConfig,
  parseTextEncoderConfig,
  publishedConfigs,
  readDecoderConfig,
  readEncoderConfig,
  readTextEncoderConfig,
} from '../backbones/index.js';
import { errorMessage, InputError } from '../base/index.js';
import { findCheckpointFolder, openCheckpoint } from '../checkpoints/index.js';
import type { Graph } from '../engine/onnx/index.js';
import { type DType, dtypeInfo, elementCount } from '../engine/tensor/index.js';
import {
  estimateMemory,
  type MemoryEstimate,
  matrixFlops,
  stepNodes,
  type TrainingGraph,
} from '../engine/training/index.js';
import { checkpointWeights, FORMER_PREFIX } from '../nn/index.js';
import type { Recipe } from '../recipe/index.js';
import { labelCounts, loadCorpus, TRAINING_PARTS } from './corpus.js';
import { countOf } from './run-facts.js';
import { countSteps } from './schedule.js';
import { type Stage, stageEvaluationGraph, stageParameters } from './stage.js';
import { type StageNeeds, stageNeeds, trainingStart } from './stage-needs.js';
import { accumulationWarning, buildTraining, stageSettings } from './stage-settings.js';
import { type BackboneConfigs, defineStage } from './stages.js';
import {
  corpusSteps,
  largestSteps,
  middlingStep,
  type StepSize,
  type UtteranceLengths,
} from './step-sizes.js';
import { MAX_STEPS_PER_RUN, TARGET_RUN_SEC } from './trainer.js';

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
  /** The step that the memory is for. */
  readonly step: StepSize;
  /** Epochs whose largest step that is; absent for one of middling clips, where the corpus is not prepared. */
  readonly epochs?: number;
  /** What in the corpus is likely not meant, what gradient accumulation changes in the results, and what is to know of the encoder. */
  readonly warnings: readonly string[];
}

/** Epochs whose batches are looked at: the longest clip is in each, beside others. */
const SIZED_EPOCHS = 5;

/** Builds the full training graph of a stage and sizes it. @throws InputError for a config that cannot be built */
export async function sizeStage(recipe: Recipe, number: 1 | 2, fold: number | undefined): Promise<StageSize> {
  const settings = stageSettings(recipe, number);
  const needs = stageNeeds(recipe, number, trainingStart(recipe, number));
  const { configs, warning } = await backboneConfigs(recipe, needs);
  if (configs.llm) checkLoraTargets(configs.llm, recipe.lora.targets);
  const warnings = [accumulationWarning(recipe, number), warning].filter((text) => text !== undefined);
  const corpus = await loadCorpus(recipe, fold, needs.audio ? TRAINING_PARTS : []).catch((error: unknown) => {
    if (error instanceof InputError) return errorMessage(error);
    throw error;
  });
  const known = typeof corpus === 'string' ? undefined : corpus;
  const counts = known ? labelCounts(known.train, recipe.labels) : recipe.labels.map(() => 1);
  const passes = {
    epochs: settings.epochs,
    batchSize: settings.batch_size,
    warmupFraction: settings.warmup_fraction,
  };
  const plan = countSteps(known?.train.length ?? settings.batch_size, passes);
  const languageModelDtype = await languageModelType(recipe, needs);
  const startedAt = performance.now();
  const stage = defineUnweighted(recipe, number, configs, counts, languageModelDtype);
  const parameters = stageParameters(stage);
  const training = buildTraining({ recipe, stage, parameters }, plan);
  const buildSec = (performance.now() - startedAt) / 1000;
  const isValidated = known === undefined ? recipe.validation !== 'none' : known.dev.length > 0;
  const sized: SizedGraphs = {
    training,
    evaluation: isValidated ? stageEvaluationGraph(stage, parameters) : undefined,
    vocabulary: vocabularyOf(configs),
    stepsPerEpoch: plan.stepsPerEpoch,
  };
  const epochs = Math.min(settings.epochs, SIZED_EPOCHS);
  const hasSteps = known !== undefined && known.train.length > 0;
  const steps = hasSteps ? await corpusSteps(recipe, number, known, epochs) : [middlingStep(recipe, number)];
  return {
    trainable: countOf(parameters.trainable),
    frozen: countOf(parameters.frozen),
    ...largestEstimate(sized, steps),
    nodes: stepNodes(training),
    buildSec,
    warnings: [...(known?.warnings ?? []), ...warnings],
    ...(known
      ? {
          ...(hasSteps && { epochs }),
          steps: { perEpoch: plan.stepsPerEpoch, total: plan.totalSteps, utterances: known.train.length },
        }
      : { corpusProblem: corpus as string }),
  };
}

/** What a training process holds. */
export interface SizedGraphs {
  readonly training: TrainingGraph;
  /** Absent where nothing is validated. */
  readonly evaluation: Graph | undefined;
  /** Entries of the tokenizers together. */
  readonly vocabulary: number;
  readonly stepsPerEpoch: number;
}

/** Entries of a stage's tokenizers together. */
export function vocabularyOf({ former, llm }: Pick<BackboneConfigs, 'former' | 'llm'>): number {
  return (former?.vocabSize ?? 0) + (llm?.vocabSize ?? 0);
}

/** Multiply-adds count two; measured on server cores with AVX2, for whole steps. */
const FLOPS_PER_CORE = 60e9;
/** Roughly what a node takes beside its matrix products: what small models are slow with. */
const NODE_SEC = 8e-6;

/** The estimate for the trainer's runs of the graph, which take as many steps as are within the time of a run. */
function trainingMemory(
  { training, evaluation, vocabulary, stepsPerEpoch }: SizedGraphs,
  step: StepSize,
): MemoryEstimate {
  const { microBatches } = step;
  const batch = { ...step.batch };
  const stepSec =
    matrixFlops(training, batch, microBatches) / (FLOPS_PER_CORE * availableParallelism()) +
    NODE_SEC * stepNodes(training) * microBatches;
  const inTime = Math.floor(TARGET_RUN_SEC / stepSec);
  const stepsPerRun = Math.max(1, Math.min(inTime, MAX_STEPS_PER_RUN, stepsPerEpoch));
  return estimateMemory(training, batch, { stepsPerRun, microBatches, evaluation, vocabulary });
}

function largestEstimate(
  graphs: SizedGraphs,
  steps: readonly StepSize[],
): { readonly step: StepSize; readonly memory: MemoryEstimate } {
  const sized = steps.map((step) => ({ step, memory: trainingMemory(graphs, step) }));
  return sized.reduce((most, one) => (one.memory.totalBytes > most.memory.totalBytes ? one : most));
}

/** The steps that a process has made. */
export interface StepsMade {
  /** The training utterances of each, by index. */
  readonly batches: readonly (readonly number[])[];
  /** Of every training utterance. */
  readonly lengths: readonly UtteranceLengths[];
}

/** One line: the peak of this process so far, all threads, beside the estimate for the largest step that it made. */
export function peakMemory(
  graphs: SizedGraphs,
  { recipe, stage }: { readonly recipe: Recipe; readonly stage: 1 | 2 },
  { batches, lengths }: StepsMade,
): string {
  const mib = (bytes: number): string => `${Math.round(bytes / 2 ** 20).toLocaleString('en')} MiB`;
  const peak = `peak memory of this process: ${mib(process.resourceUsage().maxRSS * 1024)}`;
  if (batches.length === 0) return peak;
  const { step, memory } = largestEstimate(
    graphs,
    largestSteps(recipe, stage, batches, (index) => lengths[index]!),
  );
  return `${peak} (estimated: ${mib(memory.totalBytes)} for its largest step: ${stepText(step)})`;
}

/** "batch 8, 250 frames, 32 text tokens, prompt 128"; what a stage does not read is left out. */
export function stepText({ batch, microBatches }: StepSize): string {
  const rows =
    microBatches === 1 ? `batch ${batch.batch}` : `${microBatches} micro-batches of ${batch.batch}`;
  return [
    rows,
    ...(batch.frames > 0 ? [`${batch.frames} frames`] : []),
    ...(batch.text > 0 ? [`${batch.text} text tokens`] : []),
    ...(batch.prompt > 0 ? [`prompt ${batch.prompt}`] : []),
  ].join(', ');
}

/**
 * Configs of what is needed, from the checkpoints where they are present, else as published; with what is to know of the
 * encoder. Unlike weights, which may still be to fetch, an exported encoder is there or the recipe is wrong.
 */
export async function backboneConfigs(
  { backbones }: Pick<Recipe, 'backbones'>,
  needs: StageNeeds,
): Promise<{ readonly configs: BackboneConfigs; readonly warning: string | undefined }> {
  const { encoder, encoder_onnx: onnx, former, llm } = backbones;
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
  const publishedWidth = async (name: string): Promise<{ width: number; warning: undefined }> => {
    const config = await orPublished(name, readEncoderConfig, (raw, path) => parseEncoderConfig(raw, path));
    return { width: config.hiddenSize, warning: undefined };
  };
  const audio = !needs.audio
    ? undefined
    : onnx === null && encoder !== null
      ? await publishedWidth(encoder)
      : await encoderWidth(encoder, onnx);
  return {
    configs: {
      audioWidth: audio?.width ?? 0,
      former: needs.former
        ? await orPublished(former, readTextEncoderConfig, parseTextEncoderConfig)
        : undefined,
      llm: needs.llm ? await orPublished(llm, readLanguageModel, parseDecoderConfig) : undefined,
    },
    warning: audio?.warning,
  };
}

/** The config of a language model, with the head that its weights have, where they are there too. */
async function readLanguageModel(name: string): Promise<DecoderConfig> {
  const config = await readDecoderConfig(name);
  const checkpoint = await openCheckpoint(name).catch(() => undefined); // configs may be there before the weights are
  return checkpoint === undefined ? config : (await chooseHead(checkpoint, config)).config;
}

/** The type that the language model's weights are stored in: of the checkpoint, or the published ones' bfloat16. */
async function languageModelType({ backbones }: Recipe, { llm }: StageNeeds): Promise<DType> {
  if (!llm) return 'float32';
  const folder = await findCheckpointFolder(backbones.llm).catch(() => undefined);
  if (folder === undefined) return 'bfloat16';
  // Configs may be there before the weights are.
  const checkpoint = await openCheckpoint(folder).catch(() => undefined);
  const [first] = checkpoint?.weights.values() ?? [];
  return first?.dtype ?? 'bfloat16';
}

/** The stage over weights that are never loaded: references into no file. */
function defineUnweighted(
  recipe: Recipe,
  number: 1 | 2,
  configs: BackboneConfigs,
  counts: readonly number[],
  languageModelDtype: DType,
): Stage {
  const frozen = (graph: Graph) =>
    checkpointWeights(graph, (key, shape) => {
      const dtype = key.startsWith(FORMER_PREFIX) ? 'float32' : languageModelDtype;
      const byteLength = dtypeInfo[dtype].bytes * elementCount(shape);
      return { key, shape, dtype, path: '/unweighted.safetensors', offset: 0, byteLength };
    });
  // Which token a label word is does not change any size.
  const labelTokenIds = [...recipe.labels.keys()];
  return defineStage(recipe, number, configs, { trainingCounts: counts, labelTokenIds }, frozen);
}
