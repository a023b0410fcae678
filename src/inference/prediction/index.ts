/** @file Predictions for tables and recordings: what is read, how it is judged, what is written. */

export type { Counts } from './counts.js';
export { type JudgedRow, judgeRows, type PartOutcome } from './judging.js';
export { writeTimeline } from './output-timeline.js';
export type { WindowChoice } from './parts.js';
export {
  checkUnfinished,
  checkWindowChoice,
  type PlannedPrediction,
  type PredictionJob,
  planPrediction,
  predictRows,
} from './predict.js';
export { OPTIONAL_COLUMNS, openSource, type PredictionSource, type SourceRow } from './prediction-source.js';
export { mergeParts, partSidecarPath, type Shard } from './shards.js';
