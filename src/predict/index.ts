/** @file Door of the prediction room: trained models at work on a test set or on a CSV of recordings. */

export { readRecordings } from './recording-rows.js';
export { predictRecordings, type RecordingsOptions, type RecordingsSummary } from './recordings.js';
export { predictTestSet, type TestSetPredictions } from './test-set.js';
export { findRun, openTrainedModel, seedFolders, type TrainedModel } from './trained-model.js';
