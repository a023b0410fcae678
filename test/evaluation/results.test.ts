/** @file Result objects and their tables: text for a terminal, CSV for programs, Markdown and LaTeX for papers. */

import Papa from 'papaparse';
import { describe, expect, it } from 'vitest';
import {
  type Evaluation,
  evaluationOf,
  evaluationResult,
  type FoldMetrics,
  foldMetrics,
  formatTables,
  plainTable,
  type Resampling,
  resultsCsv,
  type ScoredPrediction,
  scoreTables,
  seedMetrics,
  type Table,
  textTable,
} from '../../src/evaluation/index.js';
import { classificationMetrics, type Metrics } from '../../src/evaluation/metrics/classification.js';
import { metricKeys, ofMetrics } from '../../src/evaluation/metrics/metric-table.js';

const labels = ['neutral', 'joy', 'fear'];
const first: ScoredPrediction[] = [
  { id: 'a', reference: 'neutral', label: 'neutral', probabilities: [0.75, 0.25, 0] },
  { id: 'b', reference: 'joy', label: 'neutral', probabilities: [0.5, 0.25, 0.25] },
  { id: 'c', reference: 'joy', label: 'joy', probabilities: [0, 1, 0] },
  { id: 'd', reference: 'joy' },
];
const second: ScoredPrediction[] = [{ id: 'e', reference: 'neutral', label: 'neutral' }];
const paper = { table: 1, wa: 74.4, ua: 74.5, wf1: null, best_earlier: { wa: 72.4, ua: 74, wf1: null } };
const source = { name: 'meld7', versions: { emoq: '0.1.0' } };
const resampling: Resampling = { resamples: 200, seed: 5, unit: 'utterance' };

const single = (with_: Resampling | null = null): Evaluation<Metrics> =>
  evaluationOf(classificationMetrics(first, labels), [first], with_);

const parts = [
  { fold: '1', outcomes: first },
  { fold: '2', outcomes: second },
];
const folds = (with_: Resampling | null = null, rows = parts): Evaluation<FoldMetrics> =>
  evaluationOf(
    foldMetrics(rows, labels),
    rows.map(({ outcomes }) => outcomes),
    with_,
  );

const tableOf = (title: string, evaluation: Evaluation): Table =>
  scoreTables(evaluation, null, 'row').find((table) => table.title.startsWith(title))!;

describe('result object', () => {
  it('holds the figures, the counts, which way is better and the versions', () => {
    const result = evaluationResult(single(), { ...source, metadata: { seed: 1 } });
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
      confusion_normalized: [
        [1, 0, 0],
        [1 / 3, 1 / 3, 0],
        [0, 0, 0],
      ],
      higher_is_better: { ...ofMetrics((_, { higherIsBetter }) => higherIsBetter), ece: false },
      intervals: null,
      versions: { emoq: '0.1.0' },
      metadata: { seed: 1 },
    });
    // Three answers with probabilities, each in its own bin: 0.75 right, 0.5 wrong, 1 right.
    expect(result.ece).toBeCloseTo((0.25 + 0.5 + 0) / 3, 14);
    expect(result.calibration!.n).toBe(3);
    expect(result.folds).toBeUndefined();
    expect(JSON.parse(JSON.stringify(result))).toEqual(result);
  });

  it('has the intervals and what they were found with', () => {
    const { intervals } = evaluationResult(single(resampling), source);
    expect(intervals).toMatchObject({ ...resampling, level: 0.95, units: 4 });
    for (const metric of ['wa', 'ua', 'wf1', 'macro_f1'] as const) {
      expect(intervals![metric].low).toBeGreaterThanOrEqual(0);
      expect(intervals![metric].low).toBeLessThan(intervals![metric].high);
    }
  });

  it('of folds is pooled at the top and has every fold, mean and deviation', () => {
    const result = evaluationResult(folds(resampling), source);
    expect(result.n).toBe(5);
    expect(result.wa).toBeCloseTo(3 / 5, 14);
    expect(result.folds!.map(({ fold, n, wa }) => [fold, n, wa])).toEqual([
      ['1', 4, 0.5],
      ['2', 1, 1],
    ]);
    expect(result.mean!.wa).toBe(0.75);
    expect(result.sd!.wa).toBeCloseTo(Math.sqrt(0.125), 14);
    expect(result.intervals!.units).toBe(5);
    // The second fold has no probabilities, so there is no mean over the folds.
    expect(result.folds!.map(({ ece }) => ece)).toEqual([expect.closeTo(0.25, 14), null]);
    expect(result.mean!.ece).toBeNull();
  });

  it('of seeds draws an utterance with the predictions of all of them', () => {
    const metrics = classificationMetrics(first, labels);
    const scores = seedMetrics([1, 2].map((seed) => ({ seed, scores: metrics })));
    const result = evaluationResult(evaluationOf(scores, [first, first], resampling), source);
    expect(result.n).toBe(8);
    expect(result.intervals!.units).toBe(4);
    expect(result.intervals!.wa).toEqual(evaluationResult(single(resampling), source).intervals!.wa);
    expect(result.seeds!.map(({ seed, ece }) => [seed, ece])).toEqual([
      [1, result.ece],
      [2, result.ece],
    ]);
    expect(result.sd!.ece).toBe(0);
  });

  it('of a single utterance has no interval', () => {
    const scores = classificationMetrics(second, labels);
    expect(evaluationOf(scores, [second], resampling).intervals).toBeNull();
  });
});

describe('what is resampled', () => {
  const rows: ScoredPrediction[] = [
    { id: 'train_dia0_utt0', speaker: 'Ross', reference: 'joy', label: 'joy' },
    { id: 'train_dia0_utt1', speaker: 'Rachel', reference: 'joy', label: 'fear' },
    { id: 'dia7_utt0', speaker: 'Ross', reference: 'fear', label: 'fear' },
  ];
  const unitsBy = (unit: Resampling['unit'], given: readonly ScoredPrediction[]) =>
    evaluationOf(classificationMetrics(given, labels), [given], { ...resampling, unit }).intervals!.units;

  it('are speakers and dialogues, these by their ids if there is no column', () => {
    expect(unitsBy('speaker', rows)).toBe(2);
    expect(unitsBy('dialogue', rows)).toBe(2);
    expect(
      unitsBy(
        'dialogue',
        rows.map((row, i) => ({ ...row, dialogue: `call ${i}` })),
      ),
    ).toBe(3);
  });

  it('are utterances by their names and folds, rows without a name each for itself', () => {
    expect(unitsBy('utterance', rows)).toBe(3);
    expect(unitsBy('utterance', [...rows, ...rows])).toBe(3);
    const folds = ['1', '2'].flatMap((fold) => rows.map((row) => ({ ...row, fold })));
    expect(unitsBy('utterance', folds)).toBe(6);
    expect(
      unitsBy(
        'utterance',
        rows.map(({ id: _, ...row }) => row),
      ),
    ).toBe(3);
  });

  it('must be known of every utterance', () => {
    const [one, ...others] = rows;
    const { speaker: _, ...nameless } = one!;
    expect(() => unitsBy('speaker', [nameless, ...others])).toThrow(
      '1 of 3 utterances have no speaker, such as "train_dia0_utt0", so they cannot be resampled by it',
    );
    expect(() => unitsBy('dialogue', first)).toThrow('no utterance has a dialogue');
    expect(() => unitsBy('speaker', [one!])).toThrow('there is one (Ross)');
  });
});

describe('tables', () => {
  it("is shown next to the paper's row, with a dash where the paper has no figure", () => {
    expect(plainTable(scoreTables(single(), paper, 'row')[0]!)).toBe(
      [
        '                WA %  UA %  WF1 %  macro F1 %  ECE %',
        'best earlier    72.4  74.0      -           -      -  paper, table 1',
        'EmoQ            74.4  74.5      -           -      -  paper, table 1',
        'this run        50.0  66.7   54.2        58.3   25.0  n = 4',
        'majority class  75.0  50.0   64.3        42.9      -  joy: most frequent in this test set',
        'chance          33.3  33.3   36.8        21.7      -  uniform guessing, expected',
      ].join('\n'),
    );
  });

  it('shows intervals in a row of their own, or after their figures', () => {
    const { low, high } = single(resampling).intervals!.metrics.wa;
    const interval = `[${(100 * low).toFixed(1)}, ${(100 * high).toFixed(1)}]`;
    const lines = plainTable(scoreTables(single(resampling), null, 'row')[0]!).split('\n');
    expect(lines[2]).toMatch(/^95 % interval +\[.* by utterance$/);
    expect(lines[2]).toContain(` ${interval} `);
    expect(lines.at(-1)).toBe('Intervals: 95 % percentile bootstrap, 200 resamples of 4 utterances, seed 5.');
    const [beside] = scoreTables(single(resampling), null, 'cell');
    expect(beside!.rows.map(([name]) => name)).toEqual(['this run', 'majority class', 'chance']);
    expect(beside!.rows[0]![1]).toBe(`50.0 ${interval}`);
  });

  it('has a row per fold, mean, deviation and pooled', () => {
    const lines = plainTable(tableOf('Folds', folds())).split('\n');
    expect(lines.map((line) => line.split(/\s+/)[0])).toEqual(['fold', '1', '2', 'mean', 'sd', 'pooled']);
    expect(lines[3]).toMatch(/^mean +75\.0 +83\.3/);
    expect(plainTable(tableOf('Results', folds()))).toContain('75.0 ± 35.4');
    const alone = tableOf('Folds', folds(null, parts.slice(0, 1)));
    expect(plainTable(alone)).toMatch(/\nsd +- +- +- +- +-\n/);
  });

  it('of classes and confusion show what is missing', () => {
    expect(plainTable(tableOf('Classes', single()))).toMatch(/\nfear +- +- +- +0$/);
    expect(plainTable(tableOf('Confusion, utt', single())).split('\n')[2]).toMatch(/^joy +1 +1 +0 +1$/);
    const shares = plainTable(tableOf('Confusion, %', single())).split('\n');
    expect(shares[2]).toMatch(/^joy +33\.3 +33\.3 +0\.0 +33\.3$/);
    expect(shares[3]).toMatch(/^fear +- +- +- +-$/);
    const answered = evaluationOf(classificationMetrics(second, labels), [second], null);
    expect(plainTable(tableOf('Confusion', answered))).not.toContain('no answer');
  });

  it('columns line up', () => {
    expect(textTable(['a', 'b'], [['xyz', '1']])).toBe('a    b\nxyz  1');
  });
});

/** Labels with everything that could break a format. */
const wild = ['a_b & c', '50% {x}', '[low] #1 ~^', 'p|q *b* `c` <d>', 'back\\slash "$"', 'traurig 悲'];

function wildEvaluation(): Evaluation {
  const rows = wild.map((reference, i): ScoredPrediction => ({ id: String(i), reference, label: wild[0] }));
  return evaluationOf(classificationMetrics(rows, wild), [rows], resampling);
}

describe('CSV', () => {
  it('has one row for each scope and metric, and quotes what it must', () => {
    const result = evaluationResult(folds(resampling), source);
    const { data, errors } = Papa.parse<Record<string, string>>(resultsCsv(result), {
      header: true,
      skipEmptyLines: true,
    });
    expect(errors).toEqual([]);
    const keys = data.map(({ scope, part, metric }) => `${scope} ${part} ${metric}`);
    expect(new Set(keys).size).toBe(keys.length);
    const n = metricKeys.length;
    expect(keys).toHaveLength(5 * (n + 1) + 2 * n + 3 * 3); // all, two folds, mean, sd; majority, chance; three classes
    const row = (key: string) => data[keys.indexOf(key)]!;
    const { low, high } = result.intervals!.wa;
    expect(row('all  wa')).toEqual({
      name: 'meld7',
      scope: 'all',
      part: '',
      metric: 'wa',
      value: '0.6',
      low: String(low),
      high: String(high),
      n: '5',
      higher_is_better: 'true',
    });
    expect(row('fold 2 wa')).toMatchObject({ value: '1', n: '1', low: '' });
    expect(row('all  ece')).toMatchObject({ higher_is_better: 'false', low: '' });
    expect(row('sd  wa')).toMatchObject({ value: String(result.sd!.wa), higher_is_better: '' });
    expect(row('class joy recall')).toMatchObject({ value: String(1 / 3), n: '3' });

    const odd = Papa.parse<Record<string, string>>(resultsCsv(evaluationResult(wildEvaluation(), source)), {
      header: true,
    });
    expect(odd.data.filter(({ metric }) => metric === 'f1').map(({ part }) => part)).toEqual(wild);
  });
});

describe('Markdown', () => {
  it('has as many cells in every row as the ruler has columns, specials escaped', () => {
    const text = formatTables(scoreTables(wildEvaluation(), paper, 'cell'), 'markdown');
    const rows = text.split('\n').filter((line) => line.startsWith('|'));
    let columns = 0;
    for (const [i, row] of rows.entries()) {
      const cells = row.replaceAll(/\\./g, 'x').split('|').length - 2;
      if (rows[i + 1]?.startsWith('| :---')) columns = cells;
      expect(cells, row).toBe(columns);
    }
    expect(text).toContain('| a\\_b & c |');
    expect(text).toContain('p\\|q \\*b\\* \\`c\\` \\<d>');
    expect(text).toContain('| EmoQ | 74.4 | 74.5 | - | - | paper, table 1 |');
    expect(text).toMatch(/\| this run \| 16\.7 \[\d+\.\d, \d+\.\d\] \|/);
  });
});

/** Cells of the rows of a `tabular`, and its declared columns. Throws on anything LaTeX would reject. */
function parseTabular(table: string): { columns: number; rows: string[][] } {
  const [, declared, body] = /\\begin\{tabular\}\{([lr]+)\}\n([\s\S]*?)\\end\{tabular\}/.exec(table)!;
  const lines = body!.split('\n').map((line) => line.trim());
  const rows = lines.filter((line) => line !== '' && !/^\\(top|mid|bottom)rule$/.test(line));
  return {
    columns: declared!.length,
    rows: rows.map((row) => {
      if (!row.endsWith('\\\\')) throw new Error(`no end of row: ${row}`);
      return row
        .slice(0, -2)
        .split(/(?<!\\)&/)
        .map(checkedCell);
    }),
  };
}

function checkedCell(cell: string): string {
  const text = cell.trim();
  if (text.startsWith('[')) throw new Error(`an option of the line break: ${text}`);
  // Escaped characters, named commands, a bracket in braces, and mathematical signs; the rest must be plain text.
  const plain = text.replaceAll(/\\[{}$&#_%]|\\text[a-z]+\{\}|\{\[\}|\$(?:\\pm|-)\$/g, '');
  if (/[\\{}$&#_%~^<>|"]/.test(plain)) throw new Error(`not escaped: ${text}`);
  return text;
}

describe('LaTeX', () => {
  it('has as many cells in every row as columns are declared, specials escaped', () => {
    const text = formatTables(scoreTables(wildEvaluation(), paper, 'cell'), 'latex');
    const tables = text.split('\\end{table}').slice(0, -1);
    expect(tables).toHaveLength(4);
    for (const table of tables) {
      const { columns, rows } = parseTabular(table);
      expect(rows.length).toBeGreaterThan(2);
      for (const row of rows) expect(row, row.join(' & ')).toHaveLength(columns);
      for (const rule of ['toprule', 'midrule', 'bottomrule'])
        expect(table.split(`\\${rule}\n`)).toHaveLength(2);
      for (const name of ['table', 'tabular']) expect(text).toContain(`\\begin{${name}}`);
      checkedCell(/\\caption\{(.*)\}/.exec(table)![1]!);
    }
    expect(text).toContain('a\\_b \\& c & ');
    expect(text).toContain('{[}low] \\#1 \\textasciitilde{}\\textasciicircum{} & ');
    expect(text).toContain("back\\textbackslash{}slash ''\\$'' & ");
    expect(text).toContain('EmoQ & 74.4 & 74.5 & -- & -- & paper, table 1 \\\\');
    expect(text).toMatch(/this run & 16\.7 \[\d/);
    // Fits a page of 345 points with seven classes; the usual size and spacing would exceed it by a quarter.
    expect(
      text.match(/\\centering\n {2}\\footnotesize\n {2}\\setlength\{\\tabcolsep\}\{3pt\}\n/g),
    ).toHaveLength(4);
    expect(formatTables([{ title: 'quote `it`', header: ['a'], rows: [] }], 'latex')).toContain(
      '\\caption{quote \\textasciigrave{}it\\textasciigrave{}.}',
    );
  });

  it('writes means and deviations with a sign that LaTeX knows', () => {
    const text = formatTables(scoreTables(folds(), null, 'cell'), 'latex');
    expect(text).toContain('this run, mean $\\pm$ sd & 75.0 $\\pm$ 35.4');
    expect(text).not.toContain('±');
  });
});
