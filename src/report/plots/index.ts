/** @file Results as SVG plots. */

export { attentionMapPlot, attentionWavePlot, sharesOver } from './attention-plots.js';
export { countText } from './axes.js';
export { classPlot, confusionPlot, reliabilityPlot } from './class-plots.js';
export { ablationPlot, headlinePlot, plottedMetrics, spreadPlot } from './headline-plots.js';
export { type KeyAxis, type KeyPoint, keyPlot } from './key-plot.js';
export { layerPlot } from './layer-plot.js';
export { correctnessGroups, labelGroups, type MapLayout, mapLayout, mapPlot } from './map-plot.js';
export { noisePlot } from './noise-plot.js';
export { MOST_RUNS } from './run-summary.js';
export { element, escapeText, PLOT_WIDTH, type PlotHeading, plotStyles } from './svg.js';
export {
  classMark,
  clockText,
  type PlottedWindow,
  type TimelinePlot,
  timelinePlot,
} from './timeline-plot.js';
export { epochPlot, stepPlot } from './training-plot.js';
export type { FigureAxis, PlottedTrial } from './trial-marks.js';
export { bestSoFarPlot, trialCurvePlot } from './trial-plots.js';
