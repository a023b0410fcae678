/** @file Inference with trained runs: test sets, other corpora, tables of recordings. */

export { type OtherCorpus, otherCorpus, predictOtherCorpus, trainingOverlap } from './cross-corpus.js';
export { OPTIONAL_COLUMNS, predictRecordings, readRecordings } from './recordings.js';
export { predictTestSet, type TestSetPredictions, trainingMajority } from './test-set.js';
export {
  finalPhaseIn,
  findRun,
  foldRuns,
  openTrainedModel,
  refuseMissingPhase,
  seedFolder,
  seedFolders,
  unfinishedWarning,
} from './trained-run.js';
