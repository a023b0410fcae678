/** @file Reads audio of any length at 16 kHz in pieces of a few seconds, all channels interleaved. */

import type { AudioPart } from './decode.js';
import {
  ffmpegInput,
  incompleteNotes,
  limitSec,
  noSamples,
  openWav,
  readable,
  SAMPLE_RATE_HZ,
} from './decode.js';
import { resampledStream, streamWithFfmpeg, type Way } from './ffmpeg.js';
import type { AudioNote } from './ffmpeg-metadata.js';
import type { InterleavedAudio } from './pcm.js';
import { readWavSamples, type WavHeader } from './wav.js';

/** A way to read a file that is open to be read several times. */
export interface AudioSource {
  /** Notes that need no samples. */
  readonly notes: readonly AudioNote[];
  /** The largest known magnitude of a float WAV; 0 for anything else. */
  readonly filePeak: number;
  readonly byFfmpeg: boolean;
  /**
   * Reads the part from its beginning, in pieces of whole frames. What it returns is known at the end only.
   * @throws InputError as `decodeAudio`
   */
  stream(way: Way, signal: AbortSignal | undefined): AsyncGenerator<InterleavedAudio, SourceEnd>;
}

export interface SourceEnd {
  /** Samples that are stored as floats, so that their full scale has to be found. */
  readonly isFloat: boolean;
  /** ffmpeg did not find the start of the part: stream it again the way `read`. */
  readonly isSeekLost: boolean;
}

/** Seconds per piece of a WAV file that is read without ffmpeg, whose pieces are of 64 KiB. */
const PIECE_SEC = 4;

/**
 * Opens a file, or a part of one, as `decodeAudio` does: 16 kHz WAV is read directly, anything else through ffmpeg. A
 * WAV whose integers are narrower than their blocks is read in one piece, because only all of its samples show where
 * the integers lie in the blocks.
 * @throws InputError when the file is missing, empty, no file or a damaged WAV
 */
export async function openAudio(part: AudioPart): Promise<AudioSource> {
  const wav = await openWav(part.path);
  const isRead = wav !== undefined && (wav.header.sampleRateHz === SAMPLE_RATE_HZ || wav.header.isOdd);
  if (!isRead) {
    return {
      notes: [],
      filePeak: wav?.filePeak ?? 0,
      byFfmpeg: true,
      stream: (way, signal) => streamWithFfmpeg(ffmpegInput(part), SAMPLE_RATE_HZ, way, signal),
    };
  }
  const { header, filePeak } = wav;
  const isResampled = header.sampleRateHz !== SAMPLE_RATE_HZ;
  return {
    notes: incompleteNotes(header),
    filePeak,
    byFfmpeg: isResampled,
    stream: async function* (_way, signal) {
      const pieces = wavPieces(part, header);
      yield* isResampled ? resampled(pieces, header, signal) : pieces;
      return { isFloat: header.encoding === 'float', isSeekLost: false };
    },
  };
}

async function* wavPieces(
  { path, startSec = 0, ...part }: AudioPart,
  header: WavHeader,
): AsyncGenerator<InterleavedAudio> {
  const { sampleRateHz, frames, sampleBytes, bitsPerSample } = header;
  const first = Math.min(frames, Math.round(startSec * sampleRateHz));
  const asked = Math.round((limitSec({ path, ...part }) ?? Number.POSITIVE_INFINITY) * sampleRateHz);
  const end = Math.min(frames, first + asked);
  const isUnclear = bitsPerSample !== sampleBytes * 8;
  const step = isUnclear ? Number.POSITIVE_INFINITY : PIECE_SEC * sampleRateHz;
  for (let frame = first; frame < end; frame += step) {
    const count = Math.min(step, end - frame);
    yield await readable(path, () =>
      readWavSamples(path, header, frame / sampleRateHz, count / sampleRateHz),
    );
  }
  if (first >= end) throw noSamples(path);
}

async function* resampled(
  pieces: AsyncIterable<InterleavedAudio>,
  { channels, channelMask, sampleRateHz }: WavHeader,
  signal: AbortSignal | undefined,
): AsyncGenerator<InterleavedAudio> {
  const rates = { fromHz: sampleRateHz, toHz: SAMPLE_RATE_HZ };
  for await (const samples of resampledStream(pieces, channels, rates, signal)) {
    yield { samples, channels, channelMask };
  }
}
