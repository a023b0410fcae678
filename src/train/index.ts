/** @file Experiments, stages, the loop, runs on disk. */

export { inspectBackbones, requireSameBackbones } from './backbone-inspection.js';
export { checkFolds, countFolds, labelCounts, loadCorpus } from './corpus.js';
export { countCutTexts, cutNotes, isCutText } from './cut-inputs.js';
export { backboneConfigs, type StageSize, sizeStage, stepText } from './dry-run.js';
export type { Example, Spoken } from './examples.js';
export { experimentFeatures, fittingExamples, openStageModel, type StageModel } from './experiment.js';
export { type ComputeOptions, encoderOf, type FeatureSource } from './features.js';
export {
  type FailedInference,
  type Inference,
  type InferenceOptions,
  inferAll,
  requireInferences,
} from './inference.js';
export { reviewPlan } from './plan-review.js';
export { namesGender, recordedPrompt } from './prompts.js';
export { recordedDraw, trainedManifest } from './run-facts.js';
export { runStage, type StageOutcome } from './run-stage.js';
export { prepareRuns } from './shared-features.js';
export { stageEvaluationGraph } from './stage.js';
export { type StageNeeds, stageNeeds, trainingStart } from './stage-needs.js';
export { hasStage1, stagesOf } from './stage-order.js';
export { formerConfig } from './stages.js';
export type { TrainingReport } from './trainer.js';
