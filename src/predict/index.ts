/** @file Door of the prediction room: trained models at work on a test set or on a CSV of recordings. */

export {
  type OtherCorpus,
  otherCorpus,
  predictOtherCorpus,
  type TrainingOverlap,
  trainingOverlap,
} from './cross-corpus.js';
export { OPTIONAL_COLUMNS, readRecordings } from './recording-rows.js';
export { predictRecordings, type RecordingsOptions, type RecordingsSummary } from './recordings.js';
export { trainingMajority } from './seen-utterances.js';
export { predictTestSet, type TestSetPredictions } from './test-set.js';
export { findRun, foldRuns, openTrainedModel, seedFolders, type TrainedModel } from './trained-model.js';
