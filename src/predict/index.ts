/** @file Door of the prediction room: trained models at work on a test set or on a CSV of recordings. */

export {
  OPTIONAL_COLUMNS,
  predictRecordings,
  type RecordingsOptions,
  type RecordingsSummary,
  readRecordings,
} from './recordings.js';
export { predictTestSet, type TestSetPredictions } from './test-set.js';
export { findRun, openTrainedModel, seedFolders, type TrainedModel } from './trained-model.js';
