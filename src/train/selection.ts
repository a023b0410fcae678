/** @file Which epoch is kept, and when further ones are not worth training. Only validation figures decide. */

import { type SelectKey, selectableMetric } from '../evaluation/index.js';
import type { BestEpoch, TrainingPosition } from './run/index.js';

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
