/** @file Graph fragments over named weights: layers, losses, LoRA and the EmoQ-Former. */

export { type CtcTargets, ctcLoss } from './ctc-loss.js';
export { emoqFormer, formerGraph } from './former/former.js';
export { type FormerAttention, formerAttention } from './former/former-attention.js';
export {
  type AudioStatistics,
  type BatchValues,
  FORMER_PREFIX,
  type FormerConfig,
  formerInputs,
  formerViews,
  freshParameter,
  hasCrossAttention,
  type InputViews,
  initialFormer,
  type RobertaConfig,
  robertaKey,
  standardizeAudio,
  standardizeMeans,
  WORD_EMBEDDINGS_KEY,
} from './former/former-config.js';
export {
  attendedHeads,
  attentivePooling,
  causalMask,
  dense,
  keyHeads,
  maskedMean,
  multiHeadAttention,
  norm,
  queryHeads,
  runningCount,
  valueHeads,
} from './layers.js';
export {
  type AdaptedModule,
  frozenLinear,
  initialLoraTensors,
  isLoraStart,
  type LoraConfig,
  loraLinear,
  loraScale,
  loraShapes,
  loraStarts,
  PEFT_PREFIX,
  principalLoraTensors,
} from './lora.js';
export {
  type AffectiveLossOptions,
  affectiveLoss,
  answerLoss,
  classWeights,
  crossEntropy,
  type EmbeddingQueue,
  emotionSoftmax,
  frameCrossEntropy,
  queuedAfter,
} from './losses.js';
export { maskSpans, type SpanMasks } from './span-masking.js';
export {
  asStored,
  attentionBias,
  checkpointWeights,
  type Dropout,
  declaredWeights,
  inputWeights,
  layeredWeights,
  type ModelGraph,
  noDropout,
  type Precision,
  under,
  type Weights,
} from './weights.js';
