/** @file An experiment's examples, batches and validation in the hands of the trainer. */

import type { HostedSession } from '../engine/runtime/index.js';
import type { TrainingGraph } from '../engine/training/index.js';
import { classificationMetrics, validationMetrics } from '../evaluation/index.js';
import { type Collation, collate, promptIds } from './collation.js';
import type { Example } from './examples.js';
import type { Experiment, TrainingExamples } from './experiment.js';
import type { FeatureSource } from './features.js';
import { type Inference, inferAll, outcomesOf, requireInferences, validationFigures } from './inference.js';
import { openMetrics, type RunFolder, type TimingRecorder, type TrainingPosition } from './run/index.js';
import type { StepPlan } from './schedule.js';
import { type SelectionRule, selectingMetric } from './selection.js';
import { smallValidationWarning } from './small-validation.js';
import { batchSplit, microBatchSize, stageSettings } from './stage-settings.js';
import { type TrainingReport, train } from './trainer.js';

/** How a caller follows and stops the training. */
export interface TrainingControls {
  readonly stepsPerRun?: number;
  readonly saveIntervalSec?: number;
  readonly onReport?: (report: TrainingReport) => void;
  /** Told of each batch while an epoch is validated. */
  readonly onValidation?: (done: number, total: number) => void;
  readonly onWarning?: (text: string) => void;
  readonly stop?: AbortSignal;
}

/** What training goes on in: the run's folder and plan, its graphs and where it starts. */
export interface TrainingSetup {
  readonly folder: RunFolder;
  readonly examples: TrainingExamples;
  readonly plan: StepPlan;
  readonly selection: SelectionRule;
  readonly start: TrainingPosition;
  readonly training: TrainingGraph;
  readonly session: HostedSession;
  readonly evaluationSession: HostedSession | undefined;
  readonly timings: TimingRecorder;
}

const DIVERGED =
  'the training has run away, or a backbone is damaged; lower the learning rate in a new run; the state saved last is kept';

/** Trains an experiment to the end of its plan, or until it is stopped. */
export async function trainExperiment(
  options: TrainingControls,
  experiment: Experiment,
  features: FeatureSource,
  { folder, examples, plan, selection, start, training, session, evaluationSession, timings }: TrainingSetup,
): Promise<TrainingPosition> {
  const { recipe, stage, parameters } = experiment;
  const settings = stageSettings(recipe, stage.number);
  const split = batchSplit(settings);
  const { train: trainExamples, dev: devExamples } = examples;
  const collation = experiment.collation(features, true);
  const inference = experiment.collation(features, false);
  let isFirst = start.epoch === 0;
  return train({
    folder,
    session,
    graph: training,
    inputs: [...stage.inputs, ...stage.targets],
    parameterKeys: parameters.trainable.map(({ key }) => key),
    plan,
    learningRate: settings.learning_rate,
    seed: recipe.seed,
    largest: largestSizes(trainExamples, collation, microBatchSize(settings)),
    ...(split && { split }),
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
          batchSize: microBatchSize(settings),
          stop: options.stop,
          onProgress: options.onValidation,
        });
        const whole = requireInferences(devExamples, inferences, DIVERGED);
        if (isFirst) reviewValidation(devExamples, whole, experiment, options);
        isFirst = false;
        return validationFigures(devExamples, whole, recipe.labels, selectingMetric(selection));
      },
    }),
    selection,
    keepCheckpoints: recipe.keep_checkpoints,
    idOf: (index) => trainExamples[index]!.id,
    start,
    timings,
    metrics: await openMetrics(folder, start.metricsBytes, {
      step: training.reported,
      validation: validationMetrics(selectingMetric(selection)).map(({ key }) => key),
    }),
    ...(options.onReport && { onReport: options.onReport }),
    ...(options.stop && { stop: options.stop }),
    ...(options.stepsPerRun && { stepsPerRun: options.stepsPerRun }),
    ...(options.saveIntervalSec !== undefined && { saveIntervalSec: options.saveIntervalSec }),
  });
}

/** Warns where the validation set is too small for what it decides. */
function reviewValidation(
  examples: readonly Example[],
  inferences: readonly Inference[],
  { recipe, stage }: Experiment,
  { onWarning }: TrainingControls,
): void {
  const { select, epochs } = stageSettings(recipe, stage.number);
  if (select === 'last' || select === 'smoothed' || epochs === 1) return;
  const outcomes = outcomesOf(examples, inferences, recipe.labels);
  const metrics = classificationMetrics(outcomes, recipe.labels);
  const warning = smallValidationWarning(outcomes, metrics, select, `stage${stage.number}.select`);
  if (warning !== undefined) onWarning?.(warning);
}

/** Bounds of every symbol over all training batches, or micro-batches, of so many utterances. */
function largestSizes(
  examples: readonly Example[],
  collation: Collation,
  batch: number,
): Record<string, number> {
  const most = (of: (example: Example) => number): number =>
    examples.reduce((largest, example) => Math.max(largest, of(example)), 1);
  return {
    batch,
    text: most(({ textIds }) => textIds.length),
    frames: most(({ id }) => collation.frames(id)),
    prompt: most((each) =>
      each.prompt === undefined ? 0 : promptIds(each, collation).length + each.prompt.answer.length,
    ),
    answers: batch * most(({ prompt }) => prompt?.answer.length ?? 0),
  };
}
