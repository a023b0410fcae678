/**
 * @file Trains the folds and seeds of a phase, one after the other or in parallel, on one device or each on one of
 * several. A failed run does not stop the others.
 */

import {
  ComputationError,
  createPool,
  InputError,
  InterruptedError,
  mapConcurrently,
} from '../base/index.js';
import type { Utterance } from '../data/corpora/index.js';
import { type Device, deviceName } from '../engine/runtime/index.js';
import { seedFolder } from '../inference/index.js';
import { type Recipe, systemOf, titleOf } from '../systems/index.js';
import {
  augmentationSeed,
  type ComputeOptions,
  loadCorpus,
  openAugmentation,
  openExperiment,
  type PhaseOutcome,
  type PhaseRun,
  phaseFeatures,
  phasesFrom,
  TRAINING_PARTS,
  type TrainPhaseOptions,
  trainPhase,
  variantItems,
} from '../training/index.js';
import { phaseFolder, readMetadata } from '../training/runs/index.js';
import { type RunTask, trainInProcess } from './run-process.js';
import { watchedRun } from './stop-rule.js';

/** One of several runs whose recipes differ only in the seed. */
export interface NamedRun extends PhaseRun {
  /** What distinguishes it from other runs of the same phase and fold: its seed, or its row of an ablation. */
  readonly title: string | undefined;
}

export type Runs = readonly [NamedRun, ...NamedRun[]];

/** The runs of a phase to train: one, or one for each seed and fold. */
export interface RunPlan {
  readonly phase: string;
  /** The recipe with each seed; a single one without a seed of its own if no seeds were requested. */
  readonly variants: readonly { readonly recipe: Recipe; readonly seed: number | undefined }[];
  readonly folds: readonly (number | undefined)[];
  /** Folder of the experiment. */
  readonly root: string;
}

export function plannedRuns({ phase, variants, folds, root }: RunPlan): Runs {
  return variants.flatMap(({ recipe, seed }) => {
    const own = seed === undefined ? root : seedFolder(root, seed);
    const title = seed === undefined ? undefined : `seed ${seed}`;
    return folds.map((fold): NamedRun => ({ phase, recipe, fold, root: own, title }));
  }) as [NamedRun, ...NamedRun[]];
}

/** Display name of a run: "stage 1, seed 2, fold 3". */
export function nameOfRun({ phase, title, fold }: Pick<NamedRun, 'phase' | 'title' | 'fold'>): string {
  return [titleOf(phase), ...(title ? [title] : []), ...(fold === undefined ? [] : [`fold ${fold}`])].join(
    ', ',
  );
}

/** Receives the events of one run. */
export interface RunListener
  extends Pick<TrainPhaseOptions, 'onStart' | 'onReport' | 'onValidation' | 'onNote' | 'onWarning'> {
  /** The run has ended, successfully or not; called before `onOutcome` and `onFailure`. */
  readonly onEnd?: () => void;
}

export interface TrainRunsOptions {
  readonly compute: ComputeOptions;
  readonly versions: Readonly<Record<string, string>>;
  readonly saveIntervalSec?: number | undefined;
  readonly stop: AbortSignal;
  /** Number of runs in parallel, each in its own process if more than one. */
  readonly jobs: number;
  /** Threads of each run when several run in parallel. */
  readonly threadsPerJob: number;
  /** Starts listening to a run. */
  readonly listen: (name: string, run: NamedRun) => RunListener;
  /** Called once when parallel runs begin. */
  readonly onParallel?: () => void;
  /** Called when a run has ended; throws to stop the remaining runs. */
  readonly onOutcome: (name: string, outcome: PhaseOutcome) => void;
  /** Called when a run has failed and the others continue. */
  readonly onFailure: (name: string, error: unknown) => void;
}

/**
 * Trains runs of one phase. Input errors of any run are reported before the first one begins. For parallel runs, clips
 * are encoded once beforehand.
 * @throws the error of a single run; for several, InputError if every failure is the user's, else ComputationError
 */
export async function trainRuns(runs: Runs, options: TrainRunsOptions): Promise<void> {
  const { jobs } = options;
  if (runs.length === 1) return trainOne(runs[0], options);
  await prepareRuns(runs, jobs === 1 ? undefined : options.compute);
  if (jobs === 1) return trainInSequence(runs, options);
  options.onParallel?.();
  return trainInParallel(runs, options);
}

/** Trains one run, and listens to it. @param stopping when it is stopped as hopeless */
export type RunTrainer = (run: NamedRun, stopping?: RunTask['stopping']) => Promise<PhaseOutcome>;

type TrainerOptions = Omit<TrainRunsOptions, 'onOutcome' | 'onFailure' | 'onParallel'>;

/** A trainer of runs: in this process or, with several jobs, each in one of its own, on a device that is free. */
export function runTrainer(options: TrainerOptions): RunTrainer {
  return options.jobs === 1 ? trainerHere(options) : trainerInProcesses(options);
}

function trainerHere({ compute, versions, stop, saveIntervalSec, listen }: TrainerOptions): RunTrainer {
  return async (run, stopping) => {
    const { title: _title, ...own } = run;
    const { onEnd, onReport, ...listener } = listen(nameOfRun(run), run);
    const interval = saveIntervalSec !== undefined && { saveIntervalSec };
    const watched = stopping && watchedRun(stopping.rule, stopping.earlier, stop);
    return trainPhase({
      ...{ ...own, compute, versions, ...interval, ...listener },
      stop: watched?.stop ?? stop,
      onReport: (report) => {
        watched?.onReport(report);
        onReport?.(report);
      },
    }).finally(onEnd);
  };
}

function trainerInProcesses(options: TrainerOptions): RunTrainer {
  const { compute, versions, saveIntervalSec, stop, jobs, threadsPerJob, listen } = options;
  const { precision, memoryBytes, cacheDir } = compute;
  const { devices = Array.from({ length: jobs }, () => compute.device) } = compute;
  const pool = createPool(devices as [Device, ...Device[]]);
  return async (named, stopping) => {
    const { title: _title, ...run } = named;
    const { onStart, onReport, onNote, onWarning, onEnd } = listen(nameOfRun(named), named);
    const train = (device: Device): Promise<PhaseOutcome> => {
      const task = {
        ...run,
        compute: {
          ...{ device, threads: threadsPerJob, cacheDir },
          ...(precision && { precision }),
          ...(memoryBytes && { memoryBytes }),
        },
        ...{ versions, saveIntervalSec, stopping },
      };
      return trainInProcess(task, stop, (message) => {
        if (message.kind === 'start') onStart?.(message.step, message.totalSteps);
        else if (message.kind === 'report') onReport?.(message.report);
        else if (message.kind === 'note') onNote?.(message.text);
        else if (message.kind === 'warning') onWarning?.(message.text);
      });
    };
    const begunOn = await deviceOf(run);
    return pool.use(train, (device) => deviceName(device) === begunOn).finally(onEnd);
  };
}

async function trainOne(run: NamedRun, options: TrainRunsOptions): Promise<void> {
  options.onOutcome(nameOfRun(run), await trainerHere(options)(run));
}

async function trainInSequence(runs: Runs, options: TrainRunsOptions): Promise<void> {
  const failures: Failure[] = [];
  for (const run of runs) {
    try {
      await trainOne(run, options);
    } catch (error) {
      if (error instanceof InterruptedError) throw error; // stops all of them
      const name = nameOfRun(run);
      options.onFailure(name, error);
      failures.push({ name, error });
    }
  }
  throwFailures(failures, runs.length);
}

async function trainInParallel(runs: Runs, options: TrainRunsOptions): Promise<void> {
  const { stop, jobs } = options;
  const train = runTrainer(options);
  const failures: Failure[] = [];
  const outcomes = await mapConcurrently(runs, jobs, async (run) => {
    if (stop.aborted) return undefined;
    const name = nameOfRun(run);
    try {
      const outcome = await train(run);
      options.onOutcome(name, outcome);
      return outcome;
    } catch (error) {
      if (!(error instanceof InterruptedError)) {
        options.onFailure(name, error);
        failures.push({ name, error });
      }
      return undefined;
    }
  });
  const trained = outcomes.filter((outcome) => outcome !== undefined);
  const done = trained.filter(({ status }) => status !== 'interrupted');
  if (done.length + failures.length < runs.length) {
    throw new InterruptedError(
      `${done.length} of ${runs.length} runs are finished, ${trained.length - done.length} stopped and saved; run the same command again to resume`,
    );
  }
  throwFailures(failures, runs.length);
}

interface Failure {
  readonly name: string;
  readonly error: unknown;
}

/** @throws InputError if every failure is the user's to fix, else ComputationError */
function throwFailures(failures: readonly Failure[], runs: number): void {
  if (failures.length === 0) return;
  const names = failures.map(({ name }) => name).join('; ');
  const others =
    failures.length < runs ? '. The others are finished; run the same command again to retry these' : '';
  const text = `${failures.length} of ${runs} runs failed: ${names}${others}`;
  throw failures.every(({ error }) => error instanceof InputError)
    ? new InputError(text)
    : new ComputationError(text);
}

/**
 * Opens the backbones and splits the corpus as each run will. With `compute`, also fills the feature cache with every
 * training and validation clip, so that parallel runs do not each encode them.
 * @throws InputError for anything the runs would reject in their recipe, corpus or backbones
 */
export async function prepareRuns([first, ...others]: Runs, compute?: ComputeOptions): Promise<void> {
  const experiment = await openExperiment(first.recipe, first.phase, first.fold);
  if (await isSomeNew([first, ...others])) {
    const system = systemOf(first.recipe);
    const [, ...later] = phasesFrom(first.recipe, first.phase);
    for (const each of later) await system.review(first.recipe, each, experiment.corpus);
  }
  const utterances = new Map<string, Utterance>();
  const varied = new Map<number, { readonly recipe: Recipe; readonly trained: Map<string, Utterance> }>();
  const add = (
    recipe: Recipe,
    { train, dev }: { readonly train: Utterance[]; readonly dev: Utterance[] },
  ) => {
    for (const utterance of [...train, ...dev]) utterances.set(utterance.id, utterance);
    const seed = augmentationSeed(recipe);
    const { trained } = varied.get(seed) ?? { trained: new Map<string, Utterance>() };
    for (const utterance of train) trained.set(utterance.id, utterance);
    varied.set(seed, { recipe, trained });
  };
  add(first.recipe, experiment.corpus);
  const readsAudio = experiment.phase.needs.audio;
  for (const { recipe, fold } of others) {
    add(recipe, await loadCorpus(recipe, fold, readsAudio ? TRAINING_PARTS : []));
  }
  if (compute === undefined) return;
  compute.onBegin?.();
  await phaseFeatures(first.recipe, experiment.phase, [...utterances.values()], compute);
  // Runs of other seeds have other variants.
  for (const { recipe, trained } of readsAudio ? varied.values() : []) {
    const augmentation = await openAugmentation(recipe, compute.cacheDir, compute.stop);
    const variants = variantItems(augmentation, [...trained.values()]);
    await phaseFeatures(recipe, experiment.phase, variants, compute);
  }
}

/** The name of the device that a run has begun on: there, it continues to the same last digits. */
async function deviceOf({ root, phase, fold }: PhaseRun): Promise<string | undefined> {
  return (await readMetadata(phaseFolder(root, phase, fold)))?.device;
}

/** Whether any run has not begun; problems of a later phase do not stop runs that have. */
async function isSomeNew(runs: readonly PhaseRun[]): Promise<boolean> {
  for (const { root, phase, fold } of runs) {
    if ((await readMetadata(phaseFolder(root, phase, fold))) === undefined) return true;
  }
  return false;
}
