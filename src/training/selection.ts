/** @file Selects the epoch to keep and decides on early stopping, from validation figures only. */

import { InputError } from '../base/index.js';
import { bootstrapIntervals, metricText } from '../evaluation/index.js';
import {
  countMetrics,
  type Interval,
  type Metrics,
  type Outcome,
  type SelectKey,
  selectableMetric,
  selectKeys,
  totalsOfCounts,
} from '../evaluation/metrics/index.js';
import type { PhaseSettings } from '../systems/index.js';
import type { BestEpoch, TrainingPosition } from './runs/index.js';

/**
 * What epochs are selected by: a validation metric, or one smoothed over neighbouring epochs. 'last' always keeps the
 * last epoch.
 */
export type SelectBy = 'last' | 'smoothed' | SelectKey;

/** How an epoch is selected and when training ends. */
export interface SelectionRule {
  readonly select: SelectBy;
  /** The figure that 'smoothed' averages, default wf1; unused otherwise. */
  readonly figure?: SelectKey;
  /** Planned epochs. */
  readonly epochs: number;
  /** Training stops after this many epochs in a row without improvement; 0 trains all planned epochs. */
  readonly patience: number;
}

/** The metric of a rule, by its name in recipes; undefined if it uses none. */
export function selectingMetric({ select, figure = 'wf1' }: SelectionRule): SelectKey | undefined {
  if (select === 'last') return undefined;
  return select === 'smoothed' ? figure : select;
}

/**
 * The epoch to keep after `epoch`: that one, or `best` as before. The first one wins a tie, and NaN never wins. Without
 * figures, it is the last planned epoch.
 */
export function selectEpoch(
  { select, epochs }: SelectionRule,
  best: BestEpoch | null,
  epoch: number,
  figures: Readonly<Record<string, number>> | undefined,
): BestEpoch | null {
  const metric = select === 'last' || select === 'smoothed' ? undefined : selectableMetric(select);
  const value = metric && figures?.[metric.key];
  if (value !== undefined && Number.isFinite(value)) {
    if (isBetter(value, best, metric!.higherIsBetter)) return { epoch, metric: select, value };
  }
  return best === null && epoch === epochs ? { epoch, metric: null, value: null } : best;
}

function isBetter(value: number, best: BestEpoch | null, higherIsBetter: boolean): boolean {
  const earlier = best?.value ?? null;
  return earlier === null || (higherIsBetter ? value > earlier : value < earlier);
}

/** The state of selection so far. */
export type JudgedEpochs = Pick<TrainingPosition, 'best' | 'recent'>;

/**
 * Updates the state of selection after `epoch`, as {@link selectEpoch} does or smoothed. Smoothing averages an epoch's
 * figure with those of the epochs before and after it, so an epoch is judged when the next one has ended. The first and
 * last planned epochs average two values. NaN is left out of its neighbours' means.
 */
export function judgeEpoch(
  rule: SelectionRule,
  { best, recent = [] }: JudgedEpochs,
  epoch: number,
  figures: Readonly<Record<string, number>> | undefined,
): JudgedEpochs {
  if (rule.select !== 'smoothed' || figures === undefined)
    return { best: selectEpoch(rule, best, epoch, figures) };
  const { figure = 'wf1', epochs } = rule;
  const { key, higherIsBetter } = selectableMetric(figure);
  const value = figures[key]!;
  const now = Number.isFinite(value) ? value : null;
  const [previous = null, earlier = null] = recent.toReversed();
  const judged = [
    { epoch: epoch - 1, own: previous, neighbours: [earlier, now] },
    ...(epoch === epochs ? [{ epoch, own: now, neighbours: [previous] }] : []),
  ];
  let kept = best;
  for (const { own, neighbours, ...candidate } of judged) {
    if (own === null) continue;
    const mean = meanOf([own, ...neighbours.filter((each) => each !== null)]);
    if (isBetter(mean, kept, higherIsBetter))
      kept = { epoch: candidate.epoch, metric: `smoothed ${figure}`, value: mean };
  }
  if (kept === null && epoch === epochs) kept = { epoch, metric: null, value: null };
  return { best: kept, recent: [...recent.slice(-1), now] };
}

function meanOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Whether a run at `position` is complete. */
export function isTrainingOver(
  { epoch, best }: TrainingPosition,
  { select, epochs, patience }: SelectionRule,
): boolean {
  // With smoothing, the last epoch is judged together with the next.
  const judged = select === 'smoothed' ? epoch - 1 : epoch;
  return epoch >= epochs || (patience > 0 && best !== null && judged - best.epoch >= patience);
}

/** How many of the last epochs' checkpoints must be kept: with smoothing, the last one until it is judged. */
export function heldCheckpoints(
  position: TrainingPosition,
  selection: SelectionRule,
  keepCheckpoints: number,
): number {
  const isUnjudged = selection.select === 'smoothed' && !isTrainingOver(position, selection);
  return Math.max(keepCheckpoints, isUnjudged ? 1 : 0);
}

/**
 * The selection rule of a phase.
 * @param validated number of validation utterances
 * @throws InputError when patience is set but no metric can rank epochs
 */
export function selectionRule(
  { select, select_figure, patience, epochs, average }: PhaseSettings,
  phase: string,
  validated: number,
): SelectionRule {
  if (patience > 0 && select === 'last')
    throw new InputError(
      `${phase}.patience ${patience} waits for a better epoch, but ${phase}.select last never ranks epochs; choose ${selectKeys.join(', ')} or smoothed, or patience 0`,
    );
  if (patience > 0 && average.startsWith('last:'))
    throw new InputError(
      `${phase}.average ${average} is over the last epochs of the plan, before which ${phase}.patience ${patience} may end the training; set patience to 0, or average to ema:0.99`,
    );
  if (patience > 0 && validated === 0)
    throw new InputError(
      `${phase}.patience ${patience} needs a validation set, but there is none; set validation to share or speaker, or patience to 0`,
    );
  return { select, figure: select_figure, patience, epochs };
}

/** Intervals wider than this (10 points) hide typical differences between epochs. */
const WIDE = 0.1;
const RESAMPLES = 1000;

/**
 * A one-line warning if the selecting figure has a wide 95 % interval on the validation set; undefined otherwise.
 * @param key of the recipe, such as `stage1.select`
 */
export function smallValidationWarning(
  outcomes: readonly Outcome[],
  metrics: Metrics,
  select: SelectKey,
  key: string,
): string | undefined {
  const metric = decisiveMetric(metrics, select);
  const interval = intervalOf(metric, outcomes, metrics);
  if (interval.high - interval.low <= WIDE) return undefined;
  const unit = metric.unit === '%' ? ' %' : '';
  return (
    `the validation set of ${metrics.n} utterances is small: its ${metric.key}, ${metricText(metric, metrics[metric.key])}${unit}, ` +
    `has a 95 % interval of ${metricText(metric, interval.low)} to ${metricText(metric, interval.high)}${unit}, so that the epoch ` +
    `that ${key}=${select} keeps may be chosen by chance; --set ${key}=smoothed averages neighbouring epochs, ` +
    `--set ${key}=last keeps the last without choosing`
  );
}

type LabelMetric = (typeof countMetrics)[number];

/**
 * The metric whose interval is checked: the selecting one if it is a label metric, else the accuracy. Also the accuracy
 * if only a bootstrap could give an interval but all or none are right, because its resamples would all be equal.
 */
function decisiveMetric({ wa }: Metrics, select: SelectKey): LabelMetric {
  const { key } = selectableMetric(select);
  const metric = countMetrics.find((each) => each.key === key);
  const [accuracy] = countMetrics as [LabelMetric];
  if (metric === undefined) return accuracy;
  return metric.interval !== undefined || (wa > 0 && wa < 1) ? metric : accuracy;
}

function intervalOf(metric: LabelMetric, outcomes: readonly Outcome[], metrics: Metrics): Interval {
  if (metric.interval !== undefined) return metric.interval(totalsOfCounts(metrics));
  const keys = outcomes.map((_, index) => String(index));
  const resampling = { resamples: RESAMPLES, seed: 0, unit: 'utterance' } as const;
  return bootstrapIntervals(outcomes, keys, metrics.labels, resampling).metrics[metric.key];
}
