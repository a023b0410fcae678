/** @file The trials of a search: their recipes, what is known of each from its folder, and median stopping. */

import { join } from 'node:path';
import { InputError, oneLine } from '../../base/index.js';
import { quantile } from '../../data/corpora/index.js';
import { type MetricKey, selectableMetric } from '../../evaluation/metrics/index.js';
import { dumpRecipe, loadRecipe } from '../../recipe/index.js';
import { type Recipe, systemOf } from '../../systems/index.js';
import {
  begunRun,
  phaseFolder,
  type RunFolder,
  readMetrics,
  readPosition,
  type TrialRecord,
} from '../../training/runs/index.js';
import type { RecipeChoice } from '../named-experiment.js';
import { type Sampler, type SearchSpace, type TrialValues, trialValues } from './space.js';

/** What is searched, and how. */
export interface SearchPlan {
  readonly choice: RecipeChoice;
  /** The recipe that trials change. */
  readonly recipe: Recipe;
  readonly space: SearchSpace;
  readonly sampler: Sampler;
  readonly seed: number;
  /** The last phase that is trained, whose validation figure ranks trials. */
  readonly phase: string;
  readonly fold: number | undefined;
  readonly stopping: 'median' | 'none';
  /** A trial is compared with those at least this many before it. */
  readonly lag: number;
  readonly root: string;
}

/** One point of the space. */
export interface Trial {
  /** From 1. */
  readonly number: number;
  readonly values: TrialValues;
  readonly recipe: Recipe;
  /** Folder of its experiment. */
  readonly root: string;
  readonly phases: readonly string[];
}

/** A trial as far as it has come. */
export interface TrialResult {
  readonly trial: Trial;
  readonly status: TrialRecord['status'];
  /** Validation figure of each epoch from the first; null where there is none. */
  readonly figures: readonly (number | null)[];
  /** That of the epoch that is kept, or of the best so far. */
  readonly best: { readonly epoch: number; readonly value: number } | null;
  readonly epochs: number;
}

/** The figure that ranks trials. */
export interface RankingFigure {
  readonly key: MetricKey | string;
  readonly higherIsBetter: boolean;
}

/** What a phase of the recipe selects its epoch by; where it keeps the last one, weighted F1. */
export function rankingFigure(recipe: Recipe, phase: string): RankingFigure {
  const { select, select_figure } = systemOf(recipe).settings(recipe, phase);
  const { key, higherIsBetter } = selectableMetric(
    select === 'last' ? 'wf1' : select === 'smoothed' ? select_figure : select,
  );
  return { key, higherIsBetter };
}

/**
 * The first `count` trials.
 * @throws InputError for values that make no valid recipe, or the same one as an earlier trial's in a space so small
 *   that it has fewer points
 */
export async function planTrials(plan: SearchPlan, count: number): Promise<Trial[]> {
  const { choice, space, sampler, seed, root, phase } = plan;
  const trials: Trial[] = [];
  for (let number = 1; number <= count; number++) {
    const values = trialValues(space, sampler, seed, number);
    const own = Object.entries(values).map(([key, value]) => `${key}=${JSON.stringify(value)}`);
    const recipe = await loadRecipe({
      ...{ dataset: choice.dataset, path: choice.recipe, manifest: choice.manifest },
      overrides: [...(choice.set ?? []), ...own],
    }).catch((error: unknown) => {
      if (!(error instanceof InputError)) throw error;
      throw new InputError(oneLine(`trial ${number} (${own.join(', ')}): ${error.message}`));
    });
    const phases = systemOf(recipe).phases(recipe);
    const last = phases.indexOf(phase);
    if (last < 0) throw new InputError(`trial ${number} (${own.join(', ')}) has no phase ${phase}`);
    const folder = join(root, `trial-${number}`);
    trials.push({ number, values, recipe, root: folder, phases: phases.slice(0, last + 1) });
  }
  return trials;
}

/** Validation figures of the epochs that a run has saved, from the first. */
export async function savedFigures(folder: RunFolder, key: string): Promise<(number | null)[]> {
  if ((await begunRun(folder)) === undefined) return [];
  const { epoch: saved = 0 } = (await readPosition(folder.state)) ?? {};
  const figures = new Array<number | null>(saved).fill(null);
  for (const { epoch, validation } of await readMetrics(folder.metrics)) {
    const value = validation?.[key];
    if (value !== undefined && epoch <= saved) figures[epoch - 1] = Number.isFinite(value) ? value : null;
  }
  return figures;
}

/** What is known of a trial from its folder. */
export async function resultOf(
  trial: Trial,
  { status }: Pick<TrialRecord, 'status'>,
  { phase, fold }: Pick<SearchPlan, 'phase' | 'fold'>,
  { key, higherIsBetter }: RankingFigure,
): Promise<TrialResult> {
  const folder = phaseFolder(trial.root, phase, fold);
  const figures = await savedFigures(folder, key);
  const kept = (await readPosition(folder.state))?.best;
  const sign = higherIsBetter ? 1 : -1;
  let best: TrialResult['best'] = null;
  for (const [index, value] of figures.entries()) {
    if (value !== null && (best === null || sign * value > sign * best.value))
      best = { epoch: index + 1, value };
  }
  // Where the last epoch is kept whatever its figure, or a smoothed figure decides, that epoch counts.
  const own = kept && (kept.value ?? figures[kept.epoch - 1] ?? null);
  if (kept && own !== null && own !== undefined) best = { epoch: kept.epoch, value: own };
  const { epochs } = systemOf(trial.recipe).settings(trial.recipe, phase);
  return { trial, status, figures, best, epochs };
}

/** With fewer completed trials than this, a median says little. */
const LEAST_COMPLETED = 3;

/**
 * Median stopping (Golovin et al. 2017, "Google Vizier", section 3.2.2): after an epoch, a trial is stopped if its best
 * figure so far is worse than the median of the completed trials' running averages up to that epoch.
 * @param completed those that were trained to their end
 * @returns for each epoch the median; null with too few trials, and after the last epoch
 */
export function medianThresholds(
  completed: readonly Pick<TrialResult, 'figures'>[],
  epochs: number,
): (number | null)[] {
  return Array.from({ length: epochs }, (_, index) => {
    if (index === epochs - 1) return null;
    const averages = completed.flatMap(({ figures }) => {
      const known = figures.slice(0, index + 1).filter((each) => each !== null);
      return known.length === 0 ? [] : [known.reduce((sum, value) => sum + value, 0) / known.length];
    });
    return averages.length < LEAST_COMPLETED
      ? null
      : quantile(
          averages.sort((a, b) => a - b),
          0.5,
        );
  });
}

/** Trials in the order of their figures, the best first; those without one last. */
export function ranked(results: readonly TrialResult[], { higherIsBetter }: RankingFigure): TrialResult[] {
  const sign = higherIsBetter ? 1 : -1;
  const rank = ({ best }: TrialResult): number =>
    best === null ? Number.NEGATIVE_INFINITY : sign * best.value;
  return [...results].sort((a, b) => {
    const [first, second] = [rank(a), rank(b)];
    return first === second ? a.trial.number - b.trial.number : second - first;
  });
}

/** The best of the trials that were trained to their end. */
export function bestTrial(results: readonly TrialResult[], figure: RankingFigure): TrialResult | undefined {
  return ranked(results, figure).find(({ status, best }) => status === 'finished' && best !== null);
}

/** The recipe of the best trial as a file, under a name of its own. */
export function bestRecipe({ trial, best }: TrialResult, plan: SearchPlan, figure: RankingFigure): string {
  const name = `${plan.recipe.name}-best`;
  return [
    `# ${name}: trial ${trial.number} of a search over ${[...plan.space.keys()].join(', ')}.`,
    `# Its ${figure.key} on the validation set was ${best!.value}, in epoch ${best!.epoch}.`,
    dumpRecipe({ ...trial.recipe, name }),
  ].join('\n');
}
