/** @file Renders an experiment or a search as one HTML file, as Markdown or JSON, and its plots as files. */

export type { ReportPlot } from './blocks.js';
export {
  type ExplainedAudio,
  type ExplainedText,
  type Explanation,
  explanationJson,
} from './explanation-data.js';
export { renderExplanation } from './explanation-page.js';
export { renderMarkdown } from './markdown.js';
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
export { renderJson } from './report-json.js';
export { reportPlots } from './report-plots.js';
export type { KeyRange, SearchKey, SearchReport, SearchTrial } from './search-data.js';
export { renderSearchJson, renderSearchMarkdown } from './search-formats.js';
export { renderSearch } from './search-page.js';
export { searchPlots } from './search-plots.js';
export {
  fileAddress,
  renderTimeline,
  type TimelineData,
  type TimelineRecording,
  type TimelineWindow,
} from './timeline.js';
