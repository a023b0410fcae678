/** @file Door of the runs: what training leaves on disk, and finds again when it goes on. */

export { epochCheckpoint, pruneCheckpoints } from './epoch-checkpoints.js';
export {
  createRun,
  inspectRun,
  type RunFacts,
  type RunFolder,
  readFacts,
  removeTemporaries,
  runFolder,
  stageFolder,
} from './folder.js';
export { type ListedRun, listRuns, type UnreadableRun } from './list.js';
export { lockRun, removeDeadLock } from './lock.js';
export { type MetricsLine, type MetricsLog, openMetrics, readMetrics } from './metrics-log.js';
export { type RunTimes, readTimes, recordTimings, type TimingRecorder } from './timings.js';
export { type BestEpoch, positionMetadata, readPosition, type TrainingPosition } from './training-state.js';
