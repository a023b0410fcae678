/** @file Decoding of faulty audio (floats beyond full scale, channels that cancel, silence), and the notes on it. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { DecodeOptions } from '../../../src/data/audio/decode.js';
import { countByKind, decodeAudio, parseChannel } from '../../../src/data/audio/index.js';
import { amplitudeAt, ffmpeg } from './ffmpeg-clips.js';
import { type WavForm, writeWav } from './wav-writer.js';

const folder = mkdtempSync(join(tmpdir(), 'emoq-audio-notes-'));
const at = (name: string): string => join(folder, name);
afterAll(() => rmSync(folder, { recursive: true }));

type Channel = (frame: number) => number;

/** One second at 16 kHz unless specified. */
function save(name: string, channels: readonly Channel[], form: Partial<WavForm> = {}): string {
  const frames = form.sampleRateHz ?? 16_000;
  const samples = Float64Array.from({ length: frames * channels.length }, (_, i) =>
    channels[i % channels.length]!(Math.floor(i / channels.length)),
  );
  const whole: WavForm = { encoding: 'pcm', bits: 16, channels: channels.length, ...form };
  writeFileSync(at(name), writeWav(samples, whole));
  return at(name);
}

const sine =
  (hz: number, amplitude = 0.5, sampleRateHz = 16_000): Channel =>
  (frame) =>
    amplitude * Math.sin((2 * Math.PI * hz * frame) / sampleRateHz);
const times =
  (factor: number, channel: Channel): Channel =>
  (frame) =>
    factor * channel(frame);
const zero: Channel = () => 0;
/** Steady noise, the same for each seed. */
const noise =
  (seed: number, amplitude: number): Channel =>
  (frame) => {
    const mixed = Math.sin(frame * 12.9898 + seed * 78.233) * 43_758.5453;
    return amplitude * 2 * (mixed - Math.floor(mixed) - 0.5);
  };

const FLOAT = { encoding: 'float', bits: 32 } as const;
const told = async (path: string, options?: DecodeOptions) => (await decodeAudio(path, options)).notes;
const kindsOf = async (path: string, options?: DecodeOptions) =>
  (await told(path, options)).map(({ kind }) => kind);
const peakOf = (samples: Float32Array): number =>
  samples.reduce((peak, value) => Math.max(peak, Math.abs(value)), 0);

describe('float samples', () => {
  it.each([
    [16, 32],
    [24, 32],
    [32, 32],
    [16, 64],
    [24, 64],
  ])(
    'in the range of integers of %s bits (as %s-bit floats) come out as the integers do',
    async (bits, width) => {
      const tone = sine(440, 0.5);
      const integers = save('integers.wav', [tone], { bits });
      const scale = 2 ** (bits - 1);
      const floats = save('floats.wav', [(frame) => Math.round(tone(frame) * scale) + 0], {
        encoding: 'float',
        bits: width,
      });
      expect((await decodeAudio(floats)).samples).toEqual((await decodeAudio(integers)).samples);
      expect(await told(floats)).toEqual([
        {
          kind: 'rescaled',
          text: `its float samples are in the range of ${bits}-bit integers: divided by that`,
        },
      ]);
    },
  );

  it.each(['wav', 'w64', 'aiff', 'caf', 'au', 'mka', 'wv'])(
    'in the range of 16 bits at 44.1 kHz are rescaled in .%s too',
    async (ending) => {
      const wav = save('range.wav', [sine(440, 16_000.5, 44_100), sine(500, 8000.5, 44_100)], {
        ...FLOAT,
        sampleRateHz: 44_100,
      });
      const path = at(`range44.${ending}`);
      const codec =
        ending === 'wv' ? 'wavpack' : ['aiff', 'au', 'caf'].includes(ending) ? 'pcm_f32be' : 'pcm_f32le';
      ffmpeg('-i', wav, '-c:a', codec, ...(ending === 'wv' ? ['-sample_fmt', 'fltp'] : []), path);
      const { samples, notes, byFfmpeg } = await decodeAudio(path);
      expect(byFfmpeg).toBe(true);
      expect(amplitudeAt(samples, 440)).toBeCloseTo(0.5 * (16_000.5 / 32_768), 2);
      expect(amplitudeAt(samples, 500)).toBeCloseTo(0.5 * (8000.5 / 32_768), 2);
      expect(notes.map(({ kind }) => kind)).toEqual(['rescaled']);
    },
  );

  it('a little over full scale are turned down, not cut off', async () => {
    for (const peak of [1.0001, 1.05, 1.5, 2, 4, 10]) {
      const path = save('over.wav', [sine(440, peak)], FLOAT);
      const { samples, notes } = await decodeAudio(path);
      expect(peakOf(samples)).toBeCloseTo(1, 5);
      expect(amplitudeAt(samples, 440)).toBeCloseTo(1, 3); // an intact sine: clipping would raise its amplitude
      expect(notes.map(({ kind }) => kind)).toEqual(peak > 1.12 ? ['rescaled'] : []);
    }
    const path = save('over.wav', [sine(440, 1.5)], FLOAT);
    expect((await told(path))[0]!.text).toBe('its float samples go up to 1.5: turned down by 3.5 dB');
  });

  it('within full scale are as they are', async () => {
    const path = save('within.wav', [sine(440, 1)], FLOAT);
    const { samples, notes } = await decodeAudio(path);
    expect(samples[9]).toBe(Math.fround(sine(440, 1)(9)));
    expect(notes).toEqual([]);
  });

  it('of a quiet part are rescaled as the whole file is', async () => {
    // Half a second of one step up and down, then speech, as 16-bit integers.
    const wave: Channel = (frame) =>
      frame < 8000 ? (frame % 2 ? 1 : -1) : Math.round(sine(440, 20_000)(frame));
    for (const sampleRateHz of [16_000, 48_000]) {
      const path = save('part.wav', [wave], { ...FLOAT, sampleRateHz });
      const { samples, notes } = await decodeAudio(path, { maxDurationSec: 0.1 });
      expect(peakOf(samples)).toBeLessThan(2 / 32_768);
      expect(notes.map(({ kind }) => kind)).toEqual(['rescaled', 'silent']);
    }
  });

  it('that are no numbers, or beyond every range, are refused with their place', async () => {
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      const wave: Channel = (frame) => (frame === 8000 ? bad : sine(440)(frame));
      for (const channels of [[wave], [wave, sine(300)]]) {
        const path = save('bad.wav', channels, FLOAT);
        await expect(decodeAudio(path)).rejects.toThrow(
          `${path} holds ${bad} at 0.500 s: every sample must be a number`,
        );
        const part = { startSec: 0.25, maxDurationSec: 0.5 };
        await expect(decodeAudio(path, part)).rejects.toThrow(`holds ${bad} at 0.500 s`);
        expect(await told(path, { maxDurationSec: 0.4 })).toEqual([]);
      }
    }
    const path = save('huge.wav', [sine(440, 1e15)], FLOAT);
    await expect(decodeAudio(path)).rejects.toThrow(/holds samples up to 1\.00e\+15, beyond the range/);
  });

  it("of a codec, whose noise may pass full scale, are cut off there as a player's are", async () => {
    const wav = save('loud.wav', [sine(440, 0.999, 44_100), sine(440, 0.999, 44_100)], {
      sampleRateHz: 44_100,
    });
    ffmpeg('-i', wav, '-af', 'volume=1.3', '-c:a', 'aac', at('loud.m4a'));
    const { samples, notes } = await decodeAudio(at('loud.m4a'));
    expect(peakOf(samples)).toBe(1);
    expect(notes.map(({ kind }) => kind)).not.toContain('rescaled');
  });
});

describe('channels that cancel', () => {
  const voice: Channel = (frame) => sine(440)(frame) * (0.6 + 0.4 * Math.sin(frame / 700));

  it('are not mixed: the louder one is kept, read here and by ffmpeg', async () => {
    const pair = [times(-0.95, voice), voice];
    save('opposite.wav', pair);
    const rate = 48_000;
    save('opposite48.wav', [times(-0.95, sine(440, 0.5, rate)), sine(440, 0.5, rate)], {
      sampleRateHz: rate,
    });
    ffmpeg('-i', at('opposite48.wav'), at('opposite.flac'));
    for (const name of ['opposite.wav', 'opposite48.wav', 'opposite.flac']) {
      for (const channel of [undefined, 'mix'] as const) {
        const { samples, notes } = await decodeAudio(at(name), { channel });
        expect(amplitudeAt(samples, 440), name).toBeGreaterThan(0.25);
        const text = 'its 2 channels cancel each other when mixed: channel 2 was taken alone';
        expect(notes).toEqual([{ kind: 'channel', text }]);
      }
    }
    const { samples } = await decodeAudio(at('opposite.wav'));
    expect(samples).toEqual((await decodeAudio(at('opposite.wav'), { channel: 2 })).samples);
  });

  it('by noise around them, a constant or a delay of one sample still count as such', async () => {
    const noisy =
      (seed: number, channel: Channel): Channel =>
      (frame) =>
        channel(frame) + noise(seed, 0.02)(frame);
    const pairs: Record<string, Channel[]> = {
      noisy: [noisy(1, voice), noisy(2, times(-1, voice))],
      constant: [(frame) => voice(frame) / 2 + 0.3, (frame) => -voice(frame) / 2 + 0.3],
      late: [voice, (frame) => -voice(frame - 1)],
    };
    for (const [name, pair] of Object.entries(pairs)) {
      expect(await kindsOf(save('pair.wav', pair)), name).toEqual(['channel']);
    }
  });

  it('are distinguished from channels that do not: alike, unlike, one of them silent, one much quieter', async () => {
    const pairs: Channel[][] = [
      [voice, voice],
      [voice, noise(3, 0.3)],
      [noise(1, 0.4), noise(2, 0.4)],
      [voice, zero],
      [zero, voice],
      [voice, times(0.1, voice)],
      [voice, times(-0.1, voice)],
      [voice, sine(441)],
    ];
    for (const pair of pairs) {
      const { samples, notes } = await decodeAudio(save('pair.wav', pair));
      expect(notes).toEqual([]);
      expect(samples[777]).toBeCloseTo((pair[0]!(777) + pair[1]!(777)) / 2, 3);
    }
  });

  it('may be more than two', async () => {
    const four = [voice, times(-1, voice), zero, zero];
    expect(await told(save('four.wav', four))).toEqual([
      { kind: 'channel', text: 'its 4 channels cancel each other when mixed: channel 1 was taken alone' },
    ]);
    const six = Array.from({ length: 6 }, (_, channel) => times(channel % 2 ? 1 : -1, voice));
    const { samples } = await decodeAudio(save('six.wav', six));
    expect(amplitudeAt(samples, 440)).toBeGreaterThan(0.25);
  });

  it('of a surround clip: where the centre is silent, the others are mixed', async () => {
    const form = { extensible: true, channelMask: 0x3f };
    const fronts = [voice, voice, zero, noise(1, 0.2), zero, zero];
    const { samples, notes } = await decodeAudio(save('front.wav', fronts, form));
    expect(samples[777]).toBeCloseTo((2 * voice(777)) / 4, 3); // four channels: without centre and LFE
    expect(notes).toEqual([
      { kind: 'channel', text: 'the centre channel is silent: the other channels were taken' },
    ]);
    expect(await kindsOf(save('none.wav', [zero, zero, zero, zero, zero, zero], form))).toEqual(['silent']);
    const spoken = save('centre.wav', [noise(1, 0.2), noise(2, 0.2), voice, zero, zero, zero], form);
    expect(await kindsOf(spoken)).toEqual([]);
  });
});

describe('a channel of a call', () => {
  it('is taken by its number from 1', async () => {
    const path = save('call.wav', [sine(300), sine(500)]);
    for (const [channel, hz, other] of [
      [1, 300, 500],
      [2, 500, 300],
    ] as const) {
      const { samples } = await decodeAudio(path, { channel });
      expect(amplitudeAt(samples, hz)).toBeCloseTo(0.5, 2);
      expect(amplitudeAt(samples, other)).toBeLessThan(0.01);
    }
    const { samples } = await decodeAudio(path, { channel: 'mix' });
    for (const hz of [300, 500]) expect(amplitudeAt(samples, hz)).toBeCloseTo(0.25, 2);
    await expect(decodeAudio(path, { channel: 3 })).rejects.toThrow(
      `${path}: channel 3 does not exist: it has 2 channels`,
    );
    await expect(decodeAudio(save('mono.wav', [sine(300)]), { channel: 2 })).rejects.toThrow(
      'channel 2 does not exist: it has 1 channel',
    );
  });

  it.each([
    ['1', 1],
    [' 2 ', 2],
    ['2.0', 2],
    ['mix', 'mix'],
    ['MIX', 'mix'],
    ['0', undefined],
    ['-1', undefined],
    ['1.5', undefined],
    ['left', undefined],
    ['', undefined],
  ])('is written as %j', (text, channel) => {
    expect(parseChannel(text)).toBe(channel);
  });
});

describe('sound of which something is said', () => {
  it("silent: zeros, a codec's rounding, a constant; a whisper is not", async () => {
    const step = 1 / 32_768;
    const silences: Record<string, Channel> = {
      zero,
      rounding: (frame) => (frame % 2 ? step : -step),
      constant: () => 0.25,
      rounded: (frame) => 0.25 + (frame % 3) * step,
    };
    for (const [name, channel] of Object.entries(silences)) {
      const path = save('silence.wav', [channel]);
      expect(await told(path), name).toEqual([{ kind: 'silent', text: 'no sound' }]);
      ffmpeg('-i', path, '-ar', '48000', at('silence.flac'));
      if (channel === zero) expect(await kindsOf(at('silence.flac'))).toEqual(['silent']);
    }
    expect(await kindsOf(save('whisper.wav', [sine(200, 4 * step)]))).toEqual([]);
  });

  it('silent only as far as it was asked for', async () => {
    const late = save('late.wav', [(frame) => (frame < 8000 ? 0 : sine(440)(frame))]);
    expect(await kindsOf(late)).toEqual([]);
    expect(await kindsOf(late, { maxDurationSec: 0.5 })).toEqual(['silent']);
    expect(await kindsOf(late, { startSec: 0.5 })).toEqual([]);
  });

  it('clipped: flat at full scale; loud is not', async () => {
    const clipped = save('clipped.wav', [sine(440, 4)]);
    expect(await told(clipped)).toEqual([
      { kind: 'clipped', text: expect.stringMatching(/^8\d\.\d % of its samples are at full scale$/) },
    ]);
    const rate = 44_100;
    const other = save('other.wav', [sine(440, 3, rate), zero], { sampleRateHz: rate });
    expect(await kindsOf(other)).toEqual(['clipped']); // only one channel, which the mix halves
    for (const channel of [sine(440, 1), sine(97, 0.9999), noise(1, 1)]) {
      expect(await kindsOf(save('loud.wav', [channel]))).toEqual([]);
    }
  });

  it('is counted by kind, with the first of each', () => {
    expect(countByKind([])).toBe('');
    const notes = [
      { kind: 'cut', name: 'a' },
      { kind: 'silent', name: 'b' },
      { kind: 'cut', name: 'b' },
    ];
    expect(countByKind(notes)).toBe('2 cut to their beginning (first a), 1 silent (first b)');
  });
});
