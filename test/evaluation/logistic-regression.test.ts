/** @file The linear probe's logistic regression against scikit-learn (test/reference/logistic-regression.py). */

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  fitLogistic,
  logisticProbabilities,
  standardizer,
} from '../../src/evaluation/statistics/logistic-regression.js';

interface Case {
  name: string;
  rows: number[][];
  labels: number[];
  classes: number;
  fits: { c: number; probabilities: number[][] }[];
}

const { cases } = JSON.parse(
  readFileSync(new URL('../fixtures/logistic-regression.json', import.meta.url), 'utf8'),
) as { cases: Case[] };

describe.each(cases)('on rows that are $name', ({ rows: given, labels, classes, fits }) => {
  const width = given[0]!.length;
  const raw = Float32Array.from(given.flat());
  const rows = standardizer({ rows: raw, width })(raw);
  const data = { rows, width, labels, classes };

  it.each(fits)('has the probabilities of scikit-learn with C $c', ({ c, probabilities }) => {
    const found = logisticProbabilities(fitLogistic(data, c), data);
    probabilities.flat().forEach((wanted, at) => {
      expect(Math.abs(found[at]! - wanted), `element ${at}`).toBeLessThan(2e-4);
    });
  });

  it('comes to the same from another start', () => {
    const [strong, weak] = [fitLogistic(data, 0.01), fitLogistic(data, 10)];
    const again = logisticProbabilities(fitLogistic(data, 10, strong), data);
    logisticProbabilities(weak, data).forEach((value, at) => {
      expect(Math.abs(value - again[at]!)).toBeLessThan(2e-4);
    });
  });
});

describe('the standardizer', () => {
  it('gives columns mean 0 and deviation 1, and a constant one 0', () => {
    const rows = Float32Array.from([1, 5, 3, 5, 8, 5]);
    const scaled = standardizer({ rows, width: 2 })(rows);
    const first = [0, 2, 4].map((at) => scaled[at]!);
    expect(first.reduce((sum, value) => sum + value, 0)).toBeCloseTo(0, 6);
    expect(first.reduce((sum, value) => sum + value * value, 0) / 3).toBeCloseTo(1, 6);
    expect([1, 3, 5].map((at) => scaled[at])).toEqual([0, 0, 0]);
  });
});
