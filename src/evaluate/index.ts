/** @file Door of the evaluation room: metrics, statistics, folds, prediction files, result objects and tables. */

export {
  type AblationMetric,
  type AblationScores,
  ablationFigure,
  ablationMetrics,
  ablationTables,
} from './ablation-table.js';
export { type Baselines, baselinesOf, type HeadlineFigures, mostFrequent } from './baselines.js';
export {
  type Comparison,
  type ComparisonResult,
  comparePredictions,
  compareSeeds,
  comparisonResult,
} from './comparison.js';
export { comparisonCsv, comparisonTables } from './comparison-tables.js';
export { dialogueOf } from './dialogue.js';
export { type Embeddings, embeddingsPath, readEmbeddings, writeEmbeddings } from './embeddings.js';
export { type Evaluation, evaluationOf, overallOf, type Scores } from './evaluation.js';
export { figureText, figureValue } from './figure-text.js';
export {
  type FoldMetrics,
  type FoldOutcomes,
  foldMetrics,
  placesByFold,
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
  type HeadlineMetric,
  headlineMetrics,
  type Metrics,
  metricsOfCounts,
  type Outcome,
} from './metrics.js';
export {
  type PairedPredictions,
  type PairedSeeds,
  pairPredictions,
  pairSeeds,
  type SeedPredictions,
  type SeedTable,
} from './pairing.js';
export { predictionDoubts } from './prediction-doubts.js';
export { type PredictionTable, type ReadPredictionsOptions, readPredictions } from './prediction-reader.js';
export {
  hasReference,
  marginOf,
  openPredictionWriter,
  type Prediction,
  type PredictionColumns,
  type PredictionFormat,
  type PredictionWriter,
  predictionFormatOf,
  type ScoredPrediction,
  writePredictions,
} from './predictions.js';
export { resamplingKeys } from './resampling-keys.js';
export {
  type CrossCorpusFacts,
  type EvaluationResult,
  evaluationResult,
  type MissingFold,
  normalizedConfusion,
  type ResultFigures,
  type ResultSource,
} from './results.js';
export { resultsCsv } from './results-csv.js';
export { readResults, type StoredResults } from './results-file.js';
export {
  type IntervalPlace,
  intervalText,
  majorityText,
  type ResultScope,
  scoreTables,
} from './score-tables.js';
export {
  bootstrapIntervals,
  type PairedBootstrap,
  type PairedDifference,
  pairedBootstrap,
  type Resampling,
  seededBootstrap,
} from './statistics/bootstrap.js';
export { type Calibration, type CalibrationBin, calibrationOf } from './statistics/calibration.js';
export type { BootstrapIntervals, Interval, ResamplingUnit } from './statistics/interval.js';
export { mcnemarExact, type PairedCounts, pairedCounts } from './statistics/mcnemar.js';
export { accuracyInterval, meanRecallInterval, wilsonInterval } from './statistics/score-intervals.js';
export { umapInThread } from './statistics/umap.js';
export { LEAST_UMAP_POINTS, type UmapProgress } from './statistics/umap-settings.js';
export {
  type PaperFigures,
  type PaperRow,
  percent,
  type Table,
  textTable,
} from './table.js';
export { formatTables, plainTable, type TableFormat } from './table-formats.js';
export { spellingWarning } from './value-spellings.js';
