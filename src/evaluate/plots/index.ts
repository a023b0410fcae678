/** @file Door of the plots room: evaluation results as SVG. */

export { type AblationPlotRow, ablationPlot } from './ablation-plot.js';
export { classPlot } from './class-plot.js';
export { type ConfusionView, confusionPlot } from './confusion-plot.js';
export { headlinePlot, spreadPlot } from './headline-plot.js';
export {
  correctnessGroups,
  labelGroups,
  type MapGroup,
  type MapLayout,
  mapLayout,
  mapPlot,
} from './map-plot.js';
export { metricNames } from './metric-names.js';
export { plotStyles } from './palette.js';
export { reliabilityPlot } from './reliability-plot.js';
export { MOST_RUNS } from './run-summary.js';
export { countText } from './scale.js';
export { escapeText, type PlotHeading } from './svg.js';
export { type EpochCurve, epochPlot, type StepCurve, stepPlot } from './training-plot.js';
