/** @file One stage of one experiment from start, or from where it stopped, to its checkpoint. */

import { InputError, pathExists, sha256OfFile, writeFileAtomic, writeJsonAtomic } from '../base/index.js';
import { externalDataFolder, type Graph, serializeModel } from '../engine/onnx/index.js';
import {
  deviceName,
  type HostedSession,
  type SessionHost,
  startSessionHost,
} from '../engine/runtime/index.js';
import { elementCount } from '../engine/tensor/index.js';
import type { TrainingGraph } from '../engine/training/index.js';
import { openWeightsFile, type ParameterShape } from '../models/index.js';
import type { Recipe } from '../recipe/index.js';
import { collate } from './collation.js';
import { labelCounts } from './corpus.js';
import type { Example } from './examples.js';
import { type Experiment, experimentFeatures, openExperiment, promptTemplate } from './experiment.js';
import type { ComputeOptions, FeatureSource } from './features.js';
import { inferAll, validationFigures } from './inference.js';
import { audioStatistics, initialStage1, initialStage2 } from './initial-parameters.js';
import {
  createRun,
  inspectRun,
  openMetrics,
  type RunFacts,
  type RunFolder,
  readFacts,
  removeTemporaries,
  stageFolder,
} from './run-folder.js';
import { lockRun } from './run-lock.js';
import { planSteps, type StepPlan } from './schedule.js';
import { stageEvaluationGraph, stageTrainingGraph } from './stage.js';
import { type TrainingReport, train } from './trainer.js';
import { readPosition, type TrainingPosition } from './training-state.js';

export interface StageRunOptions {
  readonly recipe: Recipe;
  readonly stage: 1 | 2;
  readonly fold: number | undefined;
  /** Folder of the experiment; the run goes to `<root>/stage<N>[/fold-N]`. */
  readonly root: string;
  readonly compute: ComputeOptions;
  /** Versions to record: emoq, its revision, Node, onnxruntime. */
  readonly versions: Readonly<Record<string, string>>;
  readonly stepsPerRun?: number;
  /** Told once when the steps begin: how many are done already, and of how many. */
  readonly onStart?: (step: number, totalSteps: number) => void;
  readonly onReport?: (report: TrainingReport) => void;
  readonly onNote?: (text: string) => void;
  readonly onWarning?: (text: string) => void;
  readonly stop?: AbortSignal;
}

export interface StageOutcome {
  /** `already`: the run was finished before. */
  readonly status: 'finished' | 'interrupted' | 'already';
  readonly folder: RunFolder;
  readonly position: TrainingPosition;
  readonly totalSteps: number;
}

const START: TrainingPosition = { step: 0, epoch: 0, metricsBytes: 0, best: null };

/**
 * Trains a stage. The same call goes on with an unfinished run of the same recipe and does nothing for a finished one.
 * The run folder is made when everything that a user can get wrong has been read.
 * @throws InputError for bad input, or a run folder of another recipe
 */
export async function runStage(options: StageRunOptions): Promise<StageOutcome> {
  const { recipe, stage, fold, root, onNote } = options;
  const folder = stageFolder(root, stage, fold);
  const experiment = await openExperiment(recipe, stage, fold);
  const { corpus, parameters } = experiment;
  const stage1 = await stage1Checkpoint(options);
  const plan = planSteps(corpus.train.length, {
    epochs: settingsOf(experiment).epochs,
    batchSize: settingsOf(experiment).batch_size,
    warmupFraction: settingsOf(experiment).warmup_fraction,
    seed: recipe.seed,
  });
  const facts = runFacts(options, experiment, plan, stage1 && (await sha256OfFile(stage1)));
  const status = await inspectRun(folder, recipe, facts);
  const start = (await readPosition(folder.state)) ?? START;
  if (status === 'finished')
    return { status: 'already', folder, position: start, totalSteps: plan.totalSteps };
  reviewCorpus(experiment, options);
  if (status === 'unfinished') onNote?.(`going on after step ${start.step} of ${plan.totalSteps}`);

  options.compute.onBegin?.();
  const features = await experimentFeatures(experiment, [...corpus.train, ...corpus.dev], options.compute);
  const training = buildTraining(experiment, plan);
  const evaluation = stageEvaluationGraph(experiment.stage, parameters);
  const initial = status === 'new' ? await initialParameters(experiment, features, stage1) : undefined;
  const unlock = await lockRun(folder);
  const host = startSessionHost();
  try {
    if (status === 'new') await createRun(folder, recipe, facts);
    await removeTemporaries(folder);
    const trainingModel = await writeModel(folder.trainingModel, training.graph);
    const evaluationModel = await writeModel(folder.evaluationModel, evaluation);
    const session = await openSession(host, trainingModel, options.compute, training);
    if (initial === undefined) await session.loadState(folder.state);
    else await session.setState(initial);
    const evaluationSession =
      corpus.dev.length === 0 ? undefined : await openSession(host, evaluationModel, options.compute);
    options.onStart?.(start.step, plan.totalSteps);
    const position = await trainOn(options, experiment, features, {
      folder,
      plan,
      start,
      training,
      session,
      evaluationSession,
    });
    const finished = position.epoch * plan.stepsPerEpoch >= plan.totalSteps;
    if (finished)
      await writeJsonAtomic(folder.facts, { ...facts, status: 'finished', selected: position.best });
    return { status: finished ? 'finished' : 'interrupted', folder, position, totalSteps: plan.totalSteps };
  } finally {
    await host.close();
    await unlock();
  }
}

function settingsOf({ recipe, stage }: Experiment): Recipe['stage1'] | Recipe['stage2'] {
  return stage.number === 1 ? recipe.stage1 : recipe.stage2;
}

/** The training graph of an experiment under its recipe's optimizer settings. */
export function buildTraining(
  experiment: Pick<Experiment, 'recipe' | 'stage' | 'parameters'>,
  plan: Pick<StepPlan, 'warmupSteps' | 'totalSteps'>,
): TrainingGraph {
  const { recipe, stage, parameters } = experiment;
  const settings = stage.number === 1 ? recipe.stage1 : recipe.stage2;
  const optimizer = {
    beta1: settings.adam_beta1,
    beta2: settings.adam_beta2,
    epsilon: settings.adam_eps,
    weightDecay: settings.weight_decay,
    clipNorm: settings.grad_clip,
  };
  return stageTrainingGraph(stage, parameters, optimizer, plan);
}

/** Path of the stage-1 checkpoint that stage 2 starts from, where it does. */
async function stage1Checkpoint({ recipe, stage, root, fold }: StageRunOptions): Promise<string | undefined> {
  if (stage === 1 || !recipe.stage2.from_stage1 || recipe.inputs === 'text') return undefined;
  const folder = stageFolder(root, 1, fold);
  const facts = await readFacts(folder);
  if (facts?.status === 'finished' && (await pathExists(folder.checkpoint))) return folder.checkpoint;
  const lacking = facts?.status === 'training' ? 'is not finished' : 'has no checkpoint';
  throw new InputError(
    `stage 2 starts from stage 1, and ${folder.dir} ${lacking}; run stage1 first, or --set stage2.from_stage1=false`,
  );
}

/** Says what of the corpus is not trained on, and which classes it has nothing of. */
function reviewCorpus({ recipe, corpus }: Experiment, { onNote, onWarning }: StageRunOptions): void {
  const left = Object.entries(corpus.dropped).map(([label, count]) => `${label} ${count}`);
  if (left.length > 0) onNote?.(`left out by the recipe: ${left.join(', ')}`);
  const counts = labelCounts(corpus.train, recipe.labels);
  const absent = recipe.labels.filter((_, index) => counts[index] === 0);
  if (absent.length > 0) onWarning?.(`no training utterance has the label ${absent.join(' or ')}`);
}

async function initialParameters(
  experiment: Experiment,
  features: FeatureSource,
  stage1: string | undefined,
) {
  const { recipe, stage, parameters, backbones, corpus, needsAudio } = experiment;
  const width = backbones.configs.encoder.hiddenSize;
  const audio =
    needsAudio && stage1 === undefined
      ? await audioStatistics(experiment.examples(corpus.train), features, width)
      : undefined;
  if (stage.number === 1) return initialStage1(parameters.trainable, backbones, recipe.seed, audio);
  const trained = stage1 === undefined ? undefined : await openWeightsFile(stage1);
  return initialStage2(parameters.trainable, recipe, backbones, trained, audio);
}

function countOf(parameters: readonly ParameterShape[]): number {
  return parameters.reduce((total, { shape }) => total + elementCount(shape), 0);
}

function runFacts(
  options: StageRunOptions,
  experiment: Experiment,
  plan: StepPlan,
  stage1: string | undefined,
): RunFacts {
  const { recipe, corpus, parameters, prompt } = experiment;
  return {
    format: 'emoq-run',
    stage: options.stage,
    fold: options.fold ?? null,
    name: recipe.name,
    labels: recipe.labels,
    status: 'training',
    seed: recipe.seed,
    manifest: { path: recipe.manifest, sha256: corpus.manifest.sha256 },
    utterances: { train: corpus.train.length, dev: corpus.dev.length, test: corpus.test.length },
    stage1: stage1 ?? null,
    prompt: prompt === undefined ? null : promptTemplate(recipe),
    parameters: { trainable: countOf(parameters.trainable), frozen: countOf(parameters.frozen) },
    steps: plan.totalSteps,
    selected: null,
    device: deviceName(options.compute.device),
    versions: options.versions,
  };
}

interface SavedModel {
  readonly model: Uint8Array;
  readonly weightsFolder: string | undefined;
}

/** Writes a graph as an artifact. Weights stay where they are; the model says relative to which folder. */
async function writeModel(path: string, graph: Graph): Promise<SavedModel> {
  const weightsFolder = externalDataFolder(graph);
  const options =
    weightsFolder === undefined ? {} : { weightsFolder, metadata: { weights_folder: weightsFolder } };
  const model = serializeModel(graph, options);
  await writeFileAtomic(path, model);
  return { model, weightsFolder };
}

function openSession(
  host: SessionHost,
  { model, weightsFolder }: SavedModel,
  { device, threads }: ComputeOptions,
  training?: TrainingGraph,
): Promise<HostedSession> {
  // Frozen weights are shared by training and validation where they lie; repacked they would be held three times.
  const options = {
    device,
    disablePrepacking: true,
    ...(threads && { threads }),
    ...(weightsFolder && { weightsFolder }),
  };
  return host.open(model, options, training?.state);
}

interface TrainingSetup {
  readonly folder: RunFolder;
  readonly plan: StepPlan;
  readonly start: TrainingPosition;
  readonly training: TrainingGraph;
  readonly session: HostedSession;
  readonly evaluationSession: HostedSession | undefined;
}

async function trainOn(
  options: StageRunOptions,
  experiment: Experiment,
  features: FeatureSource,
  { folder, plan, start, training, session, evaluationSession }: TrainingSetup,
): Promise<TrainingPosition> {
  const { recipe, corpus, stage, parameters } = experiment;
  const settings = settingsOf(experiment);
  const trainExamples = experiment.examples(corpus.train);
  const devExamples = experiment.examples(corpus.dev);
  const collation = experiment.collation(features, true);
  const inference = experiment.collation(features, false);
  return train({
    folder,
    session,
    graph: training,
    inputs: [...stage.inputs, ...stage.targets],
    parameterKeys: parameters.trainable.map(({ key }) => key),
    plan,
    learningRate: settings.learning_rate,
    seed: recipe.seed,
    largest: largestSizes(trainExamples, features, settings.batch_size),
    batch: (indices) =>
      collate(
        indices.map((index) => trainExamples[index]!),
        collation,
      ),
    ...(evaluationSession && {
      validate: async () => {
        const inferences = await inferAll(devExamples, {
          session: evaluationSession,
          parametersOf: session,
          collation: inference,
          batchSize: settings.batch_size,
          stop: options.stop,
        });
        return validationFigures(devExamples, inferences, recipe.labels);
      },
    }),
    select: settings.select,
    start,
    metrics: await openMetrics(folder.metrics, start.metricsBytes),
    ...(options.onReport && { onReport: options.onReport }),
    ...(options.stop && { stop: options.stop }),
    ...(options.stepsPerRun && { stepsPerRun: options.stepsPerRun }),
  });
}

/** Bounds of every symbol over all training batches. */
function largestSizes(
  examples: readonly Example[],
  features: FeatureSource,
  batch: number,
): Record<string, number> {
  const most = (of: (example: Example) => number): number =>
    examples.reduce((largest, example) => Math.max(largest, of(example)), 1);
  return {
    batch,
    text: most(({ textIds }) => textIds.length),
    frames: most(({ id }) => features.frames(id)),
    prompt: most(({ prompt }) => (prompt?.ids.length ?? 0) + (prompt?.answer.length ?? 0)),
    answers: batch * most(({ prompt }) => prompt?.answer.length ?? 0),
  };
}
