/** @file Door of the audio room: files in, mono 16 kHz samples out. The only way to ffmpeg. */

export { defaultJobs, mapConcurrently } from '../../base/index.js';
export { type ChannelChoice, type InterleavedAudio, toMono } from './channels.js';
export { type DecodeOptions, decodeAudio, SAMPLE_RATE_HZ } from './decode.js';
export { requireFfmpeg } from './ffmpeg.js';
export {
  encodedWavBytes,
  encodeWav,
  readWavHeader,
  readWavSamples,
  type WavHeader,
  writeWav,
} from './wav.js';
