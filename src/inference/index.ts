/** @file Inference with trained runs: test sets, other corpora, tables of recordings. */

export {
  type Counts,
  checkUnfinished,
  type JudgedRow,
  mergeParts,
  OPTIONAL_COLUMNS,
  openSource,
  type PartOutcome,
  type PlannedPrediction,
  type PredictionJob,
  planPrediction,
  predictRows,
  type Shard,
  type WindowChoice,
  writeTimeline,
} from './prediction/index.js';
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
