/**
 * @file Intervals, significance and calibration compared with scipy, statsmodels and torchmetrics
 * (test/reference/evaluation-statistics.py), and on data with a known truth.
 */

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../src/engine/tensor/index.js';
import { bootstrapIntervals } from '../../src/evaluation/index.js';
import { calibrationOf } from '../../src/evaluation/metrics/calibration.js';
import { classificationMetrics } from '../../src/evaluation/metrics/classification.js';
import type { Interval } from '../../src/evaluation/metrics/closed-forms.js';
import type { Outcome } from '../../src/evaluation/metrics/confusion.js';
import { type MetricKey, metricKeys } from '../../src/evaluation/metrics/metric-table.js';
import { mcnemarExact, pairedBootstrap, pairedCounts } from '../../src/evaluation/statistics/significance.js';

interface End {
  value: number;
  /** Standard error due to the reference's own number of resamples. */
  error: number;
}
type Ends = Record<string, { low: End; high: End }>;

const fixture = JSON.parse(
  readFileSync(new URL('../fixtures/evaluation-statistics.json', import.meta.url), 'utf8'),
) as {
  bootstrap: {
    classes: number;
    resamples: number;
    references: number[];
    speakers: number[];
    first: number[];
    second: number[];
    byUtterance: Ends;
    bySpeaker: Ends;
    paired: Record<string, { low: End; high: End; p: End }>;
  };
  mcnemar: { onlyFirst: number; onlySecond: number; p: number }[];
  calibration: { name: string; probabilities: number[][]; references: number[]; ece: number }[];
};

const { classes, resamples, references, speakers, first, second, ...expected } = fixture.bootstrap;
const labels = Array.from({ length: classes }, (_, index) => `class ${index}`);
const outcomesOf = (predictions: readonly number[]): Outcome[] =>
  predictions.map((label, index) => ({ reference: labels[references[index]!]!, label: labels[label] }));
const own = references.map((_, index) => String(index));
const bySpeaker = speakers.map(String);

/** Both sides use the same number of resamples, so a difference has sqrt(2) times the error of one. Four of those. */
const tolerance = ({ error }: End, atom: number): number => 4 * Math.SQRT2 * error + atom;

function expectEnds(found: Interval, { low, high }: { low: End; high: End }, atom: number): void {
  expect(Math.abs(found.low - low.value), `low ${found.low}`).toBeLessThan(tolerance(low, atom));
  expect(Math.abs(found.high - high.value), `high ${found.high}`).toBeLessThan(tolerance(high, atom));
}

describe('percentile intervals agree with scipy within Monte-Carlo error', () => {
  // A figure over 180 utterances moves in steps of 1/180, so a quantile may be one step off.
  const atom = 1 / references.length;

  it.each([
    ['utterance', own, expected.byUtterance],
    ['speaker', bySpeaker, expected.bySpeaker],
  ] as const)('by %s', (unit, keys, ends) => {
    const found = bootstrapIntervals(outcomesOf(first), keys, labels, { resamples, seed: 1, unit });
    expect(found).toMatchObject({ level: 0.95, resamples, seed: 1, unit, units: new Set(keys).size });
    const metrics = classificationMetrics(outcomesOf(first), labels);
    for (const metric of Object.keys(ends) as MetricKey[]) {
      expectEnds(found.metrics[metric], ends[metric]!, atom);
      expect(found.metrics[metric].low).toBeLessThan(metrics[metric]);
      expect(found.metrics[metric].high).toBeGreaterThan(metrics[metric]);
    }
  });

  it('of the difference of two systems on the same utterances, with its p-value', () => {
    const found = pairedBootstrap(outcomesOf(first), outcomesOf(second), own, labels, {
      resamples,
      seed: 1,
      unit: 'utterance',
    });
    for (const metric of Object.keys(expected.paired) as MetricKey[]) {
      const { p, ...ends } = expected.paired[metric]!;
      expectEnds(found.metrics[metric], ends, atom);
      expect(Math.abs(found.metrics[metric].p - p.value)).toBeLessThan(tolerance(p, 2 / resamples));
      const [a, b] = [first, second].map((each) => classificationMetrics(outcomesOf(each), labels)[metric]);
      expect(found.metrics[metric].difference).toBeCloseTo(b! - a!, 14);
    }
  });

  it('are a function of the seed', () => {
    const of = (seed: number) =>
      bootstrapIntervals(outcomesOf(first), own, labels, { resamples: 500, seed, unit: 'utterance' });
    expect(of(7)).toEqual(of(7));
    expect(of(8).metrics).not.toEqual(of(7).metrics);
  });
});

/** Share of simulated test sets whose interval of WA contains the true value. */
function coverage(
  sets: number,
  truth: number,
  simulate: (set: number) => { outcomes: Outcome[]; keys: string[] },
): number {
  let held = 0;
  for (let set = 0; set < sets; set++) {
    const { outcomes, keys } = simulate(set);
    const settings = { resamples: 1000, seed: set, unit: 'utterance' } as const;
    const { low, high } = bootstrapIntervals(outcomes, keys, ['a', 'b'], settings).metrics.wa;
    if (low <= truth && truth <= high) held += 1;
  }
  return held / sets;
}

describe('intervals hold the truth as often as they say', () => {
  const SETS = 400;
  /** Three standard deviations of a share of 400: 3 sqrt(0.95 * 0.05 / 400) = 0.033. */
  const MARGIN = 0.033;
  const outcome = (right: boolean): Outcome => ({ reference: 'a', label: right ? 'a' : 'b' });

  it('of independent utterances, 95 % of the time', () => {
    const share = coverage(SETS, 0.7, (set) => {
      const random = seededRandom(set, 'coverage');
      const outcomes = Array.from({ length: 150 }, () => outcome(random.uniform() < 0.7));
      return { outcomes, keys: outcomes.map((_, index) => String(index)) };
    });
    console.log(
      `true WA inside of ${(100 * share).toFixed(1)} % of the intervals of ${SETS} simulated test sets`,
    );
    expect(Math.abs(share - 0.95)).toBeLessThan(MARGIN);
  });

  it('of speakers who differ, by speaker; by utterance they are too narrow', () => {
    // 40 speakers of 12 utterances; each is right half of the time or nine times in ten, 0.7 on average.
    const simulate = (set: number, key: (speaker: number, index: number) => string) => {
      const random = seededRandom(set, 'speakers');
      const drawn = Array.from({ length: 40 }, (_, speaker) => {
        const skill = random.uniform() < 0.5 ? 0.5 : 0.9;
        return Array.from({ length: 12 }, (_, index) => ({
          outcome: outcome(random.uniform() < skill),
          key: key(speaker, index),
        }));
      }).flat();
      return { outcomes: drawn.map((each) => each.outcome), keys: drawn.map((each) => each.key) };
    };
    const clustered = coverage(SETS, 0.7, (set) => simulate(set, (speaker) => String(speaker)));
    const single = coverage(SETS, 0.7, (set) => simulate(set, (speaker, index) => `${speaker} ${index}`));
    console.log(`by speaker ${(100 * clustered).toFixed(1)} %, by utterance ${(100 * single).toFixed(1)} %`);
    expect(Math.abs(clustered - 0.95)).toBeLessThan(MARGIN + 0.015); // 40 units: the percentile method is slightly too narrow
    expect(single).toBeLessThan(0.85);
  });

  it('an utterance that three seeds predict alike counts once', () => {
    const once = outcomesOf(first);
    const settings = { resamples, seed: 1, unit: 'utterance' } as const;
    const single = bootstrapIntervals(once, own, labels, settings);
    const tripled = bootstrapIntervals(
      [...once, ...once, ...once],
      [...own, ...own, ...own],
      labels,
      settings,
    );
    expect(tripled.units).toBe(once.length);
    for (const metric of metricKeys) {
      expect(tripled.metrics[metric].low).toBeCloseTo(single.metrics[metric].low, 12);
      expect(tripled.metrics[metric].high).toBeCloseTo(single.metrics[metric].high, 12);
    }
  });
});

describe('what cannot be resampled', () => {
  const settings = { resamples: 100, seed: 1, unit: 'speaker' } as const;

  it('one speaker, or none, is refused', () => {
    const outcomes = outcomesOf(first);
    const keys = outcomes.map(() => 'Ses01F');
    expect(() => bootstrapIntervals(outcomes, keys, labels, settings)).toThrow(
      'an interval by speaker needs two speakers or more, and there is one (Ses01F)',
    );
    expect(() => bootstrapIntervals([], [], labels, settings)).toThrow('there is none');
  });

  it('all right has no width, although many resamples miss the class of one utterance', () => {
    const outcomes = [...'aaaaaaaab'].map((label): Outcome => ({ reference: label, label }));
    const keys = outcomes.map((_, index) => String(index));
    const { metrics } = bootstrapIntervals(outcomes, keys, ['a', 'b', 'c'], settings);
    for (const metric of metricKeys) expect(metrics[metric]).toEqual({ low: 1, high: 1 });
  });
});

describe('two systems', () => {
  it.each(fixture.mcnemar)(
    "McNemar's exact test of $onlyFirst against $onlySecond agrees with statsmodels and scipy",
    ({ p, ...discordant }) => {
      const found = mcnemarExact({ bothRight: 50, bothWrong: 7, ...discordant });
      // The reference itself loses digits when p is tiny.
      expect(Math.abs(found / p - 1)).toBeLessThan(1e-9);
      const mirrored = { onlyFirst: discordant.onlySecond, onlySecond: discordant.onlyFirst };
      expect(mcnemarExact({ bothRight: 0, bothWrong: 0, ...mirrored })).toBe(found);
    },
  );

  it('counts who was right; without an answer is wrong', () => {
    const of = (...answers: (string | undefined)[]): Outcome[] =>
      answers.map((label) => ({ reference: 'a', label }));
    expect(pairedCounts(of('a', 'a', 'b', undefined), of('a', undefined, 'a', 'b'))).toEqual({
      bothRight: 1,
      onlyFirst: 1,
      onlySecond: 1,
      bothWrong: 1,
    });
  });

  it('that are the same do not differ', () => {
    const settings = { resamples: 200, seed: 1, unit: 'utterance' } as const;
    const { metrics } = pairedBootstrap(outcomesOf(first), outcomesOf(first), own, labels, settings);
    for (const metric of metricKeys) {
      expect(metrics[metric]).toEqual({ difference: 0, low: 0, high: 0, p: 1 });
    }
  });

  it('with one always better have the smallest p that the resamples can give', () => {
    const right = references.map((each): Outcome => ({ reference: labels[each]!, label: labels[each] }));
    const settings = { resamples: 999, seed: 1, unit: 'utterance' } as const;
    expect(pairedBootstrap(outcomesOf(first), right, own, labels, settings).metrics.wa.p).toBe(0.002);
  });
});

describe('calibration agrees with torchmetrics and Guo et al.', () => {
  it.each(fixture.calibration)('$name', ({ probabilities, references: truth, ece }) => {
    const names = probabilities[0]!.map((_, index) => `class ${index}`);
    const rows = probabilities.map((row, i) => ({ reference: names[truth[i]!]!, probabilities: row }));
    const found = calibrationOf([...rows, { reference: names[0]! }], names)!;
    expect(Math.abs(found.ece - ece)).toBeLessThan(1e-12);
    expect(found.n).toBe(rows.length);
    expect(found.bins).toHaveLength(15);
    expect(found.bins.reduce((sum, { n }) => sum + n, 0)).toBe(rows.length);
    for (const { low, high, n, confidence, accuracy } of found.bins) {
      expect(confidence === null).toBe(n === 0);
      expect(accuracy === null).toBe(n === 0);
      if (confidence === null) continue;
      expect(confidence).toBeGreaterThan(low);
      expect(confidence).toBeLessThan(high + 1e-12);
    }
  });

  it('is not there without probabilities', () => {
    expect(calibrationOf([{ reference: 'a' }], ['a'])).toBeNull();
  });
});
