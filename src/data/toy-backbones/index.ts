/** @file Small random models in the real Hugging Face formats. */

export { writeToyBackbones, writeToyRecogniser } from './toy-backbones.js';
