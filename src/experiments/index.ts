/** @file Experiments of one or many runs: found, scored, compared. */

export type { ExperimentContext } from './evaluation-target.js';
export { scoreFile } from './run-scores.js';
export { ablationScores, evaluateExperiment, type ScoredRow, scoreRow } from './scoring.js';
export { compareSystems, fewSeedsWarning } from './system-comparison.js';
export {
  type NamedRun,
  nameOfRun,
  plannedRuns,
  type RunListener,
  type Runs,
  trainRuns,
} from './train-runs.js';
