/** @file The head of a report says what the figures and intervals carry, and no more. */

import { describe, expect, it } from 'vitest';
import type { ReportData } from '../../src/report/index.js';
import { summaryOf } from '../../src/report/summary.js';
import { reportData } from './report-data.js';

/** Data with these figures, in percent. */
function dataWith(
  figures: Partial<Record<'wa' | 'ua' | 'wf1', [low: number, value: number, high: number]>>,
  majority: number,
  more: Partial<ReportData> = {},
): ReportData {
  const data = reportData({ utterances: 60 });
  const metrics = { ...data.intervals!.metrics };
  const scores = { ...data.scores } as Record<string, unknown>;
  for (const [key, [low, value, high]] of Object.entries(figures)) {
    metrics[key as 'wa'] = { low: low / 100, high: high / 100 };
    scores[key] = value / 100;
  }
  return {
    ...data,
    scores: scores as unknown as ReportData['scores'],
    intervals: { ...data.intervals!, metrics },
    baselines: { ...data.baselines, majority: { ...data.baselines.majority, wa: majority / 100 } },
    paper: { table: 3, wa: 67.6, ua: 50.8, wf1: 66.5, best_earlier: null },
    ...more,
  };
}

const verdict = (data: ReportData): string => summaryOf(data).verdict;

describe('the verdict', () => {
  it('says on which side of the majority class and of the paper the intervals are', () => {
    const data = dataWith({ wa: [60, 62, 64], ua: [49, 51, 53], wf1: [67, 69, 71] }, 48.1);
    expect(verdict(data)).toBe(
      'WA is 13.9 points above the majority class (48.1 %, neutral: most frequent in training), and the whole interval is above it; the interval of WA is below the figure of the paper, the interval of UA includes the figure of the paper, the interval of weighted F1 is above the figure of the paper.',
    );
  });

  it('claims nothing where the interval includes the majority class', () => {
    const data = dataWith({ wa: [45, 50, 55] }, 48.1, { paper: null });
    expect(verdict(data)).toBe(
      'WA is 1.9 points above the majority class (48.1 %, neutral: most frequent in training), and the interval includes it, so the difference may be chance.',
    );
    const below = dataWith({ wa: [30, 35, 40] }, 48.1, { paper: null });
    expect(verdict(below)).toContain('13.1 points below the majority class');
    expect(verdict(below)).toContain('the whole interval is below it');
    const equal = dataWith({ wa: [40, 48.1, 55] }, 48.1, { paper: null });
    expect(verdict(equal)).toContain('WA is that of the majority class');
  });

  it('claims nothing about variation without intervals', () => {
    const data = {
      ...dataWith({ wa: [60, 62, 64], ua: [49, 51, 53], wf1: [67, 69, 71] }, 48.1),
      intervals: null,
    };
    expect(verdict(data)).toContain('there are no intervals, so nothing says how far these figures vary');
    expect(verdict(data)).toContain("WA is 5.6 points below the paper's 67.6 %");
    expect(verdict(data)).not.toMatch(/includes|whole interval/);
  });

  it('leaves out figures that the paper does not have', () => {
    const paper = { table: 1, wa: 67.6, ua: 50.8, wf1: null, best_earlier: null };
    const data = dataWith({ wa: [60, 62, 64], ua: [40, 41, 42], wf1: [67, 69, 71] }, 48.1, { paper });
    expect(verdict(data)).toContain('the intervals of WA and UA are below the figures of the paper.');
    expect(verdict(data)).not.toContain('weighted F1');
  });
});

describe('the facts', () => {
  it('name system, backbones, corpus, counts and split, without those that are unknown', () => {
    const names = (data: ReportData) => summaryOf(data).facts.map(([name]) => name);
    const data = reportData({ utterances: 60 });
    expect(names(data)).toEqual([
      ...['System', 'Speech encoder', 'Former', 'Language model'],
      ...['Corpus', 'Utterances', 'Split', 'Classes'],
    ]);
    const about = { ...data.about, corpus: null, split: null, backbones: [] };
    expect(names({ ...data, about })).toEqual(['System', 'Utterances', 'Classes']);
  });

  it('name a few of many classes', () => {
    const labels = Array.from({ length: 25 }, (_, i) => `c${i}`);
    expect(Object.fromEntries(summaryOf(reportData({ labels })).facts).Classes).toBe(
      '25: c0, c1, c2, c3, c4, c5, c6 and 18 more',
    );
  });
});
