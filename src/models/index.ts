/** @file Door of the models room: encoders, the Former, the language model, their losses and their weights. */

export {
  type AffectiveLossOptions,
  affectiveLoss,
  classWeights,
  focalLoss,
  supervisedContrastiveLoss,
} from './affective-losses.js';
export { auxiliaryHead, initialHead } from './auxiliary-head.js';
export * from './checkpoint/index.js';
export { answerLoss, emotionSoftmax } from './emotion-softmax.js';
export {
  type AudioStatistics,
  type FormerConfig,
  initialFormer,
  robertaKey,
  WORD_EMBEDDINGS_KEY,
} from './former/index.js';
export {
  type BatchValues,
  FORMER_PREFIX,
  formerInputs,
  type InputViews,
  type ModelInput,
} from './former/inputs.js';
export { formerGraph } from './former-graph.js';
export {
  type ClipFeatures,
  type EncoderSource,
  encoderGraph,
  encoderKeys,
  encoderWidth,
  findSpeechEncoder,
  openSpeechEncoder,
  type SpeechEncoder,
} from './hubert/index.js';
export { type LoraConfig, type MergedDtype, mergedTensors, mergeLora } from './lora/index.js';
export type { ModelGraph } from './model-graph.js';
export { initialLora, type LanguageModelInputs, languageModelGraph, loraParameters } from './qwen2/index.js';
export {
  HEAD_PREFIX,
  type Stage1Config,
  stage1Forward,
  stage1Loss,
} from './stage1-model.js';
export {
  answerInputs,
  hasFormer,
  initialProjector,
  PROJECTOR_PREFIX,
  type Stage2Config,
  stage2Forward,
  stage2Inputs,
  stage2Loss,
} from './stage2-model.js';
export {
  checkpointWeights,
  type Dropout,
  declaredWeights,
  givenWeights,
  layeredWeights,
  noDropout,
  type ParameterShape,
  under,
  type Weights,
} from './weights.js';
