/** @file `emoq eval` at work: scores runs or a file, or compares two of them, and prints. */

import { comparisonCsv, comparisonTables } from '../../evaluation/index.js';
import {
  compareSystems,
  type ExperimentContext,
  evaluateExperiment,
  fewSeedsWarning,
  scoreFile,
} from '../../experiments/index.js';
import { refuseLoneOverrides } from '../options.js';
import { printJson, printResult, warn } from '../terminal-output.js';
import { type EvalOptions, formatOf } from './eval-options.js';
import { experimentContext } from './experiment-context.js';
import { printScores, printTables, warnOfFewUnits } from './scores.js';

export async function run(options: EvalOptions): Promise<void> {
  const { compare, predictions } = options;
  if (compare !== undefined || predictions !== undefined) refuseLoneOverrides(options);
  const context = await experimentContext(options);
  if (compare !== undefined) return printComparison(compare, options, context);
  const { evaluation, result, paper } =
    predictions === undefined
      ? await evaluateExperiment(options, context)
      : await scoreFile(predictions, options, context);
  printScores(evaluation, result, paper, options);
}

async function printComparison(
  systems: readonly string[],
  options: EvalOptions,
  context: ExperimentContext,
): Promise<void> {
  const { comparison, result } = await compareSystems(systems, options, context);
  warnOfFewUnits(comparison.bootstrap, options);
  const few = fewSeedsWarning(comparison);
  if (few !== undefined) warn(few);
  const format = formatOf(options);
  if (format === 'json') printJson(result);
  else if (format === 'csv') printResult(comparisonCsv(result));
  else printTables(comparisonTables(result), format);
}
