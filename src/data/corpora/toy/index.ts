/** @file The synthetic toy corpus: its plan, its voice, and its output as a prepared corpus or a raw release. */

export { sentenceWords } from './sentences.js';
export type { ToyCorpusOptions, ToyCorpusSummary } from './toy-corpus.js';
export { prepareToyCorpus } from './toy-preparation.js';
