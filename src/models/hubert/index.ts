/** @file Door of the HuBERT room: the speech encoder as graph fragment, as ONNX model and at work. */

export { type HubertInputs, type HubertOutputs, hubertEncoder } from './encoder.js';
export { buildEncoderGraph } from './encoder-graph.js';
export { type FrameGeometry, frameCount, receptiveField } from './frames.js';
export {
  type ClipFeatures,
  createSpeechEncoder,
  type EncoderFacts,
  encoderFiles,
  openSpeechEncoder,
  paddedSamples,
  type SpeechEncoder,
  type SpeechEncoderOptions,
} from './speech-encoder.js';
