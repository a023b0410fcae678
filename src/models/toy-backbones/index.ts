/** @file Toy backbones. */

export { writeToyHubert } from './hubert.js';
export { writeToyQwen2 } from './qwen2.js';
export { writeToyRoberta } from './roberta.js';
export type { ToyTokenizerFiles } from './tokenizer-files.js';
export { type ToyBackboneOptions, writeToyBackbones } from './toy-backbones.js';
