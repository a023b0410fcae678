/** @file Renders an experiment as one HTML file, and its plots as files. */

export { renderReport } from './render-report.js';
export type {
  EmbeddingMap,
  LayerWeight,
  Mistake,
  ReportAblation,
  ReportData,
  ReportUtterance,
  TrainingCurve,
} from './report-data.js';
export { reportPlots } from './report-plots.js';
export {
  audioAddress,
  renderTimeline,
  type TimelineData,
  type TimelineRecording,
  type TimelineWindow,
} from './timeline.js';
