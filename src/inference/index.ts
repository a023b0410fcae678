/** @file Inference with trained runs and bundles: test sets, other corpora, tables of recordings. */

export {
  type BundleDescription,
  bundleIdentity,
  bundleRecipe,
  openBundleModel,
  readBundleDescription,
  writeBundle,
} from './bundle/index.js';
export { meanOfTests, type NamedRecipe, type Reading, readingOf } from './ensemble.js';
export { type ExplanationOptions, explainUtterance, findExplained } from './explanation.js';
export {
  type OtherCorpus,
  otherCorpus,
  predictCorpus,
  predictOtherCorpus,
  trainingOverlap,
} from './other-corpus.js';
export {
  type Counts,
  checkUnfinished,
  checkWindowChoice,
  type JudgedRow,
  type Judges,
  judgeRows,
  mergeParts,
  OPTIONAL_COLUMNS,
  type OpenSourceOptions,
  openSource,
  type PartOutcome,
  type PlannedPrediction,
  type PredictionJob,
  type PredictionSource,
  planPrediction,
  predictRows,
  type RecognitionCounts,
  type Shard,
  type SourceRow,
  type WindowChoice,
  writeTimeline,
} from './prediction/index.js';
export type { FeatureMeans } from './probe-baseline.js';
export {
  type NamedRecogniser,
  namedRecogniser,
  openRecogniser,
  type RecogniserIdentity,
  type SpeechRecogniser,
} from './speech-recogniser.js';
export {
  predictTestSet,
  type SeenUtterances,
  seenUtterances,
  type TestSetPredictions,
  testUtterances,
  trainingMajority,
} from './test-set.js';
export {
  finalPhaseIn,
  findRun,
  foldRuns,
  type OpenedModel,
  openTrainedModel,
  phasesIn,
  refuseMissingPhase,
  seedFolder,
  seedFolders,
  unfinishedWarning,
} from './trained-run.js';
export {
  corpusRecogniser,
  type PlannedTranscription,
  type RecogniserUnderNoise,
  recogniserUnderNoise,
  type TranscribedRow,
  type TranscriptionJob,
  transcribeRows,
  transcriptionPlan,
} from './transcription/index.js';
export type { NoiseConditions, NoiseLevel } from './utterance-predictions.js';
