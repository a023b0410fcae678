/** @file The synthetic corpus: its plan, its voice, and both ways to write it. */

export { sentenceWords } from './sentences.js';
export type { ToyCorpusOptions, ToyCorpusSummary } from './toy-corpus.js';
export { prepareToyCorpus } from './toy-preparation.js';
