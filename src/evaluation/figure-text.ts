/** @file A figure in words, in the one unit that all output for people has: fractions in percent, all else as it is. */

import { type Metric, metrics } from './metrics/index.js';
import { percent } from './table.js';

const byKey = new Map<string, Metric>(metrics.map((metric) => [metric.key, metric]));

/** `81.3` of a fraction, which is in percent; `0.5321` of anything else. */
export function metricText({ unit }: Pick<Metric, 'unit'>, value: number): string {
  return unit === '%' ? percent(value) : value.toFixed(4);
}

/** The same with its sign, for a difference. */
export function signedMetricText(metric: Pick<Metric, 'unit'>, value: number): string {
  const text = metricText(metric, value);
  return Number(text) > 0 ? `+${text}` : text.replace(/^-(?=0\.0+$)/, '');
}

/** `WA %`, `kappa`: a metric's name at the head of a column. */
export function columnName({ short, unit }: Pick<Metric, 'short' | 'unit'>): string {
  return unit === '%' ? `${short} %` : short;
}

/** `81.3 %` of a fraction, `1.2500` of anything else, such as a loss. */
export function figureValue(name: string, value: number): string {
  const metric = byKey.get(name) ?? { unit: null };
  return metric.unit === '%' ? `${metricText(metric, value)} %` : metricText(metric, value);
}

/** `WA 81.3 %`, `nll 1.2500`. */
export function figureText(name: string, value: number): string {
  return `${byKey.get(name)?.short ?? name} ${figureValue(name, value)}`;
}
