/** @file Result objects and text tables. */

import { describe, expect, it } from 'vitest';
import {
  classificationMetrics,
  classTable,
  confusionTable,
  evaluationResult,
  foldMetrics,
  foldsTable,
  type Outcome,
  resultsTable,
  textTable,
} from '../../src/evaluate/index.js';

const labels = ['neutral', 'joy', 'fear'];
const first: Outcome[] = [
  { reference: 'neutral', label: 'neutral' },
  { reference: 'joy', label: 'neutral' },
  { reference: 'joy', label: 'joy' },
  { reference: 'joy' },
];
const second: Outcome[] = [{ reference: 'neutral', label: 'neutral' }];
const paper = { table: 1, wa: 74.4, ua: 74.5, wf1: null, best_earlier: { wa: 72.4, ua: 74, wf1: null } };
const source = { name: 'meld7', versions: { emoq: '0.1.0' } };

describe('result object', () => {
  it('holds the figures, the counts, which way is better and the versions', () => {
    const result = evaluationResult(classificationMetrics(first, labels), { ...source, facts: { seed: 1 } });
    expect(result).toMatchObject({
      name: 'meld7',
      wa: 0.5,
      n: 4,
      unanswered: 1,
      labels,
      confusion: [
        [1, 0, 0],
        [1, 1, 0],
        [0, 0, 0],
      ],
      higher_is_better: { wa: true, ua: true, wf1: true, macro_f1: true },
      versions: { emoq: '0.1.0' },
      facts: { seed: 1 },
    });
    expect(result.folds).toBeUndefined();
    expect(JSON.parse(JSON.stringify(result))).toEqual(result);
  });

  it('of folds is pooled at the top and has every fold, mean and deviation', () => {
    const scores = foldMetrics(
      [
        { fold: '1', outcomes: first },
        { fold: '2', outcomes: second },
      ],
      labels,
    );
    const result = evaluationResult(scores, source);
    expect(result.n).toBe(5);
    expect(result.wa).toBeCloseTo(3 / 5, 14);
    expect(result.folds!.map(({ fold, n, wa }) => [fold, n, wa])).toEqual([
      ['1', 4, 0.5],
      ['2', 1, 1],
    ]);
    expect(result.mean!.wa).toBe(0.75);
    expect(result.sd!.wa).toBeCloseTo(Math.sqrt(0.125), 14);
  });
});

describe('tables', () => {
  it("stands beside the paper's row, with a dash where the paper has no figure", () => {
    expect(resultsTable(classificationMetrics(first, labels), paper)).toBe(
      [
        '              WA %  UA %  WF1 %',
        'best earlier  72.4  74.0      -  paper, table 1',
        'EmoQ          74.4  74.5      -  paper, table 1',
        'this run      50.0  66.7   54.2  n = 4',
      ].join('\n'),
    );
  });

  it('has a row per fold, mean, deviation and pooled', () => {
    const scores = foldMetrics(
      [
        { fold: '1', outcomes: first },
        { fold: '2', outcomes: second },
      ],
      labels,
    );
    const lines = foldsTable(scores).split('\n');
    expect(lines.map((line) => line.split(/\s+/)[0])).toEqual(['fold', '1', '2', 'mean', 'sd', 'pooled']);
    expect(lines[3]).toMatch(/^mean +75\.0 +83\.3/);
    expect(resultsTable(scores)).toContain('75.0 ± 35.4');
    expect(foldsTable(foldMetrics([{ fold: '1', outcomes: first }], labels))).toMatch(/\nsd +- +- +-\n/);
  });

  it('of classes and confusion show what is missing', () => {
    const metrics = classificationMetrics(first, labels);
    expect(classTable(metrics)).toMatch(/\nfear +- +- +- +0$/);
    expect(confusionTable(metrics).split('\n')[2]).toMatch(/^joy +1 +1 +0 +1$/);
    expect(confusionTable(classificationMetrics(second, labels))).not.toContain('no answer');
  });

  it('columns line up', () => {
    expect(textTable(['a', 'b'], [['xyz', '1']])).toBe('a    b\nxyz  1');
  });
});
