/**
 * @file The tables of an evaluation, in percent: results next to the paper's row, folds or seeds, classes, confusion.
 */

import type { Baselines } from './evaluation.js';
import {
  type Evaluation,
  type FoldMetrics,
  mean,
  overallOf,
  type SeedMetrics,
  sampleDeviation,
  scorePartsOf,
} from './evaluation.js';
import {
  countMetrics,
  type Interval,
  type Metric,
  type MetricFigures,
  type MetricKey,
  type Metrics,
  type ProbabilityFigures,
  probabilityMetrics,
} from './metrics/index.js';
import {
  type EvaluationResult,
  normalizedConfusion,
  probabilitySpread,
  type ResultResampling,
} from './results.js';
import {
  type Align,
  columnName,
  metricText,
  type PaperFigures,
  type PaperRow,
  percent,
  type Table,
} from './table.js';

/** Whether intervals have a row of their own (for a terminal or a printed page) or follow their figures. */
export type IntervalPosition = 'row' | 'cell';

const columns = countMetrics.filter(({ test }) => test === 'column');

/** What a result covers. */
export type ResultScope = Pick<EvaluationResult, 'missing' | 'cross_corpus'>;

/** Every table of an evaluation, in reading order. */
export function scoreTables(
  evaluation: Evaluation,
  paper: PaperRow | null,
  position: IntervalPosition,
  scope: ResultScope = {},
): Table[] {
  const { scores } = evaluation;
  const overall = overallOf(scores);
  const parts = scores.kind === 'single' ? '' : `, pooled over the ${scores.kind}`;
  return [
    resultsTable(evaluation, paper, position, scope),
    ...(scores.kind === 'single' ? [] : [partsTable(evaluation, scores)]),
    { ...classTable(overall), title: `Classes${parts}` },
    confusionTable(overall),
    normalizedConfusionTable(overall),
  ];
}

/** The headline table: the paper's rows, if any, above ours. */
export function resultsTable(
  { scores, intervals, probabilistic, probabilisticParts, baselines }: Evaluation,
  paper: PaperRow | null,
  position: IntervalPosition,
  scope: ResultScope = {},
): Table {
  const known = probabilityColumns(probabilistic);
  const rows: string[][] = [];
  if (paper) {
    const printed = (figures: PaperFigures): string[] => [
      ...columns.map(
        ({ key }) => (figures as Partial<Record<MetricKey, number | null>>)[key]?.toFixed(1) ?? '-',
      ),
      ...known.map(() => '-'),
    ];
    const note = `paper, table ${paper.table}`;
    if (paper.best_earlier) rows.push(['best earlier', ...printed(paper.best_earlier), note]);
    rows.push(['EmoQ', ...printed(paper), note]);
  }
  const own = (metrics: Metrics): string[] => [
    ...columns.map((metric) => {
      const value = metricText(metric, metrics[metric.key]);
      return intervals && position === 'cell'
        ? `${value} ${intervalText(metric, intervals.metrics[metric.key])}`
        : value;
    }),
    ...known.map((metric) => optionalText(metric, probabilistic[metric.key])),
  ];
  if (scores.kind === 'single') rows.push(['this run', ...own(scores), `n = ${scores.n}`]);
  else {
    const parts = scores.kind === 'folds' ? foldCount(scores, scope) : `${scores.seeds.length} seeds`;
    const [centre, deviation] = [mean, sampleDeviation].map((of) =>
      probabilitySpread(probabilisticParts, of),
    );
    const spread = [
      ...columns.map((metric) => spreadText(metric, scores.mean[metric.key], scores.sd[metric.key])),
      ...known.map((metric) => spreadText(metric, centre![metric.key], deviation![metric.key])),
    ];
    rows.push(['this run, mean ± sd', ...spread, parts]);
    rows.push(['this run, pooled', ...own(scores.pooled), `n = ${scores.pooled.n}`]);
  }
  if (intervals && position === 'row') {
    const ends = columns.map((metric) => intervalText(metric, intervals.metrics[metric.key]));
    rows.push([`${levelText(intervals)} interval`, ...ends, ...known.map(() => ''), `by ${intervals.unit}`]);
  }
  const { majority, chance, probe } = baselines;
  const without = (figures: MetricFigures): string[] => [
    ...columns.map((metric) => metricText(metric, figures[metric.key])),
    ...known.map(() => '-'),
  ];
  if (probe !== undefined) rows.push(['linear probe', ...without(probe), 'mean of the same features']);
  rows.push(['majority class', ...without(majority), majorityText(baselines)]);
  rows.push(['chance', ...without(chance), 'uniform guessing, expected']);
  const names = [...columns, ...known].map(columnName);
  const notes = [...scopeNotes(scope), ...(intervals ? [resamplingNote(intervals)] : [])];
  return {
    title: scope.cross_corpus === undefined ? 'Results' : `Results on ${scope.cross_corpus.corpus}`,
    header: ['', ...names, ''],
    rows,
    align: ['left', ...names.map((): Align => 'right'), 'left'],
    note: notes.length > 0 ? notes.join(' ') : undefined,
  };
}

/** The probability metrics that have a column; none without probabilities. */
function probabilityColumns(figures: ProbabilityFigures) {
  return probabilityMetrics.filter(({ key, test }) => test === 'column' && figures[key] !== null);
}

/** `5 folds`, or `2 of 5 folds`. */
function foldCount({ folds }: FoldMetrics, { missing = [] }: ResultScope): string {
  const all = folds.length + missing.length;
  return missing.length === 0 ? `${all} folds` : `${folds.length} of ${all} folds`;
}

/** The most frequent class, and in which set. */
export function majorityText({ majority: { labels, from } }: Baselines): string {
  return `${labels.join(', ')}: most frequent in ${from === 'training' ? 'training' : 'this test set'}`;
}

/** Notes when the figures do not cover the whole cross-validation, or are of another corpus. */
function scopeNotes({ missing = [], cross_corpus: cross }: ResultScope): string[] {
  const folds = missing.map(({ seed, fold }) => `${seed === undefined ? '' : `seed ${seed} `}fold ${fold}`);
  const notes = folds.length === 0 ? [] : [`Without ${folds.join(', ')}: not the whole cross-validation.`];
  if (cross === undefined) return notes;
  const left = Object.values(cross.utterances_left_out).reduce((sum, count) => sum + count, 0);
  const absent = cross.classes_left_out;
  return [
    ...notes,
    `Cross-corpus: trained on another corpus, scored on ${cross.part === 'test' ? 'the test split' : 'all'} of ${cross.corpus}${left === 0 ? '' : `, ${left} utterances of other labels left out`}${absent.length === 0 ? '' : `; without the run's ${absent.join(', ')}, other probabilities rescaled to sum to 1`}.`,
  ];
}

/** One row per fold or seed, then mean, standard deviation and pooled. */
export function partsTable(
  { probabilistic, probabilisticParts }: Evaluation,
  scores: FoldMetrics | SeedMetrics,
): Table {
  const parts = scorePartsOf(scores);
  const known = probabilityColumns(probabilistic);
  const row = (
    part: string,
    n: string,
    figures: Readonly<Record<MetricKey, number | null>>,
    ofProbabilities: ProbabilityFigures,
  ): string[] => [
    part,
    n,
    ...columns.map((metric) => optionalText(metric, figures[metric.key])),
    ...known.map((metric) => optionalText(metric, ofProbabilities[metric.key])),
  ];
  return {
    title: scores.kind === 'folds' ? 'Folds' : 'Seeds',
    header: [scores.kind === 'folds' ? 'fold' : 'seed', 'n', ...[...columns, ...known].map(columnName)],
    rows: [
      ...parts.map(({ part, metrics }, i) => row(part, String(metrics.n), metrics, probabilisticParts[i]!)),
      row('mean', '', scores.mean, probabilitySpread(probabilisticParts, mean)),
      row('sd', '', scores.sd, probabilitySpread(probabilisticParts, sampleDeviation)),
      row('pooled', String(scores.pooled.n), scores.pooled, probabilistic),
    ],
  };
}

/** Precision, recall, F1 and support of every class; a dash for a figure with a zero denominator. */
export function classTable({ perClass }: Metrics): Table {
  return {
    title: 'Classes',
    header: ['class', 'precision %', 'recall %', 'F1 %', 'support'],
    rows: perClass.map(({ label, precision, recall, f1, support, predicted }) => [
      label,
      predicted === 0 ? '-' : percent(precision),
      support === 0 ? '-' : percent(recall),
      support + predicted === 0 ? '-' : percent(f1),
      String(support),
    ]),
  };
}

/** Counts by reference (rows) and predicted class (columns), with a column for missing answers if there are any. */
export function confusionTable(metrics: Metrics): Table {
  return confusionRows(
    metrics,
    'Confusion, utterances',
    metrics.confusion.map((row) => row.map(String)),
    metrics.unanswered.map(String),
  );
}

/** The same as shares of each reference class; a dash for a class without references. */
export function normalizedConfusionTable(metrics: Metrics): Table {
  const shares = normalizedConfusion(metrics);
  const cell = (share: number, i: number): string =>
    metrics.perClass[i]!.support === 0 ? '-' : percent(share);
  return confusionRows(
    metrics,
    'Confusion, % of each reference class',
    shares.map((row, i) => row.map((share) => cell(share, i))),
    metrics.unanswered.map((count, i) => cell(count / metrics.perClass[i]!.support, i)),
  );
}

function confusionRows(
  { labels, unanswered }: Metrics,
  title: string,
  cells: readonly (readonly string[])[],
  unansweredCells: readonly string[],
): Table {
  const anyUnanswered = unanswered.some((count) => count > 0);
  return {
    title,
    header: ['reference \\ predicted', ...labels, ...(anyUnanswered ? ['no answer'] : [])],
    rows: labels.map((label, i) => [label, ...cells[i]!, ...(anyUnanswered ? [unansweredCells[i]!] : [])]),
  };
}

/** `[58.2, 62.0]`, in percent if the metric is a fraction. */
export function intervalText(metric: Pick<Metric, 'unit'>, { low, high }: Interval): string {
  return `[${metricText(metric, low)}, ${metricText(metric, high)}]`;
}

/** A table note on how intervals were computed. */
export function resamplingNote(resampling: ResultResampling): string {
  const { resamples, seed, unit, units } = resampling;
  return `Intervals: ${levelText(resampling)} percentile bootstrap, ${resamples} resamples of ${units} ${unit}s, seed ${seed}.`;
}

/** `95 %` */
export function levelText({ level }: Pick<ResultResampling, 'level'>): string {
  return `${Number((100 * level).toPrecision(6))} %`;
}

function spreadText(metric: Metric, centre: number | null, sd: number | null): string {
  const deviation = sd === null ? '' : ` ± ${metricText(metric, sd)}`;
  return centre === null ? '-' : metricText(metric, centre) + deviation;
}

function optionalText(metric: Metric, value: number | null): string {
  return value === null ? '-' : metricText(metric, value);
}
