/** @file Creates the plots of a report, by name. */

import { overallOf } from '../evaluation/index.js';
import { paperMetrics } from '../evaluation/metrics/index.js';
import type { ReportPlot } from './blocks.js';
import {
  ablationPlot,
  classPlot,
  confusionPlot,
  correctnessGroups,
  countText,
  epochPlot,
  headlinePlot,
  labelGroups,
  layerPlot,
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

/** The plots by section; null or empty if there is nothing to draw. */
export interface PlotsBySection {
  readonly headline: ReportPlot;
  readonly confusion: ReportPlot;
  /** By phase, in training order. */
  readonly training: readonly PhasePlots[];
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
  readonly layers: ReportPlot | null;
}

/** The curves of a phase; null without steps or without validations. */
export interface PhasePlots {
  readonly title: string;
  readonly steps: Readonly<Record<(typeof stepFigures)[number]['figure'], ReportPlot>> | null;
  readonly validation: ReportPlot | null;
}

/** Every plot of a report, in section order. */
export function reportPlots(data: ReportData): ReportPlot[] {
  const plots = plotsBySection(data);
  return [
    plots.headline,
    plots.confusion,
    ...plots.training.flatMap(({ steps, validation }) => [
      ...(steps ? stepFigures.map(({ figure }) => steps[figure]) : []),
      ...(validation ? [validation] : []),
    ]),
    plots.classes,
    ...(plots.calibration ? [plots.calibration] : []),
    ...(plots.noise ? [plots.noise] : []),
    ...(plots.map ? [plots.map.labels, plots.map.correctness] : []),
    ...(plots.spread ? [plots.spread] : []),
    ...plots.ablations,
    ...(plots.layers ? [plots.layers] : []),
  ];
}

export function plotsBySection(data: ReportData): PlotsBySection {
  const { labels, scores, calibration, noise, ablations, layers } = data;
  const metrics = overallOf(data.scores);
  const n = `${countText(metrics.n)} utterances`;
  return {
    headline: plot(
      'headline',
      'Headline figures',
      `${listOf(plottedMetrics)} over ${n}, next to the paper's, the majority class and chance. The table below has the same figures.`,
      (heading) => headlinePlot(metrics, data.intervals, data.paper, data.baselines, heading),
    ),
    confusion: plot(
      'confusion',
      'Confusion matrix',
      `Rows are the ${labels.length} reference classes, columns the predicted ones. Each cell has its percentage of the row, and the number of utterances below it; ${n}.`,
      (heading) => confusionPlot(metrics, heading),
    ),
    training: [...new Map(data.curves.map(({ phase }) => [phase.name, phase])).values()].map((phase) =>
      trainingPlots(
        phase,
        data.curves.filter((curve) => curve.phase.name === phase.name),
      ),
    ),
    classes: plot(
      'classes',
      'Precision, recall and F1 of every class',
      `F1 as bars, precision and recall as marks, in percent for ${labels.length} classes, with the number of references of each. The table below has the same figures.`,
      (heading) => classPlot(metrics, heading),
    ),
    calibration:
      calibration &&
      plot(
        'reliability',
        'Reliability diagram',
        `Accuracy by confidence in ${calibration.bins.length} bins, and the number of utterances in each. Dots are the accuracy of a bin, and lines lead from there to its confidence; the dashed line is perfect calibration.`,
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
    layers:
      layers.length === 0
        ? null
        : plot(
            'layers',
            "Weights of the encoder's layers",
            `The weight of each of ${layers.length} hidden states in percent${layers[0]!.shares.length === 1 ? '' : ', the mean of the runs, with lines from the least to the largest'}. The table below has the same figures.`,
            (heading) => layerPlot(layers, heading),
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
  { figure: 'loss', name: 'loss', title: 'training loss', axis: 'any', size: 'large' },
  {
    figure: 'gradientNorm',
    name: 'gradient-norm',
    title: 'gradient norm before clipping',
    axis: 'any',
    size: 'small',
  },
  { figure: 'learningRate', name: 'learning-rate', title: 'learning rate', axis: 'linear', size: 'small' },
] as const;

function trainingPlots(phase: TrainingCurve['phase'], curves: readonly TrainingCurve[]): PhasePlots {
  const trained = curves.filter(({ steps }) => steps.length > 0);
  const validated = curves.filter(({ epochs }) => epochs.length > 0);
  const steps = trained.reduce((sum, curve) => sum + curve.steps.length, 0);
  const ofSteps = ({ figure, name, title, axis, size }: (typeof stepFigures)[number]): ReportPlot =>
    plot(
      `${phase.name}-${name}`,
      `${capitalized(phase.title)}, ${title}`,
      `${countText(steps)} optimizer steps of ${trained.length === 1 ? 'one run' : `${trained.length} runs`}.`,
      (heading) =>
        stepPlot(
          trained.map((curve) => ({
            title: curve.title.replace(`${phase.title}, `, ''), // the plot's own title has the phase
            points: curve.steps.map((step) => ({ x: step.step, y: step[figure] })),
          })),
          title,
          axis,
          heading,
          size,
        ),
    );
  const [loss, gradientNorm, learningRate] = stepFigures;
  return {
    title: capitalized(phase.title),
    steps:
      trained.length === 0
        ? null
        : {
            loss: ofSteps(loss),
            gradientNorm: ofSteps(gradientNorm),
            learningRate: ofSteps(learningRate),
          },
    validation:
      validated.length === 0
        ? null
        : plot(
            `${phase.name}-validation`,
            `${capitalized(phase.title)}, validation`,
            'Figures on the validation set after each epoch. A ring, or with many runs a tick on the axis, marks each selected epoch.',
            (heading) =>
              epochPlot(
                validated.map((curve) => ({ ...curve, title: curve.title.replace(`${phase.title}, `, '') })),
                heading,
              ),
          ),
  };
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

function capitalized(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}
