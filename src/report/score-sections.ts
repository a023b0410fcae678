/** @file Sections on scores: headline figures, confusion, classes, calibration, spread, ablations. */

import {
  type FoldMetrics,
  hasWordErrors,
  intervalText,
  levelName,
  majorityText,
  metricText,
  noiseText,
  overallOf,
  type PaperFigures,
  percent,
  type SeedMetrics,
  scorePartsOf,
  wordErrorText,
  wordsUnderNoise,
} from '../evaluation/index.js';
import { type CountMetric, countMetrics, type MetricKey, paperMetrics } from '../evaluation/metrics/index.js';
import {
  type AbsentSection,
  absent,
  type Block,
  type Cell,
  type Column,
  figure,
  folded,
  paragraph,
  type Section,
  section,
  table,
} from './blocks.js';
import { countText } from './plots/index.js';
import type { ReportData } from './report-data.js';
import type { PlotsBySection } from './report-plots.js';

const figureColumn = (name: string): Column => ({ name, figures: true });
const columnOf = ({ title, unit }: CountMetric): Column => figureColumn(unit === '%' ? `${title} %` : title);
const metricColumns = countMetrics.map(columnOf);

export function headlineSection(data: ReportData, plots: PlotsBySection): Section {
  const { scores, intervals, paper } = data;
  const metrics = overallOf(data.scores);
  const rows: Cell[][] = [];
  if (paper?.best_earlier) {
    rows.push([`best earlier (paper, table ${paper.table})`, ...printedCells(paper.best_earlier), '']);
  }
  if (paper) rows.push([`EmoQ (paper, table ${paper.table})`, ...printedCells(paper), '']);
  if (scores.kind !== 'single') {
    const parts = `${scorePartsOf(scores).length} ${scores.kind}`;
    rows.push([`this run, mean ± sd of ${parts}`, ...spreadCells(scores), '']);
  }
  const name = scores.kind === 'single' ? 'this run' : 'this run, all utterances together';
  rows.push([name, ...metricCells(metrics), countText(metrics.n)]);
  if (intervals) {
    const between = countMetrics.map((metric) => {
      const { low, high } = intervals.metrics[metric.key];
      return `${metricText(metric, low)} – ${metricText(metric, high)}`;
    });
    rows.push([`${percentOfLevel(intervals.level)} interval`, ...between, '']);
  }
  const { majority, chance } = data.baselines;
  rows.push([`majority class (${majorityText(data.baselines)})`, ...metricCells(majority), '']);
  rows.push(['chance (uniform guessing, expected)', ...metricCells(chance), '']);
  const unanswered = metrics.unanswered.reduce((sum, count) => sum + count, 0);
  const notes = [
    intervals
      ? `The intervals are percentile bootstrap intervals over ${countText(intervals.resamples)} resamples of ${countText(intervals.units)} ${unitName(intervals.unit, intervals.units)}, seed ${intervals.seed}.`
      : 'There are no intervals: none were computed for these predictions.',
    ...(paper ? [] : ['The recipe has no row of the paper to compare with.']),
    ...(data.unfinished.length === 0 ? [] : [unfinishedText(data.unfinished)]),
    ...(data.missing.length === 0
      ? []
      : [
          `These figures do not cover the whole cross-validation: ${data.missing.join('; ')} ${data.missing.length === 1 ? 'is' : 'are'} not fully trained.`,
        ]),
    ...(unanswered === 0
      ? []
      : [
          `${countText(unanswered)} of the ${countText(metrics.n)} utterances have no answer; they count as wrong.`,
        ]),
  ];
  return section(
    'headline',
    'Headline figures',
    { width: 'all' },
    {
      kind: 'beside',
      lead: false,
      blocks: [
        [figure(plots.headline, 'Dots are this run, bars its intervals.')],
        [
          table(
            'Headline figures in percent. WA is the accuracy over all utterances, UA the mean recall over the classes. Higher is better.',
            [{ name: 'result' }, ...metricColumns, figureColumn('n')],
            rows,
          ),
          ...notes.map((text) => paragraph(text, 'note')),
        ],
      ],
    },
  );
}

function unfinishedText(runs: readonly string[]): string {
  const [subject, object] =
    runs.length === 1 ? ['The training of', 'the best epoch'] : ['The trainings of', 'their best epochs'];
  return `${subject} ${runs.join(', ')} had not ended: these are figures of ${object} so far.`;
}

/** A matrix of more classes than this takes the whole width. */
const MANY_CLASSES = 9;

export function confusionSection(data: ReportData, { confusion }: PlotsBySection): Section {
  const { labels, confusion: counts, unanswered } = overallOf(data.scores);
  const missing = unanswered.some((count) => count > 0);
  return section(
    'confusion',
    'Confusion',
    { width: labels.length > MANY_CLASSES ? 'all' : 'one' },
    figure(
      confusion,
      'Large: percent of the reference class, which is the colour; rows add up to 100. Small: utterances.',
    ),
    folded(
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

export function classSection(data: ReportData, { classes }: PlotsBySection): Section {
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
    {},
    figure(classes),
    unlessLong(
      table(
        'Figures of every class in percent. Support is the number of references; a dash means that the figure is undefined (division by zero).',
        [{ name: 'class' }, ...['precision', 'recall', 'F1', 'support', 'predicted'].map(figureColumn)],
        rows,
      ),
      rows.length,
    ),
  );
}

export function calibrationSection(
  { calibration }: ReportData,
  plots: PlotsBySection,
): Section | AbsentSection {
  if (calibration === null || plots.calibration === null) {
    return absent(
      'calibration',
      'Calibration',
      'There is no reliability diagram, because the predictions have no probabilities.',
    );
  }
  const share = (value: number | null): string => (value === null ? '–' : percent(value));
  return section(
    'calibration',
    'Calibration',
    {},
    paragraph(
      `The expected calibration error (ECE) is ${percent(calibration.ece)} %: the mean difference between accuracy and confidence, over ${countText(calibration.n)} utterances with probabilities. Lower is better.`,
      'note',
    ),
    figure(
      plots.calibration,
      'Dots are the accuracy of a bin, and lines lead from there to its confidence; the dashed line is perfect calibration.',
    ),
    folded(
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

/** Only for models that were scored under noise. */
export function noiseSection({ noise }: ReportData, plots: PlotsBySection): Section | null {
  if (noise === null || plots.noise === null) return null;
  const { levels } = noise;
  const [{ intervals }] = levels as [(typeof levels)[number]];
  const kept = intervals ? `, with ${percentOfLevel(intervals.level)} intervals` : '';
  return section(
    'noise',
    'Under noise',
    {},
    paragraph(
      `The test clips with ${noiseText(noise.noise)}, at ratios of the power of the clip to that of the noise over the whole clip. A clip has the same noise at every ratio. ${wordsUnderNoise(noise.noise) ?? ''}`.trimEnd(),
      'note',
    ),
    figure(plots.noise, intervals ? `Vertical lines are ${percentOfLevel(intervals.level)} intervals.` : ''),
    folded(
      'The figures as a table',
      table(
        `Figures at every signal-to-noise ratio, in percent${kept}.`,
        [
          { name: 'ratio' },
          ...metricColumns,
          ...(hasWordErrors(noise) ? [figureColumn('WER')] : []),
          figureColumn('n'),
        ],
        levels.map((level) => [
          levelName(level),
          ...countMetrics.map((metric) => {
            const ends = level.intervals?.[metric.key];
            const between = ends === undefined ? '' : ` ${intervalText(metric, ends)}`;
            return metricText(metric, level[metric.key]) + between;
          }),
          ...(hasWordErrors(noise) ? [wordErrorText(level)] : []),
          countText(level.n),
        ]),
      ),
    ),
  );
}

export function spreadSection({ scores }: ReportData, { spread }: PlotsBySection): Section | AbsentSection {
  if (scores.kind === 'single' || spread === null) {
    return absent(
      'spread',
      'Folds and seeds',
      'There is no spread to show, because this is a single run without folds or seeds.',
    );
  }
  const what = scores.kind === 'folds' ? 'fold' : 'seed';
  const { mean, sd, pooled } = scores;
  return section(
    'spread',
    'Folds and seeds',
    {},
    figure(spread, `A dot is a ${what}, the line their mean, the band one standard deviation to each side.`),
    unlessLong(
      table(
        `Each ${what}, in percent. The standard deviation is that of a sample (n − 1).`,
        [{ name: what }, ...metricColumns, figureColumn('n')],
        [
          ...scorePartsOf(scores).map(({ part, metrics }) => [
            part,
            ...metricCells(metrics),
            countText(metrics.n),
          ]),
          ['mean', ...metricCells(mean), ''],
          ['standard deviation', ...metricCells(sd), ''],
          ['all utterances together', ...metricCells(pooled), countText(pooled.n)],
        ],
      ),
      scorePartsOf(scores).length,
    ),
  );
}

/** Longer tables are behind a line that opens them. */
const MOST_ROWS = 8;

function unlessLong(block: Block, rows: number): Block {
  return rows > MOST_ROWS ? folded('The figures as a table', block) : block;
}

export function ablationSection({ ablations }: ReportData, plots: PlotsBySection): Section | AbsentSection {
  const title = 'Ablations';
  if (ablations.length === 0) {
    return absent(
      'ablations',
      title,
      'There is no ablation table, because none was run for this experiment.',
    );
  }
  const columns = [
    ...paperMetrics.map(columnOf),
    ...['n', ...paperMetrics.map(({ paper }) => `paper ${paper}`)].map(figureColumn),
  ];
  return section(
    'ablations',
    title,
    { width: 'all' },
    {
      kind: 'beside',
      lead: false,
      blocks: ablations.flatMap(({ title, rows }, i) => [
        [figure(plots.ablations[i]!)],
        [
          table(
            `${title}, in percent with bootstrap intervals, next to the paper's figures.`,
            [{ name: 'row' }, ...columns],
            rows.map((row) => [
              row.label,
              ...paperMetrics.map((metric) => {
                const interval = row.intervals?.[metric.key];
                const between = interval === undefined ? '' : ` ${intervalText(metric, interval)}`;
                return metricText(metric, row[metric.key]) + between;
              }),
              countText(row.n),
              ...paperMetrics.map(({ key }) => row.paper[key]?.toFixed(1) ?? '–'),
            ]),
          ),
        ],
      ]),
    },
  );
}

/** The paper's figure of each metric; a dash if it has none. */
function printedCells(figures: PaperFigures): string[] {
  const printed = figures as Partial<Record<MetricKey, number | null>>;
  return countMetrics.map(({ key }) => printed[key]?.toFixed(1) ?? '–');
}

function metricCells(figures: Readonly<Record<MetricKey, number | null>>): string[] {
  return countMetrics.map((metric) => {
    const value = figures[metric.key];
    return value === null ? '–' : metricText(metric, value);
  });
}

function spreadCells({ mean, sd }: FoldMetrics | SeedMetrics): string[] {
  return countMetrics.map((metric) => {
    const deviation = sd[metric.key];
    const spread = deviation === null ? '' : ` ± ${metricText(metric, deviation)}`;
    return metricText(metric, mean[metric.key]) + spread;
  });
}

function percentOfLevel(level: number): string {
  return `${Number((100 * level).toFixed(2))} %`;
}

function unitName(unit: string, count: number): string {
  return count === 1 ? unit : `${unit}s`;
}
