/** @file Folds and seeds of a phase, one after the other or several at a time: one that fails does not lose the others. */

import { ComputationError, InputError, InterruptedError, mapConcurrently } from '../base/index.js';
import type { Utterance } from '../data/corpora/index.js';
import { seedFolder } from '../inference/index.js';
import { type Recipe, systemOf, titleOf } from '../systems/index.js';
import {
  type ComputeOptions,
  loadCorpus,
  openExperiment,
  type PhaseOutcome,
  type PhaseRun,
  phaseFeatures,
  phasesFrom,
  TRAINING_PARTS,
  type TrainPhaseOptions,
  trainPhase,
} from '../training/index.js';
import { phaseFolder, readMetadata } from '../training/runs/index.js';
import { trainInProcess } from './run-process.js';

/** One of several runs whose recipes differ in the seed alone. */
export interface NamedRun extends PhaseRun {
  /** What tells it from runs of the same phase and fold: its seed, its row of an ablation. */
  readonly title: string | undefined;
}

export type Runs = readonly [NamedRun, ...NamedRun[]];

/** Which runs are made of a phase: one, or one for each seed and fold. */
export interface RunPlan {
  readonly phase: string;
  /** The recipe with each seed; one without a seed of its own where seeds are not asked for. */
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

/** How messages call a run: "stage 1, seed 2, fold 3". */
export function nameOfRun({ phase, title, fold }: Pick<NamedRun, 'phase' | 'title' | 'fold'>): string {
  return [titleOf(phase), ...(title ? [title] : []), ...(fold === undefined ? [] : [`fold ${fold}`])].join(
    ', ',
  );
}

/** Follows one run. */
export interface RunListener
  extends Pick<TrainPhaseOptions, 'onStart' | 'onReport' | 'onValidation' | 'onNote' | 'onWarning'> {
  /** The run has ended, well or not; before `onOutcome` and `onFailure`. */
  readonly onEnd?: () => void;
}

export interface TrainRunsOptions {
  readonly compute: ComputeOptions;
  readonly versions: Readonly<Record<string, string>>;
  readonly saveIntervalSec?: number | undefined;
  readonly stop: AbortSignal;
  /** Runs at a time, each in a process of its own where there are several. */
  readonly jobs: number;
  /** Threads of a run of several at a time. */
  readonly threadsPerJob: number;
  /** Begins to follow a run. */
  readonly listen: (name: string, run: NamedRun) => RunListener;
  /** Told once when runs begin side by side. */
  readonly onSideBySide?: () => void;
  /** Told of a run that has ended; throws where the others shall not begin. */
  readonly onOutcome: (name: string, outcome: PhaseOutcome) => void;
  /** Told of a run that failed, where others go on. */
  readonly onFailure: (name: string, error: unknown) => void;
}

/**
 * Trains runs of one phase. What the input of any of them is wrong in is told before the first begins; side by side their
 * clips are encoded once for all before.
 * @throws the error of the only run; of several InputError where each failure is the user's, else ComputationError
 */
export async function trainRuns(runs: Runs, options: TrainRunsOptions): Promise<void> {
  const { jobs } = options;
  if (runs.length === 1) return trainOne(runs[0], options);
  await prepareRuns(runs, jobs === 1 ? undefined : options.compute);
  if (jobs === 1) return trainInSequence(runs, options);
  options.onSideBySide?.();
  return trainSideBySide(runs, options);
}

async function trainOne(run: NamedRun, options: TrainRunsOptions): Promise<void> {
  const { compute, versions, stop, saveIntervalSec } = options;
  const { title: _title, ...own } = run;
  const name = nameOfRun(run);
  const { onEnd, ...listener } = options.listen(name, run);
  const interval = saveIntervalSec !== undefined && { saveIntervalSec };
  const outcome = await trainPhase({ ...own, compute, versions, stop, ...interval, ...listener }).finally(
    onEnd,
  );
  options.onOutcome(name, outcome);
}

async function trainInSequence(runs: Runs, options: TrainRunsOptions): Promise<void> {
  const failures: Failure[] = [];
  for (const run of runs) {
    try {
      await trainOne(run, options);
    } catch (error) {
      if (error instanceof InterruptedError) throw error; // ends all of them
      const name = nameOfRun(run);
      options.onFailure(name, error);
      failures.push({ name, error });
    }
  }
  throwFailures(failures, runs.length);
}

async function trainSideBySide(runs: Runs, options: TrainRunsOptions): Promise<void> {
  const { compute, versions, saveIntervalSec, stop, jobs, threadsPerJob } = options;
  const { device, cacheDir } = compute;
  const failures: Failure[] = [];
  const outcomes = await mapConcurrently(runs, jobs, async (named) => {
    if (stop.aborted) return undefined;
    const { title: _title, ...run } = named;
    const name = nameOfRun(named);
    const { onStart, onReport, onNote, onWarning, onEnd } = options.listen(name, named);
    const task = { ...run, compute: { device, threads: threadsPerJob, cacheDir }, versions, saveIntervalSec };
    try {
      const outcome = await trainInProcess(task, stop, (message) => {
        if (message.kind === 'start') onStart?.(message.step, message.totalSteps);
        else if (message.kind === 'report') onReport?.(message.report);
        else if (message.kind === 'note') onNote?.(message.text);
        else if (message.kind === 'warning') onWarning?.(message.text);
      }).finally(onEnd);
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
      `${done.length} of ${runs.length} runs are finished, ${trained.length - done.length} stopped and saved; run the same command again to go on`,
    );
  }
  throwFailures(failures, runs.length);
}

interface Failure {
  readonly name: string;
  readonly error: unknown;
}

/** @throws InputError where each failure is the user's to fix, else ComputationError */
function throwFailures(failures: readonly Failure[], runs: number): void {
  if (failures.length === 0) return;
  const names = failures.map(({ name }) => name).join('; ');
  const others =
    failures.length < runs ? '. The others are finished; run the same command again for these' : '';
  const text = `${failures.length} of ${runs} runs failed: ${names}${others}`;
  throw failures.every(({ error }) => error instanceof InputError)
    ? new InputError(text)
    : new ComputationError(text);
}

/**
 * Opens the backbones and divides the corpus as each run will. With `compute`, every clip that one of them trains or
 * validates on is in the feature cache afterwards, so that runs side by side do not each encode it.
 * @throws InputError for what any of the runs would refuse of its recipe, corpus or backbones
 */
export async function prepareRuns([first, ...others]: Runs, compute?: ComputeOptions): Promise<void> {
  const experiment = await openExperiment(first.recipe, first.phase, first.fold);
  if (await isSomeNew([first, ...others])) {
    const system = systemOf(first.recipe);
    const [, ...later] = phasesFrom(first.recipe, first.phase);
    for (const each of later) await system.review(first.recipe, each, experiment.corpus);
  }
  const utterances = new Map<string, Utterance>();
  const add = ({ train, dev }: { readonly train: Utterance[]; readonly dev: Utterance[] }): void => {
    for (const utterance of [...train, ...dev]) utterances.set(utterance.id, utterance);
  };
  add(experiment.corpus);
  const heard = experiment.phase.needs.audio ? TRAINING_PARTS : [];
  for (const { recipe, fold } of others) add(await loadCorpus(recipe, fold, heard));
  if (compute === undefined) return;
  compute.onBegin?.();
  await phaseFeatures(first.recipe, experiment.phase, [...utterances.values()], compute);
}

/** Whether one of the runs has not begun: what a later phase refuses stops no run that has. */
async function isSomeNew(runs: readonly PhaseRun[]): Promise<boolean> {
  for (const { root, phase, fold } of runs) {
    if ((await readMetadata(phaseFolder(root, phase, fold))) === undefined) return true;
  }
  return false;
}
