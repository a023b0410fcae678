/** @file Creates the plots of a report, by name, and embeds them as figures of its page. */

import { overallOf } from '../evaluation/index.js';
import { paperMetrics } from '../evaluation/metrics/index.js';
import {
  ablationPlot,
  classPlot,
  confusionPlot,
  correctnessGroups,
  countText,
  epochPlot,
  escapeText,
  headlinePlot,
  labelGroups,
  type MapLayout,
  mapLayout,
  mapPlot,
  noisePlot,
  type PlotHeading,
  plottedMetrics,
  reliabilityPlot,
  spreadPlot,
  stepPlot,
} from './plots/index.js';
import type { ReportData, TrainingCurve } from './report-data.js';

/** A plot: a standalone SVG document with a title. */
export interface ReportPlot {
  /** File name without `.svg`. */
  readonly name: string;
  readonly title: string;
  readonly svg: string;
}

/** The plots by section; null or empty if there is nothing to draw. */
export interface PlotsBySection {
  readonly headline: ReportPlot;
  readonly confusion: { readonly counts: ReportPlot; readonly shares: ReportPlot };
  readonly training: readonly ReportPlot[];
  readonly classes: ReportPlot;
  readonly calibration: ReportPlot | null;
  readonly noise: ReportPlot | null;
  readonly map: {
    readonly layout: MapLayout;
    readonly labels: ReportPlot;
    readonly correctness: ReportPlot;
  } | null;
  readonly spread: ReportPlot | null;
  readonly ablations: readonly ReportPlot[];
}

/** Every plot of a report, in section order. */
export function reportPlots(data: ReportData): ReportPlot[] {
  const plots = plotsBySection(data);
  return [
    plots.headline,
    plots.confusion.counts,
    plots.confusion.shares,
    ...plots.training,
    plots.classes,
    ...(plots.calibration ? [plots.calibration] : []),
    ...(plots.noise ? [plots.noise] : []),
    ...(plots.map ? [plots.map.labels, plots.map.correctness] : []),
    ...(plots.spread ? [plots.spread] : []),
    ...plots.ablations,
  ];
}

export function plotsBySection(data: ReportData): PlotsBySection {
  const { labels, scores, calibration, noise, ablations } = data;
  const metrics = overallOf(data.scores);
  const n = `${countText(metrics.n)} utterances`;
  return {
    headline: plot(
      'headline',
      'Headline figures',
      `${listOf(plottedMetrics)} over ${n}, next to the paper's. The table below has the same figures.`,
      (heading) => headlinePlot(metrics, data.intervals, data.paper, heading),
    ),
    confusion: {
      counts: plot(
        'confusion-counts',
        'Confusion matrix, counts',
        `Rows are the ${labels.length} reference classes, columns the predicted ones; ${n}.`,
        (heading) => confusionPlot(metrics, 'counts', heading),
      ),
      shares: plot(
        'confusion-shares',
        'Confusion matrix, percent of each reference class',
        `Rows are the ${labels.length} reference classes and add up to 100 percent, columns the predicted ones; ${n}.`,
        (heading) => confusionPlot(metrics, 'shares', heading),
      ),
    },
    training: [...new Map(data.curves.map(({ phase }) => [phase.name, phase])).values()].flatMap((phase) =>
      trainingPlots(
        phase,
        data.curves.filter((curve) => curve.phase.name === phase.name),
      ),
    ),
    classes: plot(
      'classes',
      'Precision, recall and F1 of every class',
      `Bars in percent for ${labels.length} classes, with the number of references of each. The table below has the same figures.`,
      (heading) => classPlot(metrics, heading),
    ),
    calibration:
      calibration &&
      plot(
        'reliability',
        'Reliability diagram',
        `Accuracy by confidence in ${calibration.bins.length} bins, and the number of utterances in each.`,
        (heading) => reliabilityPlot(calibration, heading),
      ),
    noise:
      noise &&
      plot(
        'noise',
        'Figures under noise',
        `${listOf(plottedMetrics)} of the test set as it is and at ${noise.levels.length - 1} signal-to-noise ratios. The table below has the same figures.`,
        (heading) => noisePlot(noise.levels, heading),
      ),
    map: mapPlots(data),
    spread:
      scores.kind === 'single'
        ? null
        : plot(
            'spread',
            `Spread over ${scores.kind}`,
            'Headline figures of each, their mean and standard deviation. The table below has the same figures.',
            (heading) => spreadPlot(scores, heading),
          ),
    ablations: ablations.map(({ title, rows }, i) =>
      plot(
        `ablation-${i + 1}`,
        title,
        `${listOf(paperMetrics)} of ${rows.length} rows, with the paper's figures. The table below has the same figures.`,
        (heading) => ablationPlot(rows, heading),
      ),
    ),
  };
}

/** `WA, UA and weighted F1` */
function listOf(metrics: readonly { readonly title: string }[]): string {
  const titles = metrics.map(({ title }) => title);
  return `${titles.slice(0, -1).join(', ')} and ${titles.at(-1)}`;
}

function plot(
  name: string,
  title: string,
  description: string,
  draw: (heading: PlotHeading) => string,
): ReportPlot {
  return { name, title, svg: draw({ name, title, description }) };
}

const stepFigures = [
  { figure: 'loss', name: 'loss', title: 'training loss', axis: 'any' },
  { figure: 'gradientNorm', name: 'gradient-norm', title: 'gradient norm before clipping', axis: 'any' },
  { figure: 'learningRate', name: 'learning-rate', title: 'learning rate', axis: 'linear' },
] as const;

function trainingPlots(phase: TrainingCurve['phase'], curves: readonly TrainingCurve[]): ReportPlot[] {
  const trained = curves.filter(({ steps }) => steps.length > 0);
  const validated = curves.filter(({ epochs }) => epochs.length > 0);
  const steps = trained.reduce((sum, curve) => sum + curve.steps.length, 0);
  return [
    ...(trained.length === 0
      ? []
      : stepFigures.map(({ figure, name, title, axis }) => {
          const lines = trained.map((curve) => ({
            title: curve.title,
            points: curve.steps.map((step) => ({ x: step.step, y: step[figure] })),
          }));
          return plot(
            `${phase.name}-${name}`,
            `${capitalized(phase.title)}, ${title}`,
            `${countText(steps)} optimizer steps of ${trained.length === 1 ? 'one run' : `${trained.length} runs`}.`,
            (heading) => stepPlot(lines, title, axis, heading),
          );
        })),
    ...(validated.length === 0
      ? []
      : [
          plot(
            `${phase.name}-validation`,
            `${capitalized(phase.title)}, validation`,
            'Figures on the validation set after each epoch. A ring, or with many runs a tick on the axis, marks each selected epoch.',
            (heading) => epochPlot(validated, heading),
          ),
        ]),
  ];
}

function mapPlots({ map, utterances, labels }: ReportData): PlotsBySection['map'] {
  if (map.kind === 'missing') return null;
  const layout = mapLayout(map.points);
  const about = `A map of ${countText(layout.positions.filter((position) => position !== null).length)} utterances by their embedding e'_q`;
  return {
    layout,
    labels: plot(
      'map-labels',
      'Map of the embeddings, by reference label',
      `${about}, by reference label.`,
      (heading) =>
        mapPlot(
          layout,
          labelGroups(labels),
          utterances.map(({ reference }) => reference),
          heading,
        ),
    ),
    correctness: plot(
      'map-correctness',
      'Map of the embeddings, by correctness',
      `${about}, by whether the prediction is right.`,
      (heading) =>
        mapPlot(
          layout,
          correctnessGroups,
          utterances.map(({ reference, predicted }) => (reference === predicted ? 0 : 1)),
          heading,
        ),
    ),
  };
}

/** A figure. @param caption a sentence after the title, or nothing */
export function figure({ name, title, svg }: ReportPlot, caption = ''): string {
  return `<figure id="figure-${name}">
<div class="scroll"><div class="plot">${svg}</div></div>
<figcaption><b>${escapeText(title)}.</b> ${escapeText(caption)}</figcaption>
<button type="button" class="save" data-save="${name}" aria-label="Save SVG: ${escapeText(title)}">Save SVG</button>
</figure>`;
}

function capitalized(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}
