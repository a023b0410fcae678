/** @file Calibration: how well the predicted class's probability matches how often it is right. */

import { argmax, type ProbabilisticOutcome } from './confusion.js';

/** Predictions whose largest probability lies in (low, high]. */
export interface CalibrationBin {
  readonly low: number;
  readonly high: number;
  readonly n: number;
  /** Mean largest probability; null in an empty bin. */
  readonly confidence: number | null;
  /** Share of correct predictions; null in an empty bin. */
  readonly accuracy: number | null;
}

/** Expected calibration error (Guo et al., 2017) and the bins it is computed from. */
export interface Calibration {
  /** Sum over the bins of n_b / n |accuracy_b - confidence_b|. */
  readonly ece: number;
  readonly bins: readonly CalibrationBin[];
  /** Utterances with probabilities. */
  readonly n: number;
}

/** Equal-width bins; the count most papers use. */
const BINS = 15;

/**
 * Expected calibration error with 15 bins of equal width (Guo et al. 2017, eq. 3). A prediction is the class with the
 * largest probability (the first one on a tie), and its confidence is that probability. The first bin includes 0.
 * @returns null when no utterance has probabilities
 */
export function calibrationOf(
  outcomes: readonly ProbabilisticOutcome[],
  labels: readonly string[],
): Calibration | null {
  const totals = Array.from({ length: BINS }, () => ({ n: 0, confidence: 0, right: 0 }));
  let n = 0;
  for (const { reference, probabilities } of outcomes) {
    if (probabilities === undefined) continue;
    const top = argmax(probabilities);
    const bin = totals[binOf(probabilities[top]!)]!;
    n += 1;
    bin.n += 1;
    bin.confidence += probabilities[top]!;
    if (labels[top] === reference) bin.right += 1;
  }
  if (n === 0) return null;
  const bins = totals.map(
    (bin, index): CalibrationBin => ({
      low: index / BINS,
      high: (index + 1) / BINS,
      n: bin.n,
      confidence: bin.n === 0 ? null : bin.confidence / bin.n,
      accuracy: bin.n === 0 ? null : bin.right / bin.n,
    }),
  );
  const ece = totals.reduce((sum, { confidence, right }) => sum + Math.abs(right - confidence), 0) / n;
  return { ece, bins, n };
}

/** Index of the bin (index / 15, (index + 1) / 15] that contains a probability. */
function binOf(probability: number): number {
  let index = 0;
  while (index < BINS - 1 && probability > (index + 1) / BINS) index += 1;
  return index;
}
