/** @file Which epoch is kept, and when further ones are not worth training. Only validation figures decide. */

import type { BestEpoch, TrainingPosition } from './run/index.js';

/** Metric of the validation set that chooses; 'last' keeps the last epoch whatever it is worth. */
export type SelectBy = 'last' | 'wa' | 'ua' | 'wf1' | 'loss';

/** How epochs are chosen and when training ends. */
export interface SelectionRule {
  readonly select: SelectBy;
  /** Epochs in the plan. */
  readonly epochs: number;
  /** Epochs in a row without a better one that end the training; 0 trains to the end of the plan. */
  readonly patience: number;
}

/** The validation figure behind a metric, and whether less of it is better. */
const METRICS: Readonly<Record<string, { readonly figure: string; readonly lowerIsBetter: boolean }>> = {
  wa: { figure: 'wa', lowerIsBetter: false },
  ua: { figure: 'ua', lowerIsBetter: false },
  wf1: { figure: 'wf1', lowerIsBetter: false },
  loss: { figure: 'nll', lowerIsBetter: true },
};

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
  const metric = METRICS[select];
  const value = metric && figures?.[metric.figure];
  if (value !== undefined && Number.isFinite(value)) {
    const earlier = best?.value ?? null;
    if (earlier === null || (metric!.lowerIsBetter ? value < earlier : value > earlier))
      return { epoch, metric: select, value };
  }
  return best === null && epoch === epochs ? { epoch, metric: null, value: null } : best;
}

/** Whether a run at `position` has nothing left to train. */
export function isTrainingOver(
  { epoch, best }: TrainingPosition,
  { epochs, patience }: SelectionRule,
): boolean {
  return epoch >= epochs || (patience > 0 && best !== null && epoch - best.epoch >= patience);
}
