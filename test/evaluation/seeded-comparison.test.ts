/** @file Two systems with several seeds each: paired over utterances and seeds, and compared with a naive bootstrap. */

import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../src/engine/tensor/index.js';
import {
  compareSeeds,
  comparisonCsv,
  comparisonResult,
  comparisonTables,
  type PredictionTable,
  pairSeeds,
  plainTable,
  type ScoredPrediction,
  type SeedTable,
} from '../../src/evaluation/index.js';
import { classificationMetrics } from '../../src/evaluation/metrics/classification.js';
import { metricKeys } from '../../src/evaluation/metrics/metric-table.js';
import { pairedBootstrap, seededBootstrap } from '../../src/evaluation/statistics/significance.js';

const labels = ['a', 'b', 'c'];
const random = seededRandom(5, 'seeds');
const references = Array.from({ length: 150 }, () => labels[Math.floor(3 * random.uniform() ** 1.5)]!);
const keys = references.map((_, i) => `u${i}`);

function system(accuracy: number): ScoredPrediction[] {
  return references.map((reference, i) => ({
    id: `u${i}`,
    reference,
    label: random.uniform() < accuracy ? reference : random.pick(labels),
  }));
}

const first = [0.4, 0.5, 0.45, 0.55].map(system);
const second = [0.55, 0.6, 0.5, 0.65].map(system);

const tables = (systems: readonly ScoredPrediction[][], seeds = [1, 2, 3, 4]): SeedTable[] =>
  systems.map((rows, i) => ({
    seed: seeds[i]!,
    table: { path: `seed-${seeds[i]}.csv`, labels, declared: true, rows } satisfies PredictionTable,
  }));

/** Ends of the interval of WA, without the optimised counting. */
function writtenOut(a: ScoredPrediction[][], b: ScoredPrediction[][], samePairs: boolean, resamples: number) {
  const draws = seededRandom(17, 'written out');
  const pick = (count: number): number[] =>
    Array.from({ length: count }, () => Math.floor(draws.uniform() * count));
  const differences = Array.from({ length: resamples }, () => {
    const rows = pick(references.length);
    const seedsA = pick(a.length);
    const seedsB = samePairs ? seedsA : pick(b.length);
    const right = (one: ScoredPrediction[]): number =>
      rows.filter((row) => one[row]!.label === references[row]).length / rows.length;
    const mean = (systems: ScoredPrediction[][], seeds: number[]): number =>
      seeds.reduce((sum, seed) => sum + right(systems[seed]!), 0) / seeds.length;
    return mean(b, seedsB) - mean(a, seedsA);
  }).sort((x, y) => x - y);
  return {
    low: differences[Math.round(0.025 * resamples)]!,
    high: differences[Math.round(0.975 * resamples)]!,
  };
}

const settings = { resamples: 4000, seed: 1, unit: 'utterance' } as const;

describe('the bootstrap over utterances and seeds', () => {
  it.each([
    ['the same seeds, in pairs', second, true],
    ['other seeds, each by itself', second.slice(0, 3), false],
  ] as const)('of %s is the one written out', (_, other, samePairs) => {
    const { metrics } = seededBootstrap(first, other, keys, labels, { ...settings, samePairs });
    const expected = writtenOut(first, [...other], samePairs, 4000);
    // Ends of 4000 resamples vary by about 0.003; numpy's, of 6000, are [-0.0017, 0.185] and [-0.0283, 0.1789].
    expect(Math.abs(metrics.wa.low - expected.low)).toBeLessThan(0.015);
    expect(Math.abs(metrics.wa.high - expected.high)).toBeLessThan(0.015);
    const mean = (systems: readonly ScoredPrediction[][]): number =>
      systems.reduce((sum, rows) => sum + classificationMetrics(rows, labels).wa, 0) / systems.length;
    expect(metrics.wa.difference).toBeCloseTo(mean(other) - mean(first), 14);
  });

  it('is wider than that of the same models without their seeds drawn, and the plain one of one seed', () => {
    const [a, b] = [first[0]!, second[0]!];
    const once = seededBootstrap([a], [b], keys, labels, { ...settings, samePairs: true });
    expect(once).toEqual(pairedBootstrap(a, b, keys, labels, settings));
    const apart = seededBootstrap(first, second, keys, labels, { ...settings, samePairs: false });
    const paired = seededBootstrap(first, second, keys, labels, { ...settings, samePairs: true });
    const width = ({ metrics }: typeof once): number => metrics.wa.high - metrics.wa.low;
    expect(width(apart)).toBeGreaterThan(width(paired)); // good and bad seeds coincide in both systems here
    const same = seededBootstrap(first, first, keys, labels, { ...settings, samePairs: true });
    for (const metric of metricKeys) expect(same.metrics[metric]).toMatchObject({ low: 0, high: 0, p: 1 });
  });
});

describe('a comparison of seeds', () => {
  const shuffled = tables(second).map(({ seed, table }) => ({
    seed,
    table: { ...table, rows: table.rows.toReversed() },
  }));
  const result = comparisonResult(compareSeeds(pairSeeds(tables(first), shuffled), settings), ['A', 'B'], {
    versions: {},
  });

  it('has means, deviations and each seed, and the test of the two models of each', () => {
    const was = first.map((rows) => classificationMetrics(rows, labels).wa);
    expect(result.a.wa).toBeCloseTo(was.reduce((sum, wa) => sum + wa, 0) / 4, 14);
    expect(result.a.seeds!.map(({ seed, wa }) => [seed, wa])).toEqual(was.map((wa, i) => [i + 1, wa]));
    expect(result.a.sd!.wa).toBeGreaterThan(0);
    expect(result).toMatchObject({ n: 150, paired_seeds: true, mcnemar: null });
    expect(result.mcnemar_by_seed!.map(({ seed }) => seed)).toEqual([1, 2, 3, 4]);
    const { both_right, only_a_right, only_b_right, both_wrong } = result.mcnemar_by_seed![1]!;
    expect(both_right + only_a_right + only_b_right + both_wrong).toBe(150);
    expect((both_right + only_a_right) / 150).toBe(was[1]);
    expect(result.differences.wa.difference).toBeCloseTo(result.b.wa - result.a.wa, 14);
  });

  it('shows both, and one test for each seed', () => {
    const [difference, tests] = comparisonTables(result).map((table) => plainTable(table));
    expect(difference).toMatch(/\nWA +\d+\.\d ± \d+\.\d +\d+\.\d ± \d+\.\d +[+-]\d/);
    expect(difference).toContain('A is A (mean ± sd of 4 seeds)');
    expect(difference).toContain('Seeds are resampled too, the same ones for both systems.');
    expect(tests!.split('\n').map((line) => line.split(/\s+/)[0])).toEqual([
      'seed',
      '1',
      '2',
      '3',
      '4',
      "McNemar's",
    ]);
    expect(comparisonCsv(result)).toMatch(/\nA,B,mcnemar_seed_3,\d+,\d+,-?\d+,,,0\.\d+|1,150,true\n/);
  });

  it('with other seeds has no test of pairs, and says how seeds were drawn', () => {
    const other = compareSeeds(pairSeeds(tables(first), tables(second, [1, 2, 3, 9])), settings);
    const apart = comparisonResult(other, ['A', 'B'], { versions: {} });
    expect(apart).toMatchObject({ paired_seeds: false, mcnemar: null, mcnemar_by_seed: [] });
    expect(comparisonTables(apart)).toHaveLength(1);
    expect(plainTable(comparisonTables(apart)[0]!)).toContain('independently for each system');
    const one = compareSeeds(pairSeeds(tables(first), tables(second.slice(0, 1))), null);
    expect(comparisonResult(one, ['A', 'B'], { versions: {} })).toMatchObject({
      paired_seeds: false,
      resampling: null,
    });
  });

  it('is refused where one seed has other utterances', () => {
    const short = tables(second).map(({ seed, table }) => ({
      seed,
      table: seed === 3 ? { ...table, rows: table.rows.slice(1) } : table,
    }));
    expect(() => pairSeeds(tables(first), short)).toThrow(
      'the two files do not have the same utterances: 1 utterance only in seed-1.csv, such as "u0"',
    );
  });
});
