/** @file Prints an evaluation: tables for people, tables to paste, or data for programs. */

import {
  type BootstrapIntervals,
  type Evaluation,
  type EvaluationResult,
  formatTables,
  type PaperRow,
  plainTable,
  resultsCsv,
  scoreTables,
  type Table,
} from '../../evaluation/index.js';
import { outColor, printJson, printResult, warn } from '../terminal-output.js';
import { type EvalOptions, formatOf, type ResamplingOptions, resamplingOf } from './eval-options.js';

/** Below this many units a percentile interval is known to come out too narrow. */
const FEW_UNITS = 20;

/** Writes one evaluation, cross-validation or several seeds to stdout. */
export function printScores(
  evaluation: Evaluation,
  result: EvaluationResult,
  paper: PaperRow | null,
  options: EvalOptions,
): void {
  const format = formatOf(options);
  warnOfFewUnits(evaluation.intervals, options);
  if (format === 'json') printJson(result);
  else if (format === 'csv') printResult(resultsCsv(result));
  else printTables(scoreTables(evaluation, paper, format === 'markdown' ? 'cell' : 'row', result), format);
}

/** Writes tables to stdout, with their titles. */
export function printTables(tables: readonly Table[], format: 'text' | 'markdown' | 'latex'): void {
  const plain = (table: Table): string => `${outColor.bold(table.title)}\n${plainTable(table)}`;
  printResult(format === 'text' ? tables.map(plain).join('\n\n') : formatTables(tables, format));
}

/** Says where there are too few units to trust an interval. */
export function warnOfFewUnits(
  found: Pick<BootstrapIntervals, 'unit' | 'units'> | null,
  options: ResamplingOptions,
): void {
  if (found === null) {
    if (resamplingOf(options) !== null) warn('a single utterance has no interval');
  } else if (found.units < FEW_UNITS) {
    warn(`${found.units} ${found.unit}s are few to draw from: the intervals are likely too narrow`);
  }
}
