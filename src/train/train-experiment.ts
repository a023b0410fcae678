/** @file An experiment's examples, batches and validation in the hands of the trainer. */

import type { HostedSession } from '../engine/runtime/index.js';
import type { TrainingGraph } from '../engine/training/index.js';
import { collate } from './collation.js';
import type { Example } from './examples.js';
import type { Experiment } from './experiment.js';
import type { FeatureSource } from './features.js';
import { inferAll, validationFigures } from './inference.js';
import { openMetrics, type RunFolder } from './run-folder.js';
import type { StepPlan } from './schedule.js';
import { stageSettings } from './stage-settings.js';
import { type TrainingReport, train } from './trainer.js';
import type { TrainingPosition } from './training-state.js';

/** How a caller follows and stops the training. */
export interface TrainingControls {
  readonly stepsPerRun?: number;
  readonly onReport?: (report: TrainingReport) => void;
  readonly stop?: AbortSignal;
}

/** What training goes on in: the run's folder and plan, its graphs and where it starts. */
export interface TrainingSetup {
  readonly folder: RunFolder;
  readonly plan: StepPlan;
  readonly start: TrainingPosition;
  readonly training: TrainingGraph;
  readonly session: HostedSession;
  readonly evaluationSession: HostedSession | undefined;
}

/** Trains an experiment to the end of its plan, or until it is stopped. */
export async function trainExperiment(
  options: TrainingControls,
  experiment: Experiment,
  features: FeatureSource,
  { folder, plan, start, training, session, evaluationSession }: TrainingSetup,
): Promise<TrainingPosition> {
  const { recipe, corpus, stage, parameters } = experiment;
  const settings = stageSettings(recipe, stage.number);
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
