/** @file Creates the plots of a report on a search, by name. */

import { isDeepStrictEqual } from 'node:util';
import { valueText } from '../recipe/index.js';
import type { ReportPlot } from './blocks.js';
import {
  bestSoFarPlot,
  type FigureAxis,
  type KeyAxis,
  type KeyPoint,
  keyPlot,
  type PlottedTrial,
  trialCurvePlot,
} from './plots/index.js';
import {
  figureNamed,
  isComplete,
  type KeyRange,
  type RankedTrial,
  rankedTrials,
  type SearchKey,
  type SearchReport,
} from './search-data.js';

/** The plots by section; null or empty if there is nothing to draw. */
export interface SearchPlots {
  /** One for each key, in the order of the space. */
  readonly keys: readonly ReportPlot[];
  readonly curves: ReportPlot | null;
  readonly progress: ReportPlot | null;
}

/** Every plot of a report on a search, in the order of its sections. */
export function searchPlots(data: SearchReport): ReportPlot[] {
  const { keys, curves, progress } = searchPlotsBySection(data);
  return [...keys, ...(curves ? [curves] : []), ...(progress ? [progress] : [])];
}

export function searchPlotsBySection(data: SearchReport): SearchPlots {
  const trials = rankedTrials(data);
  if (trials.length === 0) return { keys: [], curves: null, progress: null };
  const figure = figureAxis(data);
  return {
    keys: data.keys.map((key, index) => ofKey(data, key, index, trials, figure)),
    curves: curvePlot(data, trials, figure),
    progress: trials.length < 2 ? null : progressPlot(data, trials, figure),
  };
}

function figureAxis({ figure }: SearchReport): FigureAxis {
  const { short, unit } = figureNamed(figure.key);
  return { label: unit === null ? short : `${short}, ${unit}`, isPercent: unit === '%' };
}

function plotted(data: SearchReport, { number, status, best }: RankedTrial): PlottedTrial {
  return {
    number,
    isFinished: status === 'finished',
    isBest: number === data.best,
    figure: factorOf(data) * best.value,
  };
}

/** From a fraction to the unit of the axis. */
function factorOf({ figure }: SearchReport): number {
  return figureNamed(figure.key).unit === '%' ? 100 : 1;
}

function ofKey(
  data: SearchReport,
  { key, range, own }: SearchKey,
  index: number,
  trials: readonly RankedTrial[],
  figure: FigureAxis,
): ReportPlot {
  // Keys are unique; their names without dots may not be.
  const name = `key-${index + 1}-${key.toLowerCase().replace(/[^a-z0-9]+/g, '-')}`;
  const scale = 'log' in range ? 'on a logarithmic axis' : 'choice' in range ? 'by category' : 'on the axis';
  const description = `The figure of each of ${trials.length} trials on the validation set over its value of ${key}, ${scale}. Stopped trials are hollow, the best one is a diamond. The table of the trials has the same figures.`;
  const points = trials.map((trial): KeyPoint => {
    const value = trial.values[key];
    return { ...plotted(data, trial), value: placeOf(range, value)!, valueText: valueText(value) };
  });
  const heading = { name, title: key, description };
  const svg = keyPlot(key, points, { axis: axisOf(range), figure, own: placeOf(range, own) }, heading);
  return { name, title: key, svg };
}

function axisOf(range: KeyRange): KeyAxis {
  if ('choice' in range) return { kind: 'categories', names: range.choice.map(valueText) };
  const [[kind, [low, high]]] = Object.entries(range) as [[string, readonly [number, number]]];
  return { kind: 'numbers', low, high, scale: kind === 'log' ? 'log' : kind === 'int' ? 'whole' : 'linear' };
}

/** The place of a value on the axis: a number, or the index of a category; null if it is not on it. */
function placeOf(range: KeyRange, value: unknown): number | null {
  if ('choice' in range) {
    const index = range.choice.findIndex((each) => isDeepStrictEqual(each, value));
    return index < 0 ? null : index;
  }
  const [low, high] = 'log' in range ? range.log : 'int' in range ? range.int : range.uniform;
  return typeof value === 'number' && value >= low && value <= high ? value : null;
}

function curvePlot(data: SearchReport, trials: readonly RankedTrial[], figure: FigureAxis): ReportPlot {
  const heading = {
    name: 'validation-curves',
    title: 'Validation curves',
    description: `${figure.label} on the validation set after each epoch, a line for each of ${trials.length} trials. The best one is strong and has its name; stopped ones end where they were stopped. The table below has the same figures.`,
  };
  const factor = factorOf(data);
  const curves = trials.map((trial) => ({
    ...plotted(data, trial),
    figures: trial.validation.map((each) => (each === null ? null : factor * each)),
    epoch: trial.best.epoch,
  }));
  return { ...heading, svg: trialCurvePlot(curves, figure, heading) };
}

function progressPlot(data: SearchReport, trials: readonly RankedTrial[], figure: FigureAxis): ReportPlot {
  const heading = {
    name: 'best-so-far',
    title: 'Best figure so far',
    description: `${figure.label} on the validation set of each trial by its number, and as a line the best of the finished trials up to there${isComplete(data) ? '' : ', as far as the search has come'}. The table of the trials has the same figures.`,
  };
  const last = Math.max(...data.trials.map(({ number }) => number));
  const svg = bestSoFarPlot(
    trials.map((trial) => plotted(data, trial)),
    { figure, higherIsBetter: data.figure.higherIsBetter, last },
    heading,
  );
  return { ...heading, svg };
}
