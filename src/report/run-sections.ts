/** @file Sections on how a result was produced: training curves, recipe, prompt, versions and metadata. */

import { figureValue } from '../evaluation/index.js';
import { alternative, type Cell, paragraph, section, table, verbatim } from './html.js';
import { MOST_RUNS } from './plots/index.js';
import type { ReportData, TrainingCurve } from './report-data.js';
import type { PlotsBySection } from './report-plots.js';
import { figure } from './report-plots.js';

export function trainingSection({ curves }: ReportData, { training }: PlotsBySection): string {
  if (training.length === 0) {
    return section(
      'training',
      'Training',
      paragraph(
        'There are no training curves, because no metrics.jsonl was found next to the predictions.',
        'missing',
      ),
    );
  }
  // With many runs, listing every epoch would take hundreds of printed pages.
  const onlySelected = curves.length > MOST_RUNS;
  const epochs = curves
    .flatMap(epochRows)
    .filter(({ curve, epoch }) => !onlySelected || epoch.epoch === curve.selectedEpoch);
  const names = figureNames(curves);
  return section(
    'training',
    'Training',
    paragraph(
      'If there are more steps than fit in a plot, a line shows the mean of several adjacent steps. With up to three runs, a band around it shows their range. More than eight runs are summarised by their median, the middle half and the full range.',
      'note',
    ),
    ...training.map((plot) => figure(plot)),
    names.length === 0
      ? paragraph(
          'There are no validation figures: the runs were trained without a validation set.',
          'missing',
        )
      : alternative(
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
        ),
  );
}

/** Only for models that sum several layers. */
export function layerSection({ layers }: ReportData): string {
  const percent = (share: number): string => (100 * share).toFixed(1);
  const isOne = layers[0]!.shares.length === 1;
  return section(
    'layers',
    "The encoder's layers",
    paragraph(
      "The model reads a sum of these hidden states of the speech encoder, with weights that were trained with it; at the start all are equal. 0 is the input of the first layer. A layer's weight is no measure of its use alone: layers differ in scale.",
      'note',
    ),
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
  );
}

export function recipeSection({ recipe }: ReportData): string {
  return section(
    'recipe',
    'Recipe',
    recipe === ''
      ? paragraph('There is no recipe: these predictions did not come from a run of emoq.', 'missing')
      : verbatim('Recipe', recipe),
  );
}

export function promptSection({ prompt, phase, isPrompted }: ReportData): string {
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
    ...(prompt
      ? [
          paragraph('The template given to the language model, with unfilled slots.', 'note'),
          ...parts.flatMap((part) => {
            const text = prompt[part];
            return text === undefined
              ? []
              : [`<h3>${headings[part]}</h3>`, verbatim(part.replaceAll('_', ' '), text)];
          }),
        ]
      : [
          paragraph(
            !isPrompted
              ? `There is no prompt: ${phase} has no language model.`
              : 'There is no prompt: none was recorded with these predictions.',
            'missing',
          ),
        ]),
  );
}

export function metadataSection({ versions, metadata }: ReportData): string {
  const list = (caption: string, name: string, rows: readonly (readonly [string, string])[]): string =>
    table(
      caption,
      [{ name }, { name: 'value' }],
      rows.map(([key, value]): Cell[] => [key, value]),
    );
  const ofVersions = Object.entries(versions);
  return section(
    'metadata',
    'Versions and metadata',
    ofVersions.length === 0
      ? paragraph('No versions were recorded.', 'missing')
      : list('Software that computed the predictions.', 'program', ofVersions),
    metadata.length === 0
      ? paragraph('No further metadata was recorded.', 'missing')
      : list('What the figures were computed from.', 'key', metadata),
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
