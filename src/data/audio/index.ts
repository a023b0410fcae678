/** @file Door of the audio room: files in, mono 16 kHz samples out. The only way to ffmpeg. */

export { AUDIO_NOTE_KINDS, type AudioNote, type AudioNoteKind, countByKind } from './audio-notes.js';
export { type ChannelChoice, type InterleavedAudio, parseChannel, toMono } from './channels.js';
export {
  type AudioPart,
  type DecodedAudio,
  type DecodeOptions,
  decodeAudio,
  decodeAudioFiles,
  SAMPLE_RATE_HZ,
  type UndecodedAudio,
} from './decode.js';
export { decodingKey } from './decoding-key.js';
export { encodeFlacFiles, encodeMp3, ffmpegVersion, requireFfmpeg } from './ffmpeg.js';
export {
  FFMPEG_PARTS,
  type FfmpegFacts,
  findProgram,
  inspectFfmpeg,
  inspectProgram,
} from './ffmpeg-facts.js';
export { encodeWav, readWavHeader, readWavSamples } from './wav.js';
export type { WavHeader } from './wav-header.js';
