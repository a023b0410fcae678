/** @file Door of the training room: experiments, stages, the loop, runs on disk. */

export {
  type InspectedBackbones,
  inspectBackbones,
  requireSameBackbones,
} from './backbone-inspection.js';
export { type Collation, collate, type StoredFeatures } from './collation.js';
export { checkFolds, countFolds, type ExperimentCorpus, labelCounts, loadCorpus } from './corpus.js';
export { countCutTexts, cutNotes, isCutText } from './cut-inputs.js';
export { backboneConfigs, type StageSize, sizeStage, stepText } from './dry-run.js';
export type { Example, Spoken } from './examples.js';
export {
  type Experiment,
  experimentFeatures,
  fittingExamples,
  openExperiment,
  openStageModel,
  type StageModel,
} from './experiment.js';
export { type ComputeOptions, encoderOf, type FeatureSource, openFeatures } from './features.js';
export {
  type FailedInference,
  type Inference,
  type InferenceOptions,
  inferAll,
  requireInferences,
  validationFigures,
} from './inference.js';
export { reviewPlan } from './plan-review.js';
export { namesGender, recordedPrompt } from './prompts.js';
export {
  type ListedRun,
  listRuns,
  type MetricsLine,
  manifestChange,
  type RunFacts,
  type RunFolder,
  type RunPrompt,
  type RunTimes,
  readFacts,
  readMetrics,
  readTimes,
  runFiles,
  runFolder,
  runRecipe,
  runRecipeText,
  stageFolder,
  type UnreadableRun,
  type VerifiedCheckpoint,
  verifyCheckpoint,
} from './run/index.js';
export { recordedDraw, trainedManifest } from './run-facts.js';
export { runStage, type StageOutcome, type StageRunOptions } from './run-stage.js';
export { type PlannedRun, prepareRuns } from './shared-features.js';
export { type StageParameters, stageEvaluationGraph } from './stage.js';
export { type StageNeeds, stageNeeds, trainingStart } from './stage-needs.js';
export { hasStage1, stagesOf, startsFromStage1 } from './stage-order.js';
export { formerConfig } from './stages.js';
export type { TrainingReport, ValidationFigures } from './trainer.js';
