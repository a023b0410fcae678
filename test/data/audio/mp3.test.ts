/** @file Audio for web pages: small MP3s that every browser plays. */

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { decodeAudio, encodeMp3, encodeWav, SAMPLE_RATE_HZ } from '../../../src/data/audio/index.js';
import { ffmpeg, ffprobeSec } from './ffmpeg-clips.js';

const dir = mkdtempSync(join(tmpdir(), 'emoq-mp3-'));
afterAll(() => rmSync(dir, { recursive: true }));

const SECONDS = 3;
/** A tone that rises from 200 Hz to 2 kHz, so that every moment is different. */
const tone = Float32Array.from(
  { length: SECONDS * SAMPLE_RATE_HZ },
  (_, i) => 0.5 * Math.sin(2 * Math.PI * (200 + (300 * i) / SAMPLE_RATE_HZ) * (i / SAMPLE_RATE_HZ)),
);

/** Writes an MP3 and returns its path. */
function saved(mp3: Uint8Array): string {
  const file = join(dir, 'heard.mp3');
  writeFileSync(file, mp3);
  return file;
}

/** A file's stream according to ffprobe. */
function probe(file: string): Record<string, string | number> {
  const entries = 'stream=codec_name,sample_rate,channels,bit_rate';
  const args = ['-v', 'error', '-show_entries', entries, '-of', 'json', file];
  return JSON.parse(execFileSync('ffprobe', args).toString()).streams[0];
}

/** The largest correlation of two sounds over delays of up to 0.1 s: encoders begin with silence. */
function likeness(a: Float32Array, b: Float32Array): number {
  const length = Math.min(a.length, b.length) - SAMPLE_RATE_HZ / 10;
  let best = 0;
  for (let delay = 0; delay < SAMPLE_RATE_HZ / 10; delay += 1) {
    let [ab, aa, bb] = [0, 0, 0];
    for (let i = 0; i < length; i += 7) {
      const [x, y] = [a[i]!, b[i + delay]!];
      [ab, aa, bb] = [ab + x * y, aa + x * x, bb + y * y];
    }
    best = Math.max(best, ab / Math.sqrt(aa * bb));
  }
  return best;
}

describe('a recording for the page', () => {
  it('is mono MP3 at 3 kB a second, and sounds like the original', async () => {
    const mp3 = await encodeMp3(tone);
    const heard = saved(mp3);
    expect(probe(heard)).toMatchObject({
      codec_name: 'mp3',
      sample_rate: '16000',
      channels: 1,
      bit_rate: '24000',
    });
    expect(mp3.length).toBeLessThan(3000 * (SECONDS + 0.2));
    expect(likeness(tone, (await decodeAudio(heard)).samples)).toBeGreaterThan(0.98);
  });

  it('is the same bytes each time', async () => {
    expect((await encodeMp3(tone)).equals(await encodeMp3(tone))).toBe(true);
  });

  it('is as long as the sound', async () => {
    const sec = ffprobeSec(saved(await encodeMp3(tone.subarray(0, SAMPLE_RATE_HZ))));
    expect(sec).toBeGreaterThan(0.99);
    expect(sec).toBeLessThan(1.2);
  });

  it('is the MP3 that ffmpeg makes of a prepared clip', async () => {
    const clip = join(dir, 'clip.wav');
    writeFileSync(clip, encodeWav(tone, SAMPLE_RATE_HZ));
    const options = ['-c:a', 'libmp3lame', '-b:a', '24k', '-map_metadata', '-1', '-write_xing', '0'];
    const bitexact = ['-id3v2_version', '0', '-fflags', '+bitexact', '-flags:a', '+bitexact'];
    const wanted = ffmpeg('-i', clip, ...options, ...bitexact, '-f', 'mp3', 'pipe:1');
    expect((await encodeMp3((await decodeAudio(clip)).samples)).equals(wanted)).toBe(true);
  });

  it('stops when aborted', async () => {
    await expect(encodeMp3(tone, AbortSignal.abort(new Error('stopped')))).rejects.toThrow('stopped');
  });
});
