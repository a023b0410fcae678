/**
 * @file Pretrained backbones (speech encoders, text encoders, decoder language models), opened by name or path; the
 * family is detected.
 */

export {
  type DecoderOutputs,
  decoder,
  decoderOutputs,
  embedTokens,
  pastShape,
  spliceSoftPrompt,
  stackedKeyValues,
} from './decoders/decoder.js';
export { type DecoderConfig, recordedConfig } from './decoders/decoder-config.js';
export {
  allLoraTargets,
  decoderFamilyOf,
  parseDecoderConfig,
  readDecoderConfig,
} from './decoders/decoder-families.js';
export {
  checkLoraTargets,
  initialLora,
  loraParameters,
  type MergedDtype,
  mergedTensors,
  principalLora,
} from './decoders/decoder-lora.js';
export {
  chooseHead,
  type LanguageModelInputs,
  labelLogits,
  languageModelGraph,
  lmHead,
  outputMatrixRef,
  storedRows,
  wordLogits,
} from './decoders/language-head.js';
export { type DecoderText, type OpenedDecoder, openDecoder, readDecoder } from './decoders/opened-decoder.js';
export {
  type QuantizedCheckpoint,
  type QuantizeOptions,
  quantizeDecoder,
  quantizedName,
} from './decoders/quantized-checkpoint.js';
export { publishedConfigs } from './published-configs.js';
export { ctcVocabularySize } from './speech-encoders/ctc/head.js';
export { type CtcRecogniserSource, findCtcRecogniser } from './speech-encoders/ctc/recogniser.js';
export { type TranscriptSymbols, transcriptSymbols } from './speech-encoders/ctc/transcript-symbols.js';
export type { CtcVocabulary } from './speech-encoders/ctc/vocabulary.js';
export {
  encoderDescription,
  encoderFamilyOf,
  encoderGraph,
  encoderKeys,
  encoderTitles,
  encoderWeightKey,
  parseEncoderConfig,
  parseTrainableEncoder,
  readEncoderConfig,
  readEncoderWeight,
  readTrainableEncoder,
  type TrainableEncoder,
} from './speech-encoders/encoder-families.js';
export {
  type EncoderSource,
  type EncoderWidth,
  encoderWidth,
  findSpeechEncoder,
  frameWidth,
  widthOf,
} from './speech-encoders/encoder-source.js';
export {
  CTC_LOGITS,
  cachedBelow,
  chosenLayers,
  heldLayers,
  LAST_LAYER,
  type LayerSelection,
  type LayerThird,
  resolvedSelection,
  selectionNote,
  type TrainedLayers,
  trainedFrom,
} from './speech-encoders/layer-selection.js';
export type {
  RecognisedText,
  RecogniserSource,
  RecognitionWishes,
} from './speech-encoders/recognised-text.js';
export { findRecogniser } from './speech-encoders/recogniser.js';
export type { ClipFeatures, SpeechEncoder } from './speech-encoders/speech-encoder.js';
export { parseRobertaConfig } from './text-encoders/roberta/family.js';
export {
  asTextEncoder,
  openTextEncoder,
  parseTextEncoderConfig,
  readTextEncoderConfig,
  type TextEncoder,
} from './text-encoders/text-encoder-families.js';
