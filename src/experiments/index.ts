/** @file Experiments of several runs: folds, seeds and jobs. */

export {
  type NamedRun,
  plannedRuns,
  type RunListener,
  type Runs,
  seedFolder,
  trainRuns,
} from './train-runs.js';
