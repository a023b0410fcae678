/** @file Door of the EmoQ-Former. */

export { type FormerConfig, WORD_EMBEDDINGS_KEY } from './config.js';
export { emoqFormer, type FormerInputs, type MaskedSequence } from './former.js';
export {
  type AudioStatistics,
  freshParameter,
  initialFormer,
  robertaKey,
  standardizeAudio,
} from './initial.js';
