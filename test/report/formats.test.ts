/** @file The report as Markdown and JSON: the content of the page, and text that stays text. */

import { describe, expect, it } from 'vitest';
import { overallOf } from '../../src/evaluation/index.js';
import { renderJson, renderMarkdown, renderReport } from '../../src/report/index.js';
import { hostileReportData, reportData } from './report-data.js';

const data = reportData({ utterances: 300, folds: 3 });

/** Cells of every table row, as a reader of Markdown finds them. */
function pipeRows(markdown: string): string[][] {
  const prose = markdown.replace(/^(`{3,})text\n[\s\S]*?\n\1$/gm, '');
  return prose
    .split('\n')
    .filter((line) => line.startsWith('| '))
    .map((line) =>
      line
        .slice(2, -2)
        .split(/(?<!\\) ?\| ?/)
        .map((cell) => cell.replace(/\\(.)/g, '$1')),
    );
}

describe('the report as Markdown', () => {
  const markdown = renderMarkdown(data);

  it('has the sections of the page, in its order', () => {
    const titles = [...markdown.matchAll(/^## (.*)$/gm)].map((match) => match[1]!.replace(/\\(.)/g, '$1'));
    const headings = [...renderReport(data).matchAll(/<h2[^>]*>([^<]*)</g)].map((match) => match[1]);
    expect(titles).toEqual(headings);
    expect(titles.length).toBeGreaterThan(10);
  });

  it('has the rows of every table of the page, without recordings', () => {
    const page = [...renderReport(data).matchAll(/<tr><th scope="row">(.*?)<\/tr>/g)].map(([row]) =>
      [...row.matchAll(/<t[hd][^>]*>(.*?)<\/t[hd]>/g)].map(([, cell]) =>
        cell!
          .replace(/<br>/g, ', ')
          .replace(/<[^>]+>/g, '')
          .replace(/&#(\d+);/g, (_, code) => String.fromCharCode(code)),
      ),
    );
    const rows = pipeRows(markdown).map((row) => row.join('|'));
    const missing = page.filter(
      (cells) => ![cells, cells.slice(0, -1)].some((each) => rows.includes(each.join('|'))),
    );
    expect(page.length).toBeGreaterThan(60);
    expect(missing).toEqual([]);
  });

  it('shows plots where they are written, and names them otherwise', () => {
    expect(renderMarkdown(data, (name) => `plots/${name}.svg`)).toContain(
      '![Confusion matrix](plots/confusion.svg)',
    );
    expect(markdown).not.toContain('![');
    expect(markdown).toContain('Plots, as files with `--plots` and on the page: Confusion matrix.');
  });

  it('keeps text as text', () => {
    const hostile = renderMarkdown(hostileReportData());
    const prose = hostile.replace(/^(`{3,})text\n[\s\S]*?\n\1$/gm, '');
    expect(prose).not.toMatch(/(?<!\\)<[a-z/!]/i);
    for (const table of prose.split(/\n\n/).filter((part) => part.startsWith('| '))) {
      const widths = pipeRows(table).map((row) => row.length);
      expect(new Set(widths).size).toBe(1);
    }
    const fences = { ...hostileReportData(), recipe: 'a\n```\nb\n````\n# c' };
    expect(renderMarkdown(fences)).toContain('`````text\na\n```\nb\n````\n# c\n`````');
  });
});

describe('the report as JSON', () => {
  const report = JSON.parse(renderJson(data));

  it('has the figures, intervals, baselines and the paper as the data have them', () => {
    const { perClass, kind: _, ...figures } = overallOf(data.scores);
    expect(report).toMatchObject(JSON.parse(JSON.stringify({ ...figures, per_class: perClass })));
    const { intervals, baselines, paper, calibration, noise, labels, about } = data;
    expect(report).toMatchObject(
      JSON.parse(JSON.stringify({ intervals, baselines, paper, calibration, noise, labels, about })),
    );
    expect(report.folds.map(({ fold, wa }: { fold: string; wa: number }) => [fold, wa])).toEqual(
      (data.scores.kind === 'folds' ? data.scores.folds : []).map(({ fold, metrics }) => [fold, metrics.wa]),
    );
  });

  it('has every utterance, step and epoch, and no recording', () => {
    expect(report.utterances).toHaveLength(300);
    for (const [i, { id, reference, predicted, probabilities }] of data.utterances.entries()) {
      expect(report.utterances[i]).toMatchObject({
        ...{ id, probabilities, reference: data.labels[reference], label: data.labels[predicted!] },
      });
    }
    const { curves } = data;
    expect(report.training.map((run: { run: string }) => run.run)).toEqual(curves.map(({ title }) => title));
    expect(report.training[0].steps).toHaveLength(curves[0]!.steps.length);
    expect(report.training[0].steps[7].gradient_norm).toBe(curves[0]!.steps[7]!.gradientNorm);
    expect(report.training[0].epochs[1]).toMatchObject(curves[0]!.epochs[1]!.figures);
    expect(renderJson(data)).not.toContain('data:audio');
    expect(report.mistakes.map((i: number) => report.utterances[i].id)).toEqual(
      data.mistakes.map(({ utterance }) => data.utterances[utterance]!.id),
    );
  });
});
