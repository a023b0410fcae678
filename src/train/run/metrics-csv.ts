/** @file metrics.csv: the lines of metrics.jsonl as a table, for whoever opens it in a spreadsheet or a data frame. */

import type { MetricsLine } from './metrics-log.js';

/** What a line of the table says, column by column. */
export interface MetricsTable {
  readonly header: string;
  row(line: MetricsLine): string;
}

/** What the validation columns hold; empty in the row of a step. */
const VALIDATION = ['wa', 'ua', 'wf1', 'nll'] as const;

/**
 * A row for each step and each validated epoch, with the columns step, epoch, the step's figures, and
 * `validation_<metric>`. A cell that has no value is empty.
 * @param reported names of the figures of a step
 */
export function metricsTable(reported: readonly string[]): MetricsTable {
  const columns = ['step', 'epoch', ...reported];
  const text = (value: unknown): string => (typeof value === 'number' ? String(value) : '');
  return {
    header: `${[...columns, ...VALIDATION.map((metric) => `validation_${metric}`)].join(',')}\n`,
    row: (line) => {
      const figures = columns.map((column) => text(line[column]));
      const validation = VALIDATION.map((metric) => text(line.validation?.[metric]));
      return `${[...figures, ...validation].join(',')}\n`;
    },
  };
}
