/**
 * @file What a hurried reader needs: what was run on what, the figures of the paper's metrics beside the paper's, the
 * majority class and chance, and a verdict that follows from the intervals alone.
 */

import { majorityText, overallOf, percent } from '../evaluation/index.js';
import { type Interval, paperMetrics } from '../evaluation/metrics/index.js';
import { countText } from './plots/index.js';
import type { ReportData } from './report-data.js';

/** A figure of the whole run. Fractions of 1, except for the published ones, which are in percent. */
export interface SummaryFigure {
  readonly title: string;
  readonly value: number;
  readonly interval: Interval | null;
  /** Over folds or seeds; null for a single run. */
  readonly spread: { readonly mean: number; readonly sd: number | null } | null;
  readonly paper: number | null;
  readonly majority: number;
  readonly chance: number;
}

export interface Summary {
  readonly title: string;
  readonly facts: readonly (readonly [name: string, value: string])[];
  /** "95 % interval", or null without intervals. */
  readonly intervalName: string | null;
  readonly figures: readonly SummaryFigure[];
  readonly verdict: string;
}

export function summaryOf(data: ReportData): Summary {
  const { about, scores, intervals, paper, baselines } = data;
  const metrics = overallOf(scores);
  const { train, dev, test } = about.utterances;
  const counts = [
    ...(train === null ? [] : [`${train} for training`]),
    ...(dev === null ? [] : [`${dev} for validation`]),
    `${test ?? countText(metrics.n)} for testing`,
  ];
  const figures = paperMetrics.map(
    ({ key, title }): SummaryFigure => ({
      title,
      value: metrics[key],
      interval: intervals?.metrics[key] ?? null,
      spread: scores.kind === 'single' ? null : { mean: scores.mean[key], sd: scores.sd[key] },
      paper: paper?.[key] ?? null,
      majority: baselines.majority[key],
      chance: baselines.chance[key],
    }),
  );
  return {
    title: `${data.name}, ${data.phase}`,
    facts: [
      ['System', about.system],
      ...about.backbones.map(({ role, name }) => [role, name] as const),
      ...(about.corpus === null ? [] : ([['Corpus', about.corpus]] as const)),
      ['Utterances', counts.join(', ')],
      ...(about.split === null ? [] : ([['Split', about.split]] as const)),
      ['Classes', `${data.labels.length}: ${shortList(data.labels)}`],
    ],
    intervalName: intervals ? `${Number((100 * intervals.level).toFixed(2))} % interval` : null,
    figures,
    verdict: verdictOf(data, figures),
  };
}

/** More classes than this are not all named in the summary. */
const MOST_NAMED = 8;

function shortList(labels: readonly string[]): string {
  if (labels.length <= MOST_NAMED) return labels.join(', ');
  return `${labels.slice(0, MOST_NAMED - 1).join(', ')} and ${labels.length - MOST_NAMED + 1} more`;
}

/** Where an interval is, seen from a figure. */
type Position = 'above' | 'below' | 'includes';

/** Both in the same unit. */
function positionOf({ low, high }: Interval, figure: number): Position {
  if (low > figure) return 'above';
  return high < figure ? 'below' : 'includes';
}

/** One sentence. Without intervals it only says what differs, and by how much. */
function verdictOf(data: ReportData, figures: readonly SummaryFigure[]): string {
  const [first] = figures as readonly [SummaryFigure, ...SummaryFigure[]];
  const difference = first.value - first.majority;
  const points = `${percent(Math.abs(difference))} points ${difference < 0 ? 'below' : 'above'} the majority class`;
  const majority = percent(Math.abs(difference)) === '0.0' ? 'that of the majority class' : points;
  const start = `${first.title} is ${majority} (${percent(first.majority)} %, ${majorityText(data.baselines)})`;
  const compared = paperPart(figures);
  if (first.interval === null) {
    return `${start}; there are no intervals, so nothing says how far these figures vary over test sets${compared === null ? '' : `, and ${compared}`}.`;
  }
  const position = positionOf(first.interval, first.majority);
  const own =
    position === 'includes'
      ? 'the interval includes it, so the difference may be chance'
      : `the whole interval is ${position} it`;
  return `${start}, and ${own}${compared === null ? '' : `; ${compared}`}.`;
}

/** What the intervals say about the paper's figures; null if the recipe has none. */
function paperPart(figures: readonly SummaryFigure[]): string | null {
  const published = figures.flatMap(({ title, value, interval, paper }) =>
    paper === null ? [] : [{ title, value, interval, paper }],
  );
  if (published.length === 0) return null;
  if (published.some(({ interval }) => interval === null)) {
    const each = published.map(({ title, value, paper }) => {
      const difference = 100 * value - paper;
      return `${title} is ${Math.abs(difference).toFixed(1)} points ${difference < 0 ? 'below' : 'above'} the paper's ${paper.toFixed(1)} %`;
    });
    return listed(each);
  }
  const groups = new Map<Position, string[]>();
  for (const { title, interval, paper } of published) {
    const position = positionOf(interval!, paper / 100);
    groups.set(position, [...(groups.get(position) ?? []), title]);
  }
  const words: Readonly<Record<Position, (one: boolean) => string>> = {
    includes: (one) => (one ? 'includes the figure of the paper' : 'include the figures of the paper'),
    above: (one) => (one ? 'is above the figure of the paper' : 'are above the figures of the paper'),
    below: (one) => (one ? 'is below the figure of the paper' : 'are below the figures of the paper'),
  };
  return [...groups]
    .map(([position, titles]) => {
      const one = titles.length === 1;
      return `the interval${one ? '' : 's'} of ${listed(titles)} ${words[position](one)}`;
    })
    .join(', ');
}

/** `a, b and c` */
function listed(items: readonly string[]): string {
  return items.length < 2 ? items.join('') : `${items.slice(0, -1).join(', ')} and ${items.at(-1)}`;
}
