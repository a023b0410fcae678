/**
 * @file WAV in the formats found in corpora, written here sample by sample: every encoding from 8 bit to float, 8 to
 * 192 kHz, 1 to 8 channels. The result is compared with the original sine and with ffmpeg's own decoding.
 */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { type DecodedAudio, decodeAudio, decodeAudioFiles } from '../../../src/data/audio/index.js';
import { ffmpegSamples } from './ffmpeg-clips.js';

const folder = mkdtempSync(join(tmpdir(), 'emoq-wav-formats-'));
afterAll(() => rmSync(folder, { recursive: true }));

const PCM = 1;
const FLOAT = 3;
const A_LAW = 6;
const MU_LAW = 7;
const EXTENSIBLE = 0xfffe;
const SUB_FORMAT_GUID = Buffer.from('000000001000800000aa00389b71', 'hex'); // after the tag

interface Encoding {
  tag: number;
  bits: number;
  /** Tolerance of a decoded sample. */
  step: number;
  write(bytes: Buffer, offset: number, value: number): void;
}

const integers = (bits: number): Encoding => ({
  tag: PCM,
  bits,
  step: Math.max(2e-8, 1 / 2 ** (bits - 1)), // float32 has no finer steps at this magnitude
  write: (bytes, offset, value) =>
    bits === 8
      ? bytes.writeUInt8(Math.round(value * 127) + 128, offset)
      : bytes.writeIntLE(Math.round(value * (2 ** (bits - 1) - 1)), offset, bits / 8),
});

const ENCODINGS: Record<string, Encoding> = {
  u8: integers(8),
  s16: integers(16),
  s24: integers(24),
  s32: integers(32),
  f32: {
    tag: FLOAT,
    bits: 32,
    step: 1e-7,
    write: (bytes, offset, value) => bytes.writeFloatLE(value, offset),
  },
  f64: {
    tag: FLOAT,
    bits: 64,
    step: 1e-7,
    write: (bytes, offset, value) => bytes.writeDoubleLE(value, offset),
  },
  'a-law': {
    tag: A_LAW,
    bits: 8,
    step: 0.02,
    write: (bytes, offset, value) => bytes.writeUInt8(aLaw(value), offset),
  },
  'mu-law': {
    tag: MU_LAW,
    bits: 8,
    step: 0.02,
    write: (bytes, offset, value) => bytes.writeUInt8(muLaw(value), offset),
  },
};

/** ITU-T G.711, by its segments. */
function aLaw(value: number): number {
  const sign = value >= 0 ? 0x80 : 0;
  const step = Math.min(4095, Math.floor(Math.abs(value) * 4096));
  const segment = step < 64 ? (step < 32 ? 0 : 1) : Math.floor(Math.log2(step)) - 4;
  const place = segment < 2 ? (step >> 1) & 15 : (step >> segment) & 15;
  return (sign | (segment << 4) | place) ^ 0x55;
}

function muLaw(value: number): number {
  const sign = value < 0 ? 0x80 : 0;
  const step = Math.min(8158, Math.floor(Math.abs(value) * 8192)) + 33;
  const segment = Math.floor(Math.log2(step)) - 5;
  return ~(sign | (segment << 4) | ((step >> (segment + 1)) & 15)) & 0xff;
}

interface Form {
  encoding: keyof typeof ENCODINGS;
  sampleRateHz: number;
  channels: number;
  /** Writes WAVE_FORMAT_EXTENSIBLE with this speaker mask. */
  channelMask?: number;
}

const DURATION_SEC = 0.3;
const HZ = 440;

/** A sine of 440 Hz; channel c has the amplitude 0.1 (c + 1). */
function wavOf({ encoding, sampleRateHz, channels, channelMask }: Form): Buffer {
  const { tag, bits, write } = ENCODINGS[encoding]!;
  const width = bits / 8;
  const frames = Math.round(DURATION_SEC * sampleRateHz);
  const format = Buffer.alloc(channelMask === undefined ? 16 : 40);
  format.writeUInt16LE(channelMask === undefined ? tag : EXTENSIBLE, 0);
  format.writeUInt16LE(channels, 2);
  format.writeUInt32LE(sampleRateHz, 4);
  format.writeUInt32LE(sampleRateHz * channels * width, 8);
  format.writeUInt16LE(channels * width, 12);
  format.writeUInt16LE(bits, 14);
  if (channelMask !== undefined) {
    format.writeUInt16LE(22, 16);
    format.writeUInt16LE(bits, 18);
    format.writeUInt32LE(channelMask, 20);
    format.writeUInt16LE(tag, 24);
    SUB_FORMAT_GUID.copy(format, 26);
  }
  const data = Buffer.alloc(frames * channels * width);
  for (let frame = 0; frame < frames; frame++) {
    const sine = Math.sin((2 * Math.PI * HZ * frame) / sampleRateHz);
    for (let channel = 0; channel < channels; channel++) {
      write(data, (frame * channels + channel) * width, 0.1 * (channel + 1) * sine);
    }
  }
  const chunk = (name: string, content: Buffer): Buffer => {
    const header = Buffer.from(`${name}----`, 'latin1');
    header.writeUInt32LE(content.length, 4);
    return Buffer.concat([header, content, Buffer.alloc(content.length & 1)]);
  };
  const body = Buffer.concat([Buffer.from('WAVE', 'latin1'), chunk('fmt ', format), chunk('data', data)]);
  return chunk('RIFF', body);
}

function writeForm(form: Form): string {
  const { encoding, sampleRateHz, channels, channelMask = '' } = form;
  const path = join(folder, `${encoding}-${sampleRateHz}-${channels}-${channelMask}.wav`);
  writeFileSync(path, wavOf(form));
  return path;
}

/** The largest distance from a sine of 440 Hz at 16 kHz. Both ends are excluded, where a resampler rings. */
function distance(samples: Float32Array, amplitude: number): number {
  let largest = 0;
  for (let i = 400; i < samples.length - 400; i++) {
    const wanted = amplitude * Math.sin((2 * Math.PI * HZ * i) / 16_000);
    largest = Math.max(largest, Math.abs(samples[i]! - wanted));
  }
  return largest;
}

const COUNTS = [1, 2, 3, 4, 5, 6, 7, 8];
const RATES = [8000, 11_025, 22_050, 44_100, 48_000, 96_000, 192_000];

describe('WAV files', () => {
  it.each(Object.keys(ENCODINGS))(
    'in %s at 16 kHz, 1 to 8 channels: the mean of the channels',
    async (encoding) => {
      for (const channels of COUNTS) {
        const path = writeForm({ encoding, sampleRateHz: 16_000, channels });
        const samples = (await decodeAudio(path)).samples;
        expect(samples.length).toBe(4800);
        expect(distance(samples, 0.05 * (channels + 1))).toBeLessThan(2 * ENCODINGS[encoding]!.step);
      }
    },
  );

  it('in every encoding, at every rate and count of channels: 16 kHz, the sine that went in', async () => {
    const forms = Object.keys(ENCODINGS).flatMap((encoding, at) =>
      RATES.map((sampleRateHz, rateAt) => ({ encoding, sampleRateHz, channels: 1 + ((at + rateAt) % 8) })),
    );
    const paths = forms.map(writeForm);
    const decoded = await decodeAudioFiles(
      paths.map((path) => ({ path })),
      folder,
    );
    for (const [index, { encoding, channels }] of forms.entries()) {
      const samples = (decoded[index] as DecodedAudio).samples;
      const where = `${encoding}, ${forms[index]!.sampleRateHz} Hz, ${channels} channels`;
      expect(Math.abs(samples.length - 4800), where).toBeLessThanOrEqual(2);
      const slack = 2 * ENCODINGS[encoding]!.step + 1e-3; // the resampler's own ripple
      expect(distance(samples, 0.05 * (channels + 1)), where).toBeLessThan(slack);
    }
    // Same through ffmpeg alone: bit-identical if there is one channel.
    const mono = forms.findIndex(({ channels, sampleRateHz }) => channels === 1 && sampleRateHz > 16_000);
    expect((decoded[mono] as DecodedAudio).samples).toEqual(ffmpegSamples(paths[mono]!, '-ar', '16000'));
  });

  it('with a speaker mask: the centre of 5.1 and 7.1 alone, read here and by ffmpeg', async () => {
    for (const [channels, channelMask] of [
      [6, 0x3f],
      [8, 0x63f],
    ] as const) {
      for (const sampleRateHz of [16_000, 48_000]) {
        const path = writeForm({ encoding: 's16', sampleRateHz, channels, channelMask });
        expect(distance((await decodeAudio(path)).samples, 0.3)).toBeLessThan(2e-3); // the third channel
      }
    }
    const stereo = writeForm({ encoding: 'f32', sampleRateHz: 16_000, channels: 2, channelMask: 0x3 });
    expect(distance((await decodeAudio(stereo)).samples, 0.15)).toBeLessThan(1e-6);
  });
});
