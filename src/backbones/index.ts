/**
 * @file Pretrained backbones by family: speech encoders, text encoders and decoder language models, opened by name or path
 * without naming a family.
 */

export { decoder, embedTokens } from './decoders/decoder.js';
export { type DecoderConfig, recordedConfig } from './decoders/decoder-config.js';
export {
  allLoraTargets,
  decoderFamilyOf,
  parseDecoderConfig,
  readDecoderConfig,
} from './decoders/decoder-families.js';
export {
  type LanguageModelInputs,
  labelLogits,
  languageModelGraph,
  lmHead,
} from './decoders/language-head.js';
export { type MergedDtype, mergedTensors } from './decoders/lora-merge.js';
export { type DecoderText, type OpenedDecoder, openDecoder, readDecoder } from './decoders/opened-decoder.js';
export { checkLoraTargets, initialLora, loraParameters } from './decoders/projections.js';
export { spliceSoftPrompt } from './decoders/soft-prompt.js';
export { chooseHead } from './decoders/tied-head.js';
export { publishedConfigs } from './published-configs.js';
export {
  encoderFamilyOf,
  encoderTitles,
  parseEncoderConfig,
  readEncoderConfig,
} from './speech-encoders/encoder-families.js';
export { encoderDescription, encoderGraph, encoderKeys } from './speech-encoders/encoder-graph.js';
export { type EncoderSource, encoderWidth, findSpeechEncoder } from './speech-encoders/encoder-source.js';
export type { ClipFeatures, SpeechEncoder } from './speech-encoders/speech-encoder.js';
export { parseRobertaConfig } from './text-encoders/roberta/family.js';
export {
  asTextEncoder,
  openTextEncoder,
  parseTextEncoderConfig,
  readTextEncoderConfig,
  type TextEncoder,
} from './text-encoders/text-encoder-families.js';
