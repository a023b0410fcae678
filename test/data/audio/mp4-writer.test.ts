/** @file MP4 clips for raw releases: real AAC in the layouts of the real releases, and the speech decoded from them. */

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { decodeAudio } from '../../../src/data/audio/index.js';
import { writeMp4 } from '../../../src/data/audio/mp4-writer.js';

const scratch = mkdtempSync(join(tmpdir(), 'emoq-mp4-test-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const tone = Float32Array.from(
  { length: 20_000 },
  (_, i) => 0.5 * Math.sin((2 * Math.PI * 300 * i) / 16_000),
);

function probe(path: string): string {
  const wanted = 'stream=codec_type,codec_name,sample_rate,channels';
  const args = ['-v', 'error', '-show_entries', wanted, '-of', 'csv=p=0', path];
  return execFileSync('ffprobe', args, { encoding: 'utf8' }).trim();
}

describe('MP4 clips', () => {
  it.each([
    ['surround', 6],
    ['stereo', 2],
  ] as const)(
    '%s: %i channels of AAC at 48 kHz under a picture, and the speech back out',
    async (layout, channels) => {
      const path = join(scratch, `${layout}.mp4`);
      await writeMp4(path, tone, { layout });
      expect(probe(path)).toBe(`mpeg4,video\naac,audio,48000,${channels}`);
      const decoded = (await decodeAudio(path)).samples;
      expect(Math.abs(decoded.length - tone.length)).toBeLessThan(1600);
      let product = 0;
      let power = 0;
      for (let i = 2000; i < 18_000; i++) {
        product += decoded[i]! * tone[i]!;
        power += tone[i]! ** 2;
      }
      expect(product / power).toBeGreaterThan(0.95); // same level, and less than a sample of delay
    },
  );

  it('the same samples give the same bytes, and nothing is left beside the clip', async () => {
    const folder = join(scratch, 'twice');
    await writeMp4(join(folder, 'a.mp4'), tone, { layout: 'surround' });
    await writeMp4(join(folder, 'b.mp4'), tone, { layout: 'surround' });
    expect(readFileSync(join(folder, 'a.mp4')).equals(readFileSync(join(folder, 'b.mp4')))).toBe(true);
    expect(readdirSync(folder).sort()).toEqual(['a.mp4', 'b.mp4']);
  });

  it('an abort leaves no clip', async () => {
    const path = join(scratch, 'never.mp4');
    await expect(writeMp4(path, tone, { layout: 'stereo', signal: AbortSignal.abort() })).rejects.toThrow();
    expect(readdirSync(scratch)).not.toContain('never.mp4');
  });
});
