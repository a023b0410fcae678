/** @file The tables of an evaluation: results beside the paper's row, folds or seeds, classes, confusion. In percent. */

import type { Baselines, HeadlineFigures } from './baselines.js';
import {
  type Evaluation,
  type FoldMetrics,
  mean,
  overallOf,
  type SeedMetrics,
  sampleDeviation,
} from './evaluation.js';
import { type HeadlineMetric, headlineMetrics, type Metrics } from './metrics.js';
import { type EvaluationResult, eceSpread, normalizedConfusion, type ResultResampling } from './results.js';
import type { Interval } from './statistics/intervals.js';
import { type Align, type PaperRow, paperCells, percent, type Table } from './table.js';

/** Whether intervals have a row of their own, for a terminal or a printed page, or stand beside their figures. */
export type IntervalPlace = 'row' | 'cell';

/** Names of the metrics in tables. */
export const metricTitles = { wa: 'WA', ua: 'UA', wf1: 'WF1', macroF1: 'macro F1' } as const;

/** What a result is of, beside its figures. */
export type ResultScope = Pick<EvaluationResult, 'missing' | 'cross_corpus'>;

/** Every table of an evaluation, in the order to read. */
export function scoreTables(
  evaluation: Evaluation,
  paper: PaperRow | null,
  place: IntervalPlace,
  scope: ResultScope = {},
): Table[] {
  const { scores } = evaluation;
  const overall = overallOf(scores);
  const parts =
    'folds' in scores ? ', pooled over the folds' : 'seeds' in scores ? ', pooled over the seeds' : '';
  return [
    resultsTable(evaluation, paper, place, scope),
    ...('pooled' in scores ? [partsTable(evaluation, scores)] : []),
    { ...classTable(overall), title: `Classes${parts}` },
    confusionTable(overall),
    normalizedConfusionTable(overall),
  ];
}

/** The headline table: the paper's rows, if any, above ours. */
export function resultsTable(
  { scores, intervals, calibration, partCalibrations, baselines }: Evaluation,
  paper: PaperRow | null,
  place: IntervalPlace,
  scope: ResultScope = {},
): Table {
  const ece = calibration === null ? [] : [percent(calibration.ece)];
  const rows: string[][] = [];
  if (paper) {
    const absent = ['-', ...ece.map(() => '-')]; // macro F1, and calibration
    const note = `paper, table ${paper.table}`;
    if (paper.best_earlier) rows.push(['best earlier', ...paperCells(paper.best_earlier), ...absent, note]);
    rows.push(['EmoQ', ...paperCells(paper), ...absent, note]);
  }
  const cellOf = (metrics: Metrics, metric: HeadlineMetric): string => {
    const beside = intervals && place === 'cell' ? ` ${intervalText(intervals.metrics[metric])}` : '';
    return percent(metrics[metric]) + beside;
  };
  const cells = (metrics: Metrics): string[] => [
    ...headlineMetrics.map((metric) => cellOf(metrics, metric)),
    ...ece,
  ];
  if ('pooled' in scores) {
    const parts = 'folds' in scores ? foldCount(scores, scope) : `${scores.seeds.length} seeds`;
    const spread = headlineMetrics.map((metric) => spreadText(scores.mean[metric], scores.sd[metric]));
    const eceMean = eceSpread(partCalibrations, mean);
    const eceCell =
      eceMean === null ? '-' : spreadText(eceMean, eceSpread(partCalibrations, sampleDeviation));
    rows.push(['this run, mean ± sd', ...spread, ...ece.map(() => eceCell), parts]);
    rows.push(['this run, pooled', ...cells(scores.pooled), `n = ${scores.pooled.n}`]);
  } else {
    rows.push(['this run', ...cells(scores), `n = ${scores.n}`]);
  }
  if (intervals && place === 'row') {
    const ends = headlineMetrics.map((metric) => intervalText(intervals.metrics[metric]));
    rows.push([`${levelText(intervals)} interval`, ...ends, ...ece.map(() => ''), `by ${intervals.unit}`]);
  }
  const { majority, chance } = baselines;
  const without = (figures: HeadlineFigures): string[] => [
    ...headlineMetrics.map((metric) => percent(figures[metric])),
    ...ece.map(() => '-'),
  ];
  rows.push(['majority class', ...without(majority), majorityText(baselines)]);
  rows.push(['chance', ...without(chance), 'each class alike, expected']);
  const columns = [...headlineMetrics.map((metric) => metricTitles[metric]), ...ece.map(() => 'ECE')];
  const notes = [...scopeNotes(scope), ...(intervals ? [resamplingNote(intervals)] : [])];
  return {
    title: scope.cross_corpus === undefined ? 'Results' : `Results on ${scope.cross_corpus.corpus}`,
    header: ['', ...columns.map((column) => `${column} %`), ''],
    rows,
    align: ['left', ...columns.map((): Align => 'right'), 'left'],
    note: notes.length > 0 ? notes.join(' ') : undefined,
  };
}

/** `5 folds`, or `2 of 5 folds`. */
function foldCount({ folds }: FoldMetrics, { missing = [] }: ResultScope): string {
  const all = folds.length + missing.length;
  return missing.length === 0 ? `${all} folds` : `${folds.length} of ${all} folds`;
}

/** Which class is the most frequent, and where. */
export function majorityText({ majority: { labels, from } }: Baselines): string {
  return `${labels.join(', ')}: most frequent in ${from === 'training' ? 'training' : 'this test set'}`;
}

/** What keeps figures from being those of the whole cross-validation, or of the run's own corpus. */
function scopeNotes({ missing = [], cross_corpus: cross }: ResultScope): string[] {
  const folds = missing.map(({ seed, fold }) => `${seed === undefined ? '' : `seed ${seed} `}fold ${fold}`);
  const notes = folds.length === 0 ? [] : [`Without ${folds.join(', ')}: not the whole cross-validation.`];
  if (cross === undefined) return notes;
  const left = Object.values(cross.utterances_left_out).reduce((sum, count) => sum + count, 0);
  const absent = cross.classes_left_out;
  return [
    ...notes,
    `Cross-corpus: trained on another corpus, scored on ${cross.part === 'test' ? 'the test split' : 'all'} of ${cross.corpus}${left === 0 ? '' : `, ${left} utterances of other labels left out`}${absent.length === 0 ? '' : `; without the run's ${absent.join(', ')}, probabilities of the others scaled to 1`}.`,
  ];
}

/** One row per fold or seed, then mean, standard deviation and pooled. */
export function partsTable(
  { calibration, partCalibrations }: Evaluation,
  scores: FoldMetrics | SeedMetrics,
): Table {
  const name = 'folds' in scores ? 'fold' : 'seed';
  const parts =
    'folds' in scores
      ? scores.folds.map(({ fold, metrics }) => ({ part: fold, metrics }))
      : scores.seeds.map(({ seed, metrics }) => ({ part: String(seed), metrics }));
  const eceOf = (value: number | null | undefined): string[] =>
    calibration === null ? [] : [optionalPercent(value)];
  const row = (
    part: string,
    n: string,
    figures: Readonly<Record<HeadlineMetric, number | null>>,
    ece: number | null | undefined,
  ): string[] => [
    part,
    n,
    ...headlineMetrics.map((metric) => optionalPercent(figures[metric])),
    ...eceOf(ece),
  ];
  return {
    title: name === 'fold' ? 'Folds' : 'Seeds',
    header: [
      name,
      'n',
      ...headlineMetrics.map((metric) => `${metricTitles[metric]} %`),
      ...(calibration ? ['ECE %'] : []),
    ],
    rows: [
      ...parts.map(({ part, metrics }, i) => row(part, String(metrics.n), metrics, partCalibrations[i]?.ece)),
      row('mean', '', scores.mean, eceSpread(partCalibrations, mean)),
      row('sd', '', scores.sd, eceSpread(partCalibrations, sampleDeviation)),
      row('pooled', String(scores.pooled.n), scores.pooled, calibration?.ece),
    ],
  };
}

/** Precision, recall, F1 and support of every class. A dash where a figure has no denominator. */
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

/** The same as shares of each reference class; a dash where a class has no references. */
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

/** `[58.2, 62.0]`, in percent. */
export function intervalText({ low, high }: Interval): string {
  return `[${percent(low)}, ${percent(high)}]`;
}

/** How intervals were found, for the foot of a table. */
export function resamplingNote(resampling: ResultResampling): string {
  const { resamples, seed, unit, units } = resampling;
  return `Intervals: ${levelText(resampling)} percentile bootstrap, ${resamples} resamples of ${units} ${unit}s, seed ${seed}.`;
}

/** `95 %` */
export function levelText({ level }: Pick<ResultResampling, 'level'>): string {
  return `${Number((100 * level).toPrecision(6))} %`;
}

function spreadText(centre: number, sd: number | null): string {
  return sd === null ? percent(centre) : `${percent(centre)} ± ${percent(sd)}`;
}

function optionalPercent(value: number | null | undefined): string {
  return value === null || value === undefined ? '-' : percent(value);
}
