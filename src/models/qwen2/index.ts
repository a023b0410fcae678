/** @file Door of the Qwen2 room: the decoder, its output logits, its LoRA parameters and the soft prompt. */

export { embedTokens, type Qwen2Inputs, type Qwen2Lora, type Qwen2Options, qwen2Decoder } from './decoder.js';
export { labelLogits, lmHead } from './language-head.js';
export { type LanguageModelInputs, languageModelGraph } from './language-model-graph.js';
export { adaptedModules, initialLora, loraParameters, type Projection, projections } from './projections.js';
export { type SoftPrompt, spliceSoftPrompt } from './soft-prompt.js';
