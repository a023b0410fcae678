/** @file Results as SVG plots. */

export { countText } from './axes.js';
export { classPlot, confusionPlot } from './class-plots.js';
export { ablationPlot, headlinePlot, plottedMetrics, spreadPlot } from './headline-plots.js';
export { correctnessGroups, labelGroups, type MapLayout, mapLayout, mapPlot } from './map-plot.js';
export { plotStyles } from './palette.js';
export { reliabilityPlot } from './reliability-plot.js';
export { MOST_RUNS } from './run-summary.js';
export { escapeText, type PlotHeading } from './svg.js';
export { epochPlot, stepPlot } from './training-plot.js';
