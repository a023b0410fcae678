/** @file Door of the audio room: files in, mono 16 kHz samples out. The only way to ffmpeg. */

export { type ChannelChoice, type InterleavedAudio, toMono } from './channels.js';
export {
  type AudioPart,
  type DecodeOptions,
  decodeAudio,
  decodeAudioFiles,
  SAMPLE_RATE_HZ,
} from './decode.js';
export { encodeFlacFiles, encodeMp3, requireFfmpeg } from './ffmpeg.js';
export {
  FFMPEG_PARTS,
  type FfmpegFacts,
  findProgram,
  inspectFfmpeg,
  inspectProgram,
} from './ffmpeg-facts.js';
export {
  encodeWav,
  readWavHeader,
  readWavSamples,
  type WavHeader,
} from './wav.js';
