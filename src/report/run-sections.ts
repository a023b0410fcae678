/** @file Sections on how a result was produced: training curves, recipe, prompt, versions and metadata. */

import { figureValue } from '../evaluation/index.js';
import {
  type AbsentSection,
  absent,
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
import { MOST_RUNS } from './plots/index.js';
import type { ReportData, TrainingCurve } from './report-data.js';
import type { PhasePlots, PlotsBySection } from './report-plots.js';

export function trainingSection(
  { curves }: ReportData,
  { training }: PlotsBySection,
): Section | AbsentSection {
  if (training.every(({ steps, validation }) => steps === null && validation === null)) {
    return absent(
      'training',
      'Training',
      'There are no training curves, because no metrics.jsonl was found next to the predictions.',
    );
  }
  return section(
    'training',
    'Training',
    { width: 'all' },
    paragraph(
      'A bold line is the mean over a twentieth of the steps, the faint one behind it the figure itself. If there are more steps than fit in a plot, it shows the mean of several adjacent ones, with a band for their range. More than eight runs are summarised by their median, the middle half and the full range; so are several in the small plots.',
      'note',
    ),
    ...training.flatMap(phaseBlocks),
    validationTable(curves),
  );
}

/** The loss large, gradient norm and learning rate small beside it, the validation figures beside these. */
function phaseBlocks(
  { title, steps, validation }: PhasePlots,
  _: number,
  all: readonly PhasePlots[],
): Block[] {
  const heading: Block[] = all.length === 1 ? [] : [{ kind: 'subheading', text: title }];
  const parts: Block[][] = [
    ...(steps ? [[figure(steps.loss)]] : []),
    ...(validation ? [[figure(validation)]] : []),
    ...(steps ? [[figure(steps.gradientNorm), figure(steps.learningRate)]] : []),
  ];
  return parts.length === 0 ? [] : [...heading, { kind: 'beside', lead: steps !== null, blocks: parts }];
}

function validationTable(curves: readonly TrainingCurve[]): Block {
  // With many runs, listing every epoch would take hundreds of printed pages.
  const onlySelected = curves.length > MOST_RUNS;
  const epochs = curves
    .flatMap(epochRows)
    .filter(({ curve, epoch }) => !onlySelected || epoch.epoch === curve.selectedEpoch);
  const names = figureNames(curves);
  if (names.length === 0) {
    return paragraph(
      'There are no validation figures: the runs were trained without a validation set.',
      'note',
    );
  }
  return folded(
    'The validation figures as a table',
    table(
      onlySelected
        ? 'Figures on the validation set after the selected epoch of each run.'
        : 'Figures on the validation set after each epoch.',
      [
        { name: 'run' },
        ...['epoch', 'step', ...names].map((name) => ({ name, figures: true })),
        { name: 'kept' },
      ],
      epochs.map(({ curve, epoch }) => [
        curve.title === '' ? curve.phase.title : curve.title,
        String(epoch.epoch),
        String(epoch.step),
        ...names.map((name) => figureText(name, epoch.figures[name])),
        epoch.epoch === curve.selectedEpoch ? 'kept' : '',
      ]),
    ),
  );
}

/** Only for models that sum several layers. */
export function layerSection({ layers }: ReportData, plots: PlotsBySection): Section | null {
  if (layers.length === 0 || plots.layers === null) return null;
  const percent = (share: number): string => (100 * share).toFixed(1);
  const isOne = layers[0]!.shares.length === 1;
  return section(
    'layers',
    "The encoder's layers",
    {},
    paragraph(
      "The model reads a sum of these hidden states of the speech encoder, with weights that were trained with it; at the start all are equal. 0 is the input of the first layer. A layer's weight is no measure of its use alone: layers differ in scale.",
      'note',
    ),
    figure(plots.layers),
    folded(
      'The weights as a table',
      table(
        isOne ? 'Weight of each layer, in percent.' : 'Weight of each layer, in percent, over the runs.',
        [
          { name: 'layer' },
          ...(isOne ? ['weight'] : ['mean', 'least', 'most']).map((name) => ({ name, figures: true })),
        ],
        layers.map(({ layer, shares }): Cell[] => {
          const mean = shares.reduce((sum, share) => sum + share, 0) / shares.length;
          const figures = isOne ? [mean] : [mean, Math.min(...shares), Math.max(...shares)];
          return [String(layer), ...figures.map(percent)];
        }),
      ),
    ),
  );
}

export function recipeSection({ recipe }: ReportData): Section | AbsentSection {
  if (recipe === '') {
    return absent(
      'recipe',
      'Recipe',
      'There is no recipe: these predictions did not come from a run of emoq.',
    );
  }
  return section('recipe', 'Recipe', { isPrinted: false }, verbatim('Recipe', recipe));
}

export function promptSection({ prompt, phase, isPrompted }: ReportData): Section | AbsentSection {
  if (prompt === null) {
    return absent(
      'prompt',
      'Prompt',
      !isPrompted
        ? `There is no prompt: ${phase} has no language model.`
        : 'There is no prompt: none was recorded with these predictions.',
    );
  }
  const headings = {
    system: 'System part',
    user: 'User part',
    user_without_text: 'User part without a transcript',
    answer: 'Start of the answer',
  } as const;
  const parts = Object.keys(headings) as (keyof typeof headings)[];
  return section(
    'prompt',
    'Prompt',
    { isPrinted: false },
    paragraph('The template given to the language model, with unfilled slots.', 'note'),
    ...parts.flatMap((part): Block[] => {
      const text = prompt[part];
      if (text === undefined || text === '') return [];
      return [{ kind: 'subheading', text: headings[part] }, verbatim(part.replaceAll('_', ' '), text)];
    }),
  );
}

export function metadataSection({ versions, metadata }: ReportData): Section | AbsentSection {
  const list = (caption: string, name: string, rows: readonly (readonly [string, string])[]): Block | null =>
    rows.length === 0
      ? null
      : table(
          caption,
          [{ name }, { name: 'value' }],
          rows.map(([key, value]): Cell[] => [key, value]),
        );
  const title = 'Versions and metadata';
  if (Object.keys(versions).length === 0 && metadata.length === 0) {
    return absent('metadata', title, 'No versions and no further metadata were recorded.');
  }
  return section(
    'metadata',
    title,
    { isPrinted: false },
    list('What the figures were computed from.', 'key', metadata),
    list('Software that computed the predictions.', 'program', Object.entries(versions)),
  );
}

/** What a report does not have, and why. */
export function absentSection(missing: readonly AbsentSection[]): Section | null {
  if (missing.length === 0) return null;
  return section(
    'absent',
    'Not in this report',
    { isPrinted: false },
    table(
      'Sections that are left out, because there is nothing to show in them.',
      [{ name: 'section' }, { name: 'reason' }],
      missing.map(({ title, reason }) => [title, reason]),
    ),
  );
}

function epochRows(curve: TrainingCurve) {
  return curve.epochs.map((epoch) => ({ curve, epoch }));
}

function figureNames(curves: readonly TrainingCurve[]): string[] {
  return [...new Set(curves.flatMap(({ epochs }) => epochs.flatMap(({ figures }) => Object.keys(figures))))];
}

/** Scores in percent, anything else (such as a likelihood) unchanged. */
function figureText(name: string, value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value)) return '–';
  return figureValue(name, value);
}
