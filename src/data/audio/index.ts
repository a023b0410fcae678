/** @file Audio files to mono 16 kHz samples, with notes on their quality; the only module that runs ffmpeg. */

export { clipContents } from './clip-content.js';
export {
  type DecodedAudio,
  decodeAudio,
  decodeAudioFiles,
  decodingKey,
  SAMPLE_RATE_HZ,
  type UndecodedAudio,
} from './decode.js';
export {
  type Alter,
  type Alteration,
  type NoiseSource,
  noiseAt,
  type VariantRanges,
  variantOf,
} from './effects/alteration.js';
export { type LibrarySound, openSoundLibrary, type SoundLibrary } from './effects/sound-library.js';
export { encodeFlacFiles, encodeMp3, ffmpegVersion } from './ffmpeg.js';
export {
  AUDIO_NOTE_KINDS,
  type AudioNote,
  type AudioNoteKind,
  countByKind,
  describeKinds,
  FFMPEG_PARTS,
  type FfmpegMetadata,
  findProgram,
  inspectFfmpeg,
  inspectProgram,
} from './ffmpeg-metadata.js';
export { writeMp4 } from './mp4-writer.js';
export { type ChannelChoice, parseChannel } from './pcm.js';
export {
  type AudioWindow,
  openWindows,
  type RecordingWindows,
  type WindowOptions,
  type WindowTimes,
  windowsOfSamples,
} from './recording-windows.js';
export { encodeWav } from './wav.js';
export { checkWindowRule, DEFAULT_WINDOWS, type WindowRule } from './window-plan.js';
