/** @file A report on a search as Markdown and as JSON: the content of the page. */

import { type Block, table } from './blocks.js';
import { documentMarkdown } from './markdown.js';
import { bestOf, medianFigure, type SearchReport, trialCounts } from './search-data.js';
import { searchPlotsBySection } from './search-plots.js';
import { searchSections } from './search-sections.js';
import { type SearchSummary, searchSummary } from './search-summary.js';

/** @param plotAddress where a plot is, seen from the file; undefined if plots are not written */
export function renderSearchMarkdown(data: SearchReport, plotAddress?: (name: string) => string): string {
  const summary = searchSummary(data);
  const { title, facts, state, verdict } = summary;
  const paragraphs = [...(state === null ? [] : [state]), verdict];
  return documentMarkdown(
    { title, facts, blocks: [figureTable(summary), summary.values], paragraphs },
    searchSections(data, searchPlotsBySection(data)),
    plotAddress,
  );
}

/** The tiles of the page. */
function figureTable({ best, trials }: SearchSummary): Block {
  const rows = [
    ...(best === null ? [] : [[best.name, best.value], ...best.rows]),
    ['trials', trials.total],
    ...trials.rows,
  ];
  return table(
    'The best trial, and how the trials ended.',
    [{ name: '' }, { name: 'figure', figures: true }],
    rows,
  );
}

/** One JSON object, as docs/files.md describes it. Figures are as in trials.json: fractions of 1, or losses. */
export function renderSearchJson(data: SearchReport): string {
  const { about, phase, figure, trials, keys } = data;
  const { state, verdict } = searchSummary(data);
  const { finished, stopped, failed, unfinished, notBegun } = trialCounts(data);
  const best = bestOf(data);
  const median = medianFigure(data) ?? null;
  const report = {
    format: 'emoq-search-report',
    version: 1,
    name: data.name,
    about,
    phase: phase.name,
    fold: data.fold,
    figure: figure.key,
    higher_is_better: figure.higherIsBetter,
    ...{ sampler: data.sampler, seed: data.seed, stopping: data.stopping, lag: data.lag },
    space: Object.fromEntries(keys.map(({ key, range }) => [key, range])),
    recipe_values: Object.fromEntries(keys.map(({ key, own }) => [key, own ?? null])),
    state,
    verdict,
    counts: { planned: data.planned, finished, stopped, failed, unfinished, not_begun: notBegun },
    best: best === undefined ? null : { trial: best.number, ...best.best, values: best.values },
    median_of_finished: median,
    better_by: best === undefined || median === null ? null : Math.abs(best.best.value - median),
    trials: trials.map(({ number, status, best: own, plannedEpochs, values, validation }) => ({
      trial: number,
      status,
      value: own?.value ?? null,
      epoch: own?.epoch ?? null,
      ...{ epochs: validation.length, planned_epochs: plannedEpochs, values, validation },
    })),
    recipe: data.recipe,
  };
  return `${JSON.stringify(report)}\n`;
}
