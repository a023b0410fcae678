/** @file Inference with trained runs: test sets, other corpora, tables of recordings. */

export { OPTIONAL_COLUMNS, predictRecordings, readRecordings } from './recordings.js';
export {
  type OtherCorpus,
  otherCorpus,
  predictOtherCorpus,
  predictTestSet,
  type TestSetPredictions,
  trainingMajority,
  trainingOverlap,
} from './test-set.js';
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
