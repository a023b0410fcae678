/**
 * @file Implements `emoq eval`: scores runs or a file, or compares two of them, and prints tables or data.
 */

import { InputError } from '../../base/index.js';
import {
  type AblationScores,
  ablationFigure,
  type BootstrapIntervals,
  comparisonCsv,
  comparisonTables,
  type Evaluation,
  type EvaluationResult,
  formatTables,
  type NoiseResults,
  noiseTable,
  type PaperRow,
  plainTable,
  resultsCsv,
  resultsUnderNoiseCsv,
  type Scores,
  scoreTables,
  type Table,
} from '../../evaluation/index.js';
import { ofPaperMetrics } from '../../evaluation/metrics/index.js';
import {
  compareSystems,
  type ExperimentContext,
  evaluateEnsemble,
  evaluateExperiment,
  fewSeedsWarning,
  noiseResults,
  type RunScores,
  scoreBundle,
  scoreFile,
} from '../../experiments/index.js';
import { refuseLoneOverrides } from '../command-definition.js';
import { outColor, printJson, printResult, warn } from '../terminal-output.js';
import { type EvalOptions, formatOf, type ResamplingOptions, resamplingOf } from './eval-options.js';
import { experimentContext } from './experiment-options.js';

export async function run(options: EvalOptions): Promise<void> {
  const { compare, predictions, bundle } = options;
  if (compare !== undefined || predictions !== undefined || bundle !== undefined)
    refuseLoneOverrides(options);
  const context = await experimentContext(options);
  if (compare !== undefined) return printComparison(compare, options, context);
  refuseWithoutNoise(options);
  const { evaluation, result, paper, underNoise } = await scoresOf(options, context);
  printScores(evaluation, result, paper, options, underNoise && noiseResults({ result }, underNoise));
}

/** Options that say how noise is added, or heard. */
function refuseWithoutNoise({ noise, noiseFrom, transcribe }: EvalOptions): void {
  if (noise !== undefined) return;
  const lone =
    noiseFrom !== undefined ? '--noise-from' : transcribe !== undefined ? '--transcribe' : undefined;
  if (lone === undefined) return;
  throw new InputError(`${lone} is for --noise; say at which ratios to add it, such as --noise 20,10,0`);
}

async function scoresOf(
  options: EvalOptions,
  context: ExperimentContext,
): Promise<Pick<RunScores<Scores>, 'evaluation' | 'result' | 'paper' | 'underNoise'>> {
  const { predictions, bundle, dataset, recipe, manifest } = options;
  if (predictions !== undefined) return scoreFile(predictions, options, context);
  if (bundle === undefined) return scoresOfRuns(options, context);
  if (dataset === undefined && recipe === undefined && manifest === undefined) {
    throw new InputError(
      '--bundle: say what to score it on, --dataset NAME or --manifest FILE; a bundle has no corpus in it',
    );
  }
  return scoreBundle({ ...options, bundle }, context);
}

async function scoresOfRuns(
  { run: named = [], ...options }: EvalOptions,
  context: ExperimentContext,
): Promise<Pick<RunScores<Scores>, 'evaluation' | 'result' | 'paper' | 'underNoise'>> {
  const [run] = named;
  if (named.length < 2) return evaluateExperiment({ ...options, ...(run !== undefined && { run }) }, context);
  const excess = (['dataset', 'recipe', 'set', 'seeds'] as const).find((key) => options[key] !== undefined);
  if (excess !== undefined) {
    const what = excess === 'seeds' ? 'name the folder of each seed (seed-N) with --run' : 'leave it out';
    throw new InputError(
      `--${excess} is not for several runs, which are scored as they were trained; ${what}`,
    );
  }
  return evaluateEnsemble({ ...options, runs: named }, context);
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

/** With fewer units than this, percentile intervals are known to be too narrow. */
const FEW_UNITS = 20;

/** Writes one evaluation, cross-validation or several seeds to stdout, and their figures under noise. */
export function printScores(
  evaluation: Evaluation,
  result: EvaluationResult,
  paper: PaperRow | null,
  options: EvalOptions,
  noise?: NoiseResults,
): void {
  const format = formatOf(options);
  warnOfFewUnits(evaluation.intervals, options);
  if (format === 'json') printJson(noise === undefined ? result : { ...result, noise: levelsOf(noise) });
  else if (format === 'csv') {
    printResult(noise === undefined ? resultsCsv(result) : resultsUnderNoiseCsv(result, noise));
  } else {
    const position = format === 'markdown' ? 'cell' : 'row';
    const tables = scoreTables(evaluation, paper, position, result);
    printTables(noise === undefined ? tables : [...tables, noiseTable(noise, position)], format);
  }
}

/** What the result itself does not have. */
function levelsOf({ noise, checkpoints, levels }: NoiseResults) {
  return { ...noise, checkpoints, levels };
}

/** Writes tables to stdout, with their titles. */
export function printTables(tables: readonly Table[], format: 'text' | 'markdown' | 'latex'): void {
  const plain = (table: Table): string => `${outColor.bold(table.title)}\n${plainTable(table)}`;
  printResult(format === 'text' ? tables.map(plain).join('\n\n') : formatTables(tables, format));
}

/** Warns if there are too few units for a reliable interval. */
export function warnOfFewUnits(
  found: Pick<BootstrapIntervals, 'unit' | 'units'> | null,
  options: ResamplingOptions,
): void {
  if (found === null) {
    if (resamplingOf(options) !== null) warn('a single utterance has no interval');
  } else if (found.units < FEW_UNITS) {
    warn(`${found.units} ${found.unit}s are few to resample: the intervals are likely too narrow`);
  }
}

/** A row's scores and its differences from another for JSON. */
export function scoreObject(row: AblationScores & { readonly run: string }) {
  const { run, result, fromFull } = row;
  return {
    run,
    ...ofPaperMetrics((key) => ablationFigure(row, key)),
    n: result.n,
    ...(result.seeds !== undefined && {
      seeds: result.seeds.map(({ seed }) => seed),
      sd: ofPaperMetrics((key) => result.sd?.[key] ?? null),
    }),
    intervals: result.intervals && ofPaperMetrics((key) => result.intervals![key]),
    difference: fromFull && ofPaperMetrics((key) => fromFull.differences[key]),
  };
}
