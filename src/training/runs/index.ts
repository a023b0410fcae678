/** @file A run on disk: its folder, lock, curves, checkpoints and position. */

export { phaseFolder, type RunFolder, runFiles, runFolder, runRecipe, runRecipeText } from './folder.js';
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
  type RunMetadata,
  readMetadata,
  type TrainedManifest,
  writeMetadata,
} from './metadata.js';
export { type MetricsLine, type MetricsLog, openMetrics, readMetrics } from './metrics-log.js';
export { begunRun, createRun, inspectRun, lockRun, removeDeadLock, removeTemporaries } from './run-state.js';
export { type RunTimes, readTimes, recordTimings, type TimingRecorder } from './timings.js';
export { type BestEpoch, positionMetadata, readPosition, type TrainingPosition } from './training-state.js';
