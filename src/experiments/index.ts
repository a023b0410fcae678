/** @file Finds, scores and compares experiments of one or more runs. */

export { scoreBundle } from './bundle-scoring.js';
export { compareDataset, type DatasetRow } from './dataset-comparison.js';
export { type EnsembleChoice, evaluateEnsemble } from './ensemble-scoring.js';
export type { ExperimentContext } from './evaluation-target.js';
export { noiseResults } from './noise-test.js';
export { type RunScores, scoreFile } from './run-scores.js';
export { ablationScores, evaluateExperiment, type ScoredRow, scoreRow } from './scoring.js';
export {
  isSearch,
  planTrials,
  type RankingFigure,
  readSpace,
  runSearch,
  type SearchOutcome,
  type SearchPlan,
  searchFiles,
  searchObject,
  type TrialResult,
  titleOfTrial,
} from './search/index.js';
export { compareSystems, fewSeedsWarning } from './system-comparison.js';
export {
  type NamedRun,
  nameOfRun,
  plannedRuns,
  type RunListener,
  type Runs,
  trainRuns,
} from './train-runs.js';
