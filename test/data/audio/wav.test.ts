import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { encodeWav } from '../../../src/data/audio/index.js';
import { readWavHeader, readWavSamples } from '../../../src/data/audio/wav.js';
import { ffmpegSamples, ffprobeSec, writeTone } from './ffmpeg-clips.js';

const folder = mkdtempSync(join(tmpdir(), 'emoq-wav-'));
afterAll(() => rmSync(folder, { recursive: true }));

async function read(path: string, startSec?: number, durationSec?: number) {
  const header = await readWavHeader(path);
  return readWavSamples(path, header!, startSec, durationSec);
}

describe('reading WAV', () => {
  const encodings = ['u8', 's16le', 's24le', 's32le', 'f32le', 'f64le'];
  it.each(encodings)('gives exactly the samples that ffmpeg gives for pcm_%s', async (encoding) => {
    for (const layout of ['mono', 'stereo', '5.1'] as const) {
      const path = join(folder, `${encoding}-${layout}.wav`);
      const channelHz = { mono: [300], stereo: [300, 500], '5.1': [300, 400, 500, 60, 700, 800] }[layout];
      writeTone(path, { channelHz, layout, durationSec: 0.2, sampleRateHz: 22_050 }, [
        '-c:a',
        `pcm_${encoding}`,
      ]);
      const header = await readWavHeader(path);
      expect(header).toMatchObject({ channels: channelHz.length, sampleRateHz: 22_050, frames: 4410 });
      expect((await read(path)).samples).toEqual(ffmpegSamples(path));
    }
  });

  it('reads a part by its seconds', async () => {
    const path = join(folder, 'part.wav');
    writeTone(path, { channelHz: [300, 900], layout: 'stereo', durationSec: 0.5, sampleRateHz: 16_000 });
    const whole = (await read(path)).samples;
    expect((await read(path, 0.1, 0.25)).samples).toEqual(whole.slice(3200, 3200 + 8000));
    expect((await read(path, 0.4, 5)).samples).toEqual(whole.slice(12_800));
  });

  it('skips chunks between fmt and data, odd-sized ones with their padding', async () => {
    const plain = encodeWav(Float32Array.of(0.5, -0.5, 0.25), 16_000);
    const odd = Buffer.concat([Buffer.from('LIST\x03\0\0\0abc\0', 'latin1')]);
    const path = join(folder, 'odd.wav');
    writeFileSync(path, Buffer.concat([plain.subarray(0, 36), odd, plain.subarray(36)]));
    expect((await read(path)).samples).toEqual(Float32Array.of(0.5, -0.5, 0.25));
  });

  it('leaves what it does not know to ffmpeg', async () => {
    const path = join(folder, 'adpcm.wav');
    writeTone(path, { channelHz: [300], layout: 'mono', durationSec: 0.1 }, ['-c:a', 'adpcm_ms']);
    expect(await readWavHeader(path)).toBeUndefined();
    const flac = join(folder, 'not-wav.wav');
    writeTone(flac, { channelHz: [300], layout: 'mono', durationSec: 0.1 }, ['-f', 'flac']);
    expect(await readWavHeader(flac)).toBeUndefined();
  });

  it('refuses a file that is cut off or has no fmt chunk', async () => {
    const whole = encodeWav(new Float32Array(1000).fill(0.1), 16_000);
    const path = join(folder, 'cut.wav');
    writeFileSync(path, whole.subarray(0, 1000));
    await expect(readWavHeader(path)).rejects.toThrow(/promises 2000 bytes of samples, the file has 956/);
    writeFileSync(path, whole.subarray(0, 30));
    await expect(readWavHeader(path)).rejects.toThrow(/ends before its samples/);
    writeFileSync(path, Buffer.concat([whole.subarray(0, 12), whole.subarray(36)]));
    await expect(readWavHeader(path)).rejects.toThrow(/no fmt chunk/);
  });
});

describe('writing WAV', () => {
  it('writes what ffprobe reads as 16 kHz mono 16-bit of the same length', async () => {
    const samples = Float32Array.from({ length: 12_345 }, (_, i) => Math.sin(i / 20) * 0.7);
    const path = join(folder, 'out.wav');
    writeFileSync(path, encodeWav(samples, 16_000));
    expect(ffprobeSec(path)).toBeCloseTo(12_345 / 16_000, 6);
    const back = ffmpegSamples(path);
    expect(back.length).toBe(samples.length);
    for (let i = 0; i < samples.length; i++) {
      expect(Math.abs(back[i]! - samples[i]!)).toBeLessThanOrEqual(0.5 / 32_768 + 1e-9);
    }
  });

  it('clips at full scale and keeps 16-bit samples bit for bit', () => {
    const bytes = encodeWav(Float32Array.of(1, -1, 2, -2, 1 / 32_768), 16_000);
    expect([44, 46, 48, 50, 52].map((at) => bytes.readInt16LE(at))).toEqual([
      32_767, -32_768, 32_767, -32_768, 1,
    ]);
    const path = join(folder, 's16.wav');
    writeTone(path, { channelHz: [440], layout: 'mono', durationSec: 0.1, sampleRateHz: 16_000 }, [
      '-bitexact',
      '-c:a',
      'pcm_s16le',
    ]);
    expect(encodeWav(ffmpegSamples(path), 16_000)).toEqual(readFileSync(path));
  });
});
