/** @file Metrics with confidence intervals, comparison of systems, predictions files, results, and tables. */

export { type Comparison, type ComparisonResult, compareSeeds, comparisonResult } from './comparison.js';
export {
  type AblationScores,
  ablationFigure,
  ablationTables,
  comparisonCsv,
  comparisonTables,
  type DatasetScores,
  datasetTables,
} from './comparison-tables.js';
export { type EditCount, errorRate, plainText, type TextEdits, textEdits } from './error-rates.js';
export {
  type Baselines,
  type Evaluation,
  evaluationOf,
  type FoldMetrics,
  foldMetrics,
  indicesByFold,
  mostFrequent,
  overallOf,
  type Scores,
  type SeedMetrics,
  scorePartsOf,
  seedMetrics,
  withProbe,
} from './evaluation.js';
export {
  hasWordErrors,
  levelName,
  type NoiseLevelResult,
  type NoiseResults,
  noiseLevel,
  noiseTable,
  noiseText,
  readNoiseResults,
  resultsUnderNoiseCsv,
  type TestNoise,
  wordErrorText,
  wordsUnderNoise,
} from './noise-results.js';
export { pairSeeds, type SeedTable } from './pairing.js';
export {
  predictionWarnings,
  readPredictions,
  spellingWarning,
  unansweredWarnings,
} from './prediction-reader.js';
export {
  type Embeddings,
  embeddingsPath,
  formatRecord,
  hasReference,
  headerRecord,
  type Missing,
  marginOf,
  type PredictionFormat,
  type PredictionTable,
  predictionCells,
  predictionFormatOf,
  probabilityPrefix,
  type RecordCell,
  readEmbeddings,
  type ScoredPrediction,
  writeEmbeddings,
  writePredictions,
} from './predictions.js';
export {
  type CrossCorpusMetadata,
  type EnsembleMember,
  type EvaluationResult,
  evaluationResult,
  type ResultSource,
  readResults,
  resultsCsv,
  type StoredResults,
} from './results.js';
export { intervalText, majorityText, scoreTables } from './score-tables.js';
export {
  fitLogistic,
  type LabelledRows,
  type LogisticModel,
  logisticProbabilities,
  standardizer,
} from './statistics/logistic-regression.js';
export {
  type BootstrapIntervals,
  bootstrapIntervals,
  type Resampling,
  type ResamplingUnit,
} from './statistics/significance.js';
export { LEAST_UMAP_POINTS, type UmapProgress, umapInThread } from './statistics/umap.js';
export {
  columnName,
  figureText,
  figureValue,
  formatTables,
  metricText,
  type PaperFigures,
  type PaperRow,
  percent,
  plainTable,
  type Table,
  textTable,
} from './table.js';
export {
  type JudgedWindow,
  meanOverWindows,
  WINDOWS_NOTE,
  type WindowMean,
  windowsIn,
  windowsNote,
} from './window-mean.js';
