/**
 * @file Metrics compared with scikit-learn (test/reference/metrics.py), and cases that scikit-learn leaves undefined.
 */

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { foldMetrics } from '../../src/evaluation/index.js';
import { classificationMetrics, type Metrics } from '../../src/evaluation/metrics/classification.js';
import { argmax, type Outcome } from '../../src/evaluation/metrics/confusion.js';
import { type MetricKey, metricKeys } from '../../src/evaluation/metrics/metric-table.js';

interface Scores extends Record<MetricKey, number> {
  confusion: number[][];
  precision: number[];
  recall: number[];
  f1: number[];
  support: number[];
}

interface Case {
  name: string;
  classes: number;
  references: number[];
  predictions: number[];
  probabilities?: number[][];
  expected: Scores;
}

const fixture = JSON.parse(readFileSync(new URL('../fixtures/metrics.json', import.meta.url), 'utf8')) as {
  cases: Case[];
  folds: { parts: Case[]; pooled: Scores; summary: Record<string, { mean: number; sd: number }> };
};

const names = ['neutral', 'joy', 'surprise', 'anger', 'sadness', 'disgust', 'fear'];
const outcomesOf = ({ references, predictions }: Case): Outcome[] =>
  references.map((reference, i) => ({ reference: names[reference]!, label: names[predictions[i]!] }));

function expectScores(actual: Metrics, expected: Scores): void {
  for (const metric of metricKeys) expect(Math.abs(actual[metric] - expected[metric])).toBeLessThan(1e-12);
  expect(actual.confusion).toEqual(expected.confusion);
  actual.perClass.forEach((figures, i) => {
    for (const metric of ['precision', 'recall', 'f1', 'support'] as const) {
      expect(Math.abs(figures[metric] - expected[metric][i]!)).toBeLessThan(1e-12);
    }
  });
}

describe('metrics agree with scikit-learn to 1e-12', () => {
  it.each(fixture.cases)('$name', (item) => {
    expectScores(classificationMetrics(outcomesOf(item), names.slice(0, item.classes)), item.expected);
  });

  it('of equal probabilities the first class wins, as in numpy', () => {
    const { probabilities, predictions } = fixture.cases.find((item) => item.probabilities)!;
    expect(probabilities!.map(argmax)).toEqual(predictions);
  });

  it('per fold, mean, sample standard deviation, pooled', () => {
    const { parts, pooled, summary } = fixture.folds;
    const result = foldMetrics(
      parts.map((part) => ({ fold: part.name, outcomes: outcomesOf(part) })),
      names.slice(0, 4),
    );
    for (const [i, { metrics }] of result.folds.entries()) expectScores(metrics, parts[i]!.expected);
    expectScores(result.pooled, pooled);
    for (const metric of metricKeys) {
      expect(Math.abs(result.mean[metric] - summary[metric]!.mean)).toBeLessThan(1e-12);
      expect(Math.abs(result.sd[metric]! - summary[metric]!.sd)).toBeLessThan(1e-12);
    }
  });
});

describe('what is not scored', () => {
  it('an utterance without an answer is wrong, and is counted', () => {
    const metrics = classificationMetrics(
      [{ reference: 'joy', label: 'joy' }, { reference: 'joy' }, { reference: 'anger', label: 'anger' }],
      ['joy', 'anger'],
    );
    expect(metrics.n).toBe(3);
    expect(metrics.unanswered).toEqual([1, 0]);
    expect(metrics.wa).toBeCloseTo(2 / 3, 14);
    expect(metrics.ua).toBeCloseTo((0.5 + 1) / 2, 14);
  });

  it('a label outside the set, no outcomes and no folds are refused', () => {
    expect(() => classificationMetrics([{ reference: 'bliss', label: 'joy' }], ['joy'])).toThrow(
      'reference "bliss" is not one of the labels joy',
    );
    expect(() => classificationMetrics([{ reference: 'joy', label: 'bliss' }], ['joy'])).toThrow(
      'predicted label "bliss" is not one of the labels joy',
    );
    expect(() => classificationMetrics([], ['joy'])).toThrow('nothing to score');
    expect(() => foldMetrics([], ['joy'])).toThrow('no folds');
    expect(() => foldMetrics([{ fold: '3', outcomes: [] }], ['joy'])).toThrow(
      'fold 3: there is nothing to score',
    );
  });

  it('one fold has no standard deviation', () => {
    const { sd } = foldMetrics([{ fold: '1', outcomes: [{ reference: 'joy', label: 'joy' }] }], ['joy']);
    expect(sd.wa).toBeNull();
  });
});
