/** @file Predictions for tables and recordings: what is read, how it is judged, what is written. */

export { type ChunkOptions, chunkSize, chunksOf, encodeParts } from './chunks.js';
export { type Counts, countNotes, type RecognitionCounts } from './counts.js';
export { attempt, type JudgedRow, type Judges, joinedTexts, judgeRows, type PartOutcome } from './judging.js';
export { noteText, type OutputLayout, outputLayout } from './output-columns.js';
export { writeTimeline } from './output-timeline.js';
export { CUT_RECOGNITION, type RowNote, transcriptOfRow, type WindowChoice } from './parts.js';
export {
  checkWindowChoice,
  type PlannedPrediction,
  type PredictionJob,
  planPrediction,
  predictRows,
} from './predict.js';
export {
  OPTIONAL_COLUMNS,
  type OpenSourceOptions,
  openSource,
  type PredictionSource,
  type SourceRow,
} from './prediction-source.js';
export {
  checkUnfinished,
  type PlannedOutput,
  planOutput,
  type WritingOptions,
  writeRows,
} from './row-output.js';
export { mergeParts, partSidecarPath, type Shard } from './shards.js';
