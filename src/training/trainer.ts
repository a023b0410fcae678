/**
 * @file The training loop. The graph runs K steps at a time, with K chosen by time, while the next group is prepared.
 * State is saved at epoch ends, every few minutes and on interruption, so a resumed run ends with the same bytes as an
 * uninterrupted one.
 */

import { ComputationError } from '../base/index.js';
import type { SavedName, WorkerSession } from '../engine/runtime/index.js';
import { float32, int64, type Tensor } from '../engine/tensor/index.js';
import {
  averageName,
  dropoutPools,
  firstMomentName,
  noEvaluationFeeds,
  secondMomentName,
  type TrainingGraph,
} from '../engine/training/index.js';
import type { StepPlan } from './batches.js';
import { type StepFeedOptions, stepFeeds } from './batches.js';
import { type RunLimits, runSizing } from './run-sizing.js';
import {
  type BestEpoch,
  keepParameters,
  type MetricsLine,
  type MetricsLog,
  positionMetadata,
  pruneCheckpoints,
  type RunFolder,
  type TimingRecorder,
  type TrainingPosition,
} from './runs/index.js';
import {
  heldCheckpoints,
  isTrainingOver,
  type JudgedEpochs,
  judgeEpoch,
  type SelectionRule,
} from './selection.js';

/** Validation figures of an epoch, by metric name. */
export type ValidationFigures = Readonly<Record<string, number>>;

/** Reported after each group of steps, and at the end of each epoch. */
export interface TrainingReport {
  readonly step: number;
  readonly totalSteps: number;
  readonly epoch: number;
  readonly epochs: number;
  /** Utterances trained on since the run began or was resumed. */
  readonly samples: number;
  /**
   * Figures of the last step, by name: `loss` and its parts, `gradient_norm`, `learning_rate_used`; absent if no step
   * has been run since the run was resumed.
   */
  readonly figures?: Readonly<Record<string, number>>;
  /** The epoch has ended, and has been validated if there is a validation set. */
  readonly epochEnded?: true;
  readonly validation?: ValidationFigures;
  /** The best epoch so far. */
  readonly best: BestEpoch | null;
}

export interface TrainerOptions extends StepFeedOptions {
  readonly folder: RunFolder;
  readonly session: WorkerSession;
  readonly parameterKeys: readonly string[];
  readonly plan: StepPlan;
  readonly learningRate: number;
  /** Figures on the validation set with the current parameters; absent without one. Rejects when stopped. */
  readonly validate?: () => Promise<ValidationFigures>;
  readonly selection: SelectionRule;
  /** How many of the last epochs' checkpoints to keep, in addition to the selected one. */
  readonly keepCheckpoints: number;
  /** Id of a training example, to list those of a failed step. */
  readonly idOf: (index: number) => string;
  readonly start: TrainingPosition;
  readonly metrics: MetricsLog;
  readonly onReport?: (report: TrainingReport) => void;
  readonly stop?: AbortSignal;
  /** Records time spent and saved states. */
  readonly timings?: TimingRecorder;
  readonly runLimits: RunLimits;
  /** Fixed number of steps per run of the graph, instead of one chosen by time. */
  readonly stepsPerRun?: number;
  /** Seconds after which the state is also saved within an epoch. */
  readonly saveIntervalSec?: number;
}

const SAVE_INTERVAL_SEC = 600;

/**
 * Trains until the selection rule ends the run, or until `stop`; the returned position shows which.
 * @throws ComputationError when a step's loss or gradient is not finite, naming its utterances
 */
export async function train(options: TrainerOptions): Promise<TrainingPosition> {
  const { plan, session, folder, metrics, selection } = options;
  const { epochs } = selection;
  const saveIntervalSec = options.saveIntervalSec ?? SAVE_INTERVAL_SEC;
  const pools = dropoutPools(options.graph.dropout, options.seed, options.largest);
  let position = options.start;
  let lastSave = performance.now();
  let savedStep = position.step;
  const sizing = runSizing(options.runLimits, options.stepsPerRun);
  let next = prepareAhead(position.step);

  const save = async (): Promise<void> => {
    position = { ...position, metricsBytes: metrics.size() };
    await metrics.sync();
    const metadata = positionMetadata(position);
    await session.saveState(folder.state, stateNames(options.graph, options.parameterKeys), metadata, {
      checksum: true,
    });
    await options.timings?.save(position.step);
    lastSave = performance.now();
    savedStep = position.step;
  };

  /** A failed preparation is reported when its group is due, not as an unhandled rejection before that. */
  function prepareAhead(step: number): ReturnType<typeof prepare> {
    const group = prepare(step);
    group.catch(() => undefined);
    return group;
  }

  async function prepare(
    step: number,
  ): Promise<{ count: number; feeds: Record<string, Tensor> } | undefined> {
    const left = plan.stepsPerEpoch - (step % plan.stepsPerEpoch);
    const count = Math.min(sizing.size(), left, plan.totalSteps - step);
    if (count <= 0) return undefined;
    const steps = Array.from({ length: count }, (_, k) => plan.batchOf(step + k));
    return {
      count,
      feeds: {
        learning_rate: float32([], [options.learningRate]),
        step: int64([], [step]),
        ...(await stepFeeds(options, step, steps)),
        ...pools,
        ...noEvaluationFeeds(options.graph),
      },
    };
  }

  const prune = (): Promise<void> =>
    pruneCheckpoints(folder, position.epoch, heldCheckpoints(position, selection, options.keepCheckpoints));

  /** Validates a finished epoch and saves. If interrupted, the resumed run validates the epoch. */
  const endEpoch = async (): Promise<void> => {
    const epoch = position.epoch + 1;
    const startedAt = performance.now();
    const validation = await options.validate?.().catch((error: unknown) => {
      if (!options.stop?.aborted) throw error;
      return 'stopped' as const;
    });
    options.timings?.spent('validation', (performance.now() - startedAt) / 1000);
    if (validation === 'stopped') return;
    if (validation !== undefined) await metrics.append([{ epoch, step: position.step, validation }]);
    position = { ...position, epoch, ...(await keepEpoch(options, position, epoch, validation)) };
    await save();
    await prune();
    report(epoch, { validation });
  };

  let samples = 0;
  let figures: Readonly<Record<string, number>> | undefined;
  const report = (epoch: number, ended?: { readonly validation: ValidationFigures | undefined }): void => {
    const { step, best } = position;
    const progress = { step, totalSteps: plan.totalSteps, epoch, epochs, samples, best };
    options.onReport?.({
      ...progress,
      ...(ended && { epochEnded: true as const }),
      ...(figures && { figures }),
      ...(ended?.validation && { validation: ended.validation }),
    });
  };

  await prune();
  while (!isTrainingOver(position, selection)) {
    if (options.stop?.aborted) {
      await save();
      return position;
    }
    if (position.step === (position.epoch + 1) * plan.stepsPerEpoch) {
      await endEpoch();
      continue;
    }
    const waitedSince = performance.now();
    const group = await next;
    if (group === undefined) break;
    const startedAt = performance.now();
    const running = session.run(group.feeds, options.graph.reported);
    next = prepareAhead(position.step + group.count);
    const outputs = await running;
    const tookSec = (performance.now() - startedAt) / 1000;
    sizing.took(group, tookSec);

    const firstStep = position.step;
    const lines = stepLines(outputs, options.graph.reported, firstStep, plan.stepsPerEpoch);
    const bad = lines.findIndex((line) => !isFiniteStep(line));
    await metrics.append(bad < 0 ? lines : lines.slice(0, bad), tookSec);
    if (bad >= 0) throw notFinite(options, lines[bad]!, savedStep);
    position = { ...position, step: firstStep + group.count };
    const trained = lines.reduce((total, { step }) => total + plan.batchOf(step - 1).length, 0);
    samples += trained;
    options.timings?.spent('training', (performance.now() - waitedSince) / 1000, trained);
    const { step: _step, epoch, ...last } = lines.at(-1)!;
    figures = last;
    report(epoch);
    if ((performance.now() - lastSave) / 1000 > saveIntervalSec) await save();
  }
  return position;
}

/** Names of everything a resumed run must restore. */
function stateNames({ averages, memory }: TrainingGraph, keys: readonly string[]): string[] {
  return [
    ...[...keys, ...keys.map(firstMomentName), ...keys.map(secondMomentName)],
    ...(averages ? keys.map(averageName) : []),
    ...memory,
  ];
}

/** What a checkpoint holds: the parameters, or their averages under the names of the parameters. */
function checkpointNames({ averages }: TrainingGraph, keys: readonly string[]): readonly SavedName[] {
  return averages ? keys.map((key) => [averageName(key), key] as const) : keys;
}

/**
 * Judges a finished epoch and keeps its parameters as needed: as the selected ones (or those of the epoch before it),
 * and among those of the last epochs.
 */
async function keepEpoch(
  { graph, selection, session, folder, parameterKeys, keepCheckpoints }: TrainerOptions,
  position: TrainingPosition,
  epoch: number,
  validation: ValidationFigures | undefined,
): Promise<JudgedEpochs> {
  const judged = judgeEpoch(selection, position, epoch, validation);
  const { best } = judged;
  const selected = best === position.best ? undefined : best!.epoch;
  const keep = heldCheckpoints({ ...position, ...judged, epoch }, selection, keepCheckpoints);
  await keepParameters(folder, { epoch, selected, keep }, (path) =>
    session.saveState(path, checkpointNames(graph, parameterKeys), {}),
  );
  return judged;
}

type StepLine = MetricsLine & Record<string, number>;

/** One line for each step: step (1-based), epoch (1-based) and the graph's per-step outputs. */
function stepLines(
  outputs: Readonly<Record<string, Tensor>>,
  names: readonly string[],
  firstStep: number,
  stepsPerEpoch: number,
): StepLine[] {
  const count = outputs.loss!.data.length;
  return Array.from({ length: count }, (_, k) => {
    const step = firstStep + k;
    const figures = names.map((name) => [name, Number((outputs[name]!.data as Float32Array)[k])] as const);
    return { step: step + 1, epoch: Math.floor(step / stepsPerEpoch) + 1, ...Object.fromEntries(figures) };
  });
}

function isFiniteStep({ loss, gradient_norm }: StepLine): boolean {
  return Number.isFinite(loss) && Number.isFinite(gradient_norm);
}

function notFinite(
  { plan, idOf }: TrainerOptions,
  { step, epoch, loss }: StepLine,
  savedStep: number,
): ComputationError {
  const what = Number.isFinite(loss) ? 'gradient' : 'loss';
  const ids = plan.batchOf(step - 1).map(idOf);
  const kept =
    savedStep > 0 ? `the state saved after step ${savedStep} is kept` : 'nothing has been saved yet';
  return new ComputationError(
    `the ${what} is not finite at step ${step} (epoch ${epoch}), made of ${ids.join(', ')}; check these for a broken recording, or lower the learning rate in a new run; ${kept}`,
  );
}
