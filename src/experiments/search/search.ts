/**
 * @file A search: trains trials of a recipe, ranks them by their validation figures, and writes the best as a recipe.
 * The same search goes on where it was stopped, to the same trials. It never reads a test set.
 */

import { InputError, InterruptedError, mapConcurrently } from '../../base/index.js';
import { systemOf } from '../../systems/index.js';
import { loadCorpus, type PhaseOutcome } from '../../training/index.js';
import {
  lockRun,
  phaseFolder,
  readMetadata,
  readTrial,
  removeDeadLock,
  runFolder,
  writeTrial,
} from '../../training/runs/index.js';
import { hopelessAfter, type StopRule } from '../stop-rule.js';
import {
  type NamedRun,
  prepareRuns,
  type RunTrainer,
  runTrainer,
  type TrainRunsOptions,
} from '../train-runs.js';
import { requireSameSearch, type SearchOutcome, writeSearch, writeTrials } from './search-files.js';
import { type SharedPhases, sharedPhases, signal } from './shared-phases.js';
import {
  bestTrial,
  medianThresholds,
  planTrials,
  type RankingFigure,
  ranked,
  rankingFigure,
  resultOf,
  type SearchPlan,
  savedFigures,
  type Trial,
  type TrialResult,
} from './trials.js';

export interface SearchOptions extends Omit<TrainRunsOptions, 'onOutcome' | 'onParallel'> {
  /** Called when a trial has ended, now or in an earlier process. */
  readonly onTrial: (result: TrialResult, figure: RankingFigure) => void;
  /** Called when a trial has an earlier phase from another one, which has trained it with the same settings. */
  readonly onShared: (trial: Trial, phase: string, from: Trial) => void;
}

/**
 * Trains the first `count` trials of a search, as far as they are not.
 * @throws InputError if the search in the folder is another one, or its recipe has no validation set; what all trials
 *   have failed with, if none is finished; InterruptedError when stopped
 */
export async function runSearch(
  plan: SearchPlan,
  count: number,
  options: SearchOptions,
): Promise<SearchOutcome> {
  const { root, lag, stopping } = plan;
  const { jobs, stop } = options;
  if (stopping === 'median' && jobs > lag) {
    throw new InputError(
      `--jobs ${jobs}: with median stopping, a trial waits for those ${lag} before it; say --lag ${jobs} for a new search, or --stopping none`,
    );
  }
  const trials = await planTrials(plan, count);
  await requireValidation(plan);
  const figure = rankingFigure(plan.recipe, plan.phase);
  await requireSameSearch(plan, figure);
  // What is wrong with the recipe itself is reported at once; a trial's own values may fail alone.
  const { recipe, fold } = plan;
  const [phase] = systemOf(recipe).phases(recipe);
  const own = { recipe, phase: phase!, fold, root: trials[0]!.root, title: undefined };
  await prepareRuns([own], jobs === 1 ? undefined : options.compute);
  const unlock = await lockRun(runFolder(root));
  try {
    await writeSearch(plan, figure);
    const train = runTrainer(options);
    const results = new Array<TrialResult | undefined>(trials.length).fill(undefined);
    const ended = trials.map(() => signal());
    const shared = sharedPhases(trials);
    const failures: unknown[] = [];
    let written = Promise.resolve();
    const context = { plan, figure, train, shared, onShared: options.onShared, stop };
    await mapConcurrently(trials, jobs, async (trial, index) => {
      try {
        // How many trials it is compared with does not depend on how many are trained at a time.
        const before = stopping === 'none' ? 0 : Math.max(0, index - lag + 1);
        await Promise.all(ended.slice(0, before).map(({ given }) => given));
        if (stop.aborted) return;
        const earlier = results.slice(0, before).filter((each) => each !== undefined);
        const completed = earlier.filter(({ status }) => status === 'finished');
        const result = await runTrial(trial, completed, context).catch((error: unknown) => {
          if (error instanceof InterruptedError) return undefined;
          failures.push(error);
          options.onFailure(titleOfTrial(trial), error);
          return failedTrial(trial, plan, figure);
        });
        if (result === undefined) return;
        results[index] = result;
        if (result.status !== 'failed') options.onTrial(result, figure);
        written = written.then(() => writeTrials(plan, figure, results));
        await written;
      } finally {
        shared.settled(trial);
        ended[index]!.give();
      }
    });
    await writeTrials(plan, figure, results);
    const known = results.filter((each) => each !== undefined);
    if (known.length < trials.length) {
      throw new InterruptedError(
        `${known.length} of ${trials.length} trials have ended, the others are saved; run the same command again to go on`,
      );
    }
    const best = bestTrial(known, figure);
    if (best === undefined && failures.length > 0) throw failures[0];
    return { figure, results: ranked(known, figure), best };
  } finally {
    await unlock();
  }
}

export function titleOfTrial({ number }: Pick<Trial, 'number'>): string {
  return `trial ${number}`;
}

/** @throws InputError if there is nothing to rank trials by */
async function requireValidation({ recipe, fold }: SearchPlan): Promise<void> {
  if (recipe.folds !== 'none' && fold === undefined) {
    throw new InputError(
      `recipe ${recipe.name} is cross-validated, and a search trains on one fold: say which, such as --fold 1`,
    );
  }
  const { dev } = await loadCorpus(recipe, fold, []);
  if (dev.length > 0) return;
  throw new InputError(
    `a search ranks trials on a validation set, and recipe ${recipe.name} has none; set validation to speaker or share`,
  );
}

interface TrialContext extends Pick<SearchOptions, 'onShared' | 'stop'> {
  readonly plan: SearchPlan;
  readonly figure: RankingFigure;
  readonly train: RunTrainer;
  readonly shared: SharedPhases;
}

/**
 * Trains a trial, unless it has ended.
 * @param completed the trials that it is compared with
 * @throws InterruptedError when stopped; what its training throws
 */
async function runTrial(
  trial: Trial,
  completed: readonly TrialResult[],
  { plan, figure, train, shared, onShared, stop }: TrialContext,
): Promise<TrialResult> {
  const { phase: last, fold, stopping } = plan;
  const { number, values, recipe, root } = trial;
  const known = await readTrial(root);
  if (known?.status === 'finished' || known?.status === 'stopped')
    return resultOf(trial, known, plan, figure);
  // A resumed trial keeps what it was compared with when it began.
  const thresholds =
    known?.thresholds ??
    (stopping === 'none' ? [] : medianThresholds(completed, systemOf(recipe).settings(recipe, last).epochs));
  const record = { trial: number, values, thresholds };
  const rule: StopRule = { figure: figure.key, higherIsBetter: figure.higherIsBetter, thresholds };
  await writeTrial(root, { ...record, status: 'running' });
  let status: 'finished' | 'stopped' = 'finished';
  for (const phase of trial.phases) {
    const run: NamedRun = { recipe, phase, fold, root, title: titleOfTrial(trial) };
    if (phase !== last) {
      const from = await shared.adopt(trial, phase, fold);
      if (stop.aborted) throw new InterruptedError('interrupted before the end');
      if (from !== undefined) onShared(trial, phase, from);
      requireFinished(await train(run)); // at once if it is another one's
      continue;
    }
    shared.settled(trial);
    const folder = phaseFolder(root, phase, fold);
    const isFinished = (await readMetadata(folder))?.status === 'finished';
    const earlier = await savedFigures(folder, figure.key);
    if (!isFinished && hopelessAfter(rule, earlier) !== undefined) {
      await removeDeadLock(folder); // of a process that was killed after it had stopped the trial
      status = 'stopped';
      continue;
    }
    const outcome = await train(run, { rule, earlier });
    if (outcome.status !== 'interrupted') continue;
    if (hopelessAfter(rule, await savedFigures(folder, figure.key)) === undefined) requireFinished(outcome);
    status = 'stopped';
  }
  await writeTrial(root, { ...record, status });
  return resultOf(trial, { status }, plan, figure);
}

function requireFinished({ status, folder }: PhaseOutcome): void {
  if (status === 'interrupted') throw new InterruptedError(`interrupted; saved in ${folder.dir}`);
}

/** Marks a trial as failed; the next search tries it again. */
async function failedTrial(trial: Trial, plan: SearchPlan, figure: RankingFigure): Promise<TrialResult> {
  const { thresholds } = (await readTrial(trial.root)) ?? { thresholds: [] };
  await writeTrial(trial.root, {
    ...{ trial: trial.number, values: trial.values, thresholds },
    status: 'failed',
  });
  return { ...(await resultOf(trial, { status: 'failed' }, plan, figure)), best: null };
}
