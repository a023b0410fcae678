/** @file Inference with trained runs and bundles: test sets, other corpora, tables of recordings. */

export {
  type BundleDescription,
  openBundleModel,
  readBundleDescription,
  writeBundle,
} from './bundle/index.js';
export { OPTIONAL_COLUMNS, predictRecordings, readRecordings } from './recordings.js';
export {
  type OtherCorpus,
  otherCorpus,
  predictCorpus,
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
  type OpenedModel,
  openTrainedModel,
  refuseMissingPhase,
  seedFolder,
  seedFolders,
  unfinishedWarning,
} from './trained-run.js';
