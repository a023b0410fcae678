/**
 * @file Changes of a clip before it is encoded: variants of a training clip, and test clips under noise. What is drawn
 * is a function of a seed, the clip's content and the variant's number; nothing depends on order.
 */

import { InputError } from '../../../base/index.js';
import { seededRandom } from '../../../engine/tensor/index.js';
import { SAMPLE_RATE_HZ } from '../decode.js';
import { ffmpegVersion, resampleWithFfmpeg } from '../ffmpeg.js';
import { colouredNoise, type NoiseColour, noiseColours } from './coloured-noise.js';
import { withGain, withinScale, withNoise } from './levels.js';
import { reverberated } from './reverberation.js';
import { type LibrarySound, noiseFrom, responseFrom, type SoundLibrary } from './sound-library.js';

/** A change of one clip. */
export interface Alteration {
  /** What the result depends on besides the clip: part of the key of its features; '' if nothing is changed. */
  readonly key: string;
  /** Factor by which the clip is played faster: 30 s of the result need 30 s times this of the clip. */
  readonly speed: number;
  /**
   * Mono samples in [-1, 1] at 16 kHz to the same.
   * @param mostSamples the result is cut to this, before anything is added to it
   */
  readonly apply: (samples: Float32Array, mostSamples: number, signal?: AbortSignal) => Promise<Float32Array>;
}

/** The change of a clip by the SHA-256 of its file. */
export type Alter = (contentSha256: string) => Promise<Alteration>;

export type Range = readonly [low: number, high: number];

/** Where noise comes from. */
export type NoiseSource = 'coloured' | NoiseColour | SoundLibrary;

/** What is drawn for a variant. Ranges are uniform; null leaves an effect out. */
export interface VariantRanges {
  readonly speed: Range | null;
  readonly noise: NoiseSource | null;
  readonly noiseProbability: number;
  readonly snrDb: Range;
  readonly reverb: SoundLibrary | null;
  readonly reverbProbability: number;
  readonly gainDb: Range | null;
}

/** Bump it when any effect or draw changes: part of every key. */
const ALTERATION = 'alteration 1';

/** The changes that make variant number `variant` (from 1) of any clip. */
export function variantOf(ranges: VariantRanges, seed: number, variant: number): Alter {
  return async (content) => {
    const random = (what: string) => seededRandom(seed, 'augmentation', what, content, variant);
    const { speed, noise, snrDb, reverb, gainDb } = ranges;
    const isNoisy = noise !== null && random('whether noise').uniform() < ranges.noiseProbability;
    const isReverberant = reverb !== null && random('whether reverb').uniform() < ranges.reverbProbability;
    return alterationOf({
      rateHz: speed === null ? SAMPLE_RATE_HZ : Math.round(SAMPLE_RATE_HZ * drawn(random('speed'), speed)),
      ...(isReverberant && { response: random('reverb').pick(reverb) }),
      ...(isNoisy && {
        noise: drawnNoise(noise, random('noise'), [seed, 'augmentation', content, variant]),
        snrDb: drawn(random('snr'), snrDb),
      }),
      ...(gainDb !== null && { gainDb: drawn(random('gain'), gainDb) }),
    });
  };
}

/** Noise at one signal-to-noise ratio. A clip gets the same noise at every ratio, only louder or softer. */
export function noiseAt(noise: NoiseSource, snrDb: number, seed: number): Alter {
  return async (content) => {
    const random = seededRandom(seed, 'noise', content);
    return alterationOf({
      rateHz: SAMPLE_RATE_HZ,
      noise: drawnNoise(noise, random, [seed, 'noise', content]),
      snrDb,
    });
  };
}

type Random = ReturnType<typeof seededRandom>;

function drawn(random: Random, [low, high]: Range): number {
  return low + (high - low) * random.uniform();
}

/** A part of a recording, or noise made from a seed. */
type DrawnNoise =
  | { readonly kind: 'recording'; readonly sound: LibrarySound; readonly at: number }
  | { readonly kind: 'coloured'; readonly colour: NoiseColour; readonly seed: readonly (number | string)[] };

function drawnNoise(source: NoiseSource, random: Random, seed: readonly (number | string)[]): DrawnNoise {
  if (typeof source !== 'string') {
    const sound = random.pick(source);
    return { kind: 'recording', sound, at: random.uniform() };
  }
  return { kind: 'coloured', colour: source === 'coloured' ? random.pick(noiseColours) : source, seed };
}

/** What was drawn for one clip. */
interface Drawn {
  /** The rate at which its samples are played; 16,000 leaves the speed as it is. */
  readonly rateHz: number;
  readonly response?: LibrarySound;
  readonly noise?: DrawnNoise;
  readonly snrDb?: number;
  readonly gainDb?: number;
}

/** Speed, room, noise, level: the order in which a recording would get them. */
async function alterationOf(drawn: Drawn): Promise<Alteration> {
  const { rateHz, response, noise, snrDb = 0, gainDb = 0 } = drawn;
  return {
    key: await keyOf(drawn),
    speed: rateHz / SAMPLE_RATE_HZ,
    async apply(samples, mostSamples, signal) {
      const played = (await atSpeed(samples, rateHz, signal)).subarray(0, mostSamples);
      const heard =
        response === undefined ? played : reverberated(played, await responseFrom(response, signal));
      const mixed =
        noise === undefined ? heard : withNoise(heard, await samplesOf(noise, heard.length, signal), snrDb);
      return withinScale(gainDb === 0 ? mixed : withGain(mixed, gainDb));
    },
  };
}

async function samplesOf(noise: DrawnNoise, length: number, signal?: AbortSignal): Promise<Float32Array> {
  return noise.kind === 'recording'
    ? noiseFrom(noise.sound, noise.at, length, signal)
    : colouredNoise(noise.colour, length, ...noise.seed);
}

async function keyOf({ rateHz, response, noise, snrDb, gainDb }: Drawn): Promise<string> {
  const soundKey = ({ sha256, decoding }: LibrarySound): string =>
    decoding === '' ? sha256 : `${sha256} ${decoding}`;
  const parts = {
    ...(rateHz !== SAMPLE_RATE_HZ && { rateHz, ffmpeg: (await ffmpegVersion()) ?? 'unknown' }),
    ...(response && { response: soundKey(response) }),
    ...(noise?.kind === 'recording' && { noise: soundKey(noise.sound), at: noise.at }),
    ...(noise?.kind === 'coloured' && { noise: noise.colour, seed: noise.seed }),
    ...(noise && { snrDb }),
    ...(gainDb !== undefined && gainDb !== 0 && { gainDb }),
  };
  return Object.keys(parts).length === 0 ? '' : `${ALTERATION} ${JSON.stringify(parts)}`;
}

/**
 * Speech played at another speed, tempo and pitch together, as in Kaldi: its samples are taken to have `rateHz` and
 * resampled to 16 kHz.
 * @param samples mono, 16 kHz
 */
export async function atSpeed(
  samples: Float32Array,
  rateHz: number,
  signal?: AbortSignal,
): Promise<Float32Array> {
  if (rateHz === SAMPLE_RATE_HZ) return samples;
  const rates = { fromHz: rateHz, toHz: SAMPLE_RATE_HZ };
  const audio = { samples, channels: 1, channelMask: 0 };
  const resampled = await resampleWithFfmpeg(audio, rates, undefined, signal);
  if (resampled.samples.length > 0) return resampled.samples;
  throw new InputError(`a clip of ${samples.length} samples is too short to be played at another speed`);
}
