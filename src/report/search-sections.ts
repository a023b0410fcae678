/** @file The sections of a report on a search; those without content are left out. */

import { columnName, figureValue, metricText } from '../evaluation/index.js';
import { valueText } from '../recipe/index.js';
import {
  type Block,
  type Cell,
  figure,
  folded,
  paragraph,
  type Section,
  section,
  table,
  verbatim,
} from './blocks.js';
import { bestOf, figureNamed, rankedTrials, type SearchReport, trialCounts } from './search-data.js';
import type { SearchPlots } from './search-plots.js';

export function searchSections(data: SearchReport, plots: SearchPlots): Section[] {
  return [
    keySection(data, plots),
    curveSection(data, plots),
    progressSection(plots),
    trialSection(data),
    nextSection(data),
    section(
      'recipe',
      'Recipe',
      { width: 'all', isPrinted: false },
      verbatim('Recipe that the trials change', data.recipe),
    ),
  ].filter((each) => each !== null);
}

function keySection(data: SearchReport, { keys }: SearchPlots): Section | null {
  if (keys.length === 0) return null;
  const several =
    keys.length === 1
      ? ''
      : ' The keys vary together, so no plot shows what its key does by itself: see whether the good trials lie together.';
  return section(
    'keys',
    keys.length === 1 ? 'The searched key' : 'The searched keys',
    { width: keys.length === 1 ? 'one' : 'all' },
    paragraph(
      `A mark for each trial: its value, and its figure on the validation set, of a stopped trial the best until then.${several}${undrawn(data)}`,
      'note',
    ),
    keys.length === 1
      ? figure(keys[0]!)
      : { kind: 'beside', lead: false, blocks: keys.map((plot): Block[] => [figure(plot)]) },
  );
}

/** Trials that the plots cannot show. */
function undrawn(data: SearchReport): string {
  const { failed } = trialCounts(data);
  const others = data.trials.length - failed - rankedTrials(data).length;
  return [
    ...(failed === 0
      ? []
      : [failed === 1 ? ' 1 trial failed and is not drawn.' : ` ${failed} trials failed and are not drawn.`]),
    ...(others === 0 ? [] : [` ${others} without a figure ${others === 1 ? 'is' : 'are'} not drawn.`]),
  ].join('');
}

function curveSection(data: SearchReport, { curves }: SearchPlots): Section | null {
  if (curves === null) return null;
  const trials = rankedTrials(data);
  const epochs = Math.max(...trials.map(({ validation }) => validation.length));
  const { key } = data.figure;
  return section(
    'curves',
    'Validation curves',
    {},
    figure(curves, 'A line for each trial that is drawn; the best one is strong.'),
    folded(
      'The validation figures as a table',
      table(
        `${columnName(figureNamed(key))} on the validation set after each epoch, the best trial first.`,
        [
          { name: 'trial' },
          ...Array.from({ length: epochs }, (_, at) => ({ name: String(at + 1), figures: true })),
        ],
        trials.map(({ number, validation }): Cell[] => [
          String(number),
          ...Array.from({ length: epochs }, (_, at) => cellText(key, validation[at] ?? null)),
        ]),
      ),
    ),
  );
}

function progressSection({ progress }: SearchPlots): Section | null {
  if (progress === null) return null;
  return section(
    'progress',
    'Best so far',
    {},
    figure(progress, 'Where the line has long been flat, more trials of this space may bring little.'),
  );
}

/** As in trials.csv, rounded as everywhere on the page. */
function trialSection(data: SearchReport): Section | null {
  if (data.trials.length === 0) return null;
  const { key } = data.figure;
  const keys = data.keys.map((each) => each.key);
  const hasNumbers = (name: string): boolean =>
    data.trials.every(({ values }) => typeof values[name] === 'number');
  const best = bestOf(data)?.number;
  return section(
    'trials',
    'All trials',
    { width: 'all', isPrinted: false },
    table(
      'The best first; without a figure last. trials.csv has the same with all digits.',
      [
        { name: 'trial' },
        { name: 'status' },
        ...[columnName(figureNamed(key)), 'epoch', 'epochs'].map((name) => ({ name, figures: true })),
        ...keys.map((name) => ({ name, figures: hasNumbers(name) })),
      ],
      data.trials.map(({ number, status, best: own, plannedEpochs, validation, values }): Cell[] => [
        String(number),
        number === best ? `${status}, best` : status,
        cellText(key, own?.value ?? null),
        own === null ? '–' : String(own.epoch),
        status === 'finished' ? String(validation.length) : `${validation.length} of ${plannedEpochs}`,
        ...keys.map((each) => valueText(values[each])),
      ]),
    ),
  );
}

function cellText(key: string, value: number | null): string {
  return value === null ? '–' : metricText(figureNamed(key), value);
}

/** How to go on from the best trial. */
function nextSection(data: SearchReport): Section | null {
  const best = bestOf(data);
  if (best === undefined) return null;
  const fold = data.fold === null ? '' : ` --fold ${data.fold}`;
  const seeds = [1, 2, 3].map((more) => data.trainingSeed + more).join(',');
  const commands = [
    `emoq train --recipe ${data.bestRecipe}${fold} --seeds ${seeds}`,
    `emoq eval --run runs/${data.name}-best${fold} --seeds all`,
  ];
  return section(
    'next',
    'What to do with it',
    // Beside the last plot, where those are three.
    { width: data.keys.length === 1 ? 'one' : 'all', isPrinted: false },
    paragraph(
      `best.yaml is the recipe with the values of trial ${best.number}. Train it and the recipe below with other seeds, and score both on the test set, once: the difference is what the search has brought. ${figureValue(data.figure.key, best.best.value)} is no result to report.`,
      'note',
    ),
    verbatim('Commands', commands.join('\n')),
  );
}
