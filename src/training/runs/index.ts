/** @file A run on disk: its folder, lock, curves, checkpoints and position. */

export { adoptRun } from './adopted-run.js';
export {
  noisePredictions,
  phaseFolder,
  type RunFolder,
  runFiles,
  runFolder,
  runRecipe,
  runRecipeText,
} from './folder.js';
export {
  keepParameters,
  pruneCheckpoints,
  settleCheckpoint,
  type VerifiedCheckpoint,
  verifyCheckpoint,
  verifyUnfinished,
} from './kept-checkpoints.js';
export { type ListedRun, listRuns } from './list.js';
export {
  backboneDifferences,
  type DrawnValidation,
  manifestChange,
  phaseKeys,
  type RunAugmentation,
  type RunMetadata,
  readMetadata,
  type TrainedManifest,
  writeMetadata,
} from './metadata.js';
export {
  type MetricsLine,
  type MetricsLog,
  openMetrics,
  type RunTimes,
  readMetrics,
  readTimes,
  recordTimings,
  type TimingRecorder,
} from './metrics-log.js';
export {
  type BestEpoch,
  begunRun,
  createRun,
  inspectRun,
  lockRun,
  positionMetadata,
  readPosition,
  removeDeadLock,
  removeTemporaries,
  type TrainingPosition,
} from './run-state.js';
export { readTrial, type TrialRecord, trialOfRun, writeTrial } from './trial.js';
