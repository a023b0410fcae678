/** @file Door of the report room: everything known about an experiment as one HTML file, and its plots as files. */

export { renderReport } from './render-report.js';
export type {
  EmbeddingMap,
  Mistake,
  ReportAblation,
  ReportData,
  ReportUtterance,
  TrainingCurve,
} from './report-data.js';
export { type ReportPlot, reportPlots } from './report-plots.js';
