/** @file McNemar's exact test: whether two systems are right equally often on the same utterances. */

import type { Outcome } from '../metrics/index.js';

/** Utterances by which of two systems was right. */
export interface PairedCounts {
  readonly bothRight: number;
  readonly onlyFirst: number;
  readonly onlySecond: number;
  readonly bothWrong: number;
}

/** Counts who was right. An utterance without an answer is wrong. @param second of the same utterances as `first` */
export function pairedCounts(first: readonly Outcome[], second: readonly Outcome[]): PairedCounts {
  const counts = { bothRight: 0, onlyFirst: 0, onlySecond: 0, bothWrong: 0 };
  first.forEach((outcome, index) => {
    const [a, b] = [isRight(outcome), isRight(second[index]!)];
    counts[a && b ? 'bothRight' : a ? 'onlyFirst' : b ? 'onlySecond' : 'bothWrong'] += 1;
  });
  return counts;
}

/**
 * Two-sided p-value of McNemar's exact test (McNemar 1947): under the null hypothesis the utterances that one system
 * alone has right are a fair coin's throws, so p = min(1, 2 P(X <= min(b, c))) with X ~ Binomial(b + c, 1/2). It takes
 * utterances as independent. Exact for any counts: the largest term is found in logarithms.
 */
export function mcnemarExact({ onlyFirst, onlySecond }: PairedCounts): number {
  const n = onlyFirst + onlySecond;
  const k = Math.min(onlyFirst, onlySecond);
  // P(X = i - 1) / P(X = i) = i / (n - i + 1), which is under 1 for i <= k <= n / 2.
  let tail = 1;
  let term = 1;
  for (let i = k; i > 0 && term > tail * Number.EPSILON; i--) {
    term *= i / (n - i + 1);
    tail += term;
  }
  return Math.min(1, 2 * tail * Math.exp(logBinomialHalf(n, k)));
}

/** ln P(X = k) for X ~ Binomial(n, 1/2): the sum of ln((n - k + i) / i) for i from 1 to k, less n ln 2. */
function logBinomialHalf(n: number, k: number): number {
  let sum = -n * Math.LN2;
  let lost = 0; // what rounding took (Kahan 1965), or a million terms would cost six digits
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
