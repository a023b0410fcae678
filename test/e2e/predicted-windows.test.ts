/** @file Recordings that are longer than the model reads: a row for each window, and one for the whole. */

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodeWav } from '../../src/data/audio/index.js';
import { emoqBin, run } from '../cli/command-line.js';
import { csvRows, makeWorkspace } from './workspace.js';

const work = makeWorkspace('windowed');
afterAll(() => work.remove());

const RATE_HZ = 16_000;
/** Three tones with silences between them: 0.2-1.4, 2-3.2 and 4-5.2 s of 6 s. */
const SOUND = [
  [0.2, 1.4, 200],
  [2, 3.2, 350],
  [4, 5.2, 500],
] as const;

beforeAll(async () => {
  await work.smallRun('good'); // whose max_audio_sec is 2
  const samples = new Float32Array(6 * RATE_HZ);
  for (const [start, end, hz] of SOUND) {
    for (let i = start * RATE_HZ; i < end * RATE_HZ; i++) {
      samples[i] = 0.4 * Math.sin((2 * Math.PI * hz * i) / RATE_HZ);
    }
  }
  work.file('long.wav', encodeWav(samples, RATE_HZ));
  work.file('silent.wav', encodeWav(new Float32Array(5 * RATE_HZ), RATE_HZ));
  work.file('short.wav', encodeWav(samples.slice(2 * RATE_HZ, 3.2 * RATE_HZ), RATE_HZ));
});

const LABELS = ['neutral', 'happy', 'angry', 'sad'];
type Row = Record<string, string>;

async function predicted(input: string, output: string, ...args: string[]): Promise<Row[]> {
  await work.done('predict', input, '-o', output, '--run', 'good', ...args);
  return csvRows(work, output);
}

const spans = (rows: readonly Row[]) => rows.map(({ start, end }) => [Number(start), Number(end)] as const);

describe('a long recording', () => {
  it('has a row for each window between its pauses, and one with their mean for the whole', async () => {
    work.file('table.csv', 'path,id\nshort.wav,a\nlong.wav,b\nsilent.wav,c\nshort.wav,d\n');
    const rows = await predicted('table.csv', 'out.csv');
    expect(rows.map(({ id }) => id)).toEqual(['a', 'b', 'b', 'b', 'b', 'c', 'd']);
    const windows = rows.slice(1, 4);
    for (const [index, [start, end]] of spans(windows).entries()) {
      const [from, to] = SOUND[index]!;
      expect(start).toBeLessThanOrEqual(from);
      expect(end).toBeGreaterThanOrEqual(to);
      expect(end - start).toBeLessThanOrEqual(2);
    }
    const whole = rows[4]!;
    expect(spans([whole])).toEqual([[0, 6]]);
    const lengths = spans(windows).map(([start, end]) => end - start);
    const total = lengths.reduce((sum, length) => sum + length, 0);
    const means = LABELS.map((label) =>
      windows.reduce((sum, row, index) => sum + (lengths[index]! / total) * Number(row[`prob_${label}`]), 0),
    );
    for (const [index, label] of LABELS.entries()) {
      expect(Number(whole[`prob_${label}`])).toBeCloseTo(means[index]!, 5);
    }
    expect(whole.label).toBe(LABELS[means.indexOf(Math.max(...means))]);
    expect(rows[5]).toMatchObject({ label: '', error: expect.stringContaining('no sound in its 5.0 s') });
    // Each window is judged as a recording of its own.
    const parts = spans(windows).map(([start, end]) => `long.wav,${start},${end}`);
    work.file('parts.csv', `path,start,end\n${parts.join('\n')}\n`);
    for (const [index, row] of (await predicted('parts.csv', 'parts-out.csv')).entries()) {
      expect(Number(row.prob_happy)).toBeCloseTo(Number(windows[index]!.prob_happy), 5);
    }
  });

  it('has windows of equal length where seconds are given, and none with off', async () => {
    work.file('one.csv', 'path,start,end\nlong.wav,,\nlong.wav,2,5.5\n');
    const grid = await predicted('one.csv', 'grid.csv', '--windows', '1.5');
    expect(spans(grid)).toEqual([
      [0, 1.5],
      [1.5, 3],
      [3, 4.5],
      [4.5, 6],
      [0, 6],
      [2, 3.5],
      [3.5, 4.5],
      [4.5, 5.5],
      [2, 5.5],
    ]);
    const off = await predicted('one.csv', 'off.csv', '--windows', 'off');
    expect(spans(off)).toEqual([
      [0, 2],
      [2, 4],
    ]);
    expect(off.map(({ note }) => note)).toEqual([
      'cut: judged on the first 2 s of 6.0 s',
      'cut: judged on the first 2 s of 3.5 s',
    ]);
    expect(await work.refused('predict', 'one.csv', '-o', 'x.csv', '--run', 'good', '--windows', '5')).toBe(
      'error: --windows 5 is longer than the 2 s that the model reads (max_audio_sec); use less',
    );
  });

  it('is drawn over time on a page that plays it', async () => {
    work.file('table.csv', 'path\nshort.wav\nlong.wav\nsilent.wav\ngone.wav\n');
    await predicted('table.csv', 'drawn.csv', '--timeline', 'pages/drawn.html');
    const page = work.read('pages/drawn.html').toString();
    expect(page).toContain('Emotions in 4 recordings');
    for (const name of ['short.wav', 'long.wav', 'silent.wav']) expect(page).toContain(`src="../${name}"`);
    expect(page).toContain('no sound in its 5.0 s');
    expect(page).not.toContain('src="../gone.wav"');
    await work.done('predict', 'long.wav', '-o', 'one.csv', '--run', 'good', '--timeline', 'one.html');
    expect(work.read('one.html').toString()).toContain('Emotions in long.wav');
  });

  it('is predicted in the same bytes wherever the disk was full', async () => {
    const rows = Array.from({ length: 80 }, (_, i) => (i % 17 === 5 ? 'long.wav' : 'short.wav'));
    work.file('many.csv', `path\n${rows.join('\n')}\n`);
    const args = ['predict', 'many.csv', '--run', 'good', '--windows', '0.5', '--threads', '1'];
    await work.done(...args, '-o', 'whole.csv');
    const env = { EMOQ_CACHE: work.path('../features'), NO_COLOR: '1' };
    const limited = (kib: number) =>
      run(
        'bash',
        ['-c', `ulimit -f ${kib}; exec "$0" "$@"`, process.execPath, emoqBin, ...args, '-o', 'y.csv'],
        work.dir,
        env,
      );
    const kept: number[] = [];
    for (const kib of [6, 12, 20]) {
      expect(await limited(kib)).toMatchObject({ code: 1, stderr: expect.stringContaining('EFBIG') });
      kept.push(work.read('y.partial.csv').length);
    }
    expect(new Set(kept).size).toBe(3);
    await work.done(...args, '-o', 'y.csv');
    expect(work.read('y.csv').equals(work.read('whole.csv'))).toBe(true);
  });
});
