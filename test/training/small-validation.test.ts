/** @file When a validation set is too small to select an epoch, and the intervals that decide it. */

import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../src/engine/tensor/index.js';
import type { Metrics } from '../../src/evaluation/metrics/classification.js';
import { classificationMetrics } from '../../src/evaluation/metrics/classification.js';
import { meanRecallInterval, wilsonInterval } from '../../src/evaluation/metrics/closed-forms.js';
import type { Outcome } from '../../src/evaluation/metrics/confusion.js';
import { totalsOfCounts } from '../../src/evaluation/metrics/confusion.js';
import type { SelectKey } from '../../src/evaluation/metrics/metric-table.js';
import { smallValidationWarning } from '../../src/training/selection.js';

const labels = ['a', 'b', 'c', 'd'];
/** Counts per class and counts of correct answers; a wrong answer is the next class. */
const outcomes = (support: readonly number[], right: readonly number[]): Outcome[] =>
  support.flatMap((count, place) =>
    Array.from({ length: count }, (_, index) => ({
      reference: labels[place]!,
      label: labels[index < right[place]! ? place : (place + 1) % labels.length]!,
    })),
  );
const recallInterval = (metrics: Metrics) => meanRecallInterval(totalsOfCounts(metrics));
const warning = (own: readonly Outcome[], select: SelectKey): string | undefined =>
  smallValidationWarning(own, classificationMetrics(own, labels), select, 'stage1.select');

describe("Wilson's interval", () => {
  it.each([
    // scipy.stats.binomtest(successes, total).proportion_ci(method='wilson')
    [5, 10, 0.236593, 0.763407],
    [0, 10, 0, 0.277533],
    [10, 10, 0.722467, 1],
    [1, 1, 0.206549, 1],
  ])('of %i in %i', (successes, total, low, high) => {
    const interval = wilsonInterval(successes, total);
    expect(interval.low).toBeCloseTo(low, 5);
    expect(interval.high).toBeCloseTo(high, 5);
  });
});

describe('the interval of a mean recall', () => {
  it('holds the true value in about 95 of 100 draws, with few of a class too', () => {
    const random = seededRandom('coverage');
    const [support, recalls] = [
      [7, 7, 9, 5],
      [0.9, 0.6, 0.5, 0.3],
    ];
    const truth = recalls.reduce((sum, recall) => sum + recall, 0) / 4;
    let [held, draws] = [0, 2000];
    for (let draw = 0; draw < draws; draw++) {
      const right = support.map((count, place) => {
        const hits = Array.from({ length: count }, () => Number(random.uniform() < recalls[place]!));
        return hits.reduce((sum, hit) => sum + hit, 0);
      });
      const { low, high } = recallInterval(classificationMetrics(outcomes(support, right), labels));
      held += Number(low <= truth && truth <= high);
    }
    expect(held / draws).toBeGreaterThan(0.93);
    expect(held / draws).toBeLessThan(0.985);
  });

  it('leaves out classes that do not occur', () => {
    const some = classificationMetrics(outcomes([10, 0, 0, 0], [5, 0, 0, 0]), labels);
    expect(recallInterval(some).low).toBeCloseTo(wilsonInterval(5, 10).low, 12);
    expect(recallInterval(some).high).toBeCloseTo(wilsonInterval(5, 10).high, 12);
  });
});

describe('a validation set', () => {
  const small = [7, 7, 7, 7];
  it.each(['wa', 'ua', 'wf1', 'loss'] as const)(
    'of 28 is small by %s, whatever was right in it',
    (select) => {
      for (const right of [small, [0, 0, 0, 0], [7, 0, 0, 0], [5, 4, 6, 3]])
        expect(warning(outcomes(small, right), select), `${right}`).toContain(
          'the validation set of 28 utterances is small',
        );
    },
  );

  it('says the figure, its interval, and what to do', () => {
    expect(warning(outcomes(small, [5, 4, 6, 3]), 'wa')).toBe(
      'the validation set of 28 utterances is small: its wa, 64.3 %, has a 95 % interval of 45.8 to 79.3 %, so that the ' +
        'epoch that stage1.select=wa keeps may be chosen by chance; --set stage1.select=smoothed averages neighbouring ' +
        'epochs, --set stage1.select=last keeps the last without choosing',
    );
    expect(warning(outcomes(small, [5, 4, 6, 3]), 'ua')).toMatch(
      /its ua, 64\.3 %, has a 95 % interval of 4\d\.\d to 7\d/,
    );
    expect(warning(outcomes(small, [5, 4, 6, 3]), 'wf1')).toMatch(
      /its wf1, \d\d\.\d %, has a 95 % interval of /,
    );
    expect(warning(outcomes(small, small), 'wf1')).toContain(
      'its wa, 100.0 %, has a 95 % interval of 87.9 to 100.0 %',
    );
  });

  it.each(['wa', 'ua', 'wf1', 'loss'] as const)("of MELD's size is not, by %s", (select) => {
    const large = [470, 263, 223, 153];
    expect(warning(outcomes(large, [380, 140, 100, 70]), select)).toBeUndefined();
  });
});
