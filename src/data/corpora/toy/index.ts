/** @file Door of the toy corpus: synthetic speech whose emotion is in voice and words together. */

export {
  planToyCorpus,
  renderUtterance,
  TOY_CLASSES,
  type ToyLabel,
  type ToyPlan,
  type ToyUtterance,
} from './corpus.js';
export type { ToyCorpusOptions, ToyCorpusSummary, ToyForm } from './options.js';
export { prepareToyCorpus } from './preparation.js';
export { sentenceWords, VALENCE_WORDS, type Valence } from './sentences.js';
