/** @file What is known of a search, gathered elsewhere and reported here, and what follows from its trials. */

import { quantile } from '../data/corpora/index.js';
import { metricText } from '../evaluation/index.js';
import { type Metric, metrics } from '../evaluation/metrics/index.js';
import type { ReportAbout } from './report-data.js';

/** The values that a key may have, as in the search space. */
export type KeyRange =
  | { readonly choice: readonly unknown[] }
  | { readonly uniform: readonly [low: number, high: number] }
  | { readonly log: readonly [low: number, high: number] }
  | { readonly int: readonly [low: number, high: number] };

export interface SearchKey {
  /** In the recipe, such as "probe.learning_rate". */
  readonly key: string;
  readonly range: KeyRange;
  /** Its value in the recipe that trials change. */
  readonly own: unknown;
}

/** A trial that has ended. */
export interface SearchTrial {
  readonly number: number;
  /** `stopped`: by the rule that the search stops hopeless trials with. */
  readonly status: 'finished' | 'stopped' | 'failed';
  /** The figure that it is ranked by, a fraction or a loss, and the epoch that has it; null if there is none. */
  readonly best: { readonly value: number; readonly epoch: number } | null;
  readonly plannedEpochs: number;
  /** By key. */
  readonly values: Readonly<Record<string, unknown>>;
  /** The validation figure of each epoch that was trained. */
  readonly validation: readonly (number | null)[];
}

/** Everything a report on a search shows. */
export interface SearchReport {
  /** File of the best trial's recipe, for commands. */
  readonly bestRecipe: string;
  /** Name of the recipe. */
  readonly name: string;
  readonly about: Pick<ReportAbout, 'system' | 'backbones' | 'corpus'> & {
    /** Of a trial; null if there is none yet. */
    readonly utterances: { readonly train: number; readonly dev: number } | null;
    /** How the validation set was made. */
    readonly validation: string;
  };
  /** Name and display name of the last phase that was trained, whose figure ranks the trials. */
  readonly phase: { readonly name: string; readonly title: string };
  readonly fold: number | null;
  /** Key of the figure that ranks the trials, as in results.json. */
  readonly figure: { readonly key: string; readonly higherIsBetter: boolean };
  readonly sampler: 'sobol' | 'random';
  /** Of the values. */
  readonly seed: number;
  /** That the trials were trained with. */
  readonly trainingSeed: number;
  readonly stopping: 'median' | 'none';
  readonly lag: number;
  readonly keys: readonly SearchKey[];
  /** The best first; those without a figure last. */
  readonly trials: readonly SearchTrial[];
  /** Number of the best trial that was trained to its end; null if there is none. */
  readonly best: number | null;
  /** Numbers of the trials that have begun and have no result yet. */
  readonly unfinished: readonly number[];
  /** How many trials the last command was to train; null if that is not known. */
  readonly planned: number | null;
  /** The recipe that trials change, as YAML. */
  readonly recipe: string;
}

/** A trial with a figure: one that is drawn. */
export type RankedTrial = SearchTrial & {
  readonly best: NonNullable<SearchTrial['best']>;
  readonly status: 'finished' | 'stopped';
};

/** Trials by how they ended; `notBegun` is null if nobody knows how many were to be trained. */
export interface TrialCounts {
  readonly finished: number;
  readonly stopped: number;
  readonly failed: number;
  readonly unfinished: number;
  readonly notBegun: number | null;
}

export function trialCounts({ trials, unfinished, planned }: SearchReport): TrialCounts {
  const count = (status: SearchTrial['status']): number =>
    trials.filter((trial) => trial.status === status).length;
  return {
    finished: count('finished'),
    stopped: count('stopped'),
    failed: count('failed'),
    unfinished: unfinished.length,
    notBegun: planned === null ? null : planned - trials.length - unfinished.length,
  };
}

/** Whether every trial that was to be trained has ended. */
export function isComplete(data: SearchReport): boolean {
  const { unfinished, notBegun } = trialCounts(data);
  return data.trials.length > 0 && unfinished === 0 && (notBegun ?? 0) === 0;
}

export function rankedTrials({ trials }: SearchReport): RankedTrial[] {
  return trials.filter((trial): trial is RankedTrial => trial.best !== null && trial.status !== 'failed');
}

/** The best trial that was trained to its end. */
export function bestOf(data: SearchReport): RankedTrial | undefined {
  return rankedTrials(data).find(({ number }) => number === data.best);
}

/** Median figure of the trials that were trained to their end; undefined if the best is alone. */
export function medianFigure(data: SearchReport): number | undefined {
  const values = rankedTrials(data)
    .filter(({ status }) => status === 'finished')
    .map(({ best }) => best.value);
  return values.length < 2
    ? undefined
    : quantile(
        values.sort((a, b) => a - b),
        0.5,
      );
}

/** Names and unit of a figure by its key; a key that is no metric stands for itself. */
export function figureNamed(key: string): Pick<Metric, 'short' | 'title' | 'unit'> {
  return metrics.find((metric) => metric.key === key) ?? { short: key, title: key, unit: null };
}

/** `6.8 points` between two fractions, `0.1250` between other figures. */
export function differenceText(key: string, first: number, second: number): string {
  const metric = figureNamed(key);
  const text = metricText(metric, Math.abs(first - second));
  return metric.unit === '%' ? `${text} points` : text;
}

/** `0.0001 to 0.1, logarithmic`, `whole numbers 5 to 20`, `0, 16 or 64` */
export function rangeText(range: KeyRange, text: (value: unknown) => string): string {
  if ('choice' in range) {
    const texts = range.choice.map(text);
    return `${texts.slice(0, -1).join(', ')} or ${texts.at(-1)}`;
  }
  if ('int' in range) return `whole numbers ${range.int.map(text).join(' to ')}`;
  return 'log' in range
    ? `${range.log.map(text).join(' to ')}, logarithmic`
    : range.uniform.map(text).join(' to ');
}
