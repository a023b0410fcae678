/**
 * @file What costs nothing, on the same test set: always answering the most frequent class, and guessing. A system is
 * worth something where it is above them.
 */

import {
  argmax,
  classificationMetrics,
  countOutcomes,
  type MetricFigures,
  type Outcome,
  ofMetrics,
  totalsOfCounts,
} from './metrics/index.js';

/** Figures of two systems that have learnt nothing. */
export interface Baselines {
  /** Always the most frequent class. */
  readonly majority: MetricFigures & {
    /** The class; several where folds or seeds have training sets of which others are the most frequent. */
    readonly labels: readonly string[];
    /** Of which set it is the most frequent: a training set where that is known, else the test set itself. */
    readonly from: 'training' | 'test';
  };
  /** Each class guessed with the same probability: expected values. */
  readonly chance: MetricFigures;
}

/**
 * The baselines of a test set.
 * @param outcomes of which the references count
 * @param trained for each outcome, the most frequent class of what its model was trained on; undefined where that is
 *   not known
 * @param guessed references to guess at: those of one seed where the same ones are there for each
 */
export function baselinesOf(
  outcomes: readonly Outcome[],
  labels: readonly string[],
  trained: readonly string[] | undefined,
  guessed: readonly Outcome[] = outcomes,
): Baselines {
  const own = mostFrequent(labels, supportsOf(outcomes, labels));
  const majority = trained ?? outcomes.map(() => own);
  const answers = outcomes.map(({ reference }, row): Outcome => ({ reference, label: majority[row]! }));
  const always = classificationMetrics(answers, labels);
  const supports = supportsOf(guessed, labels);
  return {
    majority: {
      ...ofMetrics((key) => always[key]),
      labels: [...new Set(majority)],
      from: trained === undefined ? 'test' : 'training',
    },
    chance: ofMetrics((_, metric) => metric.chance(supports)),
  };
}

/** The most frequent class. @param counts utterances of each label, in label order; of equal ones the first */
export function mostFrequent(labels: readonly string[], counts: readonly number[]): string {
  return labels[argmax(counts)]!;
}

/** Of each class, in label order. */
function supportsOf(outcomes: readonly Outcome[], labels: readonly string[]): readonly number[] {
  const references = outcomes.map(({ reference }) => ({ reference }));
  return totalsOfCounts(countOutcomes(references, labels)).support;
}
