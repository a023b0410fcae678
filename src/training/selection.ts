/** @file Which epoch is kept, and when further ones are not worth training. Only validation figures decide. */

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
 * What chooses: a metric of the validation set, or one that is smoothed over neighbouring epochs. 'last' keeps the last
 * epoch whatever it is worth.
 */
export type SelectBy = 'last' | 'smoothed' | SelectKey;

/** How epochs are chosen and when training ends. */
export interface SelectionRule {
  readonly select: SelectBy;
  /** What 'smoothed' smooths, wf1 by default; nothing else uses it. */
  readonly figure?: SelectKey;
  /** Epochs in the plan. */
  readonly epochs: number;
  /** Epochs in a row without a better one that end the training; 0 trains to the end of the plan. */
  readonly patience: number;
}

/** The metric that a rule looks at, by its name in recipes; undefined where it looks at none. */
export function selectingMetric({ select, figure = 'wf1' }: SelectionRule): SelectKey | undefined {
  if (select === 'last') return undefined;
  return select === 'smoothed' ? figure : select;
}

/**
 * The epoch to keep when `epoch` has ended: itself, or `best` as it was. Of equally good ones the first is kept, and one
 * whose figure is not a number never. Without figures it is the last epoch of the plan.
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

/** What is known of the epochs so far. */
export type JudgedEpochs = Pick<TrainingPosition, 'best' | 'recent'>;

/**
 * What is known of the epochs when `epoch` has ended: as {@link selectEpoch}, or smoothed. There an epoch's figure is the
 * mean of its own and those of the epochs before and after it. So it is judged when the next one has ended, the first and
 * the last of the plan by two. A figure that is not a number is left out of the means of its neighbours.
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

/** Whether a run at `position` has nothing left to train. */
export function isTrainingOver(
  { epoch, best }: TrainingPosition,
  { select, epochs, patience }: SelectionRule,
): boolean {
  // Smoothed, the epoch that ended last is judged with the next.
  const judged = select === 'smoothed' ? epoch - 1 : epoch;
  return epoch >= epochs || (patience > 0 && best !== null && judged - best.epoch >= patience);
}

/** How many of the last epochs' checkpoints must be there: smoothed, the last one until it is judged. */
export function heldCheckpoints(
  position: TrainingPosition,
  selection: SelectionRule,
  keepCheckpoints: number,
): number {
  const isUnjudged = selection.select === 'smoothed' && !isTrainingOver(position, selection);
  return Math.max(keepCheckpoints, isUnjudged ? 1 : 0);
}

/**
 * How the epochs of a phase are chosen.
 * @param validated utterances of the validation set
 * @throws InputError when patience is asked for and nothing tells a better epoch from a worse one
 */
export function selectionRule(
  { select, select_figure, patience, epochs }: PhaseSettings,
  phase: string,
  validated: number,
): SelectionRule {
  if (patience > 0 && select === 'last')
    throw new InputError(
      `${phase}.patience ${patience} waits for a better epoch, and ${phase}.select last calls none better; choose ${selectKeys.join(', ')} or smoothed, or patience 0`,
    );
  if (patience > 0 && validated === 0)
    throw new InputError(
      `${phase}.patience ${patience} needs a validation set, and there is none; set validation to share or speaker, or patience to 0`,
    );
  return { select, figure: select_figure, patience, epochs };
}

/** Intervals wider than this, in points, hide what epochs mostly differ by. */
const WIDE = 0.1;
const RESAMPLES = 1000;

/**
 * A warning in one line where the figure that selects has a wide 95 % interval on the validation set; undefined where it
 * has not.
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
 * The metric whose interval decides: the selecting one where it is of labels, else the accuracy. It is the accuracy too where
 * only a bootstrap would tell and all are right or none is: its resamples are all alike.
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
