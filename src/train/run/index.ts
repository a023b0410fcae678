/** @file A run on disk: its folder, lock, curves, checkpoints and position. */

export { type BackboneIdentities, backboneDifferences } from './backbone-identities.js';
export { pruneCheckpoints } from './epoch-checkpoints.js';
export {
  begunRun,
  createRun,
  type DrawnValidation,
  inspectRun,
  manifestChange,
  type RunFacts,
  type RunFolder,
  type RunPrompt,
  readFacts,
  removeTemporaries,
  runFiles,
  runFolder,
  type SpeakerMention,
  stageFolder,
  type TrainedManifest,
} from './folder.js';
export {
  keepParameters,
  settleCheckpoint,
  type VerifiedCheckpoint,
  verifyCheckpoint,
  verifyUnfinished,
} from './kept-checkpoints.js';
export { type ListedRun, listRuns } from './list.js';
export { lockRun, removeDeadLock } from './lock.js';
export { type MetricsLine, type MetricsLog, openMetrics, readMetrics } from './metrics-log.js';
export { runRecipe, runRecipeText } from './recipe-file.js';
export { type RunTimes, readTimes, recordTimings, type TimingRecorder } from './timings.js';
export { type BestEpoch, positionMetadata, readPosition, type TrainingPosition } from './training-state.js';
