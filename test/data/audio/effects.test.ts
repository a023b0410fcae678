/** @file Effects on clips against scipy and ffmpeg: noise and its levels, rooms, speed; and what their keys depend on. */

import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import {
  atSpeed,
  noiseAt,
  type VariantRanges,
  variantOf,
} from '../../../src/data/audio/effects/alteration.js';
import { colouredNoise } from '../../../src/data/audio/effects/coloured-noise.js';
import { inverseTransform, transform } from '../../../src/data/audio/effects/fourier.js';
import { powerOf, withGain, withinScale, withNoise } from '../../../src/data/audio/effects/levels.js';
import { peakIndex, reverberated } from '../../../src/data/audio/effects/reverberation.js';
import { noiseFrom, openSoundLibrary, responseFrom } from '../../../src/data/audio/effects/sound-library.js';
import { encodeWav } from '../../../src/data/audio/index.js';
import { seededRandom } from '../../../src/engine/tensor/index.js';
import { ffmpegSamples, writeTone } from './ffmpeg-clips.js';

const reference = JSON.parse(
  readFileSync(new URL('../../fixtures/effects.json', import.meta.url), 'utf8'),
) as {
  speech: number[];
  noise: number[];
  response: number[];
  peak: number;
  reverberated: number[];
  mixed: Record<string, number[]>;
  signal: { re: number[]; im: number[] };
  spectrum: { re: number[]; im: number[] };
};
const speech = Float32Array.from(reference.speech);
const noise = Float32Array.from(reference.noise);

const root = mkdtempSync(join(tmpdir(), 'emoq-effects-'));
afterAll(() => rmSync(root, { recursive: true }));

const RATE = 16_000;
const sine = (hz: number, seconds: number, amplitude = 0.4): Float32Array =>
  Float32Array.from(
    { length: seconds * RATE },
    (_, t) => amplitude * Math.sin((2 * Math.PI * hz * t) / RATE),
  );

/** A WAV file with its SHA-256. */
function file(name: string, samples: Float32Array, rateHz = RATE): { path: string; sha256: string } {
  const path = join(root, name);
  const bytes = encodeWav(samples, rateHz);
  writeFileSync(path, bytes);
  return { path, sha256: createHash('sha256').update(bytes).digest('hex') };
}

function close(values: ArrayLike<number>, expected: readonly number[], within: number): void {
  expect(values.length).toBe(expected.length);
  expected.forEach((value, at) => {
    expect(Math.abs(values[at]! - value), `value ${at}`).toBeLessThan(within);
  });
}

/** 10 log10 of the ratio of the powers of `signal` and of what `mixed` has besides. */
function snrOf(signal: Float32Array, mixed: Float32Array): number {
  const power = (values: readonly number[]) => values.reduce((sum, value) => sum + value * value, 0);
  const rest = Array.from(mixed, (value, t) => value - signal[t]!);
  return 10 * Math.log10(power(Array.from(signal)) / power(rest));
}

/** Mean power density around a frequency, by the definition of the discrete Fourier transform. */
function densityAt(samples: Float32Array, hz: number): number {
  const part = 4000; // 4 Hz
  let sum = 0;
  for (let start = 0; start + part <= samples.length; start += part) {
    let [re, im] = [0, 0];
    for (let t = 0; t < part; t++) {
      // Hann's window, so that the steep end of the spectrum does not leak into the rest.
      const value = samples[start + t]! * (0.5 - 0.5 * Math.cos((2 * Math.PI * t) / part));
      re += value * Math.cos((2 * Math.PI * hz * t) / RATE);
      im -= value * Math.sin((2 * Math.PI * hz * t) / RATE);
    }
    sum += re * re + im * im;
  }
  return sum;
}

/** Slope of the power density in dB per decade, from 100 to 6,400 Hz. */
function slopeOf(samples: Float32Array): number {
  const points = Array.from({ length: 37 }, (_, i) => 100 * 2 ** (i / 6)).map((hz) => [
    Math.log10(hz),
    10 * Math.log10(densityAt(samples, hz)),
  ]) as [number, number][];
  const mean = (of: 0 | 1) => points.reduce((sum, point) => sum + point[of], 0) / points.length;
  const [x, y] = [mean(0), mean(1)];
  const covariance = points.reduce((sum, [a, b]) => sum + (a - x) * (b - y), 0);
  return covariance / points.reduce((sum, [a]) => sum + (a - x) ** 2, 0);
}

describe('the Fourier transform', () => {
  it("is scipy's, and its inverse leads back", () => {
    const values = { re: Float64Array.from(reference.signal.re), im: Float64Array.from(reference.signal.im) };
    transform(values);
    close(values.re, reference.spectrum.re, 1e-12);
    close(values.im, reference.spectrum.im, 1e-12);
    inverseTransform(values);
    close(values.re, reference.signal.re, 1e-14);
    close(values.im, reference.signal.im, 1e-14);
    expect(() => transform({ re: new Float64Array(12), im: new Float64Array(12) })).toThrow(RangeError);
  });
});

describe('noise', () => {
  it("is mixed at the ratio of powers asked for, as numpy's", () => {
    for (const [snr, expected] of Object.entries(reference.mixed)) {
      const mixed = withNoise(speech, noise, Number(snr));
      close(mixed, expected, 1e-6);
      expect(snrOf(speech, mixed)).toBeCloseTo(Number(snr), 4);
    }
  });

  it('is left out where there is no ratio', () => {
    const silence = new Float32Array(300);
    expect(withNoise(silence, noise, 10)).toBe(silence);
    expect(withNoise(speech, silence, 10)).toBe(speech);
  });

  it.each([
    ['white', 0],
    ['pink', -10],
    ['brown', -20],
  ] as const)('falls as its colour says: %s, %d dB per decade', (colour, slope) => {
    const made = colouredNoise(colour, 20 * RATE, 1, colour);
    expect(made).toHaveLength(20 * RATE);
    expect(Math.abs(slopeOf(made) - slope)).toBeLessThan(0.7);
    expect(colouredNoise(colour, 1000, 1, 'a')).toEqual(colouredNoise(colour, 1000, 1, 'a'));
    expect(colouredNoise(colour, 1000, 1, 'a')).not.toEqual(colouredNoise(colour, 1000, 1, 'b'));
  });

  it('of a recording is a part of a long one, or a short one repeated', async () => {
    const long = file(
      'long.wav',
      Float32Array.from({ length: 4 * RATE }, (_, t) => (t % 4001) / 8000),
    );
    const ramp = Float32Array.from({ length: 700 }, (_, t) => (t + 1) / 1000);
    const library = await openSoundLibrary([file('again.wav', ramp), long, file('short.wav', ramp)]);
    expect(library.map(({ lengthSec }) => lengthSec).sort()).toEqual([700 / RATE, 4]);
    const sound = (name: string) => library.find(({ path }) => path.endsWith(name))!;
    const step = (values: Float32Array) =>
      values.slice(1).filter((value, t) => Math.abs(value - values[t]! - 1 / 8000) < 1e-4).length;
    const part = await noiseFrom(sound('long.wav'), 0.3, RATE);
    expect(part).toHaveLength(RATE);
    expect(step(part)).toBeGreaterThan(RATE - 7); // it begins anew every 4001 samples
    const repeated = await noiseFrom(sound('short.wav'), 0.5, 2000);
    expect(repeated).toHaveLength(2000);
    const at = (t: number) => Math.round(repeated[t]! * 1000);
    expect([at(0), at(349), at(350), at(1050)]).toEqual([351, 700, 1, 1]);
  });

  it('of recordings of other rates and formats is read like any audio', async () => {
    const [wav, mp3] = ['high.wav', 'tone.mp3'].map((name) => join(root, name));
    for (const path of [wav!, mp3!]) {
      writeTone(path, { channelHz: [440, 440], layout: 'stereo', durationSec: 3, sampleRateHz: 44_100 });
    }
    const library = await openSoundLibrary([wav!, mp3!].map((path) => ({ path, sha256: path })));
    for (const sound of library) {
      expect(Math.abs(sound.lengthSec - 3)).toBeLessThan(0.1);
      expect(sound.decoding).toContain('ffmpeg');
      const part = await noiseFrom(sound, 0.99, RATE);
      expect(part).toHaveLength(RATE);
      expect(densityAt(part, 440)).toBeGreaterThan(1000 * densityAt(part, 500));
    }
    const broken = join(root, 'broken.mp3');
    writeFileSync(broken, 'no audio');
    await expect(openSoundLibrary([{ path: broken, sha256: '' }])).rejects.toThrow(/broken\.mp3/);
    await expect(openSoundLibrary([])).rejects.toThrow('there are no recordings');
  });

  it('is found where a recording has sound, and refused where it has none', async () => {
    const mostly = new Float32Array(20 * RATE);
    mostly.set(sine(300, 6), 9 * RATE);
    const [half] = await openSoundLibrary([file('half.wav', mostly)]);
    for (const at of [0, 0.1, 0.9]) expect(powerOf(await noiseFrom(half, at, RATE))).toBeGreaterThan(0);
    const [silent] = await openSoundLibrary([file('silent.wav', new Float32Array(RATE))]);
    await expect(noiseFrom(silent, 0, 800)).rejects.toThrow(/silent\.wav has no sound/);
    await expect(responseFrom(silent)).rejects.toThrow(/silent\.wav has no sound/);
  });
});

describe('reverberation', () => {
  it("is scipy's convolution from the peak on, at the level of the clip", () => {
    const response = Float32Array.from(reference.response);
    expect(peakIndex(response)).toBe(reference.peak);
    const heard = reverberated(speech, response);
    close(heard, reference.reverberated, 2e-6);
    expect(powerOf(heard)).toBeCloseTo(powerOf(speech), 8);
  });

  it('by a single impulse changes nothing, wherever it is', () => {
    const response = new Float32Array(50);
    response[31] = 0.25;
    close(reverberated(speech, response), Array.from(speech), 1e-6);
  });
});

describe('speed', () => {
  it.each([0.9, 1.1])('%d is what ffmpeg makes of other sample rates', async (speed) => {
    const clip = sine(440, 2).map((value, t) => value + 0.1 * Math.sin(t * t * 1e-5));
    const made = await atSpeed(clip, RATE * speed);
    const { path } = file(`clip-${speed}.wav`, clip);
    const theirs = ffmpegSamples(path, '-af', `asetrate=${RATE * speed},aresample=16000`);
    expect(Math.abs(made.length - theirs.length)).toBeLessThanOrEqual(1);
    close(made.subarray(0, 20_000), Array.from(theirs.subarray(0, 20_000)), 1e-4); // a WAV of 16 bits
  });

  it.each([0.9, 1.1])('%d changes frequency and length together', async (speed) => {
    const made = await atSpeed(sine(500, 2), RATE * speed);
    expect(made.length / RATE).toBeCloseTo(2 / speed, 3);
    const near = [480, 500, 520].map((hz) => densityAt(made, hz * 1));
    const moved = densityAt(made, 500 * speed);
    expect(moved).toBeGreaterThan(1000 * near[1]!);
    expect(moved).toBeGreaterThan(100 * Math.max(near[0]!, near[2]!));
  });

  it('of 16,000 Hz leaves the samples alone', async () => {
    const clip = sine(500, 1);
    expect(await atSpeed(clip, RATE)).toBe(clip);
  });
});

describe('levels', () => {
  it('gain is in dB', () => {
    expect(10 * Math.log10(powerOf(withGain(speech, -6)) / powerOf(speech))).toBeCloseTo(-6, 5);
  });

  it('beyond full scale scales the clip, and clips nothing', () => {
    const loud = Float32Array.from([0.5, -2, 1]);
    expect(withinScale(loud)).toEqual(Float32Array.from([0.25, -1, 0.5]));
    const quiet = Float32Array.from([0.5, -1]);
    expect(withinScale(quiet)).toBe(quiet);
  });
});

const ranges: VariantRanges = {
  speed: [0.9, 1.1],
  noise: 'coloured',
  noiseProbability: 1,
  snrDb: [5, 20],
  reverb: null,
  reverbProbability: 1,
  gainDb: [-6, 6],
};
const content = 'c'.repeat(64);

describe('a variant', () => {
  const clip = sine(300, 1, 0.1).map((value) => value + 0.01 * seededRandom(1).normal());

  it('is a function of seed, content and number', async () => {
    const made = async (seed: number, variant: number, of = content) => {
      const { key, apply } = await variantOf(ranges, seed, variant)(of);
      return { key, samples: await apply(clip, 2 * RATE) };
    };
    const first = await made(1, 1);
    expect(await made(1, 1)).toEqual(first);
    const others = [await made(2, 1), await made(1, 2), await made(1, 1, 'd'.repeat(64))];
    const all = [first, ...others];
    expect(new Set(all.map(({ key }) => key)).size).toBe(4);
    expect(new Set(all.map(({ samples }) => samples.join())).size).toBe(4);
  });

  it('has its speed in the range, and a length that goes with it', async () => {
    const speeds: number[] = [];
    for (let variant = 1; variant <= 30; variant++) {
      const { speed } = await variantOf({ ...ranges, noise: null, gainDb: null }, 1, variant)(content);
      expect(speed).toBeGreaterThanOrEqual(0.9);
      expect(speed).toBeLessThanOrEqual(1.1);
      speeds.push(speed);
    }
    expect(new Set(speeds).size).toBeGreaterThan(20);
    expect(Math.min(...speeds)).toBeLessThan(0.95);
    expect(Math.max(...speeds)).toBeGreaterThan(1.05);
    const { speed, apply } = await variantOf(ranges, 1, 1)(content);
    expect((await apply(clip, 2 * RATE)).length).toBeCloseTo(RATE / speed, -1);
    expect(await apply(clip, 5000)).toHaveLength(5000);
  });

  it('gets noise as often as asked', async () => {
    let noisy = 0;
    for (let variant = 1; variant <= 200; variant++) {
      const { key } = await variantOf({ ...ranges, noiseProbability: 0.25 }, 1, variant)(content);
      if (key.includes('snrDb')) noisy++;
    }
    expect(noisy).toBeGreaterThan(30);
    expect(noisy).toBeLessThan(70);
  });

  it('without any effect has the key of the clip itself', async () => {
    const none = { ...ranges, speed: null, noise: null, gainDb: null };
    expect(await variantOf(none, 1, 1)(content)).toMatchObject({ key: '', speed: 1 });
  });

  it('has keys that know the content of recordings, not their names', async () => {
    const one = await openSoundLibrary([file('one.wav', sine(200, 1))]);
    const moved = await openSoundLibrary([file('moved.wav', sine(200, 1))]);
    const other = await openSoundLibrary([file('other.wav', sine(201, 1))]);
    const keys = async (change: Partial<VariantRanges>) =>
      (await variantOf({ ...ranges, ...change }, 1, 1)(content)).key;
    for (const of of ['noise', 'reverb'] as const) {
      expect(await keys({ [of]: moved })).toBe(await keys({ [of]: one }));
      expect(await keys({ [of]: other })).not.toBe(await keys({ [of]: one }));
    }
    expect(await keys({ reverb: one })).not.toBe(await keys({}));
    expect(await keys({ snrDb: [6, 20] })).not.toBe(await keys({}));
    expect(await keys({ gainDb: [-6, 5] })).not.toBe(await keys({}));
  });
});

describe('a test clip under noise', () => {
  it('has the ratio asked for, and the same noise at every ratio', async () => {
    const clip = sine(300, 1, 0.1);
    const under = async (snr: number) => {
      const { apply, speed } = await noiseAt('pink', snr, 1)(content);
      expect(speed).toBe(1);
      return apply(clip, 2 * RATE);
    };
    const [at20, at10] = [await under(20), await under(10)];
    expect(snrOf(clip, at20)).toBeCloseTo(20, 3);
    expect(snrOf(clip, at10)).toBeCloseTo(10, 3);
    const rest = at20.map((value, t) => (value - clip[t]!) * Math.sqrt(10));
    close(
      rest.subarray(0, 500),
      Array.from(at10.subarray(0, 500), (value, t) => value - clip[t]!),
      1e-6,
    );
  });
});
