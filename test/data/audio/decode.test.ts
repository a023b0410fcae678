import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { InputError } from '../../../src/base/index.js';
import { decodeAudio, encodeWav } from '../../../src/data/audio/index.js';
import { toMono } from '../../../src/data/audio/pcm.js';
import { amplitudeAt, ffmpeg, ffmpegSamples, writeTone } from './ffmpeg-clips.js';

const folder = mkdtempSync(join(tmpdir(), 'emoq-decode-'));
const at = (name: string): string => join(folder, name);
afterAll(() => rmSync(folder, { recursive: true }));

const SURROUND = { channelHz: [300, 400, 500, 60, 700, 800], layout: '5.1' as const };

beforeAll(() => {
  writeTone(at('surround.mp4'), { ...SURROUND, durationSec: 1.5, video: true });
  writeTone(at('stereo.flac'), { channelHz: [300, 500], layout: 'stereo', durationSec: 1 });
});

describe('decodeAudio', () => {
  it('takes the centre channel of 5.1, as pan=mono|c0=FC does', async () => {
    const samples = (await decodeAudio(at('surround.mp4'))).samples;
    const reference = ffmpegSamples(at('surround.mp4'), '-af', 'pan=mono|c0=FC', '-ar', '16000');
    expect(samples).toEqual(reference);
    expect(Math.abs(samples.length / 16_000 - 1.5)).toBeLessThan(0.03); // AAC works in frames of 21 ms
    expect(amplitudeAt(samples, 500)).toBeGreaterThan(0.35);
    for (const hz of [300, 400, 700, 800]) expect(amplitudeAt(samples, hz)).toBeLessThan(0.01);
  });

  it('mixes stereo as ffmpeg does to 16 bits, and does not overdrive it', async () => {
    const samples = (await decodeAudio(at('stereo.flac'))).samples;
    ffmpeg('-i', at('stereo.flac'), '-ac', '1', '-ar', '16000', '-c:a', 'pcm_s16le', at('stereo-mono.wav'));
    const reference = ffmpegSamples(at('stereo-mono.wav'));
    expect(samples.length).toBe(reference.length);
    for (let i = 0; i < samples.length; i++) {
      expect(Math.abs(samples[i]! - reference[i]!)).toBeLessThan(2.5 / 32_768);
    }
    expect(amplitudeAt(samples, 300)).toBeCloseTo(0.2, 2);
    expect(amplitudeAt(samples, 500)).toBeCloseTo(0.2, 2);
  });

  it.each([
    ['8 kHz WAV', 'a.wav', 8000, ['-c:a', 'pcm_u8'], 1e-4],
    ['44.1 kHz float WAV', 'b.wav', 44_100, ['-c:a', 'pcm_f32le'], 1e-4],
    ['192 kHz WAV', 'c.wav', 192_000, ['-c:a', 'pcm_s24le'], 1e-4],
    ['48 kHz FLAC', 'd.flac', 48_000, [], 1e-4],
    ['48 kHz MP3', 'e.mp3', 48_000, [], 0.08],
    ['48 kHz Opus', 'f.ogg', 48_000, ['-c:a', 'libopus'], 0.02],
  ] as const)(
    'decodes %s to 16 kHz with its pitch, level and length',
    async (_, name, rate, codec, slack) => {
      writeTone(at(name), { channelHz: [440], layout: 'mono', durationSec: 0.8, sampleRateHz: rate }, [
        ...codec,
      ]);
      const samples = (await decodeAudio(at(name))).samples;
      expect(Math.abs(samples.length / 16_000 - 0.8)).toBeLessThan(slack);
      expect(amplitudeAt(samples.subarray(2000, 10_000), 440)).toBeCloseTo(0.4, 1);
    },
  );

  it('reads a 16 kHz WAV without ffmpeg, with the same samples', async () => {
    writeTone(at('native.wav'), { channelHz: [300], layout: 'mono', durationSec: 0.5, sampleRateHz: 16_000 });
    const code = `
      const { decodeAudio } = await import(${JSON.stringify(new URL('../../../dist/data/audio/index.js', import.meta.url).href)});
      const samples = (await decodeAudio(${JSON.stringify(at('native.wav'))})).samples;
      const failure = await decodeAudio(${JSON.stringify(at('stereo.flac'))}).catch((error) => error);
      console.log(JSON.stringify({ count: samples.length, name: failure.name, message: failure.message }));`;
    const said = execFileSync(process.execPath, ['--input-type=module', '-e', code], {
      env: { PATH: '/nonexistent' },
      encoding: 'utf8',
    });
    const { count, name, message } = JSON.parse(said) as { count: number; name: string; message: string };
    expect(count).toBe(8000);
    expect(name).toBe('InputError');
    expect(message).toMatch(/^ffmpeg is not installed .*apt-get install ffmpeg/);
    expect((await decodeAudio(at('native.wav'))).samples).toEqual(ffmpegSamples(at('native.wav')));
  });

  it('stops at maxDurationSec and starts at startSec, with ffmpeg and without', async () => {
    for (const [name, rate] of [
      ['long.wav', 16_000],
      ['long.flac', 48_000],
    ] as const) {
      writeTone(at(name), { channelHz: [250], layout: 'mono', durationSec: 1, sampleRateHz: rate });
      expect((await decodeAudio(at(name), { maxDurationSec: 0.25 })).samples.length).toBe(4000);
      const tail = (await decodeAudio(at(name), { startSec: 0.75 })).samples;
      expect(tail.length).toBe(4000);
      expect(amplitudeAt(tail, 250)).toBeCloseTo(0.4, 2);
    }
  });

  it('keeps samples within full scale', async () => {
    writeTone(at('loud.wav'), { channelHz: [200], layout: 'mono', durationSec: 0.2, sampleRateHz: 16_000 }, [
      '-af',
      'volume=4',
      '-c:a',
      'pcm_f32le',
    ]);
    const samples = (await decodeAudio(at('loud.wav'))).samples;
    expect(samples.reduce((peak, value) => Math.max(peak, Math.abs(value)), 0)).toBe(1);
  });

  it.each(["quote's.mp4", 'double".mp4', 'two  spaces é 你好.mp4', 'colon:name.mp4', '-dash.mp4', '%d.mp4'])(
    'takes the file name %s as it is',
    async (name) => {
      copyFileSync(at('surround.mp4'), at(name));
      expect((await decodeAudio(at(name))).samples.length).toBe(
        (await decodeAudio(at('surround.mp4'))).samples.length,
      );
    },
  );
});

describe('what cannot be decoded gives one line that says why', () => {
  const whole = (): Buffer => readFileSync(at('surround.mp4'));
  const cases: [string, RegExp, (path: string) => void][] = [
    ['missing.wav', /does not exist/, () => {}],
    ['empty.wav', /is empty \(0 bytes\)/, (path) => writeFileSync(path, '')],
    [
      'words.mp4',
      /not a video file|cannot be decoded/,
      (path) => writeFileSync(path, 'these are only words'),
    ],
    [
      'nosound.mp4',
      /has no audio stream/,
      (path) => ffmpeg('-f', 'lavfi', '-i', 'testsrc=s=32x32:d=0.3', path),
    ],
    ['cut.mp4', /truncated/, (path) => writeFileSync(path, whole().subarray(0, 20_000))],
    [
      'cut-fast.mp4',
      /truncated or damaged: 0\.\d+ s of 1\.5\d s/,
      (path) => {
        ffmpeg('-i', at('surround.mp4'), '-c', 'copy', '-movflags', '+faststart', at('fast.mp4'));
        writeFileSync(path, readFileSync(at('fast.mp4')).subarray(0, 30_000));
      },
    ],
    [
      'cut.flac',
      /truncated or damaged/,
      (path) => writeFileSync(path, readFileSync(at('stereo.flac')).subarray(0, 60_000)),
    ],
    [
      'cut.wav',
      /is truncated/,
      (path) => writeFileSync(path, encodeWav(new Float32Array(999), 16_000).subarray(0, 99)),
    ],
    ['none.wav', /holds no samples/, (path) => writeFileSync(path, encodeWav(new Float32Array(0), 16_000))],
    ['none8.wav', /holds no samples/, (path) => writeFileSync(path, encodeWav(new Float32Array(0), 8000))],
    [
      'nan.wav',
      /holds NaN at 0\.000 s/,
      (path) => {
        writeTone(path, { channelHz: [200], layout: 'mono', durationSec: 0.1, sampleRateHz: 16_000 }, [
          '-c:a',
          'pcm_f32le',
        ]);
        const bytes = readFileSync(path);
        bytes.writeFloatLE(Number.NaN, bytes.indexOf('data') + 8);
        writeFileSync(path, bytes);
      },
    ],
  ];
  it.each(cases)('%s', async (name, message, make) => {
    make(at(name));
    const error = await decodeAudio(at(name)).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(InputError);
    const text = (error as Error).message;
    expect(text).toMatch(message);
    expect(text).toContain(name);
    expect(text).not.toMatch(/\n|0x[0-9a-f]{6}/);
  });

  it.each([0, 3])('channel %s of two', async (channel) => {
    await expect(decodeAudio(at('stereo.flac'), { channel })).rejects.toThrow(
      `stereo.flac: channel ${channel} does not exist: it has 2 channels`,
    );
  });
});

describe('an abort', () => {
  it('ends a decoding under way', async () => {
    const stop = new AbortController();
    const running = decodeAudio(at('surround.mp4'), { signal: stop.signal });
    stop.abort();
    await expect(running).rejects.toThrow(/abort/i);
  });
});

describe('toMono', () => {
  it('mixes all channels but the low-frequency one, and everything where the layout is unknown', () => {
    const samples = Float32Array.of(1, 0.5, -0.25);
    const twoPointOne = { samples, channels: 3, channelMask: 0x1 | 0x2 | 0x8 };
    expect(toMono(twoPointOne).samples).toEqual(Float32Array.of(0.75));
    expect(toMono({ ...twoPointOne, channelMask: 0 }).samples[0]).toBeCloseTo(1.25 / 3, 6);
    expect(toMono({ ...twoPointOne, channelMask: 0x7 }).samples).toEqual(Float32Array.of(-0.25));
    expect(toMono({ ...twoPointOne, channelMask: 0x7 }, 'mix').samples[0]).toBeCloseTo(1.25 / 3, 6);
  });
});
