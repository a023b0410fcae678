/** @file What a hurried reader needs of a search: what was searched, how its trials ended, the best one, and a verdict. */

import { figureValue } from '../evaluation/index.js';
import { valueText } from '../recipe/index.js';
import { type Block, type Cell, table } from './blocks.js';
import { countText } from './plots/index.js';
import {
  bestOf,
  differenceText,
  figureNamed,
  isComplete,
  medianFigure,
  rangeText,
  rankedTrials,
  type SearchReport,
  trialCounts,
} from './search-data.js';

type Row = readonly [name: string, value: string];

export interface SearchSummary {
  readonly title: string;
  readonly facts: readonly Row[];
  /** Of the best trial, or null if none was trained to its end. */
  readonly best: { readonly name: string; readonly value: string; readonly rows: readonly Row[] } | null;
  /** How many trials there are, and how they ended. */
  readonly trials: { readonly total: string; readonly rows: readonly Row[] };
  /** The searched keys: the best values, those of the recipe, and the space. */
  readonly values: Block;
  /** Why there may be more trials later; null if all have ended. */
  readonly state: string | null;
  readonly verdict: string;
}

export function searchSummary(data: SearchReport): SearchSummary {
  return {
    title: `${data.name}, search`,
    facts: factsOf(data),
    best: bestPart(data),
    trials: trialPart(data),
    values: valueTable(data),
    state: stateOf(data),
    verdict: verdictOf(data),
  };
}

function factsOf(data: SearchReport): Row[] {
  const { about, phase, fold, figure, sampler, seed, stopping, lag, keys } = data;
  const { utterances } = about;
  const drawn = sampler === 'sobol' ? "evenly, with a Sobol' sequence" : 'independently, at random';
  return [
    ['Recipe', data.name],
    ['System', about.system],
    ...about.backbones.map(({ role, name }): Row => [role, name]),
    ...(about.corpus === null ? [] : ([['Corpus', about.corpus]] as const)),
    ...(utterances === null
      ? []
      : [
          [
            'Utterances',
            `${countText(utterances.train)} for training, ${countText(utterances.dev)} for validation`,
          ] as const,
        ]),
    ['Validation', about.validation],
    ['Phase', fold === null ? phase.title : `${phase.title}, fold ${fold}`],
    ['Ranked by', `${figureNamed(figure.key).title} on the validation set`],
    ['Searched', keys.length === 1 ? '1 key' : `${keys.length} keys`],
    ['Values drawn', `${drawn}, seed ${seed}`],
    ['Stopping', stopping === 'none' ? 'none' : `median stopping, lag ${lag}`],
  ];
}

function bestPart(data: SearchReport): SearchSummary['best'] {
  const best = bestOf(data);
  if (best === undefined) return null;
  const { key } = data.figure;
  const median = medianFigure(data);
  return {
    name: `Best: trial ${best.number}, ${figureNamed(key).title} on the validation set`,
    value: figureValue(key, best.best.value),
    rows: [
      ...(median === undefined
        ? []
        : ([
            ['median finished trial', figureValue(key, median)],
            ['better by', differenceText(key, best.best.value, median)],
          ] as const)),
      ['kept epoch', `${best.best.epoch} of ${best.plannedEpochs}`],
    ],
  };
}

function trialPart(data: SearchReport): SearchSummary['trials'] {
  const { finished, stopped, failed, unfinished, notBegun } = trialCounts(data);
  const total = data.planned ?? data.trials.length + unfinished;
  const rows: Row[] = [
    ['finished', countText(finished)],
    ['stopped early', countText(stopped)],
    ['failed', countText(failed)],
    ...(unfinished === 0 ? [] : ([['begun, without a result', countText(unfinished)]] as const)),
    ['not begun', notBegun === null ? 'not known' : countText(notBegun)],
  ];
  return { total: countText(total), rows };
}

function valueTable(data: SearchReport): Block {
  const best = bestOf(data);
  const hasOwn = data.keys.some(({ own }) => own !== undefined);
  const columns = ['key', ...(best ? ['best'] : []), ...(hasOwn ? ['recipe'] : []), 'searched'];
  const rows = data.keys.map(({ key, range, own }): Cell[] => [
    key,
    ...(best ? [valueText(best.values[key])] : []),
    ...(hasOwn ? [own === undefined ? '–' : valueText(own)] : []),
    rangeText(range, valueText),
  ]);
  const caption = `${best ? `The values of trial ${best.number}` : 'The keys of the search'}${hasOwn ? `, those of recipe ${data.name},` : ''} and what was searched.`;
  return table(
    caption,
    columns.map((name) => ({ name })),
    rows,
  );
}

function stateOf(data: SearchReport): string | null {
  if (isComplete(data)) return null;
  const { unfinished, notBegun } = trialCounts(data);
  const parts = [
    ...(unfinished === 0 ? [] : [`${counted(unfinished)} begun without a result so far`]),
    ...((notBegun ?? 0) === 0 ? [] : [`${counted(notBegun!)} not begun`]),
  ];
  const what = parts.length === 0 ? 'no trial has ended' : parts.join(', and ');
  return `This search is not complete: ${what}. It was interrupted or is still running; the same command goes on, and a new report has the rest.`;
}

function counted(trials: number): string {
  return trials === 1 ? '1 trial has' : `${countText(trials)} trials have`;
}

/** What the best figure is worth. */
function verdictOf(data: SearchReport): string {
  const best = bestOf(data);
  const count = rankedTrials(data).length;
  if (best === undefined) {
    return 'No trial was trained to its end, so there is no best one.';
  }
  const { key } = data.figure;
  const figure = `The ${figureValue(key, best.best.value)} of trial ${best.number}`;
  const chosen =
    count === 1
      ? `${figure} is of the validation set alone, which also selected its epoch`
      : `${figure} is the best of ${countText(count)} trials and of the validation set alone, by which it was chosen`;
  const fold = data.fold === null ? '' : `, and of fold ${data.fold} alone`;
  return `${chosen}${fold}, so it is too good to be expected of other data: train its recipe with other seeds, and score that on the test set once.`;
}
