/** @file Trained runs at work: test sets, other corpora, tables of recordings. */

export { type OtherCorpus, otherCorpus, predictOtherCorpus, trainingOverlap } from './cross-corpus.js';
export { OPTIONAL_COLUMNS, readRecordings } from './recording-rows.js';
export { predictRecordings } from './recordings.js';
export { predictTestSet, type TestSetPredictions, trainingMajority } from './test-set.js';
export { openTrainedModel } from './trained-model.js';
export {
  finalPhaseIn,
  findRun,
  foldRuns,
  refuseMissingPhase,
  seedFolder,
  seedFolders,
  unfinishedWarning,
} from './trained-run.js';
