/** @file metrics.csv: the lines of metrics.jsonl as a table, for whoever opens it in a spreadsheet or a data frame. */

import type { MetricsLine } from './metrics-log.js';

/** What a line of the table says, column by column. */
export interface MetricsTable {
  readonly header: string;
  row(line: MetricsLine): string;
}

/** Names of what is reported. */
export interface ReportedFigures {
  readonly step: readonly string[];
  readonly validation: readonly string[];
}

/**
 * A row for each step and each validated epoch, with the columns step, epoch, the step's figures, and
 * `validation_<metric>`, which is empty in the row of a step. A cell that has no value is empty.
 */
export function metricsTable({ step, validation }: ReportedFigures): MetricsTable {
  const columns = ['step', 'epoch', ...step];
  const text = (value: unknown): string => (typeof value === 'number' ? String(value) : '');
  return {
    header: `${[...columns, ...validation.map((metric) => `validation_${metric}`)].join(',')}\n`,
    row: (line) => {
      const figures = columns.map((column) => text(line[column]));
      const validated = validation.map((metric) => text(line.validation?.[metric]));
      return `${[...figures, ...validated].join(',')}\n`;
    },
  };
}
