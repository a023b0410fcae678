/** @file Experiments of one or many runs: found, scored, compared. */

export { ablationScores, type ScoredRow, scoreRow } from './ablation-scores.js';
export type { ExperimentContext, Listener, ProgressView } from './context.js';
export type { ExperimentChoice, RecipeChoice } from './named-experiment.js';
export type { RunChoice } from './run-selection.js';
export { type FileScores, scoreFile } from './scored-file.js';
export { evaluateExperiment } from './scoring.js';
export { compareSystems, fewSeedsWarning, type SystemComparison } from './system-comparison.js';
