/** @file Small random models in the real Hugging Face formats. */

export { writeToyBackbones } from './toy-backbones.js';
export { writeToyDecoder } from './toy-decoder.js';
export { writeToySpeechEncoder } from './toy-speech-encoder.js';
