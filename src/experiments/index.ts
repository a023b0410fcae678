/** @file Experiments of one or many runs: found, scored, compared. */

export { ablationScores, type ScoredRow, scoreRow } from './ablation-scores.js';
export type { ExperimentContext } from './context.js';
export { scoreFile } from './scored-file.js';
export { evaluateExperiment } from './scoring.js';
export { compareSystems, fewSeedsWarning } from './system-comparison.js';
export { type NamedRun, plannedRuns, type RunListener, type Runs, trainRuns } from './train-runs.js';
