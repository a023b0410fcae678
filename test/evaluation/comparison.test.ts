/** @file Comparison of two systems over the same utterances: pairing by id, rejected input, and every output format. */

import Papa from 'papaparse';
import { describe, expect, it } from 'vitest';
import { comparePredictions } from '../../src/evaluation/comparison.js';
import {
  comparisonCsv,
  comparisonResult,
  comparisonTables,
  formatTables,
  type PredictionTable,
  plainTable,
} from '../../src/evaluation/index.js';
import { metricKeys } from '../../src/evaluation/metrics/metric-table.js';
import { pairPredictions } from '../../src/evaluation/pairing.js';
import type { Prediction } from '../../src/evaluation/predictions.js';

const labels = ['neutral', 'joy'];
const table = (path: string, rows: readonly Prediction[], names = labels): PredictionTable => ({
  path,
  labels: names,
  declared: true,
  rows,
});
/** n utterances; `right` selects those the system gets right. */
const system = (n: number, right: (index: number) => boolean): Prediction[] =>
  Array.from({ length: n }, (_, i) => {
    const [reference, other] = i % 3 === 0 ? ['joy', 'neutral'] : ['neutral', 'joy'];
    return { id: `u${i}`, reference, label: right(i) ? reference : other };
  });
const good = system(40, (i) => i % 8 !== 0);
const poor = system(40, (i) => i % 2 !== 0);

describe('pairing', () => {
  it('goes by id, whatever the order', () => {
    const { first, second } = pairPredictions(table('a.csv', poor), table('b.csv', good.toReversed()));
    expect(first.map(({ id }) => id)).toEqual(poor.map(({ id }) => id));
    expect(second.map(({ id }) => id)).toEqual(poor.map(({ id }) => id));
    expect(second[8]!.label).toBe(good[8]!.label);
  });

  it('goes by id and fold where both have folds, by id alone where one has none', () => {
    const twice = (fold: string) => good.map((row) => ({ ...row, fold }));
    const folds = [...twice('1'), ...twice('2')];
    expect(pairPredictions(table('a.csv', folds), table('b.csv', folds)).first).toHaveLength(80);
    expect(pairPredictions(table('a.csv', twice('1')), table('b.csv', good)).first).toHaveLength(40);
    expect(() => pairPredictions(table('a.csv', twice('1')), table('b.csv', twice('2')))).toThrow(
      'only in a.csv',
    );
    expect(() => pairPredictions(table('a.csv', folds), table('b.csv', good))).toThrow(
      'a.csv: utterance "u0" occurs twice; each utterance must occur once',
    );
  });

  it('goes by path where there is no id, and takes what one file alone knows', () => {
    const a = [
      { path: 'x.wav', label: 'joy', speaker: 'Ross' },
      { path: 'y.wav', label: 'joy' },
    ];
    const b = [
      { path: 'x.wav', label: 'joy', reference: 'joy' },
      { path: 'y.wav', label: 'joy' },
    ];
    const { first, second, withoutReference } = pairPredictions(table('a.csv', a), table('b.csv', b));
    expect(first).toMatchObject([{ path: 'x.wav', reference: 'joy', speaker: 'Ross' }]);
    expect(second).toMatchObject([{ speaker: 'Ross' }]);
    expect(withoutReference).toBe(1);
  });

  it('knows the classes of both', () => {
    const other = table('b.csv', good, ['joy', 'fear', 'neutral']);
    expect(pairPredictions(table('a.csv', poor), other).labels).toEqual(['neutral', 'joy', 'fear']);
  });

  const truthless = good.map(({ reference: _, ...row }) => row);
  it.each<[string, Prediction[], Prediction[], string]>([
    [
      'utterances that only one has',
      good.slice(0, 36),
      good.slice(1),
      'the two files do not have the same utterances: 1 utterance only in a.csv, such as "u0"; 4 utterances only in b.csv, such as "u36", "u37", "u38"',
    ],
    [
      'other references',
      good,
      good.map((row, i) => (i < 2 ? { ...row, reference: i === 0 ? 'neutral' : 'joy' } : row)),
      'the references of 2 utterances differ between a.csv and b.csv, such as "u0" (joy, neutral), "u1" (neutral, joy); compare',
    ],
    ['no references', truthless, truthless, 'neither a.csv nor b.csv has a reference'],
    ['no names', [{ label: 'joy' }], good, 'a.csv: some rows have neither id nor path'],
  ])('refuses %s', (_, a, b, message) => {
    expect(() => pairPredictions(table('a.csv', a), table('b.csv', b))).toThrow(message);
  });
});

describe('a comparison', () => {
  const paired = pairPredictions(table('a.csv', poor), table('b.csv', good));
  const comparison = comparePredictions(paired, { resamples: 2000, seed: 3, unit: 'utterance' });
  const result = comparisonResult(comparison, ['runs/a_1', 'b.csv'], { versions: { emoq: '0.1.0' } });

  it('has the figures of both, who was right, and the difference of the second from the first', () => {
    // Of 40, the first has the 20 odd ones right; the second all but the five multiples of 8.
    expect(result).toMatchObject({
      a: { name: 'runs/a_1', wa: 0.5, unanswered: 0 },
      b: { name: 'b.csv', wa: 0.875 },
      n: 40,
      labels,
      mcnemar: { both_right: 20, only_a_right: 0, only_b_right: 15, both_wrong: 5 },
      differences: { wa: { difference: 0.375 } },
      resampling: { level: 0.95, resamples: 2000, seed: 3, unit: 'utterance', units: 40 },
      higher_is_better: { wa: true },
    });
    expect(result.mcnemar!.p).toBeCloseTo(2 / 2 ** 15, 14);
    const { low, high, p } = result.differences.wa;
    expect(low).toBeGreaterThan(0);
    expect(high).toBeGreaterThan(0.375);
    expect(p).toBe(2 / 2001);
    expect(JSON.parse(JSON.stringify(result))).toMatchObject({ n: 40 });
  });

  it('turned round has the opposite signs', () => {
    const turned = comparePredictions(pairPredictions(table('b.csv', good), table('a.csv', poor)), {
      resamples: 2000,
      seed: 3,
      unit: 'utterance',
    });
    const [there, back] = [comparison.bootstrap!.metrics.ua, turned.bootstrap!.metrics.ua];
    expect(back.difference).toBeCloseTo(-there.difference, 14);
    expect(back.low).toBeCloseTo(-there.high, 12);
    expect(back.high).toBeCloseTo(-there.low, 12);
    expect(back.p).toBe(there.p);
  });

  it('shows the metrics, and who was right', () => {
    const [difference, right] = comparisonTables(result).map((each) => plainTable(each).split('\n'));
    expect(difference![1]).toMatch(/^WA +50\.0 +87\.5 +\+37\.5 +\[\d+\.\d, \d+\.\d\] +0\.0010$/);
    expect(difference!.at(-1)).toBe(
      'A is runs/a_1, B is b.csv; n = 40. Intervals: 95 % percentile bootstrap, 2000 resamples of 40 utterances, seed 3.',
    );
    expect(right![1]).toMatch(/^A right +20 +0$/);
    expect(right![2]).toMatch(/^A wrong +15 +5$/);
    expect(right![3]).toBe("McNemar's exact test, two-sided: p = 0.0001.");
  });

  it('writes a minus and not a hyphen in LaTeX, and no interval where there was no resampling', () => {
    const turned = pairPredictions(table('b.csv', good), table('a.csv', poor));
    const small = comparisonResult(comparePredictions(turned, null), ['b.csv', 'runs/a_1'], { versions: {} });
    expect(small.differences.wa).toEqual({ difference: -0.375, low: null, high: null, p: null });
    expect(small.resampling).toBeNull();
    const text = formatTables(comparisonTables(small), 'latex');
    expect(text).toContain('& A \\% & B \\% & B $-$ A \\\\');
    expect(text).toContain('WA & 87.5 & 50.0 & $-$37.5 \\\\');
    expect(text).toContain('B is runs/a\\_1; n = 40.');
  });

  it('has one row of CSV for each metric, and one for the test', () => {
    const { data } = Papa.parse<Record<string, string>>(comparisonCsv(result), {
      header: true,
      skipEmptyLines: true,
    });
    expect(data.map(({ metric }) => metric)).toEqual([...metricKeys, 'mcnemar']);
    expect(data[0]).toMatchObject({
      a: 'runs/a_1',
      value_a: '0.5',
      value_b: '0.875',
      difference: '0.375',
      n: '40',
    });
    expect(data.at(-1)).toMatchObject({ value_a: '0', value_b: '15', difference: '15', low: '', n: '40' });
  });

  it('of one utterance has no interval; of one speaker it is refused', () => {
    const one = pairPredictions(table('a.csv', good.slice(0, 1)), table('b.csv', poor.slice(0, 1)));
    expect(comparePredictions(one, { resamples: 100, seed: 1, unit: 'utterance' }).bootstrap).toBeNull();
    const same = good.map((row) => ({ ...row, speaker: 'Ross' }));
    const spoken = pairPredictions(table('a.csv', same), table('b.csv', poor));
    expect(() => comparePredictions(spoken, { resamples: 100, seed: 1, unit: 'speaker' })).toThrow(
      'there is one (Ross)',
    );
  });
});
