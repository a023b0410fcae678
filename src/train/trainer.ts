/**
 * @file The training loop: groups of K steps per run of the graph, K sized by time; the next group is prepared while
 * one computes; state is saved at epoch ends, every few minutes and on interruption, so that a resumed run ends with
 * the same bytes as an uninterrupted one.
 */

import type { HostedSession } from '../engine/runtime/index.js';
import { float32, int64, type Tensor } from '../engine/tensor/index.js';
import {
  type Batch,
  type BatchInput,
  dropoutOffsets,
  dropoutPools,
  firstMomentName,
  secondMomentName,
  stackBatches,
  type TrainingGraph,
} from '../engine/training/index.js';
import type { MetricsLog, RunFolder } from './run-folder.js';
import type { StepPlan } from './schedule.js';
import { type BestEpoch, positionMetadata, type TrainingPosition } from './training-state.js';

/** Validation figures of an epoch, by metric name. */
export type ValidationFigures = Readonly<Record<string, number>>;

/** What is told after each group of steps, and with figures after each epoch. */
export interface TrainingReport {
  readonly step: number;
  readonly totalSteps: number;
  readonly epoch: number;
  readonly epochs: number;
  /** Of the last step; absent where none has been made since the run went on. */
  readonly loss?: number;
  readonly validation?: ValidationFigures;
}

export interface TrainerOptions {
  readonly folder: RunFolder;
  readonly session: HostedSession;
  readonly graph: TrainingGraph;
  readonly inputs: readonly BatchInput[];
  readonly parameterKeys: readonly string[];
  readonly plan: StepPlan;
  readonly learningRate: number;
  readonly seed: number;
  /** Upper bound of every symbol over all batches: sizes the dropout pools. */
  readonly largest: Readonly<Record<string, number>>;
  readonly batch: (indices: readonly number[]) => Promise<Batch>;
  /** Figures on the validation set with the parameters in training; absent without one. Rejects when stopped. */
  readonly validate?: () => Promise<ValidationFigures>;
  /** Metric that chooses the epoch to keep; 'last' keeps the last one. */
  readonly select: string;
  readonly start: TrainingPosition;
  readonly metrics: MetricsLog;
  readonly onReport?: (report: TrainingReport) => void;
  readonly stop?: AbortSignal;
  /** Fixed number of steps per run of the graph, instead of one sized by time. */
  readonly stepsPerRun?: number;
}

const TARGET_RUN_SEC = 2;
const MAX_STEPS_PER_RUN = 64;
const MAX_FEED_BYTES = 128 * 1024 * 1024;
const SAVE_INTERVAL_SEC = 600;

/** Trains to the end of the plan or until `stop`; the position says which. */
export async function train(options: TrainerOptions): Promise<TrainingPosition> {
  const { plan, session, folder, metrics } = options;
  const pools = dropoutPools(options.graph.dropout, options.seed, options.largest);
  const epochs = Math.round(plan.totalSteps / plan.stepsPerEpoch);
  let position = options.start;
  let lastSave = performance.now();
  const grouping = stepGrouping(options);
  let next = prepareAhead(position.step);

  const save = async (): Promise<void> => {
    position = { ...position, metricsBytes: metrics.size() };
    await session.saveState(folder.state, stateNames(options.parameterKeys), positionMetadata(position));
    lastSave = performance.now();
  };

  /** A failed preparation is reported when its group is due, not as an unhandled rejection meanwhile. */
  function prepareAhead(step: number): ReturnType<typeof prepare> {
    const group = prepare(step);
    group.catch(() => undefined);
    return group;
  }

  async function prepare(
    step: number,
  ): Promise<{ count: number; feeds: Record<string, Tensor> } | undefined> {
    const left = plan.stepsPerEpoch - (step % plan.stepsPerEpoch);
    const count = Math.min(grouping.size(), left, plan.totalSteps - step);
    if (count <= 0) return undefined;
    const batches = await Promise.all(
      Array.from({ length: count }, (_, k) => options.batch(plan.batchOf(step + k))),
    );
    const sizes = batches.map((batch) => batch.sizes);
    return {
      count,
      feeds: {
        learning_rate: float32([], [options.learningRate]),
        step: int64([], [step]),
        ...stackBatches(options.inputs, batches),
        ...pools,
        ...dropoutOffsets(options.graph.dropout, options.seed, step, sizes, options.largest),
      },
    };
  }

  /** Validates a finished epoch and saves. Stopped in the middle, it leaves the epoch to the next run. */
  const endEpoch = async (loss: number | undefined): Promise<void> => {
    const epoch = position.epoch + 1;
    const validation = await options.validate?.().catch((error: unknown) => {
      if (!options.stop?.aborted) throw error;
      return 'stopped' as const;
    });
    if (validation === 'stopped') return;
    if (validation !== undefined) await metrics.append([{ epoch, step: position.step, validation }]);
    position = {
      ...position,
      epoch,
      best: await keepBest(options, position.best, epoch, epochs, validation),
    };
    await save();
    const report = { step: position.step, totalSteps: plan.totalSteps, epoch, epochs };
    options.onReport?.({ ...report, ...(loss !== undefined && { loss }), ...(validation && { validation }) });
  };

  let loss: number | undefined;
  while (position.epoch < epochs) {
    if (options.stop?.aborted) {
      await save();
      return position;
    }
    if (position.step === (position.epoch + 1) * plan.stepsPerEpoch) {
      await endEpoch(loss);
      continue;
    }
    const group = await next;
    if (group === undefined) break;
    const startedAt = performance.now();
    const running = session.run(group.feeds);
    next = prepareAhead(position.step + group.count);
    const outputs = await running;
    grouping.took(group, (performance.now() - startedAt) / 1000);

    const firstStep = position.step;
    const lines = stepLines(outputs, options.graph.reported, firstStep, plan.stepsPerEpoch);
    checkFinite(lines, firstStep);
    await metrics.append(lines);
    position = { ...position, step: firstStep + group.count };
    loss = Number(lines.at(-1)!.loss);
    const epoch = position.epoch + 1;
    options.onReport?.({ step: position.step, totalSteps: plan.totalSteps, epoch, epochs, loss });
    if ((performance.now() - lastSave) / 1000 > SAVE_INTERVAL_SEC) await save();
  }
  return position;
}

/** Everything that a resumed run must find again. */
function stateNames(keys: readonly string[]): string[] {
  return [...keys, ...keys.map(firstMomentName), ...keys.map(secondMomentName)];
}

/** Writes the checkpoint when this epoch is the one to keep so far. */
async function keepBest(
  { select, session, folder, parameterKeys }: TrainerOptions,
  best: BestEpoch | null,
  epoch: number,
  epochs: number,
  validation: ValidationFigures | undefined,
): Promise<BestEpoch | null> {
  const value = validation?.[select];
  if (value === undefined) {
    if (epoch < epochs) return best;
    await session.saveState(folder.checkpoint, parameterKeys, {});
    return { epoch, metric: null, value: null };
  }
  if (best?.value !== undefined && best?.value !== null && value <= best.value) return best;
  await session.saveState(folder.checkpoint, parameterKeys, {});
  return { epoch, metric: select, value };
}

/** One line for each step: step (1-based), epoch (1-based) and the graph's per-step outputs. */
function stepLines(
  outputs: Readonly<Record<string, Tensor>>,
  names: readonly string[],
  firstStep: number,
  stepsPerEpoch: number,
): Record<string, number>[] {
  const count = outputs.loss!.data.length;
  return Array.from({ length: count }, (_, k) => {
    const step = firstStep + k;
    const figures = names.map((name) => [name, Number((outputs[name]!.data as Float32Array)[k])] as const);
    return { step: step + 1, epoch: Math.floor(step / stepsPerEpoch) + 1, ...Object.fromEntries(figures) };
  });
}

function checkFinite(lines: readonly Record<string, number>[], firstStep: number): void {
  const bad = lines.findIndex(
    ({ loss, gradient_norm }) => !Number.isFinite(loss) || !Number.isFinite(gradient_norm),
  );
  if (bad < 0) return;
  throw new Error(
    `the loss is not finite at step ${firstStep + bad + 1}; lower the learning rate, or look for a broken recording. The last saved state is kept`,
  );
}

/** How many steps go into one run of the graph: as many as fit the target time, so that Ctrl-C answers soon. */
function stepGrouping({ stepsPerRun }: TrainerOptions) {
  let size = stepsPerRun ?? 1;
  return {
    size: () => size,
    took(group: { count: number; feeds: Readonly<Record<string, Tensor>> }, seconds: number): void {
      if (stepsPerRun !== undefined) return;
      const bytes = Object.values(group.feeds).reduce((total, { data }) => total + data.byteLength, 0);
      const byTime = Math.floor(TARGET_RUN_SEC / (seconds / group.count));
      const bySize = Math.floor(MAX_FEED_BYTES / (bytes / group.count));
      // At most doubled each time: the first runs are slow while memory is being claimed.
      size = Math.max(1, Math.min(byTime, bySize, size * 2, MAX_STEPS_PER_RUN));
    },
  };
}
