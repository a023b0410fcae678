/** @file Recordings of noise and impulse responses that a user gives: what they are, and parts of them. */

import { defaultJobs, InputError, mapConcurrently } from '../../../base/index.js';
import { seededRandom } from '../../../engine/tensor/index.js';
import { decodeAudio, decodingKey, openWav, SAMPLE_RATE_HZ } from '../decode.js';
import { powerOf } from './levels.js';

/** A recording of noise, or an impulse response. */
export interface LibrarySound {
  readonly path: string;
  readonly sha256: string;
  readonly lengthSec: number;
  /** What its samples depend on besides its bytes; '' for nothing. */
  readonly decoding: string;
}

/** At least one, in an order that depends on nothing but their contents. */
export type SoundLibrary = readonly [LibrarySound, ...LibrarySound[]];

/** Of a file that only ffmpeg reads, this is decoded. */
const PROBED_SEC = 0.5;
/** An impulse response has faded long before this. */
const RESPONSE_SEC = 10;

/**
 * Opens every file, so that none fails later on: of a WAV file the header, of others the beginning is decoded.
 * @param files with their SHA-256; the same content counts once
 * @throws InputError for a file that cannot be decoded, and if there is none
 */
export async function openSoundLibrary(
  files: readonly Pick<LibrarySound, 'path' | 'sha256'>[],
  signal?: AbortSignal,
): Promise<SoundLibrary> {
  const distinct = [...new Map(files.map((file) => [file.sha256, file])).values()];
  const sounds = await mapConcurrently(
    distinct.sort((a, b) => (a.sha256 < b.sha256 ? -1 : 1)),
    defaultJobs(),
    async ({ path, sha256 }): Promise<LibrarySound> => {
      return { path, sha256, lengthSec: await lengthOf(path, signal), decoding: await decodingKey(path) };
    },
    signal,
  );
  const [first, ...others] = sounds;
  if (first === undefined) throw new InputError('there are no recordings');
  return [first, ...others];
}

async function lengthOf(path: string, signal: AbortSignal | undefined): Promise<number> {
  const wav = await openWav(path);
  if (wav !== undefined) return wav.header.frames / wav.header.sampleRateHz;
  const { fileSec } = await decodeAudio(path, { maxDurationSec: PROBED_SEC, signal });
  return fileSec ?? (await decodeAudio(path, { signal })).samples.length / SAMPLE_RATE_HZ;
}

/** A part of a recording that has no sound is replaced by another one; this often. */
const ATTEMPTS = 20;

/**
 * `length` samples of noise from a recording: a part of a longer one, or a shorter one repeated.
 * @param at where they begin, in [0, 1): a share of all places where they can
 * @throws InputError when no sound is found in the recording
 */
export async function noiseFrom(
  { path, sha256, lengthSec }: LibrarySound,
  at: number,
  length: number,
  signal?: AbortSignal,
): Promise<Float32Array> {
  const partSec = length / SAMPLE_RATE_HZ;
  const isLong = lengthSec >= partSec;
  const whole = isLong ? undefined : (await decodeAudio(path, { signal })).samples;
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const place = attempt === 0 ? at : seededRandom('noise part', sha256, at, attempt).uniform();
    const startSec = place * (lengthSec - partSec);
    const part =
      whole === undefined
        ? repeated(
            (await decodeAudio(path, { startSec, maxDurationSec: partSec, signal })).samples,
            0,
            length,
          )
        : repeated(whole, Math.floor(place * whole.length), length);
    if (powerOf(part) > 0) return part;
  }
  throw new InputError(
    `noise recording ${path} has no sound in ${ATTEMPTS} places; take it out of its folder`,
  );
}

/** `length` samples from `start` on; after the last one comes the first. */
function repeated(samples: Float32Array, start: number, length: number): Float32Array {
  if (start === 0 && samples.length === length) return samples;
  return Float32Array.from({ length }, (_, t) => samples[(start + t) % samples.length]!);
}

/** An impulse response: the first channel, up to 10 s. @throws InputError when it has no sound */
export async function responseFrom({ path }: LibrarySound, signal?: AbortSignal): Promise<Float32Array> {
  // The mean of microphones at several places would be the response of no place.
  const { samples } = await decodeAudio(path, { channel: 1, maxDurationSec: RESPONSE_SEC, signal });
  if (powerOf(samples) > 0) return samples;
  throw new InputError(`impulse response ${path} has no sound; take it out of its folder`);
}
