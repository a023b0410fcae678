/**
 * @file Majority and chance baselines: computed by hand, compared with a simulation, and shown next to a system's
 * figures.
 */

import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../src/engine/tensor/index.js';
import { baselinesOf } from '../../src/evaluation/evaluation.js';
import {
  evaluationOf,
  evaluationResult,
  foldMetrics,
  plainTable,
  resultsCsv,
  type ScoredPrediction,
  scoreTables,
  seedMetrics,
} from '../../src/evaluation/index.js';
import { classificationMetrics } from '../../src/evaluation/metrics/classification.js';
import { type MetricKey, metricKeys, ofMetrics } from '../../src/evaluation/metrics/metric-table.js';

const meld = { neutral: 1256, joy: 402, surprise: 281, anger: 345, sadness: 208, disgust: 68, fear: 50 };

function referencesOf(counts: Readonly<Record<string, number>>): ScoredPrediction[] {
  return Object.entries(counts).flatMap(([reference, count]) =>
    Array.from({ length: count }, (_, i) => ({ id: `${reference}${i}`, reference, label: reference })),
  );
}

describe('the majority class', () => {
  it('scores as its share of the test set, whatever is the most frequent there', () => {
    const labels = ['a', 'b', 'c'];
    const outcomes = referencesOf({ a: 6, b: 3, c: 1 });
    // Always b, the most frequent in training: recall 1 for b and 0 otherwise; F1 of b is 2 * 3 / (3 + 10).
    const { majority } = baselinesOf(
      outcomes,
      labels,
      outcomes.map(() => 'b'),
    );
    expect(majority).toMatchObject({ labels: ['b'], from: 'training', wa: 0.3 });
    expect(majority.ua).toBeCloseTo(1 / 3, 14);
    expect(majority.wf1).toBeCloseTo(0.3 * (6 / 13), 14);
    expect(majority.macro_f1).toBeCloseTo(6 / 13 / 3, 14);
    expect(baselinesOf(outcomes, labels, undefined).majority).toMatchObject({
      labels: ['a'],
      from: 'test',
      wa: 0.6,
    });
  });

  it("and chance on MELD's test set are those of scikit-learn's DummyClassifier", () => {
    const outcomes = referencesOf(meld);
    const { majority, chance } = baselinesOf(outcomes, Object.keys(meld), undefined);
    // scikit-learn 1.9.1, DummyClassifier("most_frequent"): accuracy, balanced accuracy, F1 weighted and macro.
    expect(majority.wa).toBeCloseTo(0.4812260536398467, 12);
    expect(majority.ua).toBeCloseTo(1 / 7, 12);
    expect(majority.wf1).toBeCloseTo(0.3126849060381001, 12);
    expect(majority.macro_f1).toBeCloseTo(0.0928238858916562, 12);
    // The means of 2000 of DummyClassifier("uniform"), whose standard errors are 0.00013 to 0.00024.
    const means = { wa: 0.14293602, ua: 0.14262814, wf1: 0.17023726, macro_f1: 0.11548042 };
    for (const [metric, mean] of Object.entries(means)) {
      expect(Math.abs(chance[metric as MetricKey] - mean)).toBeLessThan(0.001);
    }
  });

  it('of folds is that of each training set', () => {
    const parts = [referencesOf({ a: 2, b: 1 }), referencesOf({ a: 1, b: 3 })];
    const outcomes = parts.flat();
    const trained = parts.flatMap((part, fold) => part.map(() => (fold === 0 ? 'b' : 'a')));
    const { majority } = baselinesOf(outcomes, ['a', 'b'], trained);
    expect(majority).toMatchObject({ labels: ['b', 'a'], wa: 2 / 7 });
    expect(majority.ua).toBeCloseTo((1 / 3 + 1 / 4) / 2, 14);
  });
});

describe('chance', () => {
  it('of two utterances is what all four guesses come to', () => {
    const outcomes: ScoredPrediction[] = [
      { reference: 'a', label: 'a' },
      { reference: 'b', label: 'b' },
    ];
    const { chance } = baselinesOf(outcomes, ['a', 'b'], undefined);
    const guesses = ['aa', 'ab', 'ba', 'bb'].map((labels) =>
      classificationMetrics(
        outcomes.map(({ reference }, i) => ({ reference, label: labels[i]! })),
        ['a', 'b'],
      ),
    );
    for (const metric of metricKeys) {
      const mean = guesses.reduce((sum, figures) => sum + figures[metric], 0) / 4;
      expect(chance[metric], metric).toBeCloseTo(mean, 14);
    }
  });

  it('is the mean of many guesses, of classes of any size', () => {
    const labels = ['a', 'b', 'c', 'd'];
    const outcomes = referencesOf({ a: 40, b: 12, c: 5, d: 3 });
    const { chance } = baselinesOf(outcomes, labels, undefined);
    const random = seededRandom(3, 'guesses');
    const totals: Record<MetricKey, number> = { ...ofMetrics(() => 0) };
    const rounds = 20_000;
    for (let round = 0; round < rounds; round++) {
      const figures = classificationMetrics(
        outcomes.map(({ reference }) => ({ reference, label: random.pick(labels) })),
        labels,
      );
      for (const metric of metricKeys) totals[metric] += figures[metric];
    }
    // Standard deviations of one round are under 0.1: 0.003 is over four of the mean's.
    for (const metric of metricKeys) {
      expect(Math.abs(totals[metric] / rounds - chance[metric]), metric).toBeLessThan(0.003);
    }
  });

  it("of a class without references leaves a seventh for each of MELD's classes, at any size", () => {
    const labels = [...Object.keys(meld), 'bored'];
    const { chance } = baselinesOf(referencesOf(meld), labels, undefined);
    expect(chance.wa).toBe(1 / 8);
    expect(chance.ua).toBe(1 / 8);
    const large = Object.fromEntries(Object.entries(meld).map(([label, count]) => [label, 50 * count]));
    // With more utterances, the expected F1 approaches that of the expected counts, 2 n_k / (C n_k + N).
    const n = Object.values(large).reduce((sum, count) => sum + count, 0);
    const limit = Object.values(large).map((count) => (2 * count) / (8 * count + n));
    expect(baselinesOf(referencesOf(large), labels, undefined).chance.macro_f1).toBeCloseTo(
      limit.reduce((sum, f1) => sum + f1, 0) / 8,
      5,
    );
  });
});

describe('next to figures', () => {
  const labels = ['a', 'b'];
  const rows = referencesOf({ a: 3, b: 1 });
  const evaluation = evaluationOf(
    classificationMetrics(rows, labels),
    [rows],
    null,
    rows.map(() => 'b'),
  );

  it('are two rows, two scopes of CSV and a key of results.json', () => {
    const [table] = scoreTables(evaluation, null, 'row');
    expect(plainTable(table!)).toMatch(
      /\nmajority class +25\.0 +50\.0 .* b: most frequent in training\nchance +50\.0 /,
    );
    const result = evaluationResult(evaluation, { name: 'x', versions: {} });
    expect(result.baselines.majority).toMatchObject({ labels: ['b'], from: 'training', wa: 0.25, ua: 0.5 });
    expect(Object.keys(result.baselines.chance)).toEqual(metricKeys);
    const csv = resultsCsv(result);
    expect(csv).toContain('x,majority,b,wa,0.25,,,4,true\n');
    expect(csv).toMatch(/\nx,chance,,wa,0\.5,,,4,true\n/);
  });

  it('of seeds are of the test set, however many seeds there are', () => {
    const scores = (count: number) =>
      seedMetrics(
        Array.from({ length: count }, (_, seed) => ({ seed, scores: classificationMetrics(rows, labels) })),
      );
    const once = evaluationOf(scores(1), [rows], null).baselines;
    const thrice = evaluationOf(scores(3), [rows, rows, rows], null).baselines;
    expect(thrice.chance).toEqual(once.chance);
    for (const metric of metricKeys) {
      expect(thrice.majority[metric]).toBeCloseTo(once.majority[metric], 14);
    }
    const folds = foldMetrics([{ fold: '1', outcomes: rows }], labels);
    expect(evaluationOf(folds, [rows], null).baselines.chance).toEqual(once.chance);
  });
});
