import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type AudioWindow,
  decodeAudio,
  encodeWav,
  openWindows,
  type WindowOptions,
  windowsOfSamples,
} from '../../../src/data/audio/index.js';
import { seededRandom } from '../../../src/engine/tensor/index.js';
import { ffmpeg, silencesOf } from './ffmpeg-clips.js';
import { writeWav } from './wav-writer.js';

const folder = mkdtempSync(join(tmpdir(), 'emoq-windows-'));
const at = (name: string): string => join(folder, name);
afterAll(() => rmSync(folder, { recursive: true }));

const RATE = 16_000;

/** Bursts of noise that swell and fade, with pauses; the times of the bursts in seconds. */
function bursts(count: number): { samples: Float32Array; times: [number, number][] } {
  const random = seededRandom('bursts of a test');
  const pieces: number[] = [];
  const times: [number, number][] = [];
  for (let i = 0; i < count; i++) {
    const [pause, length] = [0.3 + 1.2 * random.uniform(), 0.4 + 3 * random.uniform()].map((sec) =>
      Math.round(sec * RATE),
    );
    const volume = 0.05 + 0.4 * random.uniform();
    for (let k = 0; k < pause!; k++) pieces.push(0.0003 * random.normal());
    times.push([pieces.length / RATE, (pieces.length + length!) / RATE]);
    for (let k = 0; k < length!; k++) {
      pieces.push(volume * (0.6 + 0.4 * Math.sin(k / 1500)) * 0.3 * random.normal());
    }
  }
  return { samples: Float32Array.from(pieces), times };
}

const { samples: talk, times: talkTimes } = bursts(40);

/** Interleaves channels. */
function interleaved(...channels: Float32Array[]): Float32Array {
  const out = new Float32Array(channels[0]!.length * channels.length);
  for (const [c, channel] of channels.entries()) {
    for (let i = 0; i < channel.length; i++) out[i * channels.length + c] = channel[i]!;
  }
  return out;
}

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array): Buffer =>
  Buffer.from(buffer, byteOffset, byteLength);

async function windowsOf(path: string, options: WindowOptions = {}): Promise<AudioWindow[]> {
  const recording = await openWindows(path, options);
  const windows: AudioWindow[] = [];
  for await (const window of recording.read()) windows.push(window);
  expect(windows.map(({ startSec, endSec }) => ({ startSec, endSec }))).toEqual(recording.windows);
  return windows;
}

beforeAll(() => {
  writeFileSync(at('talk.wav'), encodeWav(talk, RATE));
  const inverted = talk.map((value) => -value * 0.9);
  writeFileSync(
    at('cancelled.wav'),
    writeWav(interleaved(talk, inverted), { encoding: 'pcm', bits: 16, channels: 2 }),
  );
  const loud = talk.map((value) => 3 * value);
  writeFileSync(at('loud.wav'), writeWav(loud, { encoding: 'float', bits: 32, channels: 1 }));
  const steps = talk.map((value) => Math.round(value * 32_000));
  writeFileSync(at('steps.wav'), writeWav(steps, { encoding: 'float', bits: 32, channels: 1 }));
  const odd = { encoding: 'pcm', bits: 12, sampleBytes: 2, channels: 1 } as const;
  writeFileSync(at('twelve.wav'), writeWav(talk, { ...odd, justified: 'right' }));
  writeFileSync(at('odd-rate.wav'), writeWav(talk, { ...odd, justified: 'right', sampleRateHz: 22_050 }));
  for (const [name, ...options] of [
    ['talk.flac'],
    ['talk.mp3', '-ar', '44100', '-ac', '2'],
    ['talk.ogg', '-ar', '48000', '-c:a', 'libopus'],
    ['talk.m4a', '-ar', '48000', '-ac', '6'],
    ['loud-48.wav', '-af', 'volume=4', '-ar', '48000', '-c:a', 'pcm_f32le'],
  ] as const) {
    ffmpeg('-i', at('talk.wav'), ...options, at(name));
  }
});

/** Processes of a program that this process has started and that have not ended, from /proc. */
function childrenNamed(program: string): string[] {
  return readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      const [, name, state, parent] = /\((.*)\) (\S) (\d+)/s.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'))!;
      return name === program && state !== 'Z' && Number(parent) === process.pid;
    } catch {
      return false; // it has just ended
    }
  });
}

describe('the windows of a recording', () => {
  it.each([
    ['talk.wav', {}],
    ['talk.flac', {}],
    ['talk.mp3', {}],
    ['talk.ogg', {}],
    ['talk.m4a', {}],
    ['talk.m4a', { channel: 'mix' }],
    ['talk.m4a', { channel: 3 }],
    ['cancelled.wav', {}],
    ['loud.wav', {}],
    ['loud-48.wav', {}],
    ['steps.wav', {}],
    ['twelve.wav', {}],
    ['odd-rate.wav', {}],
    ['talk.wav', { startSec: 7.3, maxDurationSec: 41.02 }],
    ['talk.flac', { startSec: 7.3, maxDurationSec: 41.02 }],
    ['talk.mp3', { startSec: 7.3, maxDurationSec: 41.02 }],
    ['loud.wav', { startSec: 5, maxDurationSec: 30 }],
  ] as const)('have the samples of the whole: %s %o', async (name, options) => {
    const whole = await decodeAudio(at(name), options);
    const windows = await windowsOf(at(name), options);
    expect(windows.length).toBeGreaterThan(3);
    const { startSec: from = 0 } = options as WindowOptions;
    for (const { startSec, endSec, samples } of windows) {
      const [first, end] = [Math.round((startSec - from) * RATE), Math.round((endSec - from) * RATE)];
      expect(bytesOf(samples).equals(bytesOf(whole.samples.subarray(first, end)))).toBe(true);
    }
    const recording = await openWindows(at(name), options);
    expect(recording.durationSec).toBe(whole.samples.length / RATE);
    expect(recording.byFfmpeg).toBe(whole.byFfmpeg);
    const ofWhole = whole.notes.filter(({ kind }) => kind !== 'clipped');
    expect(recording.notes).toEqual(ofWhole);
  });

  it('of samples are those of their file', async () => {
    const { samples } = await decodeAudio(at('talk.wav'));
    const rule = { kind: 'pauses', minSec: 2, maxSec: 8 } as const;
    const file = await windowsOf(at('talk.wav'), { rule });
    const recording = await windowsOfSamples('talk', samples, { rule });
    const windows: AudioWindow[] = [];
    for await (const window of recording.read()) windows.push(window);
    expect(windows.length).toBeGreaterThan(10);
    expect(windows).toEqual(file);
    expect(recording.durationSec).toBe(samples.length / RATE);
    const silence = await windowsOfSamples('silence', new Float32Array(3 * RATE));
    expect(silence.windows).toEqual([]);
    expect(silence.notes).toEqual([{ kind: 'silent', text: 'no sound' }]);
  });

  it('are 3 to 15 s long, in order, and hold every burst whole', async () => {
    const windows = await windowsOf(at('talk.wav'));
    for (const [i, { startSec, endSec }] of windows.entries()) {
      expect(endSec - startSec).toBeLessThanOrEqual(15);
      expect(endSec - startSec).toBeGreaterThanOrEqual(3 - 1e-9);
      expect(startSec).toBeGreaterThanOrEqual(windows[i - 1]?.endSec ?? 0);
    }
    for (const [start, end] of talkTimes) {
      const holding = windows.filter(({ startSec, endSec }) => startSec <= start && endSec >= end);
      expect(holding.length).toBe(1);
    }
  });

  it('may be read from any of them on', async () => {
    const recording = await openWindows(at('talk.mp3'));
    const all = await windowsOf(at('talk.mp3'));
    const digest = ({ samples, ...window }: AudioWindow) => ({
      ...window,
      checksum: sha256(bytesOf(samples)),
    });
    const rest: AudioWindow[] = [];
    for await (const window of recording.read(5)) rest.push(window);
    expect(rest.map(digest)).toEqual(all.slice(5).map(digest));
    for await (const window of recording.read(2)) {
      expect(digest(window)).toEqual(digest(all[2]!));
      break; // ends the decoding
    }
  });

  it.skipIf(!existsSync('/proc/self/stat')).each(['odd-rate.wav', 'talk.mp3'])(
    'end ffmpeg where not all of them are read: %s',
    async (name) => {
      const running = () => childrenNamed('ffmpeg');
      expect(running()).toEqual([]);
      const recording = await openWindows(at(name));
      for await (const _ of recording.read()) {
        expect(running()).toHaveLength(1);
        break;
      }
      await expect.poll(running, { timeout: 10_000 }).toEqual([]);
    },
  );

  it('are the same for every loudness and for a DC offset', async () => {
    const times = (await openWindows(at('talk.wav'))).windows;
    const form = { encoding: 'pcm', bits: 24, channels: 1 } as const;
    const [quiet, offset] = [
      talk.map((value) => value / 10 ** 0.75),
      talk.map((value) => value / 10 ** 0.3 + 0.3),
    ];
    writeFileSync(at('quiet.wav'), writeWav(quiet, form));
    writeFileSync(at('offset.wav'), writeWav(offset, form));
    for (const name of ['quiet.wav', 'offset.wav']) {
      const { windows } = await openWindows(at(name));
      expect(windows.length).toBe(times.length);
      for (const [i, { startSec, endSec }] of windows.entries()) {
        expect(Math.abs(startSec - times[i]!.startSec)).toBeLessThan(0.025);
        expect(Math.abs(endSec - times[i]!.endSec)).toBeLessThan(0.025);
      }
    }
  });

  it('that are flat at full scale are noted, and no others', async () => {
    const samples = talk.slice();
    const [start] = talkTimes[20]!;
    samples.fill(1, Math.round(start * RATE), Math.round(start * RATE) + 4000);
    writeFileSync(at('clipped.wav'), encodeWav(samples, RATE));
    const windows = await windowsOf(at('clipped.wav'));
    const noted = windows.filter(({ notes }) => notes.length > 0);
    expect(noted.map(({ notes }) => notes.map(({ kind }) => kind))).toEqual([['clipped']]);
    expect(noted[0]!.startSec).toBeLessThan(start);
    expect(noted[0]!.endSec).toBeGreaterThan(start);
  });
});

describe('a recording of 61 minutes', () => {
  const program = `
    import { openWindows } from '${new URL('../../../dist/data/audio/', import.meta.url).href}index.js';
    import { peakMemoryBytes } from '${new URL('../../../dist/base/', import.meta.url).href}index.js';
    const recording = await openWindows(process.argv[1]);
    let [windows, samples] = [0, 0];
    for await (const window of recording.read()) {
      windows += 1;
      samples += window.samples.length;
    }
    console.log(JSON.stringify({ windows, samples, peak: peakMemoryBytes(), sec: recording.durationSec }));`;

  it('is read in less than 200 MiB', () => {
    ffmpeg('-i', at('talk.wav'), '-ar', '16000', '-ac', '1', '-b:a', '32k', at('turn.mp3'));
    ffmpeg('-stream_loop', '-1', '-i', at('turn.mp3'), '-c', 'copy', '-t', '3660', at('hour.mp3'));
    const args = ['--input-type=module', '-e', program, at('hour.mp3')];
    const said = JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8' })) as Record<
      string,
      number
    >;
    expect(said.sec).toBeCloseTo(3660, 0);
    expect(said.windows).toBeGreaterThan(3660 / 15);
    expect(said.samples! / RATE).toBeGreaterThan(0.7 * 3660);
    expect(said.peak! / 2 ** 20).toBeLessThan(200);
  });
});

describe('a recording without pauses or without sound', () => {
  const noise = (sec: number, level: number): Float32Array => {
    const random = seededRandom('noise of a test');
    return Float32Array.from({ length: Math.round(sec * RATE) }, () => level * random.normal());
  };

  it('has no windows where it is silent, and says so', async () => {
    writeFileSync(at('zeros.wav'), encodeWav(new Float32Array(40 * RATE), RATE));
    writeFileSync(at('constant.wav'), encodeWav(new Float32Array(40 * RATE).fill(0.25), RATE));
    for (const name of ['zeros.wav', 'constant.wav']) {
      const recording = await openWindows(at(name));
      expect(recording.windows).toEqual([]);
      expect(recording.notes.map(({ kind }) => kind)).toEqual(['silent']);
      expect(await windowsOf(at(name))).toEqual([]);
    }
  });

  it('is cut into windows within the limits where it is steady: noise, a tone', async () => {
    writeFileSync(at('noise.wav'), encodeWav(noise(40, 0.1), RATE));
    const tone = Float32Array.from({ length: 40 * RATE }, (_, i) => 0.3 * Math.sin(i / 5));
    writeFileSync(at('tone.wav'), encodeWav(tone, RATE));
    for (const name of ['noise.wav', 'tone.wav']) {
      const { windows } = await openWindows(at(name));
      expect(windows[0]!.startSec).toBe(0);
      expect(windows.at(-1)!.endSec).toBe(40);
      for (const [i, { startSec, endSec }] of windows.entries()) {
        expect(endSec - startSec).toBeLessThanOrEqual(15);
        expect(endSec - startSec).toBeGreaterThanOrEqual(3);
        if (i > 0) expect(startSec).toBe(windows[i - 1]!.endSec);
      }
    }
  });

  it('of 0.05 s is one window', async () => {
    writeFileSync(at('short.wav'), encodeWav(noise(0.05, 0.1), RATE));
    const windows = await windowsOf(at('short.wav'));
    expect(windows.map(({ startSec, endSec }) => [startSec, endSec])).toEqual([[0, 0.05]]);
    expect(windows[0]!.samples.length).toBe(800);
  });
});

describe('a recording that cannot be read', () => {
  it('fails before its first window, with the words of decodeAudio', async () => {
    writeFileSync(at('empty.wav'), '');
    writeFileSync(at('no-samples.wav'), encodeWav(new Float32Array(0), RATE));
    writeFileSync(at('text.mp3'), 'not audio\n');
    const numbers = talk.slice();
    numbers[100_000] = Number.NaN;
    writeFileSync(at('nan.wav'), writeWav(numbers, { encoding: 'float', bits: 32, channels: 1 }));
    const flac = readFileSync(at('talk.flac'));
    writeFileSync(at('cut.flac'), flac.subarray(0, flac.length / 2));
    ffmpeg('-f', 'lavfi', '-i', 'testsrc=s=32x32:d=1', at('picture.mp4'));
    const names = [
      'missing.wav',
      'empty.wav',
      'no-samples.wav',
      'text.mp3',
      'nan.wav',
      'cut.flac',
      'picture.mp4',
    ];
    for (const name of names) {
      const reason = (error: Error): string => `${error.constructor.name}: ${error.message}`;
      const expected = await decodeAudio(at(name)).then(() => 'decoded', reason);
      expect(await openWindows(at(name)).then(() => 'opened', reason)).toBe(expected);
      expect(expected).toMatch(/^InputError: /);
    }
    await expect(openWindows(at('talk.wav'), { channel: 2 })).rejects.toThrow(/channel 2 does not exist/);
    await expect(openWindows(at('talk.wav'), { startSec: 1000 })).rejects.toThrow('holds no samples');
  });

  it('says so when it changed after it was surveyed', async () => {
    copyFileSync(at('talk.wav'), at('changing.wav'));
    const recording = await openWindows(at('changing.wav'));
    writeFileSync(at('changing.wav'), encodeWav(talk.subarray(0, 20 * RATE), RATE));
    await expect(async () => {
      for await (const window of recording.read()) void window;
    }).rejects.toThrow(/is shorter than when it was read first/);
  });

  it('stops when it is told to', async () => {
    const stop = new AbortController();
    const recording = await openWindows(at('talk.mp3'), { signal: stop.signal });
    await expect(async () => {
      for await (const window of recording.read()) {
        void window;
        stop.abort(new Error('enough'));
      }
    }).rejects.toThrow('enough');
    await expect(openWindows(at('talk.mp3'), { signal: stop.signal })).rejects.toThrow('enough');
  });
});

const realData = process.env.EMOQ_REAL_DATA;
if (!realData) console.log('skipped: the pauses of real speech (EMOQ_REAL_DATA is not set)');

describe.skipIf(!realData)('the pauses of real speech', () => {
  it('are those that ffmpeg finds, and no clip is cut where it speaks', async () => {
    const random = seededRandom('pauses between clips');
    const corpus = join(realData!, 'ravdess');
    const paths = readFileSync(join(corpus, 'metadata.csv'), 'utf8').trim().split('\n').slice(1, 31);
    const clips = await Promise.all(paths.map((line) => decodeAudio(join(corpus, line.split(',')[0]!))));
    const pieces = clips.flatMap(({ samples }) => [
      samples,
      new Float32Array(Math.round((0.3 + random.uniform()) * RATE)),
    ]);
    const joined = new Float32Array(pieces.reduce((sum, { length }) => sum + length, 0));
    let end = 0;
    for (const piece of pieces) {
      joined.set(piece, end);
      end += piece.length;
    }
    writeFileSync(at('clips.wav'), encodeWav(joined, RATE));
    const isQuiet = new Uint8Array(Math.ceil(joined.length / 160));
    for (const [start, end] of silencesOf(at('clips.wav'), -55, 0.2)) {
      isQuiet.fill(1, Math.round(100 * start), Math.round(100 * end));
    }
    const { windows } = await openWindows(at('clips.wav'));
    const inside = windows
      .flatMap(({ startSec, endSec }) => [startSec, endSec])
      .filter((sec) => {
        const level = Math.round(100 * sec);
        return (
          level > 0 &&
          level < isQuiet.length - 1 &&
          isQuiet.subarray(level - 5, level + 6).every((quiet) => !quiet)
        );
      });
    expect(inside.length).toBeLessThan(0.05 * 2 * windows.length);
    const covered = isQuiet.slice().fill(0);
    for (const { startSec, endSec } of windows)
      covered.fill(1, Math.round(100 * startSec), Math.round(100 * endSec));
    const sound = [...isQuiet.keys()].filter((level) => !isQuiet[level]);
    expect(sound.filter((level) => !covered[level]).length).toBeLessThan(0.02 * sound.length);
  });
});
