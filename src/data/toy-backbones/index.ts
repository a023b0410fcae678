/** @file Small random models in the real Hugging Face formats. */

export { writeToyBackbones } from './toy-backbones.js';
export { writeToyRecogniser } from './toy-speech-encoders.js';
