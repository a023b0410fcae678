/**
 * @file Unusual recordings in the tables of prepare-csv and predict, and what both report about them; corpora decoded
 * by two versions of ffmpeg.
 */

import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodeWav } from '../../src/data/audio/index.js';
import { emoq, type Outcome } from '../cli/command-line.js';
import { amplitudeAt, ffmpegSamples, writeTone } from '../data/audio/ffmpeg-clips.js';
import { writeWav } from '../data/audio/wav-writer.js';
import { csvRows, makeWorkspace } from './workspace.js';

const work = makeWorkspace('recordings');
afterAll(() => work.remove());

const sine = (hz: number, amplitude: number, seconds: number, channels = 1): Float32Array =>
  Float32Array.from({ length: seconds * 16_000 * channels }, (_, i) => {
    const [frame, channel] = [Math.floor(i / channels), i % channels];
    return amplitude * Math.sin((2 * Math.PI * (hz + 200 * channel) * frame) / 16_000);
  });
const wav = (samples: Float32Array): Buffer => encodeWav(samples, 16_000);
const clip = (samples: Float32Array): Float32Array =>
  samples.map((value) => Math.max(-1, Math.min(1, value)));

beforeAll(async () => {
  await work.smallRun('good'); // whose max_audio_sec is 2
  const tone = sine(300, 0.5, 1);
  const files: Record<string, Buffer> = {
    fine: wav(sine(300, 0.5, 1)),
    long: wav(sine(300, 0.5, 7)),
    silent: wav(new Float32Array(16_000)),
    'silent-then': wav(Float32Array.from([...new Float32Array(40_000), ...sine(300, 0.5, 1)])),
    clipped: wav(clip(sine(300, 5, 1))),
    range: writeWav(sine(300, 16_000.5, 1), { encoding: 'float', bits: 32, channels: 1 }),
    opposite: writeWav(
      Float32Array.from({ length: 32_000 }, (_, i) => (i % 2 ? -1 : 1) * tone[i >> 1]!),
      { encoding: 'pcm', bits: 16, channels: 2 },
    ),
    call: writeWav(sine(300, 0.5, 1, 2), { encoding: 'pcm', bits: 16, channels: 2 }),
    cut: writeWav(sine(300, 0.5, 2), { encoding: 'pcm', bits: 16, channels: 1, cutBytes: 6000 }),
    stream: writeWav(sine(300, 0.5, 1), { encoding: 'pcm', bits: 16, channels: 1, dataSize: 0 }),
  };
  for (const [name, bytes] of Object.entries(files)) work.file(`calls/${name}.wav`, bytes);
  writeTone(work.path('calls/long.mp3'), { channelHz: [300], layout: 'mono', durationSec: 7 });
  writeTone(work.path('calls/long.flac'), { channelHz: [300, 500], layout: 'stereo', durationSec: 7 });
});

const predict = (input: string, output: string, ...rest: string[]): Promise<Outcome> =>
  work.done('predict', input, '-o', output, '--run', 'good', '--windows', 'off', ...rest);

describe('predict', () => {
  const NOTES: [file: string, note: string | RegExp][] = [
    ['fine.wav', ''],
    ['long.wav', 'cut: judged on the first 2 s of 7.0 s'],
    ['silent.wav', 'silent: no sound'],
    ['silent-then.wav', 'cut: judged on the first 2 s of 3.5 s; silent: no sound'],
    ['clipped.wav', /^clipped: 8\d\.\d % of its samples are at full scale$/],
    ['range.wav', 'rescaled: its float samples are in the range of 16-bit integers: divided by that'],
    ['opposite.wav', 'channel: its 2 channels cancel each other when mixed: channel 1 was taken alone'],
    ['cut.wav', 'incomplete: 1.81 s of the 2.00 s that its header promises'],
    ['stream.wav', ''],
    ['long.mp3', /^cut: judged on the first 2 s of 7\.[01] s$/],
    ['long.flac', 'cut: judged on the first 2 s of 7.0 s'],
  ];
  const warning =
    'warning: audio of 11 rows: 4 cut to their beginning (first line 3), 2 silent (first line 4), 1 clipped (first line 6), 1 rescaled (first line 7), 1 with channels that cancel each other (first line 8), 1 incomplete (first line 9); see the column "note"\n';

  it('says in a column what should be known of a recording, and counts it on stderr', async () => {
    work.file('calls/all.csv', `path,text\n${NOTES.map(([file]) => `${file},x`).join('\n')}\n`);
    const { stderr } = await predict('calls/all.csv', 'all.csv');
    expect(stderr).toContain(warning);
    const rows = csvRows(work, 'all.csv');
    expect(Object.keys(rows[0]!).slice(-5)).toEqual(['margin', 'start', 'end', 'note', 'error']);
    for (const [index, [file, note]] of NOTES.entries()) {
      const row = rows[index]!;
      if (typeof note === 'string') expect(row.note, file).toBe(note);
      else expect(row.note, file).toMatch(note);
      expect([row.error, row.label], file).toEqual(['', expect.stringMatching(/\w/)]);
    }
    await predict('calls/all.csv', 'all.jsonl');
    const lines = work.read('all.jsonl').toString().trim().split('\n');
    const notes = lines.map((line) => (JSON.parse(line) as { note?: string }).note ?? '');
    expect(notes).toEqual(rows.map(({ note }) => note));
  });

  it('says nothing where there is nothing to say', async () => {
    work.file('calls/fine.csv', 'path,text\nfine.wav,x\n');
    const { stderr } = await predict('calls/fine.csv', 'fine.csv');
    expect(stderr).not.toContain('warning');
  });

  it('judges a cut recording as its beginning alone', async () => {
    work.file('calls/head.wav', wav(sine(300, 0.5, 2)));
    work.file('calls/heads.csv', 'path,text\nhead.wav,x\nlong.wav,x\n');
    await predict('calls/heads.csv', 'heads.csv');
    const [head, long] = csvRows(work, 'heads.csv');
    expect(head!.prob_happy).toBe(long!.prob_happy);
  });

  it('knows stored floats from what ffmpeg says of them, indented as version 4 does too', async () => {
    const floats = { encoding: 'float', bits: 32, channels: 1, sampleRateHz: 44_100 } as const;
    work.file('calls/range44.wav', writeWav(sine(300, 16_000.5, 1), floats));
    work.file('calls/range44.csv', 'path\nrange44.wav\n');
    work.file('four/ffmpeg', `#!/bin/bash\nffmpeg "$@" 2> >(sed 's/^  Stream #/    Stream #/' >&2)\n`);
    chmodSync(work.path('four/ffmpeg'), 0o755);
    const env = { EMOQ_CACHE: work.path('../features'), FFMPEG_PATH: work.path('four/ffmpeg') };
    const args = ['predict', 'calls/range44.csv', '-o', 'range44.csv', '--run', 'good'];
    const { code, stderr } = await emoq(args, work.dir, env);
    expect(code, stderr).toBe(0);
    expect(csvRows(work, 'range44.csv')[0]!.note).toMatch(/^rescaled: /);
  });

  it('takes channels from a column and an option, and reports a row with fewer', async () => {
    work.file('calls/left.wav', wav(sine(300, 0.5, 1)));
    work.file('calls/right.wav', wav(sine(500, 0.5, 1)));
    const rows = [
      'left.wav,',
      'right.wav,1',
      'call.wav,1',
      'call.wav,2.0',
      'call.wav,mix',
      'call.wav,',
      'call.wav,3',
    ];
    work.file('calls/channels.csv', `path,channel\n${[...rows, 'call.wav,left'].join('\n')}\n`);
    const { stderr } = await predict('calls/channels.csv', 'channels.csv');
    expect(stderr).toContain('2 of 8 rows could not be predicted');
    const found = csvRows(work, 'channels.csv');
    const [left, right, first, second, mix, none, third, words] = found.map(
      (row) => row.prob_happy || row.error,
    );
    expect([first, second, none]).toEqual([left, right, mix]);
    expect(new Set([left, right, mix]).size).toBe(3);
    expect(third).toBe(
      `audio file ${work.path('calls/call.wav')}: channel 3 does not exist: it has 2 channels`,
    );
    expect(words).toContain('is neither a number from 1 nor mix');
    await predict('calls/channels.csv', 'second.csv', '--channel', '2');
    const optional = csvRows(work, 'second.csv').map((row) => row.prob_happy || row.error);
    expect(optional[0]).toBe(
      `audio file ${work.path('calls/left.wav')}: channel 2 does not exist: it has 1 channel`,
    );
    expect(optional.slice(1)).toEqual([right, first, second, mix, second, third, words]);
    expect(
      await work.refused('predict', 'calls/fine.csv', '-o', 'x.csv', '--run', 'good', '--channel', '0'),
    ).toBe('error: --channel 0 is neither a number from 1 nor mix');
  });
});

describe('prepare-csv', () => {
  it('makes two clips of the two channels of one call, and keeps the call in one split', async () => {
    const rows = ['call.wav,happy,1', 'call.wav,sad,2', 'fine.wav,happy,', 'long.wav,sad,'];
    work.file('calls/two.csv', `path,label,channel\n${rows.join('\n')}\n`);
    await work.done('prepare-csv', 'calls/two.csv', '--name', 'two', '--test-share', '0.4');
    const made = csvRows(work, 'data/two/manifest.csv');
    expect(made.map(({ id }) => id)).toEqual(['call_ch1', 'call_ch2', 'fine', 'long']);
    expect(made[0]!.split).toBe(made[1]!.split);
    const samples = made.map(({ path }) => ffmpegSamples(work.path('data/two', path!)));
    expect(amplitudeAt(samples[0]!, 300)).toBeCloseTo(0.5, 2);
    expect(amplitudeAt(samples[1]!, 500)).toBeCloseTo(0.5, 2);
    const info = JSON.parse(work.read('data/two/manifest.json').toString()) as {
      notes: object;
      ffmpeg?: string;
    };
    expect(info.notes).toMatchObject({
      cut: [
        { id: 'call_ch1', reason: 'channel 1 of call.wav' },
        { id: 'call_ch2', reason: 'channel 2 of call.wav' },
      ],
    });
    expect(info).not.toHaveProperty('ffmpeg'); // no content that it could decode
    const { stderr } = await work.done(
      'prepare-csv',
      'calls/two.csv',
      '--name',
      'two',
      '--test-share',
      '0.4',
    );
    expect(stderr).toContain('already prepared');
  });

  it('takes parts of channels, and one channel of all', async () => {
    const rows = ['call.wav,happy,1,0,0.5,train', 'call.wav,sad,2,0,0.5,train', 'call.wav,sad,,0.5,1,test'];
    work.file('calls/parts.csv', `path,label,channel,start,end,split\n${rows.join('\n')}\n`);
    await work.done('prepare-csv', 'calls/parts.csv', '--name', 'parts', '--channel', '2');
    const made = csvRows(work, 'data/parts/manifest.csv');
    expect(made.map(({ id }) => id)).toEqual(['call_0-0.5_ch1', 'call_0-0.5_ch2', 'call_0.5-1']);
    const levels = made.map(({ path }) => amplitudeAt(ffmpegSamples(work.path('data/parts', path!)), 500));
    for (const [index, level] of [0, 0.5, 0.5].entries()) expect(levels[index]).toBeCloseTo(level, 2);
  });

  it('reads a part that ffmpeg cannot seek to, as in some versions at the end of a FLAC', async () => {
    const rows = ['long.flac,happy,6.5,6.8,train', 'long.flac,sad,6.8,7,train', 'long.flac,sad,0,1,test'];
    work.file('calls/ends.csv', `path,label,start,end,split\n${rows.join('\n')}\n`);
    await work.done('prepare-csv', 'calls/ends.csv', '--name', 'ends');
    // Every seek ends after the audio; the messages are those of ffmpeg 7 and 9.
    const script = `#!/bin/bash
args=() lost=
for arg; do
  if [[ \${args[-1]:-} == -ss && " \${args[*]} " != *" -i "* ]]; then lost=1 arg=9999; fi
  args+=("$arg")
done
[[ $lost ]] && echo '[in#0/flac @ 0x1] could not seek to position 0.300' >&2
exec ffmpeg "\${args[@]}"
`;
    work.file('lost/ffmpeg', script);
    chmodSync(work.path('lost/ffmpeg'), 0o755);
    const env = { EMOQ_CACHE: work.path('../features'), FFMPEG_PATH: work.path('lost/ffmpeg') };
    const { code, stderr } = await emoq(['prepare-csv', 'calls/ends.csv', '--name', 'lost'], work.dir, env);
    expect(code, stderr).toBe(0);
    const clips = csvRows(work, 'data/ends/manifest.csv');
    expect(clips.map(({ duration_sec }) => Number(duration_sec))).toEqual([0.3, 0.2, 1]);
    const inside = 200; // the resampler sees other samples at the edges
    for (const { path } of clips) {
      const [found, lost] = ['ends', 'lost'].map((name) => ffmpegSamples(work.path('data', name, path!)));
      expect(lost).toHaveLength(found!.length);
      const differences = found!.map((value, index) => Math.abs(value - lost![index]!));
      expect(Math.max(...differences.slice(inside, -inside)), path).toBeLessThan(1e-3);
      expect(amplitudeAt(lost!, 300), path).toBeGreaterThan(0.05);
    }
  });

  it('refuses a channel that is none with its line, one that is not there with its count', async () => {
    work.file('calls/web.csv', 'path,label,channel\nfine.wav,happy,web\n');
    expect(await work.refused('prepare-csv', 'calls/web.csv', '--name', 'web')).toBe(
      'error: calls/web.csv, line 2: channel "web" is neither a number from 1 nor mix; rename the column if it is not one of audio channels',
    );
    work.file('calls/three.csv', 'path,label,channel\nfine.wav,happy,1\ncall.wav,sad,3\n');
    const { code, stderr } = await work.run('prepare-csv', 'calls/three.csv', '--name', 'three');
    expect(code).toBe(2);
    expect(stderr).toContain('call_ch3: call.wav: channel 3 does not exist: it has 2 channels');
  });

  it('counts what should be known of the clips, and writes it down', async () => {
    const names = ['fine', 'silent', 'clipped', 'range', 'opposite', 'cut', 'stream'];
    work.file('calls/odd.csv', `path,label\n${names.map((name) => `${name}.wav,happy`).join('\n')}\n`);
    const { stderr } = await work.done('prepare-csv', 'calls/odd.csv', '--name', 'odd');
    expect(stderr).toContain(
      'warning: audio: 1 silent (first silent), 1 clipped (first clipped), 1 with channels that cancel each other (first opposite), 1 rescaled (first range), 1 incomplete (first cut); manifest.json has each with its reason\n',
    );
    const { notes } = JSON.parse(work.read('data/odd/manifest.json').toString()) as { notes: object };
    expect(notes).toMatchObject({
      silent: [{ id: 'silent', reason: 'no sound' }],
      clipped: [{ id: 'clipped' }],
      channel: [{ id: 'opposite' }],
      rescaled: [{ id: 'range' }],
      incomplete: [{ id: 'cut', reason: '1.81 s of the 2.00 s that its header promises' }],
    });
  });
});

describe('training', () => {
  it('warns of the sound of its clips, those that are in the cache already too', async () => {
    const row = (id: string, file: string, label: string, split: string) =>
      `${id},${file}.wav,${label},x,${split}`;
    const rows = [
      row('a', 'fine', 'happy', 'train'),
      row('b', 'silent', 'sad', 'train'),
      row('c', 'clipped', 'angry', 'train'),
      row('d', 'stream', 'neutral', 'train'),
      row('e', 'opposite', 'neutral', 'dev'),
      row('f', 'fine', 'neutral', 'test'),
    ];
    work.file('calls/manifest.csv', `id,path,label,text,split\n${rows.join('\n')}\n`);
    const told =
      'warning: audio of 5 clips: 1 silent (first b), 1 clipped (first c), 1 with channels that cancel each other (first e)\n';
    for (const run of ['first', 'second']) {
      const args = ['--recipe', 'small.yaml', '--manifest', 'calls/manifest.csv', '--run', run];
      const { stderr } = await work.done('stage1', ...args);
      expect(stderr).toContain(told);
    }
  });
});

describe('two versions of ffmpeg', () => {
  /** The installed ffmpeg, reporting another version and optionally decoding slightly differently. */
  const version = (name: string, filter = ''): Record<string, string> => {
    mkdirSync(work.path('bin'), { recursive: true });
    const path = work.path('bin', name);
    const say = `case "$*" in *-version*) echo "ffmpeg version ${name} Copyright"; exit 0;; esac`;
    const call = filter === '' ? 'exec ffmpeg "$@"' : `exec ffmpeg ${filter} "$@"`;
    writeFileSync(path, `#!/bin/sh\n${say}\n${call}\n`);
    chmodSync(path, 0o755);
    return { FFMPEG_PATH: path };
  };
  const env = { NO_COLOR: '1', EMOQ_CACHE: work.path('../features') };
  const prepare = (ffmpeg: Record<string, string>) =>
    emoq(['prepare-csv', 'calls/mixed.csv', '--name', 'mixed'], work.dir, { ...env, ...ffmpeg });
  const info = () => JSON.parse(work.read('data/mixed/manifest.json').toString()) as { ffmpeg?: string };
  const journal = () => work.read('data/mixed/preparation.jsonl').toString().trim().split('\n');

  const train = [
    ...['stage1', '--recipe', 'small.yaml'],
    ...['--manifest', 'data/mixed/manifest.csv', '--run', 'mixed'],
  ];
  let first: Outcome;

  beforeAll(async () => {
    const rows = ['fine.wav,happy,train', 'long.mp3,sad,train', 'other.flac,angry,train'];
    rows.push('stream.wav,neutral,dev', 'call.wav,sad,test');
    work.file('calls/mixed.csv', `path,label,split\n${rows.join('\n')}\n`);
    work.file('calls/other.flac', work.read('calls/long.flac'));
    first = await prepare(version('5.0'));
    await work.done(...train);
  });

  it('do not make one corpus: clips of the other one are decoded again and reported; runs on them are refused', async () => {
    const [old, next] = [version('5.0'), version('9.9')];
    expect(first.stderr).toContain('converted 5 clips');
    expect(info().ffmpeg).toBe('5.0');
    expect((await prepare(old)).stderr).toContain('already prepared');
    const { stderr } = await prepare(next);
    expect(stderr).toContain('converted 2 clips');
    expect(stderr).toContain(
      'warning: 2 clips were decoded by ffmpeg 5.0; they have been decoded again with ffmpeg 9.9, so that all use the same version\n',
    );
    expect(info().ffmpeg).toBe('9.9');
    expect(journal().filter((line) => line.includes('"ffmpeg":"9.9"'))).toHaveLength(2);
    expect(await work.refused(...train)).toContain(
      'the manifest has changed: its clips were decoded with ffmpeg 5.0, and are now decoded with ffmpeg 9.9',
    );
    expect(await work.refused('eval', '--run', 'mixed', '--stage', '1')).toContain(
      'are now decoded with ffmpeg 9.9',
    );
    expect((await prepare(old)).stderr).toContain('decoded again with ffmpeg 5.0');
    await work.done('eval', '--run', 'mixed', '--stage', '1');
  });

  it('and an interrupted preparation: it continues with the clips that ffmpeg did not decode', async () => {
    const [old, next] = [version('5.0'), version('9.9')];
    await prepare(old);
    // The state after a kill: three of five clips are recorded.
    work.file('data/mixed/preparation.jsonl', `${journal().slice(0, 3).join('\n')}\n`);
    expect((await prepare(next)).stderr).toContain('converted 4 clips');
    expect(info().ffmpeg).toBe('9.9');
  });

  it('and no ffmpeg at all: a corpus that is prepared stays so', async () => {
    await prepare(version('5.0'));
    const { code, stderr } = await prepare({ PATH: '/nonexistent', FFMPEG_PATH: '' });
    expect([code, stderr]).toEqual([0, expect.stringContaining('already prepared')]);
    expect(info().ffmpeg).toBe('5.0');
  });

  it('and a run from before versions were recorded resumes unchanged', async () => {
    const metadata = JSON.parse(work.read('mixed/stage1/run.json').toString()) as {
      manifest: { ffmpeg?: string };
    };
    expect(metadata.manifest.ffmpeg).toBe('5.0');
    delete metadata.manifest.ffmpeg;
    work.file('mixed/stage1/run.json', JSON.stringify(metadata));
    await prepare(version('9.9'));
    await work.done('eval', '--run', 'mixed', '--stage', '1');
  });
});
