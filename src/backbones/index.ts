/** @file Pretrained backbones by family: speech encoders, text encoders and decoder language models. */

export { embedTokens, qwen2Decoder } from './decoders/decoder.js';
export {
  type LanguageModelInputs,
  labelLogits,
  languageModelGraph,
  lmHead,
} from './decoders/language-head.js';
export { type MergedDtype, mergedTensors } from './decoders/lora-merge.js';
export { initialLora, loraParameters } from './decoders/projections.js';
export { parseQwen2Config, type Qwen2Config, readQwen2Config } from './decoders/qwen2/config.js';
export { spliceSoftPrompt } from './decoders/soft-prompt.js';
export { chooseHead } from './decoders/tied-head.js';
export { publishedConfigs } from './published-configs.js';
export { encoderGraph, encoderKeys } from './speech-encoders/encoder-graph.js';
export { type EncoderSource, encoderWidth, findSpeechEncoder } from './speech-encoders/encoder-source.js';
export { parseHubertConfig, readHubertConfig } from './speech-encoders/hubert/config.js';
export type { ClipFeatures, SpeechEncoder } from './speech-encoders/speech-encoder.js';
export { parseRobertaConfig, readRobertaConfig } from './text-encoders/roberta.js';
