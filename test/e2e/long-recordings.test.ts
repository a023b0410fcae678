/** @file Predictions for recordings that are longer than a model takes: windows, their mean, the timeline, memory. */

import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodeWav } from '../../src/data/audio/index.js';
import { emoq } from '../cli/command-line.js';
import { ffmpeg } from '../data/audio/ffmpeg-clips.js';
import { csvRows, makeWorkspace } from './workspace.js';

const work = makeWorkspace('long');
afterAll(() => work.remove());

const RATE = 16_000;
const classes = ['angry', 'happy', 'neutral', 'sad'];

/** Tones of these lengths, each followed by silence. */
function tones(...stretches: readonly (readonly [toneSec: number, silenceSec: number])[]): Float32Array {
  return Float32Array.from(
    stretches.flatMap(([toneSec, silenceSec], at) => [
      ...Array.from({ length: toneSec * RATE }, (_, i) => 0.4 * Math.sin((i * (at + 2)) / 20)),
      ...Array.from({ length: silenceSec * RATE }, () => 0),
    ]),
  );
}

const rowsOf = (rows: Record<string, string>[], path: string) => rows.filter((row) => row.path === path);
const timesOf = (rows: Record<string, string>[]) =>
  rows.map(({ start, end }) => [Number(start), Number(end)]);

beforeAll(async () => {
  await work.smallRun('good'); // whose max_audio_sec is 2
  const call = tones([1.5, 1], [1.25, 0.5], [1.5, 2], [1.75, 0]); // 9.5 s
  work.file('calls/call.wav', encodeWav(call, RATE));
  work.file('calls/short.wav', encodeWav(tones([1, 0]), RATE));
  work.file('calls/mute.wav', encodeWav(tones([0, 5]), RATE));
  work.file('calls/stereo.wav', encodeWav(call, RATE));
  ffmpeg('-i', work.path('calls/call.wav'), '-ac', '2', '-ar', '44100', work.path('calls/call.mp3'));
  work.file(
    'calls.csv',
    [
      'path,text',
      ...['call.wav', 'short.wav', 'mute.wav', 'call.mp3', 'gone.wav'].map(
        (name) => `calls/${name},some words`,
      ),
    ].join('\n'),
  );
});

const predict = (output: string, ...rest: string[]) =>
  work.done('predict', 'calls.csv', '-o', output, '--run', 'good', ...rest);

describe('a recording that is longer than a model takes', () => {
  it('has a row for each window, and one for the whole: the mean weighted by length', async () => {
    await predict('auto.csv');
    const all = csvRows(work, 'auto.csv');
    const rows = rowsOf(all, 'calls/call.wav');
    const windows = rows.slice(0, -1);
    const whole = rows.at(-1)!;
    const expected = [
      [0, 1.75],
      [2.25, 4],
      [4, 5.99],
      [7.5, 9.5],
    ];
    expect(windows.length).toBe(4);
    for (const [i, [start, end]] of timesOf(windows).entries()) {
      expect(start).toBeCloseTo(expected[i]![0]!, 0);
      expect(end).toBeCloseTo(expected[i]![1]!, 0);
      expect(end! - start!).toBeLessThanOrEqual(2);
    }
    expect([whole.start, whole.end, whole.error]).toEqual(['0', '9.5', '']);
    expect(whole.note).toBe('windows: the mean of 4 windows, weighted by length');
    const lengths = timesOf(windows).map(([start, end]) => end! - start!);
    const total = lengths.reduce((sum, sec) => sum + sec);
    for (const name of classes) {
      const mean = windows.reduce(
        (sum, row, i) => sum + (Number(row[`prob_${name}`]) * lengths[i]!) / total,
        0,
      );
      expect(Number(whole[`prob_${name}`])).toBeCloseTo(mean, 6);
    }
    expect(rowsOf(all, 'calls/call.mp3').length).toBe(5);
  });

  it('leaves short recordings as they are, and claims nothing for silence', async () => {
    const all = csvRows(work, 'auto.csv');
    expect(rowsOf(all, 'calls/short.wav').map(({ end, note, error }) => [end, note, error])).toEqual([
      ['1', '', ''],
    ]);
    const [mute, ...others] = rowsOf(all, 'calls/mute.wav');
    expect(others).toEqual([]);
    expect([mute!.label, mute!.error, mute!.note]).toEqual([
      '',
      'there is no sound in it',
      'windows: none; silent: no sound',
    ]);
    expect(rowsOf(all, 'calls/gone.wav').map(({ error }) => /does not exist/.test(error!))).toEqual([true]);
    expect([...new Set(all.map(({ path }) => path))].length).toBe(5);
  });

  it('counts once when the output is scored, by the row for the whole', async () => {
    const calls = work.read('calls.csv').toString().trim().split('\n');
    work.file('labelled.csv', calls.map((row, i) => `${row},${i === 0 ? 'label' : 'happy'}`).join('\n'));
    await work.done('predict', 'labelled.csv', '-o', 'labelled-out.csv', '--run', 'good');
    const rows = csvRows(work, 'labelled-out.csv');
    expect(rows.length).toBe(13);
    const { stdout, stderr } = await work.done('eval', '--predictions', 'labelled-out.csv', '--json');
    const wholes = rows.filter(({ note }) => note!.startsWith('windows: ')).length;
    expect(stderr).toContain(`${rows.length - 5} rows for windows of long recordings are left out`);
    expect(wholes).toBe(3); // call.wav, mute.wav, call.mp3
    expect(JSON.parse(stdout).n).toBe(5);
  });

  it('is judged by its beginning, or on a grid, if asked to', async () => {
    await predict('off.csv', '--windows', 'off');
    const off = csvRows(work, 'off.csv');
    expect(off.length).toBe(5);
    expect(off[0]!.note).toBe('cut: judged on the first 2 s of 9.5 s');
    await predict('grid.csv', '--windows', '1.5');
    const grid = rowsOf(csvRows(work, 'grid.csv'), 'calls/call.wav');
    // From 6 s to 7.5 s there is silence; the last two windows share what is left.
    expect(timesOf(grid)).toEqual([
      [0, 1.5],
      [1.5, 3],
      [3, 4.5],
      [4.5, 6],
      [7.5, 8.5],
      [8.5, 9.5],
      [0, 9.5],
    ]);
  });

  it('may be a part of a file', async () => {
    work.file('parts.csv', 'path,start,end,text\ncalls/call.wav,2.25,8.5,x\ncalls/call.wav,0,1,x\n');
    await work.done('predict', 'parts.csv', '-o', 'parts.out.csv', '--run', 'good');
    const rows = csvRows(work, 'parts.out.csv');
    const times = timesOf(rows);
    expect(times.at(-2)).toEqual([2.25, 8.5]);
    expect(times.at(-1)).toEqual([0, 1]);
    expect(times[0]![0]).toBeGreaterThanOrEqual(2.25);
    expect(times.at(-3)![1]).toBeLessThanOrEqual(8.5);
  });

  it('is refused windows that the model does not take', async () => {
    const args = ['predict', 'calls.csv', '-o', 'no.csv', '--run', 'good', '--windows'];
    expect(await work.refused(...args, '3')).toContain(
      'windows of 3 s are longer than what the model takes: its max_audio_sec is 2',
    );
    expect(await work.refused(...args, '0.1')).toContain('windows of 0.1 s are too short');
  });
});

describe('the timeline of predictions', () => {
  it('is a page beside the output, with the recordings where they are', async () => {
    await predict('drawn.csv', '--timeline', 'calls/page.html');
    const html = readFileSync(work.path('calls/page.html'), 'utf8');
    expect([...html.matchAll(/<h2[^>]*>(?:<bdi>)?([^<]*)/g)].map(([, name]) => name)).toEqual(
      ['call.wav', 'short.wav', 'mute.wav', 'call.mp3', 'gone.wav'].map((name) => `calls/${name}`),
    );
    expect([...html.matchAll(/<audio[^>]* src="([^"]*)"/g)].map(([, address]) => address)).toEqual([
      'call.wav',
      'short.wav',
      'mute.wav',
      'call.mp3',
    ]);
    expect(html.match(/data-seek=/g)!.length).toBe(9);
    expect(html).toContain('No answer: there is no sound in it');
    expect(html).toMatch(/This is the mean of 4 windows/);
  });

  it('is drawn from any kind of output, also where no row has a note', async () => {
    const pages: string[] = [];
    for (const output of ['one.csv', 'one.tsv', 'one.jsonl']) {
      await work.done(
        ...['predict', 'calls/short.wav', '-o', output, '--run', 'good', '--timeline', 'one.html'],
      );
      pages.push(
        readFileSync(work.path('one.html'), 'utf8').replaceAll('<wbr>', '').replaceAll(output, 'one'),
      );
    }
    expect(pages[0]!.match(/data-seek=/g)).toHaveLength(1);
    expect(pages).toEqual([pages[0], pages[0], pages[0]]);
  });

  it('needs an output that it is drawn from', async () => {
    const args = ['predict', 'calls.csv', '--run', 'good', '--timeline'];
    expect(await work.refused(...args, 'page.html')).toContain('--timeline is drawn from the output');
    expect(await work.refused(...args, 'same.csv', '-o', 'same.csv')).toContain('is the output same.csv');
  });
});

describe('a recording of 61 minutes', () => {
  it('is predicted in less than 400 MiB', async () => {
    const turn = tones([1.5, 0.3], [1.25, 0.5], [1.8, 2], [1.75, 0.4]);
    work.file('turn.wav', encodeWav(turn, RATE));
    ffmpeg(
      '-stream_loop',
      '-1',
      '-i',
      work.path('turn.wav'),
      '-t',
      '3660',
      '-c:a',
      'pcm_s16le',
      work.path('hour.wav'),
    );
    work.file(
      'peak.mjs',
      `import { writeFileSync } from 'node:fs';
import { peakMemoryBytes } from '${new URL('../../dist/base/index.js', import.meta.url).href}';
process.on('exit', () => writeFileSync(${JSON.stringify(work.path('peak.json'))}, String(peakMemoryBytes())));\n`,
    );
    const { code, stderr } = await emoq(
      ['predict', 'hour.wav', '-o', 'hour.csv', '--run', 'good', '--timeline', 'hour.html'],
      work.dir,
      {
        EMOQ_CACHE: work.path('cache'),
        ...process.env,
        NODE_OPTIONS: `--import ${work.path('peak.mjs')}`,
      },
    );
    expect(code, stderr).toBe(0);
    const rows = csvRows(work, 'hour.csv');
    expect(rows.at(-1)!.note).toMatch(/^windows: the mean of \d{4} windows/);
    expect(Number(rows.at(-1)!.end)).toBe(3660);
    const peakMib = Number(readFileSync(work.path('peak.json'), 'utf8')) / 2 ** 20;
    expect(peakMib).toBeLessThan(400);
  });
});
