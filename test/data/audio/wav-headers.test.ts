/**
 * @file Property tests over generated WAV headers: width, block align, channels, integers and floats, plain and
 * extensible, placeholder sizes from pipes, chunks around the samples. The samples must survive a round trip.
 */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { InputError } from '../../../src/base/index.js';
import { decodeAudio, decodeAudioFiles, encodeWav } from '../../../src/data/audio/index.js';
import { readWavHeader, readWavSamples } from '../../../src/data/audio/wav.js';
import { seededRandom } from '../../../src/engine/tensor/index.js';
import { amplitudeAt, ffmpeg, ffmpegSamples } from './ffmpeg-clips.js';
import { integerOf, type WavForm, writeWav } from './wav-writer.js';

const folder = mkdtempSync(join(tmpdir(), 'emoq-wav-headers-'));
afterAll(() => rmSync(folder, { recursive: true }));

const random = seededRandom(7, 'wav headers');
const pick = <T>(values: readonly T[]): T => values[Math.floor(random.uniform() * values.length)]!;

let files = 0;
function save(bytes: Buffer): string {
  files += 1;
  const path = join(folder, `${files}.wav`);
  writeFileSync(path, bytes);
  return path;
}

/** Speech-like: loud and quiet parts, both signs, all channels different. */
function sound(frames: number, channels: number): Float32Array {
  return Float32Array.from({ length: frames * channels }, (_, i) => {
    const [frame, channel] = [Math.floor(i / channels), i % channels];
    const swell = 0.5 - 0.5 * Math.cos(frame / 90);
    return 0.9 * swell * Math.sin(frame / (3 + channel)) + 0.01 * random.uniform();
  });
}

async function readAll(path: string): Promise<Float32Array> {
  return (await readWavSamples(path, (await readWavHeader(path))!)).samples;
}

/** Samples after quantisation to the given number of bits. */
function stored(samples: Float32Array, { encoding, bits }: WavForm): Float32Array {
  if (encoding === 'float') return samples;
  return samples.map((sample) => integerOf(sample, bits) / 2 ** (bits - 1));
}

const LIST = ['LIST', 'INFOISFT\x04\0\0\0abc\0'] as const;
const ODD = ['junk', 'odd'] as const;

function anyForm(): WavForm {
  const encoding = pick(['pcm', 'pcm', 'pcm', 'float'] as const);
  const extensible = pick([true, false]);
  const bits = encoding === 'float' ? pick([32, 64]) : pick([8, 12, 16, 20, 24, 32]);
  const packed = Math.ceil(bits / 8);
  const widths = [1, 2, 3, 4].filter((width) => width >= packed && (bits > 8 || width === 1 || extensible));
  return {
    encoding,
    bits,
    sampleBytes: encoding === 'float' ? packed : pick(widths),
    justified: pick(['left', 'right', 'zero above'] as const),
    extensible,
    channels: pick([1, 2, 3, 6, 8]),
    sampleRateHz: pick([8000, 16_000, 44_100]),
    before: pick([[], [LIST], [ODD, LIST], [ODD]]),
    after: pick([[], [LIST], [ODD]]),
    unpadded: pick([true, false]),
    ...pick([{}, { longSizes: 'RF64' as const }, { longSizes: 'BW64' as const }]),
  };
}

describe('a WAV header', () => {
  it('of any width, block align, channel count and kind gives back what was written', async () => {
    for (let round = 0; round < 400; round++) {
      const form = anyForm();
      const samples = sound(1 + Math.floor(random.uniform() * 700), form.channels);
      const path = save(writeWav(samples, form));
      const where = JSON.stringify(form);
      const header = await readWavHeader(path);
      expect(header, where).toMatchObject({
        channels: form.channels,
        frames: samples.length / form.channels,
      });
      expect(await readAll(path), where).toEqual(stored(samples, form));
    }
  });

  it.each([
    ['24 in 32 bits, left', { bits: 24, sampleBytes: 4, justified: 'left' }],
    ['24 in 32 bits, right', { bits: 24, sampleBytes: 4, justified: 'right' }],
    ['24 in 32 bits, zeros above', { bits: 24, sampleBytes: 4, justified: 'zero above' }],
    ['20 in 24 bits', { bits: 20, sampleBytes: 3 }],
    ['12 in 16 bits', { bits: 12, sampleBytes: 2, justified: 'right' }],
    ['16 in 32 bits', { bits: 16, sampleBytes: 4 }],
  ] as const)('%s is decoded at any rate, alone and with others', async (_, odd) => {
    const form = { encoding: 'pcm', channels: 2, ...odd } as const;
    for (const sampleRateHz of [16_000, 44_100]) {
      const tone = (channel: number) => (frame: number) =>
        0.5 * Math.sin((2 * Math.PI * (300 + 200 * channel) * frame) / sampleRateHz);
      const [left, right] = [tone(0), tone(1)];
      const samples = Float32Array.from({ length: sampleRateHz }, (_, i) =>
        (i % 2 ? right : left)(Math.floor(i / 2)),
      );
      const path = save(writeWav(samples, { ...form, sampleRateHz }));
      const decoded = await decodeAudio(path);
      expect(decoded.samples.length).toBe(8000);
      for (const hz of [300, 500]) expect(amplitudeAt(decoded.samples, hz)).toBeCloseTo(0.25, 2);
      const [together] = await decodeAudioFiles([{ path }, { path }], folder);
      expect(together).toEqual(decoded);
      const part = { startSec: 0.2, maxDurationSec: 0.1 };
      expect((await decodeAudio(path, part)).samples.length).toBe(1600);
    }
  });

  it('with a block align that cannot be right is read by its bits', async () => {
    const samples = sound(500, 2);
    const form = { encoding: 'pcm', bits: 16, channels: 2 } as const;
    // 0, that of one channel, that of four, that of bits instead of bytes; the last two with the right byte rate
    for (const blockAlign of [0, 2, 8, 32]) {
      const path = save(writeWav(samples, { ...form, blockAlign, bytesPerSec: 64_000 }));
      expect(await readAll(path), `${blockAlign}`).toEqual(stored(samples, form));
    }
  });

  it.each([
    ['blocks that channels cannot share', { bits: 16, channels: 2, blockAlign: 7 }, /blocks of 7 bytes/],
    ['8 bits in 2 bytes', { bits: 8, channels: 1, sampleBytes: 2 }, /8-bit samples in blocks of 2 bytes/],
    [
      'blocks in which integers lie nowhere',
      { bits: 16, channels: 1, blockAlign: 4 },
      /16-bit samples in blocks of 4 bytes/,
    ],
    ['floats in larger blocks', { encoding: 'float', bits: 32, channels: 1, blockAlign: 8 }, /8 bytes/],
  ] as const)('with %s is refused in one line', async (_, form, message) => {
    const path = save(writeWav(sound(4000, form.channels), { encoding: 'pcm', ...form } as WavForm));
    const error = await decodeAudio(path).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(InputError);
    expect((error as Error).message).toMatch(message);
    expect((error as Error).message).toContain(path);
    expect((error as Error).message).not.toContain('\n');
  });

  it('of Cool Edit, whose 24-bit integers are floats, is read as those', async () => {
    const samples = sound(3000, 1);
    const bytes = writeWav(
      samples.map((value) => value * 32_768),
      { encoding: 'float', bits: 32, channels: 1 },
    );
    bytes.writeUInt16LE(1, 20); // integers
    bytes.writeUInt16LE(24, 34);
    expect(await readAll(save(bytes))).toEqual(samples);
  });
});

describe('sizes of a WAV header', () => {
  const PLACEHOLDERS = [
    ...[0, 0x7ffff000, 2_000_000_000, 0xffffffff, 0xfffffffe, 0x7fffffff, 0x7fffffdb, 0x80000000],
    ...[0x80000024, 0xffffffdb, 0xfffff000, 0x40000000, 1_000_000_000, 1_999_999_964],
  ];

  it.each(PLACEHOLDERS)('%s: the samples that are there are read', async (dataSize) => {
    const samples = sound(1200, 2);
    for (const [sampleRateHz, riffSize] of [
      ...[dataSize, 0, 0xffffffff].map((riffSize) => [16_000, riffSize] as const),
      [22_050, dataSize], // by ffmpeg
    ] as const) {
      const form = { encoding: 'pcm', bits: 16, channels: 2, sampleRateHz, dataSize, riffSize } as const;
      const path = save(writeWav(samples, form));
      expect((await readWavHeader(path))!.frames).toBe(1200);
      expect(await readAll(path)).toEqual(stored(samples, form));
      const decoded = await decodeAudio(path);
      expect(Math.abs(decoded.samples.length - (1200 * 16_000) / sampleRateHz)).toBeLessThan(2);
      expect(decoded.notes).toEqual([]);
      expect(decoded.fileSec).toBeCloseTo(1200 / sampleRateHz, 6);
      const [together] = await decodeAudioFiles([{ path }, { path }], folder);
      expect(together).toEqual(decoded);
    }
  });

  it('in 64 bits with a placeholder value: the existing samples are read', async () => {
    const samples = sound(900, 1);
    const bytes = writeWav(samples, { encoding: 'pcm', bits: 24, channels: 1, longSizes: 'RF64' });
    for (const size of [0n, 2n ** 64n - 1n, 2n ** 63n - 1n]) {
      bytes.writeBigUInt64LE(size, 28);
      expect((await readWavHeader(save(bytes)))!.frames).toBe(900);
    }
  });

  it('0 before other chunks to the end of the file is what it says: no samples', async () => {
    const form = { encoding: 'pcm', bits: 16, channels: 1 } as const;
    for (const after of [[], [LIST], [LIST, ODD]]) {
      const path = save(writeWav([], { ...form, after }));
      await expect(decodeAudio(path)).rejects.toThrow(/holds no samples/);
    }
  });

  it('a few bytes more than there are, or a frame that is not whole: the frames that are there are read', async () => {
    for (const extra of [1, 2, 3, 4, 17, 64]) {
      const samples = sound(5 + Math.floor(random.uniform() * 900), 2);
      const form = { encoding: 'pcm', bits: 16, channels: 2 } as const;
      const size = samples.length * 2;
      const path = save(writeWav(samples, { ...form, dataSize: size + extra, cutBytes: 0 }));
      expect(await readAll(path)).toEqual(stored(samples, form));
      const partial = save(writeWav(samples, { ...form, dataSize: size + 3, moreBytes: 3 }));
      expect(await readAll(partial)).toEqual(stored(samples, form));
      expect((await decodeAudio(path)).notes).toEqual([]);
    }
  });

  it.each([16_000, 48_000])(
    'at %s Hz a file that is cut is read as far as ffmpeg.ts would, and refused with both lengths beyond that',
    async (sampleRateHz) => {
      const form = { encoding: 'pcm', bits: 16, channels: 1, sampleRateHz } as const;
      for (let round = 0; round < 12; round++) {
        const seconds = 0.4 + 4 * random.uniform();
        const samples = sound(Math.round(seconds * sampleRateHz), 1);
        const keptShare = random.uniform();
        const cutBytes = Math.round(samples.length * 2 * (1 - keptShare));
        const path = save(writeWav(samples, { ...form, cutBytes }));
        const kept = samples.length * 2 - cutBytes;
        const haveSec = kept / 2 / sampleRateHz;
        const promisedSec = samples.length / sampleRateHz;
        if (haveSec < 0.9 * promisedSec - 0.25 || haveSec < promisedSec / 2) {
          await expect(decodeAudio(path)).rejects.toThrow(
            `${path} is truncated: its header promises ${samples.length * 2} bytes of samples, the file has ${kept} (${haveSec.toFixed(2)} s of ${promisedSec.toFixed(2)} s)`,
          );
          continue;
        }
        const decoded = await decodeAudio(path);
        expect(Math.abs(decoded.samples.length / 16_000 - haveSec)).toBeLessThan(1e-3);
        const told = decoded.notes.map(({ kind }) => kind);
        expect(told).toEqual(promisedSec - Math.floor(kept / 2) / sampleRateHz > 0.1 ? ['incomplete'] : []);
      }
    },
  );

  it('reads no more of a file than is asked for', async () => {
    const samples = sound(16_000 * 3, 2);
    for (const sampleRateHz of [16_000, 44_100]) {
      const form = { encoding: 'pcm', bits: 24, sampleBytes: 4, channels: 2, sampleRateHz } as const;
      const path = save(writeWav(samples, form));
      const whole = await decodeAudio(path);
      const head = await decodeAudio(path, { maxDurationSec: 0.25 });
      expect(head.samples).toEqual(whole.samples.slice(0, 4000));
      expect([whole.isCut, head.isCut, head.fileSec]).toEqual([false, true, whole.fileSec]);
    }
  });
});

describe('a walk through chunks', () => {
  it('ends early in zeros and in empty chunks, however many there are', async () => {
    const riff = encodeWav(new Float32Array(0), 16_000).subarray(0, 12);
    const junk = Buffer.alloc(8 << 20);
    for (let at = 0; at < junk.length; at += 8) junk.write('junk', at, 'latin1');
    for (const rest of [Buffer.alloc(8 << 20), junk]) {
      const path = save(Buffer.concat([riff, rest]));
      await expect(decodeAudio(path)).rejects.toThrow(
        /damaged WAV file: no samples in its first 1,000 chunks/,
      );
      rmSync(path);
    }
  });

  it('passes over a stretch of zeros that is short', async () => {
    const plain = encodeWav(Float32Array.of(0.5, -0.5), 16_000);
    const path = save(Buffer.concat([plain.subarray(0, 36), Buffer.alloc(4000), plain.subarray(36)]));
    expect(await readAll(path)).toEqual(Float32Array.of(0.5, -0.5));
  });
});

describe('other containers with sizes of 64 bits', () => {
  it.each(['w64', 'rf64'])('%s gives what ffmpeg gives', async (kind) => {
    const path = join(folder, `tone.${kind}`);
    const options = kind === 'rf64' ? ['-rf64', 'always', '-f', 'wav'] : [];
    ffmpeg('-f', 'lavfi', '-i', 'sine=f=300:r=16000:d=0.5', '-c:a', 'pcm_s16le', ...options, path);
    expect((await decodeAudio(path)).samples).toEqual(ffmpegSamples(path));
  });
});
