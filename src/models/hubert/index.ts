/** @file Door of the HuBERT room: the speech encoder as graph fragment, as ONNX model and at work. */

export { type HubertInputs, type HubertOptions, type HubertOutputs, hubertEncoder } from './encoder.js';
export { buildEncoderGraph, encoderGraph, encoderKeys } from './encoder-graph.js';
export { type EncoderSource, encoderWidth, findSpeechEncoder, openSpeechEncoder } from './encoder-source.js';
export { type FrameGeometry, frameCount, receptiveField } from './frames.js';
export type { ClipFeatures, SpeechEncoder } from './speech-encoder.js';
