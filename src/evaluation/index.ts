/** @file Metrics with their error bars, comparison of systems, prediction files, results, tables. */

export { type Baselines, type HeadlineFigures, mostFrequent } from './baselines.js';
export { compareSeeds, comparisonResult } from './comparison.js';
export {
  type AblationScores,
  ablationFigure,
  ablationMetrics,
  ablationTables,
  comparisonCsv,
  comparisonTables,
} from './comparison-tables.js';
export { type Embeddings, embeddingsPath, readEmbeddings, writeEmbeddings } from './embeddings.js';
export {
  type Evaluation,
  evaluationOf,
  type FoldMetrics,
  foldMetrics,
  overallOf,
  placesByFold,
  type Scores,
  type SeedMetrics,
  seedMetrics,
} from './evaluation.js';
export { figureText, figureValue } from './figure-text.js';
export {
  argmax,
  type ConfusionCounts,
  classificationMetrics,
  type HeadlineMetric,
  headlineMetrics,
  type Metrics,
  type Outcome,
} from './metrics.js';
export { dialogueOf, pairSeeds, type SeedTable } from './pairing.js';
export { type PredictionTable, readPredictions } from './prediction-reader.js';
export { predictionDoubts } from './prediction-warnings.js';
export {
  hasReference,
  marginOf,
  openPredictionWriter,
  type PredictionColumns,
  type PredictionFormat,
  type PredictionWriter,
  predictionFormatOf,
  type ScoredPrediction,
  writePredictions,
} from './predictions.js';
export {
  type CrossCorpusFacts,
  type EvaluationResult,
  evaluationResult,
  type ResultFigures,
} from './results.js';
export { readResults, resultsCsv, type StoredResults } from './results-file.js';
export { intervalText, majorityText, scoreTables } from './score-tables.js';
export { bootstrapIntervals, type Resampling } from './statistics/bootstrap.js';
export type { Calibration } from './statistics/calibration.js';
export {
  accuracyInterval,
  type BootstrapIntervals,
  type Interval,
  meanRecallInterval,
  type ResamplingUnit,
} from './statistics/intervals.js';
export { LEAST_UMAP_POINTS, type UmapProgress, umapInThread } from './statistics/umap.js';
export {
  formatTables,
  type PaperFigures,
  type PaperRow,
  percent,
  plainTable,
  type Table,
  textTable,
} from './table.js';
export { spellingWarning } from './value-spellings.js';
