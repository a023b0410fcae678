/** @file The sections about scores: headline, confusion, classes, calibration, spread, ablations. */

import {
  type HeadlineFigures,
  type HeadlineMetric,
  headlineMetrics,
  intervalText,
  type Metrics,
  majorityText,
  overallOf,
  type PaperFigures,
  percent,
} from '../evaluation/index.js';
import { alternative, type Cell, type Column, paragraph, section, table, views } from './html.js';
import { countText, metricNames } from './plots/index.js';
import type { ReportData } from './report-data.js';
import type { PlotsBySection } from './report-plots.js';
import { figure } from './report-plots.js';

const figureColumn = (name: string): Column => ({ name, figures: true });
const headlineColumns = headlineMetrics.map((metric) => figureColumn(`${metricNames[metric]} %`));

export function headlineSection(data: ReportData, plots: PlotsBySection): string {
  const { scores, intervals, paper } = data;
  const metrics = overallOf(data.scores);
  const rows: Cell[][] = [];
  if (paper?.best_earlier) {
    rows.push([`best earlier (paper, table ${paper.table})`, ...paperCells(paper.best_earlier), '–', '']);
  }
  if (paper) rows.push([`EmoQ (paper, table ${paper.table})`, ...paperCells(paper), '–', '']);
  if ('pooled' in scores) {
    const parts = 'folds' in scores ? `${scores.folds.length} folds` : `${scores.seeds.length} seeds`;
    rows.push([
      `this run, mean ± sd of ${parts}`,
      ...headlineMetrics.map((metric) => spreadText(scores, metric)),
      '',
    ]);
  }
  const name = 'pooled' in scores ? 'this run, all utterances together' : 'this run';
  rows.push([name, ...headlineMetrics.map((metric) => percent(metrics[metric])), countText(metrics.n)]);
  if (intervals) {
    const between = headlineMetrics.map((metric) => {
      const { low, high } = intervals.metrics[metric];
      return `${percent(low)} – ${percent(high)}`;
    });
    rows.push([`${percentOfLevel(intervals.level)} interval`, ...between, '']);
  }
  const { majority, chance } = data.baselines;
  const cells = (figures: HeadlineFigures): string[] =>
    headlineMetrics.map((metric) => percent(figures[metric]));
  rows.push([`majority class (${majorityText(data.baselines)})`, ...cells(majority), '']);
  rows.push(['chance (each class alike, expected)', ...cells(chance), '']);
  const unanswered = metrics.unanswered.reduce((sum, count) => sum + count, 0);
  return section(
    'headline',
    'Headline figures',
    figure(plots.headline),
    table(
      'Headline figures in percent. WA is the accuracy over all utterances, UA the mean recall over the classes. Higher is better.',
      [{ name: 'result' }, ...headlineColumns, figureColumn('n')],
      rows,
    ),
    intervals
      ? paragraph(
          `The intervals are percentile bootstrap intervals over ${countText(intervals.resamples)} resamples of ${countText(intervals.units)} ${unitName(intervals.unit, intervals.units)}, seed ${intervals.seed}.`,
          'note',
        )
      : paragraph('There are no intervals: none were computed for these predictions.', 'missing'),
    paper ? '' : paragraph('The recipe names no row of the paper to compare with.', 'missing'),
    data.unfinished.length === 0 ? '' : paragraph(unfinishedText(data.unfinished), 'note'),
    data.missing.length === 0
      ? ''
      : paragraph(
          `These are not the figures of the whole cross-validation: ${data.missing.join('; ')} ${data.missing.length === 1 ? 'is' : 'are'} not trained to the end.`,
          'note',
        ),
    unanswered === 0
      ? ''
      : paragraph(
          `${countText(unanswered)} of the ${countText(metrics.n)} utterances have no answer; they count as wrong.`,
          'note',
        ),
  );
}

function unfinishedText(runs: readonly string[]): string {
  const [subject, object] =
    runs.length === 1 ? ['The training of', 'the best epoch'] : ['The trainings of', 'their best epochs'];
  return `${subject} ${runs.join(', ')} had not ended: these are figures of ${object} so far.`;
}

export function confusionSection(data: ReportData, { confusion }: PlotsBySection): string {
  const { labels, confusion: counts, unanswered } = overallOf(data.scores);
  const missing = unanswered.some((count) => count > 0);
  return section(
    'confusion',
    'Confusion',
    views('confusion', 'Cells show', [
      {
        name: 'shares',
        choice: 'Percent of each reference class',
        html: figure(confusion.shares, 'Rows add up to 100.'),
      },
      { name: 'counts', choice: 'Counts', html: figure(confusion.counts, 'Utterances.') },
    ]),
    alternative(
      'The counts as a table',
      table(
        'Utterances by reference class (rows) and predicted class (columns).',
        [{ name: 'reference' }, ...labels.map(figureColumn), ...(missing ? [figureColumn('no answer')] : [])],
        labels.map((label, i) => [
          label,
          ...counts[i]!.map(countText),
          ...(missing ? [countText(unanswered[i]!)] : []),
        ]),
      ),
    ),
  );
}

export function classSection(data: ReportData, { classes }: PlotsBySection): string {
  const rows = overallOf(data.scores).perClass.map((each) => [
    each.label,
    each.predicted === 0 ? '–' : percent(each.precision),
    each.support === 0 ? '–' : percent(each.recall),
    each.support + each.predicted === 0 ? '–' : percent(each.f1),
    countText(each.support),
    countText(each.predicted),
  ]);
  return section(
    'classes',
    'Classes',
    figure(classes),
    table(
      'Figures of every class in percent. Support is the number of references; a dash stands where there is nothing to divide by.',
      [{ name: 'class' }, ...['precision', 'recall', 'F1', 'support', 'predicted'].map(figureColumn)],
      rows,
    ),
  );
}

export function calibrationSection({ calibration }: ReportData, plots: PlotsBySection): string {
  if (calibration === null || plots.calibration === null) {
    return section(
      'calibration',
      'Calibration',
      paragraph('There is no reliability diagram, because the predictions have no probabilities.', 'missing'),
    );
  }
  const share = (value: number | null): string => (value === null ? '–' : percent(value));
  return section(
    'calibration',
    'Calibration',
    figure(
      plots.calibration,
      `The expected calibration error (ECE) is ${percent(calibration.ece)} %: the mean distance between accuracy and confidence, over ${countText(calibration.n)} utterances with probabilities. Lower is better.`,
    ),
    alternative(
      'The bins as a table',
      table(
        'Bins of the largest probability, in percent.',
        [{ name: 'above, up to' }, ...['confidence', 'accuracy', 'utterances'].map(figureColumn)],
        calibration.bins.map(({ low, high, confidence, accuracy, n }) => [
          `${percent(low)} – ${percent(high)}`,
          share(confidence),
          share(accuracy),
          countText(n),
        ]),
      ),
    ),
  );
}

export function spreadSection({ scores }: ReportData, { spread }: PlotsBySection): string {
  if (!('pooled' in scores) || spread === null) {
    return section(
      'spread',
      'Folds and seeds',
      paragraph(
        'There is no spread to show, because this is one run without folds or seeds beside it.',
        'missing',
      ),
    );
  }
  const [what, parts]: [string, (readonly [string, Metrics])[]] =
    'folds' in scores
      ? ['fold', scores.folds.map(({ fold, metrics }) => [fold, metrics])]
      : ['seed', scores.seeds.map(({ seed, metrics }) => [String(seed), metrics])];
  const { mean, sd, pooled } = scores;
  const cells = (metrics: Readonly<Record<HeadlineMetric, number>>): string[] =>
    headlineMetrics.map((metric) => percent(metrics[metric]));
  return section(
    'spread',
    'Folds and seeds',
    figure(spread),
    table(
      `Each ${what}, in percent. The standard deviation is that of a sample (n − 1).`,
      [{ name: what }, ...headlineColumns, figureColumn('n')],
      [
        ...parts.map(([part, metrics]) => [part, ...cells(metrics), countText(metrics.n)]),
        ['mean', ...cells(mean), ''],
        [
          'standard deviation',
          ...headlineMetrics.map((metric) => (sd[metric] === null ? '–' : percent(sd[metric]))),
          '',
        ],
        ['all utterances together', ...cells(pooled), countText(pooled.n)],
      ],
    ),
  );
}

export function ablationSection({ ablations }: ReportData, plots: PlotsBySection): string {
  const columns = ['WA %', 'UA %', 'weighted F1 %', 'n', 'paper WA', 'paper UA', 'paper F1'];
  return section(
    'ablations',
    'Ablations',
    ...(ablations.length === 0
      ? [paragraph('There is no table of ablations, because none was run for this experiment.', 'missing')]
      : ablations.flatMap(({ title, rows }, i) => [
          figure(plots.ablations[i]!),
          table(
            `${title}, in percent with bootstrap intervals, beside what the paper printed.`,
            [{ name: 'row' }, ...columns.map(figureColumn)],
            rows.map((row) => [
              row.label,
              ...(['wa', 'ua', 'wf1'] as const).map((metric) => {
                const interval = row.intervals?.[metric];
                return percent(row[metric]) + (interval === undefined ? '' : ` ${intervalText(interval)}`);
              }),
              countText(row.n),
              ...paperCells(row.paper),
            ]),
          ),
        ])),
  );
}

/** The paper's WA, UA and weighted F1; it has no macro F1. */
function paperCells({ wa, ua, wf1 }: PaperFigures): string[] {
  return [wa, ua, wf1].map((value) => (value === null ? '–' : value.toFixed(1)));
}

function spreadText(
  {
    mean,
    sd,
  }: {
    readonly mean: Readonly<Record<HeadlineMetric, number>>;
    readonly sd: Readonly<Record<HeadlineMetric, number | null>>;
  },
  metric: HeadlineMetric,
): string {
  return sd[metric] === null ? percent(mean[metric]) : `${percent(mean[metric])} ± ${percent(sd[metric])}`;
}

function percentOfLevel(level: number): string {
  return `${Number((100 * level).toFixed(2))} %`;
}

function unitName(unit: string, count: number): string {
  return count === 1 ? unit : `${unit}s`;
}
