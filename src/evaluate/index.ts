/** @file Door of the evaluation room: metrics, folds, prediction files, result objects and text tables. */

export { type AblationScores, ablationTable } from './ablation-table.js';
export {
  type FoldMetrics,
  type FoldOutcomes,
  foldMetrics,
  type HeadlineMetric,
  headlineMetrics,
  type SeedMetrics,
  seedMetrics,
} from './folds.js';
export {
  addCounts,
  argmax,
  type ClassMetrics,
  type ConfusionCounts,
  classificationMetrics,
  countOutcomes,
  type Metrics,
  metricsOfCounts,
  type Outcome,
} from './metrics.js';
export { type PredictionTable, type ReadPredictionsOptions, readPredictions } from './prediction-reader.js';
export {
  openPredictionWriter,
  type Prediction,
  type PredictionColumns,
  type PredictionFormat,
  type PredictionWriter,
  predictionFormatOf,
  writePredictions,
} from './predictions.js';
export { type EvaluationResult, evaluationResult, type ResultFigures, type ResultSource } from './results.js';
export {
  classTable,
  confusionTable,
  foldsTable,
  type PaperFigures,
  type PaperRow,
  percent,
  resultsTable,
  seedsTable,
  textTable,
} from './table.js';
