/**
 * @file Implements `emoq stage1`, `emoq stage2` and `emoq train`: which runs to train, their display, and the dry run,
 * which prints the resolved recipe on stdout and sizes on stderr.
 */

import { join } from 'node:path';
import { defaultJobs, formatMemory, InputError, InterruptedError, quoted } from '../../base/index.js';
import { figureText } from '../../evaluation/index.js';
import {
  type NamedRun,
  nameOfRun,
  plannedRuns,
  type RunListener,
  type Runs,
  trainRuns,
} from '../../experiments/index.js';
import { dumpRecipe } from '../../recipe/index.js';
import { type Recipe, systemOf } from '../../systems/index.js';
import {
  checkFolds,
  type PhaseOutcome,
  reviewPlan,
  sizePhase,
  stepText,
  type TrainingReport,
} from '../../training/index.js';
import type { TrainingOptions } from '../command-definition.js';
import { recipeOfOptions } from '../command-definition.js';
import { withInterrupts } from '../interrupt.js';
import { type Progress, sharedScreen, startProgress } from '../progress.js';
import { note, printResult, reportError, warn } from '../terminal-output.js';
import { startTrainingView, type TrainingView } from '../training-view.js';
import { recordedVersions } from '../versions.js';
import { withCompute } from './experiment-options.js';
import { describeDeviceMemory, fittedOptions, sizedFold } from './memory-fit.js';

/** Folder of an experiment unless `--run` names another. */
export function experimentFolder(recipe: Recipe, run: string | undefined): string {
  return run ?? join('runs', recipe.name);
}

/**
 * Trains what the options ask for: one phase, or all that lead to the recipe's final model; one run, or one for each
 * seed and fold.
 * @param phase undefined for all
 */
export async function trainAsAsked(phase: string | undefined, given: TrainingOptions): Promise<void> {
  const { seeds, folds } = given;
  checkJobs(given);
  const phasesOf = (recipe: Recipe): readonly string[] =>
    phase === undefined ? systemOf(recipe).phases(recipe) : [phase];
  const options = await fittedOptions(given, phasesOf);
  const { set = [] } = options;
  if (options.dryRun) {
    const recipe = await recipeOfOptions(options);
    for (const each of phasesOf(recipe)) {
      await describePhase(each, recipe, options);
    }
    return;
  }
  refuseSeedTwice(options);
  const variants =
    seeds === undefined
      ? [{ recipe: await recipeOfOptions(options), seed: undefined }]
      : await Promise.all(
          seeds.map(async (seed) => ({
            recipe: await recipeOfOptions({ ...options, set: [...set, `seed=${seed}`] }),
            seed,
          })),
        );
  const { recipe } = variants[0]!;
  if (folds !== undefined) await checkFolds(recipe, folds, 'train');
  const root = experimentFolder(recipe, options.run);
  for (const each of phasesOf(recipe)) {
    const runs = plannedRuns({ phase: each, variants, folds: foldsOf(options), root });
    await trainAndShow(runs, options, ({ folder }) => printResult(folder.checkpoint));
  }
}

/** @throws InputError for more jobs than runs or devices can use */
export function checkJobs({
  jobs = 1,
  devices,
  seeds,
  folds,
}: Pick<TrainingOptions, 'jobs' | 'devices' | 'seeds' | 'folds'>): void {
  if (jobs > 1 && seeds === undefined && folds === undefined) {
    throw new InputError(
      `--jobs ${jobs} is for several runs, and this is one; add --folds or --seeds, or leave it out`,
    );
  }
  if (devices !== undefined && jobs > devices.length) {
    throw new InputError(
      `--jobs ${jobs} is more than the ${devices.length} devices of --devices, and each run needs one; leave out --jobs, or list more devices`,
    );
  }
}

/** @throws InputError if both `--seeds` and `--set` give a seed */
export function refuseSeedTwice({ seeds, set = [] }: Pick<TrainingOptions, 'seeds' | 'set'>): void {
  if (seeds !== undefined && set.some((override) => /^\s*seed\s*=/.test(override))) {
    throw new InputError('--seeds sets the seed of each run; leave out --set seed');
  }
}

export function foldsOf({
  fold,
  folds,
}: {
  readonly fold?: number | undefined;
  readonly folds?: number | undefined;
}): (number | undefined)[] {
  return folds === undefined ? [fold] : Array.from({ length: folds }, (_, index) => index + 1);
}

/**
 * Trains runs and displays their progress.
 * @throws InterruptedError after Ctrl-C, with instructions to resume
 */
export async function trainAndShow(
  runs: Runs,
  options: Pick<TrainingOptions, 'device' | 'devices' | 'threads' | 'jobs' | 'precision' | 'fit'>,
  onTrained: (outcome: PhaseOutcome) => void = () => undefined,
): Promise<void> {
  const saveIntervalSec = saveInterval();
  const versions = await recordedVersions();
  const { devices } = options;
  const jobs = Math.min(options.jobs ?? devices?.length ?? 1, runs.length);
  const threadsPerJob = options.threads ?? Math.max(1, Math.floor(defaultJobs() / jobs));
  const isParallel = jobs > 1;
  if (!isParallel && devices !== undefined && devices.length > 1) {
    note(`training on ${devices[0]}, one run at a time; the other devices only encode clips`);
  }
  const trained = new Map<string, PhaseOutcome>();
  const nextScreen = isParallel ? sharedScreen() : undefined;
  const work = isParallel
    ? 'finishing the current steps of every run and saving'
    : 'finishing the current steps and saving';
  try {
    await withInterrupts(work, (stop) =>
      withCompute(devices ?? options.device, stop, options, (compute) =>
        trainRuns(runs, {
          ...{ compute, versions, saveIntervalSec, stop, jobs, threadsPerJob },
          listen: (name, run) => (nextScreen === undefined ? viewOf(name, run) : lineOf(name, nextScreen)),
          onParallel: () =>
            note(
              `${runs.length} runs, ${jobs} at a time, ${threadsPerJob} ${threadsPerJob === 1 ? 'thread' : 'threads'} each${devices === undefined ? '' : `, on ${devices.join(', ')}`}`,
            ),
          onOutcome: (name, outcome) => {
            if (isParallel) {
              note(`${name}: ${endOf(outcome)}`);
              trained.set(name, outcome);
            } else {
              reportEnd(name, outcome);
              onTrained(outcome);
            }
          },
          onFailure: (name, error) => {
            if (error instanceof Error) error.message = `${name}: ${error.message}`;
            reportError(error, process.argv.includes('--debug'));
          },
        }),
      ),
    );
  } finally {
    // In the order of the runs rather than of completion.
    for (const run of runs) {
      const outcome = trained.get(nameOfRun(run));
      if (outcome !== undefined && outcome.status !== 'interrupted') onTrained(outcome);
    }
  }
}

/** Seconds between states saved within an epoch: EMOQ_SAVE_INTERVAL, or 10 minutes. */
export function saveInterval(): number | undefined {
  const text = process.env.EMOQ_SAVE_INTERVAL;
  if (!text) return undefined;
  const seconds = Number(text);
  if (seconds >= 0) return seconds;
  throw new InputError(`EMOQ_SAVE_INTERVAL is ${quoted(text)}; it must be a number of seconds, such as 60`);
}

/** The display of a single run. */
export function viewOf(name: string, { title, fold }: NamedRun): RunListener {
  // With several runs in one process, each names itself.
  const titled = (text: string): string =>
    title === undefined && fold === undefined ? text : `${name}: ${text}`;
  let view: TrainingView | undefined;
  return {
    onNote: (text) => note(titled(text)),
    onWarning: (text) => warn(titled(text)),
    onStart: (step, totalSteps) => {
      view = startTrainingView(name, { step, totalSteps });
    },
    onValidation: (done, total) => view?.validating(done, total),
    onReport: (report) => {
      view?.update(report);
      if (report.epochEnded) note(epochLine(name, report));
    },
    onEnd: () => view?.finish(),
  };
}

/** The display of one of several parallel runs: a line of progress. */
export function lineOf(name: string, nextScreen: ReturnType<typeof sharedScreen>): RunListener {
  let progress: Progress | undefined;
  let validation: string[] = [];
  return {
    onNote: (text) => note(`${name}: ${text}`),
    onWarning: (text) => warn(`${name}: ${text}`),
    onStart: (step, totalSteps) => {
      progress = startProgress({ label: name, unit: 'steps' }, nextScreen());
      progress.update(step, totalSteps);
    },
    onReport: (report) => {
      if (report.validation !== undefined) validation = bestOf(report);
      if (report.epochEnded) note(epochLine(name, report));
      progress?.update(
        report.step,
        report.totalSteps,
        [epochOf(report), ...lossOf(report), ...validation].join(', '),
      );
    },
    onEnd: () => progress?.finish(),
  };
}

/** The summary of an epoch: `stage 1, fold 2, epoch 3/10: loss 1.2345, validation WA 67.9 %, ...`. */
export function epochLine(name: string, report: TrainingReport): string {
  const figures = Object.entries(report.validation ?? {}).map(([metric, value]) => figureText(metric, value));
  const validated = figures.length === 0 ? [] : [`validation ${figures.join(', ')}`];
  const parts = [...lossOf(report), ...validated];
  return `${name}, ${epochOf(report)}: ${parts.length === 0 ? 'done' : parts.join(', ')}`;
}

function epochOf({ epoch, epochs }: TrainingReport): string {
  return `epoch ${epoch}/${epochs}`;
}

function lossOf({ figures }: TrainingReport): string[] {
  return figures?.loss === undefined ? [] : [`loss ${figures.loss.toFixed(4)}`];
}

function bestOf({ best }: TrainingReport): string[] {
  return !best || best.value === null
    ? []
    : [`best ${figureText(best.metric ?? '', best.value)} in epoch ${best.epoch}`];
}

/** @throws InterruptedError after Ctrl-C, with instructions to resume */
function reportEnd(name: string, outcome: PhaseOutcome): void {
  const { status, position, totalSteps } = outcome;
  if (status === 'interrupted') {
    throw new InterruptedError(`${name} ${endOf(outcome)}. Run the same command again to resume`);
  }
  if (status === 'already') note(`${name} is ${endOf(outcome)}`);
  else if (position.step < totalSteps) {
    const { epoch, best } = position;
    note(`${name} ended early, after epoch ${epoch}: no better ${best?.metric} since epoch ${best?.epoch}`);
  }
}

function endOf({ status, position, totalSteps, folder }: PhaseOutcome): string {
  if (status === 'already')
    return `already finished; delete ${folder.dir} or use another --run to train it again`;
  if (status === 'interrupted')
    return `stopped after step ${position.step} of ${totalSteps}; saved in ${folder.dir}`;
  return `finished after step ${position.step}`;
}

export async function describePhase(phase: string, recipe: Recipe, options: TrainingOptions): Promise<void> {
  const fold = sizedFold(options);
  const size = await sizePhase(recipe, phase, fold);
  const ahead = await reviewPlan({ recipe, phase, fold, root: experimentFolder(recipe, options.run) });
  printResult(dumpRecipe(recipe));
  const { memory, steps, step, epochs, warnings } = size;
  const which =
    epochs === undefined
      ? 'clips of 5 s'
      : `the largest step of ${epochs === 1 ? 'epoch 1' : `epochs 1 to ${epochs}`}`;
  for (const warning of warnings) warn(warning);
  if (ahead !== undefined) note(ahead);
  note(`parameters: ${count(size.trainable)} trained, ${count(size.frozen)} frozen`);
  note(
    `memory: about ${formatMemory(memory.totalBytes)} (${formatMemory(memory.stateBytes)} parameters and moments, ${formatMemory(memory.frozenBytes)} frozen weights, ${formatMemory(memory.stepBytes)} one step at ${stepText(step)}: ${which}, ${formatMemory(memory.processBytes)} Node and onnxruntime)`,
  );
  describeDeviceMemory(phase, recipe, size, options);
  if (size.features !== undefined) {
    const { clips, bytes, variants, seconds } = size.features;
    const altered = variants === 0 ? '' : ` (${count(variants)} of them variants of training clips)`;
    const hours = variants === 0 ? '' : `; ${(seconds / 3600).toFixed(2)} hours to encode`;
    note(`features: ${count(clips)} clips${altered} take about ${diskSize(bytes)} in the cache${hours}`);
  }
  note(`graph: ${count(size.nodes)} nodes in a step, built in ${size.buildSec.toFixed(1)} s`);
  note(
    steps === undefined
      ? `steps: not known, ${size.corpusProblem}`
      : `steps: ${count(steps.perEpoch)} per epoch, ${count(steps.total)} in all, ${count(steps.utterances)} training utterances`,
  );
}

/** `0.8 MB`, `12 GB` */
function diskSize(bytes: number): string {
  const [size, unit] = bytes < 1e9 ? [bytes / 1e6, 'MB'] : [bytes / 1e9, 'GB'];
  return `${size < 10 ? size.toFixed(1) : Math.round(size)} ${unit}`;
}

function count(value: number): string {
  return value.toLocaleString('en');
}
