/**
 * @file Percentile bootstrap of the label metrics (intervals of one system, paired difference of two) and McNemar's
 * exact test. The bootstrap draws test utterances, or all those of a speaker or dialogue together; the trained models
 * are fixed. An interval therefore reflects the sampling of the test set, not training variance.
 */

import { InputError } from '../../base/index.js';
import { quantile } from '../../data/corpora/index.js';
import { seededRandom } from '../../engine/tensor/index.js';
import {
  type Interval,
  type MetricFigures,
  type MetricKey,
  metricFigures,
  metricKeys,
  type Outcome,
  ofMetrics,
  outcomeCells,
  totalsOf,
} from '../metrics/index.js';

/** What is drawn with replacement: single utterances, or all utterances of a speaker or a dialogue. */
export type ResamplingUnit = 'utterance' | 'speaker' | 'dialogue';

/** Percentile bootstrap intervals of the label metrics. */
export interface BootstrapIntervals {
  /** Coverage of the interval, such as 0.95. */
  readonly level: number;
  readonly resamples: number;
  readonly seed: number;
  readonly unit: ResamplingUnit;
  /** Number of units drawn from. */
  readonly units: number;
  readonly metrics: Readonly<Record<MetricKey, Interval>>;
}

/** How to resample. */
export interface Resampling extends Draws {
  readonly unit: ResamplingUnit;
  /** Coverage of the interval. Default 0.95. */
  readonly level?: number;
}

/** The difference of a metric between two systems over the same utterances: second minus first. */
export interface PairedDifference extends Interval {
  readonly difference: number;
  readonly p: number;
}

/** A paired bootstrap of the label metrics. */
export interface PairedBootstrap extends Omit<BootstrapIntervals, 'metrics'> {
  readonly metrics: Readonly<Record<MetricKey, PairedDifference>>;
}

/**
 * Percentile intervals (Efron and Tibshirani 1993, section 13.3) of the label metrics. In each resample, UA is the mean
 * over the classes that occur in it, by its definition.
 * @param keys the unit of each outcome, in the order of `outcomes`; outcomes with one key are drawn together
 * @throws InputError when there are fewer than two units, or an unknown label
 */
export function bootstrapIntervals(
  outcomes: readonly Outcome[],
  keys: readonly string[],
  labels: readonly string[],
  { level = 0.95, ...resampling }: Resampling,
): BootstrapIntervals {
  const units = unitsOf(keys, resampling.unit);
  const cells = outcomeCells(outcomes, labels);
  const drawn = emptyDistributions(resampling.resamples);
  resampleCounts(units, cells, labels.length * (labels.length + 1), resampling, (counts, resample) => {
    const figures = metricFigures(totalsOf(counts, labels.length));
    for (const key of metricKeys) drawn[key][resample] = figures[key];
  });
  return {
    level,
    ...resampling,
    units: units.count,
    metrics: ofMetrics((key) => percentileInterval(drawn[key].sort(), level)),
  };
}

/**
 * Paired bootstrap of the differences of two systems (Koehn 2004; Efron and Tibshirani 1993, chapter 16): both are
 * scored on the same resamples. The p-value is two-sided, 2 min(P(d <= 0), P(d >= 0)) over the resampled differences d,
 * at most 1: the smallest 1 - level at which the percentile interval excludes 0. Each share is (count + 1) / (resamples
 * + 1) (Davison and Hinkley 1997, section 4.2), so p is never 0.
 * @param first outcomes of one system; `second` those of the other, of the same utterances in the same order
 * @param keys as in {@link bootstrapIntervals}
 * @throws InputError when there are fewer than two units, or an unknown label
 */
export function pairedBootstrap(
  first: readonly Outcome[],
  second: readonly Outcome[],
  keys: readonly string[],
  labels: readonly string[],
  resampling: Resampling,
): PairedBootstrap {
  return seededBootstrap([first], [second], keys, labels, { ...resampling, samePairs: true });
}

/** How to resample systems with several seeds. */
export interface SeededResampling extends Resampling {
  /** Whether the systems have the same seeds in the same order; they are then drawn as pairs. */
  readonly samePairs: boolean;
}

/**
 * Paired bootstrap of two systems with one or more seeds each, scored by their means over seeds. A resample draws
 * utterances, the same ones for every seed of both systems, and independently of them seeds (Owen 2007, the pigeonhole
 * bootstrap of crossed factors, which is conservative). Seeds are drawn in pairs if the systems share them, else
 * separately for each system. A single seed is not drawn. With one seed each, this equals {@link pairedBootstrap}.
 * @param first for each seed of one system its outcomes, all of the same utterances in the same order; `second`
 * likewise
 */
export function seededBootstrap(
  first: readonly (readonly Outcome[])[],
  second: readonly (readonly Outcome[])[],
  keys: readonly string[],
  labels: readonly string[],
  { level = 0.95, samePairs, ...resampling }: SeededResampling,
): PairedBootstrap {
  const units = unitsOf(keys, resampling.unit);
  const cells = [...first, ...second].map((outcomes) => outcomeCells(outcomes, labels));
  const { kindOf, cellsOf } = jointKinds(cells);
  const size = labels.length * (labels.length + 1);
  const figuresOf = (counts: ArrayLike<number>, system: number): MetricFigures => {
    const systemCells = new Uint32Array(size);
    cellsOf.forEach((joint, kind) => {
      systemCells[joint[system]!]! += counts[kind]!;
    });
    return metricFigures(totalsOf(systemCells, labels.length));
  };
  const drawSeeds = seedDraws([first.length, second.length], samePairs, resampling.seed);
  const drawn = emptyDistributions(resampling.resamples);
  resampleCounts(units, kindOf, cellsOf.length, resampling, (counts, resample) => {
    const known = new Map<number, MetricFigures>();
    const meanOf = (systems: readonly number[], metric: MetricKey): number =>
      systems.reduce((sum, system) => {
        const figures = known.get(system) ?? figuresOf(counts, system);
        known.set(system, figures);
        return sum + figures[metric];
      }, 0) / systems.length;
    const [a, b] = drawSeeds();
    for (const key of metricKeys) drawn[key][resample] = meanOf(b, key) - meanOf(a, key);
  });
  const observed = cells.map((each) => metricFigures(totalsOf(countsOf(each, size), labels.length)));
  const meanObserved = (systems: readonly MetricFigures[], metric: MetricKey): number =>
    systems.reduce((sum, figures) => sum + figures[metric], 0) / systems.length;
  return {
    level,
    ...resampling,
    units: units.count,
    metrics: ofMetrics((metric) => ({
      difference:
        meanObserved(observed.slice(first.length), metric) -
        meanObserved(observed.slice(0, first.length), metric),
      ...percentileInterval(drawn[metric].sort(), level),
      p: twoSidedP(drawn[metric]),
    })),
  };
}

/**
 * Draws, for each resample, seed indices of both systems into the combined list; the first system's seeds come first.
 */
function seedDraws(
  [first, second]: readonly [number, number],
  samePairs: boolean,
  seed: number,
): () => readonly [readonly number[], readonly number[]] {
  const random = seededRandom(seed, 'bootstrap of seeds');
  const draw = (count: number): number[] =>
    count === 1 ? [0] : Array.from({ length: count }, () => Math.floor(random.uniform() * count));
  return () => {
    const a = draw(first);
    const b = samePairs ? a : draw(second);
    return [a, b.map((index) => first + index)];
  };
}

function unitsOf(keys: readonly string[], unit: ResamplingUnit): Units {
  const units = groupUnits(keys);
  if (units.count >= 2) return units;
  throw new InputError(
    `an interval by ${unit} needs two ${unit}s or more, and there is ${units.count === 1 ? `one (${keys[0]})` : 'none'}`,
  );
}

/** Groups utterances by the predictions of all systems: one kind per combination of cells that occurs. */
function jointKinds(systems: readonly (readonly number[])[]): {
  kindOf: Uint32Array;
  cellsOf: (readonly number[])[];
} {
  const kinds = new Map<string, number>();
  const cellsOf: (readonly number[])[] = [];
  const kindOf = Uint32Array.from(systems[0]!, (_, index) => {
    const cells = systems.map((system) => system[index]!);
    const key = cells.join(' ');
    const known = kinds.get(key);
    if (known !== undefined) return known;
    kinds.set(key, cellsOf.length);
    return cellsOf.push(cells) - 1;
  });
  return { kindOf, cellsOf };
}

function countsOf(cells: readonly number[], size: number): Uint32Array {
  const counts = new Uint32Array(size);
  for (const cell of cells) counts[cell]! += 1;
  return counts;
}

function emptyDistributions(resamples: number): Readonly<Record<MetricKey, Float64Array>> {
  return ofMetrics(() => new Float64Array(resamples));
}

function percentileInterval(sorted: Float64Array, level: number): Interval {
  const tail = (1 - level) / 2;
  return { low: quantile(sorted, tail), high: quantile(sorted, 1 - tail) };
}

function twoSidedP(differences: Float64Array): number {
  let [notAbove, notBelow] = [0, 0];
  for (const difference of differences) {
    // Equal figures of two systems may differ by rounding, because they sum different parts; this counts as a tie.
    if (difference < TIE) notAbove += 1;
    if (difference > -TIE) notBelow += 1;
  }
  return Math.min(1, (2 * (Math.min(notAbove, notBelow) + 1)) / (differences.length + 1));
}

const TIE = 1e-12;

/** Utterances grouped by unit. */
export interface Units {
  readonly count: number;
  /** [count + 1]: unit u holds the members from `starts[u]` up to, not including, `starts[u + 1]`. */
  readonly starts: Uint32Array;
  /** Indices of utterances, unit by unit. */
  readonly members: Uint32Array;
}

/** Number of resamples, and the seed. */
export interface Draws {
  readonly resamples: number;
  readonly seed: number;
}

/** Groups utterances with equal keys into units. @param keys of each utterance */
export function groupUnits(keys: readonly string[]): Units {
  const unitOf = new Map<string, number[]>();
  keys.forEach((key, index) => {
    const members = unitOf.get(key);
    if (members) members.push(index);
    else unitOf.set(key, [index]);
  });
  const units = [...unitOf.values()];
  const starts = new Uint32Array(units.length + 1);
  units.forEach((members, unit) => {
    starts[unit + 1] = starts[unit]! + members.length;
  });
  return { count: units.length, starts, members: Uint32Array.from(units.flat()) };
}

/**
 * Draws as many units as there are, with replacement, `resamples` times. Each utterance is one of a few kinds (a cell
 * of the confusion matrix), so a draw is a single addition to a small array.
 * @param kindOf kind of each utterance, in the order of the keys
 * @param visit receives the count of each kind in a resample; the array is reused
 */
export function resampleCounts(
  { count, starts, members }: Units,
  kindOf: ArrayLike<number>,
  kinds: number,
  { resamples, seed }: Draws,
  visit: (counts: Uint32Array, resample: number) => void,
): void {
  const random = seededRandom(seed, 'bootstrap');
  const memberKinds = Uint32Array.from(members, (member) => kindOf[member]!);
  const counts = new Uint32Array(kinds);
  for (let resample = 0; resample < resamples; resample++) {
    counts.fill(0);
    for (let draw = 0; draw < count; draw++) {
      // 24 random bits: with 13,708 units, probabilities differ by less than one part in a thousand.
      const unit = Math.floor(random.uniform() * count);
      const end = starts[unit + 1]!;
      for (let member = starts[unit]!; member < end; member++) counts[memberKinds[member]!]! += 1;
    }
    visit(counts, resample);
  }
}

/** Utterances by which of two systems is right. */
export interface PairedCounts {
  readonly bothRight: number;
  readonly onlyFirst: number;
  readonly onlySecond: number;
  readonly bothWrong: number;
}

/**
 * Counts which system is right. An utterance without an answer is wrong. @param second of the same utterances as
 * `first`
 */
export function pairedCounts(first: readonly Outcome[], second: readonly Outcome[]): PairedCounts {
  const counts = { bothRight: 0, onlyFirst: 0, onlySecond: 0, bothWrong: 0 };
  first.forEach((outcome, index) => {
    const [a, b] = [isRight(outcome), isRight(second[index]!)];
    counts[a && b ? 'bothRight' : a ? 'onlyFirst' : b ? 'onlySecond' : 'bothWrong'] += 1;
  });
  return counts;
}

/**
 * Two-sided p-value of McNemar's exact test (McNemar 1947): under the null hypothesis, which system is right on an
 * utterance that only one gets right is a fair coin toss, so p = min(1, 2 P(X <= min(b, c))) with X ~ Binomial(b + c,
 * 1/2). Assumes independent utterances. Exact for any counts: the largest term is computed in logarithms.
 */
export function mcnemarExact({ onlyFirst, onlySecond }: PairedCounts): number {
  const n = onlyFirst + onlySecond;
  const k = Math.min(onlyFirst, onlySecond);
  // P(X = i - 1) / P(X = i) = i / (n - i + 1), which is below 1 for i <= k <= n / 2.
  let tail = 1;
  let term = 1;
  for (let i = k; i > 0 && term > tail * Number.EPSILON; i--) {
    term *= i / (n - i + 1);
    tail += term;
  }
  return Math.min(1, 2 * tail * Math.exp(logBinomialHalf(n, k)));
}

/** ln P(X = k) for X ~ Binomial(n, 1/2): the sum of ln((n - k + i) / i) for i from 1 to k, minus n ln 2. */
function logBinomialHalf(n: number, k: number): number {
  let sum = -n * Math.LN2;
  let lost = 0; // rounding error (Kahan 1965); without it a million terms would cost six digits
  for (let i = 1; i <= k; i++) {
    const value = Math.log((n - k + i) / i) - lost;
    const next = sum + value;
    lost = next - sum - value;
    sum = next;
  }
  return sum;
}

function isRight({ reference, label }: Outcome): boolean {
  return reference === label;
}
