/** @file Systems: the interface between a kind of model and training, inference and experiments. */

export { stageNeeds } from './emoq/needs.js';
export {
  defaultFormerSettings,
  type EmoqRecipe,
  type FormerSettings,
  formerConfig,
  requireEmoq,
} from './emoq/settings.js';
export { loraKeys, mergedWeights } from './emoq/standalone-models.js';
export { LAYER_MIX_KEY, layerShares, SPEECH_ENCODER_PREFIX } from './encoder-layers.js';
export {
  type PhaseTrainingOptions,
  PRESENT_KEY_VALUES,
  phaseAttentionGraph,
  phaseEvaluationGraph,
  phaseInferenceGraph,
  phaseTrainingGraph,
  standaloneGraph,
} from './phase-graphs.js';
export {
  microBatchSize,
  type PhaseSettings,
  rateOf,
  weightAverage,
  withViews,
} from './phase-settings.js';
export {
  encoderPrecision,
  type PrecisionChoice,
  precisionChoices,
  precisionOnCuda,
  resolvePrecision,
} from './precision.js';
export {
  hasPrompt,
  isScored,
  phasesOfSystems,
  phaseTitles,
  requirePhase,
  systemKinds,
  systemNamed,
  systemOf,
  titleOf,
  trainingStart,
  turnsOf,
} from './registry.js';
export {
  DEFAULT_SYSTEM,
  isSection,
  type Origin,
  type Recipe,
  type RecipeProblem,
  stringEntries,
  stringList,
} from './settings.js';
export { cachedLayers, describeEncoder, encoderOf, statisticsSample } from './speech-features.js';
export type {
  BackboneIdentities,
  BackboneNeed,
  Example,
  ExampleLengths,
  FeatureSource,
  ModelUtterance,
  Phase,
  PhaseAttention,
  PhaseNeeds,
  PhaseStart,
  Prompt,
  PromptStart,
  Sizes,
  StandaloneModel,
  TextLimit,
  Views,
} from './system.js';
