/** @file Implements `emoq search`: what is searched, the display of its trials, and the table at the end. */

import { join } from 'node:path';
import { defaultJobs, InputError } from '../../base/index.js';
import { figureText, textTable } from '../../evaluation/index.js';
import {
  planTrials,
  type RankingFigure,
  readSpace,
  runSearch,
  type SearchOutcome,
  type SearchPlan,
  searchObject,
  type TrialResult,
  titleOfTrial,
} from '../../experiments/index.js';
import { valueText } from '../../recipe/index.js';
import { systemOf, titleOf } from '../../systems/index.js';
import { recipeOfOptions } from '../command-definition.js';
import { withInterrupts } from '../interrupt.js';
import { sharedScreen } from '../progress.js';
import { note, printJson, printResult, reportError } from '../terminal-output.js';
import { recordedVersions } from '../versions.js';
import { withCompute } from './experiment-options.js';
import type { SearchCommandOptions } from './search-options.js';
import { lineOf, saveInterval, viewOf } from './training.js';

export async function run(options: SearchCommandOptions): Promise<void> {
  const plan = await planOf(options);
  const { trials: count, dryRun = false } = options;
  if (dryRun) {
    const trials = await planTrials(plan, count);
    if (options.json)
      return printJson({ trials: trials.map(({ number, values }) => ({ trial: number, values })) });
    const keys = [...plan.space.keys()];
    const rows = trials.map(({ number, values }) => [
      String(number),
      ...keys.map((key) => valueText(values[key])),
    ]);
    return printResult(textTable(['trial', ...keys], rows));
  }
  const outcome = await trained(plan, options);
  const { best } = outcome;
  if (best === undefined) note('no trial was trained to its end, so there is no best.yaml');
  else
    note(
      `best: ${titleOfTrial(best.trial)}; train it with emoq train --recipe ${join(plan.root, 'best.yaml')}`,
    );
  if (options.json) printJson(searchObject(plan, outcome));
  else printResult(trialsTable(plan, outcome));
}

/** @throws InputError for a wrong recipe or space, or a stage that the recipe does not have */
async function planOf(options: SearchCommandOptions): Promise<SearchPlan> {
  const recipe = await recipeOfOptions(options);
  const phases = systemOf(recipe).phases(recipe);
  const phase = options.stage ?? phases.at(-1)!;
  if (!phases.includes(phase)) {
    throw new InputError(`recipe ${recipe.name} has no ${phase}; its phases are ${phases.join(', ')}`);
  }
  const { dataset, manifest, recipe: path, set, sampler, seed, stopping, lag, fold } = options;
  return {
    choice: {
      ...(dataset !== undefined && { dataset }),
      ...(manifest !== undefined && { manifest }),
      ...(path !== undefined && { recipe: path }),
      ...(set !== undefined && { set }),
    },
    ...{ recipe, phase, fold, sampler, seed, stopping, lag },
    space: await readSpace(options.space, recipe.system, phases.slice(phases.indexOf(phase) + 1)),
    root: options.run ?? join('runs', `${recipe.name}-search`),
  };
}

/** Trains the trials and shows their progress. */
async function trained(plan: SearchPlan, options: SearchCommandOptions): Promise<SearchOutcome> {
  const { devices, device, trials } = options;
  const jobs = Math.min(options.jobs ?? devices?.length ?? 1, trials);
  if (devices !== undefined && jobs > devices.length) {
    throw new InputError(
      `--jobs ${jobs} is more than the ${devices.length} devices of --devices, and each trial needs one; leave out --jobs, or list more devices`,
    );
  }
  const threadsPerJob = options.threads ?? Math.max(1, Math.floor(defaultJobs() / jobs));
  const nextScreen = jobs > 1 ? sharedScreen() : undefined;
  const saveIntervalSec = saveInterval();
  const versions = await recordedVersions();
  const work =
    jobs > 1
      ? 'finishing the current steps of every trial and saving'
      : 'finishing the current steps and saving';
  return withInterrupts(work, (stop) =>
    withCompute(devices ?? device, stop, options, (compute) =>
      runSearch(plan, trials, {
        ...{ compute, versions, saveIntervalSec, stop, jobs, threadsPerJob },
        listen: (name, named) => (nextScreen === undefined ? viewOf(name, named) : lineOf(name, nextScreen)),
        onTrial: (result, figure) => note(endOf(result, figure)),
        onShared: (trial, phase, from) =>
          note(
            `${titleOfTrial(trial)}: ${titleOf(phase)} is that of ${titleOfTrial(from)}, whose settings it shares`,
          ),
        onFailure: (name, error) => {
          if (error instanceof Error) error.message = `${name}: ${error.message}`;
          reportError(error, process.argv.includes('--debug'));
        },
      }),
    ),
  );
}

/** `trial 3: best WF1 67.8 % in epoch 4`, `trial 5: stopped after epoch 2 of 10, best ...` */
function endOf({ trial, status, best, figures, epochs }: TrialResult, { key }: RankingFigure): string {
  const name = titleOfTrial(trial);
  const figure = best === null ? 'no figure' : `best ${figureText(key, best.value)} in epoch ${best.epoch}`;
  return status === 'stopped'
    ? `${name}: stopped after epoch ${figures.length} of ${epochs}, ${figure}`
    : `${name}: ${figure}`;
}

function trialsTable({ space }: SearchPlan, { figure, results }: SearchOutcome): string {
  const keys = [...space.keys()];
  const rows = results.map(({ trial, status, best, figures, epochs }) => [
    String(trial.number),
    status === 'stopped' ? `stopped, epoch ${figures.length} of ${epochs}` : status,
    best === null ? '-' : figureText(figure.key, best.value),
    best === null ? '-' : String(best.epoch),
    ...keys.map((key) => valueText(trial.values[key])),
  ]);
  return textTable(['trial', 'status', 'validation', 'epoch', ...keys], rows, [
    'right',
    'left',
    'left',
    'right',
    ...keys.map(() => 'right' as const),
  ]);
}
