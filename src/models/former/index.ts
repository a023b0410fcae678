/** @file Door of the EmoQ-Former. */

export { type FormerConfig, WORD_EMBEDDINGS_KEY } from './config.js';
export { emoqFormer } from './former.js';
export {
  type AudioStatistics,
  freshParameter,
  initialFormer,
  robertaKey,
  standardizeAudio,
} from './initial.js';
export type { FormerInputs, MaskedSequence } from './inputs.js';
