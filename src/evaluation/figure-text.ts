/** @file A figure in words, in the one unit that all output for people has: scores in percent, likelihoods as they are. */

import { headlineMetrics, metricKeys } from './metrics.js';
import { metricTitles } from './score-tables.js';
import { percent } from './table.js';

/** Names of the scores, in code and in files, with what they are called in tables. */
const titles = new Map<string, string>(
  headlineMetrics.flatMap((metric) => [
    [metric, metricTitles[metric]],
    [metricKeys[metric], metricTitles[metric]],
  ]),
);

/** `81.3 %` of a score that is a fraction, `1.2500` of anything else, such as a loss. */
export function figureValue(name: string, value: number): string {
  return titles.has(name) ? `${percent(value)} %` : value.toFixed(4);
}

/** `WA 81.3 %`, `nll 1.2500`. */
export function figureText(name: string, value: number): string {
  return `${titles.get(name) ?? name} ${figureValue(name, value)}`;
}
