/** @file The table of metrics: its rows, in output order, and what is derived from a row. */

import { describe, expect, it } from 'vitest';
import { columnName } from '../../src/evaluation/index.js';
import {
  countMetrics,
  metricKeys,
  metrics,
  paperMetrics,
  probabilityMetrics,
  selectableMetric,
  selectKeys,
  validationMetrics,
} from '../../src/evaluation/metrics/metric-table.js';
import { emoqSchema } from '../../src/systems/emoq/settings.js';

const keysOf = (some: readonly { readonly key: string }[]): string[] => some.map(({ key }) => key);

describe('the table of metrics', () => {
  it('has these rows, metrics of labels first', () => {
    expect(keysOf(metrics)).toEqual(['wa', 'ua', 'wf1', 'macro_f1', 'kappa', 'ece', 'nll']);
    expect(keysOf(metrics)).toEqual([...metricKeys, ...keysOf(metrics.slice(metricKeys.length))]);
    expect(new Set(keysOf(metrics)).size).toBe(metrics.length);
  });

  it('says which metrics the paper, a terminal and a validation have', () => {
    expect(keysOf(paperMetrics)).toEqual(['wa', 'ua', 'wf1']);
    const columns = [...countMetrics, ...probabilityMetrics].filter(({ test }) => test === 'column');
    expect(columns.map(columnName)).toEqual(['WA %', 'UA %', 'WF1 %', 'macro F1 %', 'ECE %']);
    expect(keysOf(validationMetrics())).toEqual(['wa', 'ua', 'wf1', 'nll']);
  });

  it('says what a recipe may select by, and a validation records that', () => {
    const accepts = (select: string): boolean => emoqSchema.shape.stage1.safeParse({ select }).success;
    for (const select of selectKeys) {
      expect(accepts(select), select).toBe(true);
      expect(validationMetrics(select)).toContain(selectableMetric(select));
    }
    expect(selectableMetric('loss').key).toBe('nll');
    expect(accepts('nll')).toBe(false);
  });
});
