/** @file Training: the phases of a recipe on its corpus, new or resumed, up to a checkpoint. */

export {
  augmentationSeed,
  identityOf,
  openAugmentation,
  openRecordings,
  recordingsIn,
  soundFolders,
  variantItems,
} from './augmentation.js';
export { type ComputeOptions, devicesAlike } from './compute-options.js';
export {
  type Fit,
  fitSettings,
  type GivenSettings,
  optionsOf,
  overridesOf,
  packedSaving,
} from './device-fit.js';
export { type MemorySettings, memoryParts, type SizedPhase, type SizedSettings } from './device-size.js';
export {
  type PhaseRun,
  phasesFrom,
  requireSameBackbones,
  reviewPlan,
  sharesEarlierPhase,
} from './earlier-phase.js';
export { type EncoderPool, encoderPool } from './encoder-pool.js';
export {
  cachedFeatures,
  checkFolds,
  countCutTexts,
  countFolds,
  cutNotes,
  cutTo,
  encodeAll,
  encodeCorpus,
  isCutText,
  loadCorpus,
  openExperiment,
  phaseFeatures,
  TRAINING_PARTS,
} from './experiment.js';
export {
  type Evaluator,
  type FailedInference,
  type Inference,
  type InferenceOptions,
  inferAll,
  requireInferences,
  sessionEvaluator,
} from './inference.js';
export { type Batching, cheapestBatches } from './inference-batches.js';
export { type PhaseSize, sizePhase, stepText } from './phase-memory.js';
export { promptedInference } from './prompted-inference.js';
export { recogniserOf, recordedDraw, recordedPrompt, trainedManifest } from './run-metadata.js';
export { averageBatch } from './step-sizes.js';
export { type PhaseOutcome, type TrainPhaseOptions, trainPhase } from './train-phase.js';
export type { TrainingReport } from './trainer.js';
