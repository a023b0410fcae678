/**
 * @file Several files in one ffmpeg process: the same samples as one by one, and every error assigned to its own file.
 */

import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { InputError } from '../../../src/base/index.js';
import {
  type DecodedAudio,
  decodeAudio,
  decodeAudioFiles,
  encodeFlacFiles,
  encodeWav,
  type UndecodedAudio,
} from '../../../src/data/audio/index.js';
import { ffmpeg, ffmpegSamples, writeTone } from './ffmpeg-clips.js';

const folder = mkdtempSync(join(tmpdir(), 'emoq-decode-files-'));
const scratch = join(folder, 'scratch');
const at = (name: string): string => join(folder, name);
afterAll(() => rmSync(folder, { recursive: true }));

const audioUrl = JSON.stringify(new URL('../../../dist/data/audio/index.js', import.meta.url).href);

beforeAll(() => {
  mkdirSync(scratch);
  const surround = { channelHz: [300, 400, 500, 60, 700, 800], layout: '5.1' as const, video: true };
  writeTone(at('surround.mp4'), { ...surround, durationSec: 1.2 });
  writeTone(at('stereo.mp4'), { channelHz: [300, 500], layout: 'stereo', durationSec: 0.7, video: true });
  writeTone(at('mono.mp3'), { channelHz: [350], layout: 'mono', durationSec: 0.9, sampleRateHz: 44_100 });
  writeTone(at('quad.flac'), { channelHz: [300, 400, 500, 600], layout: '4.0', durationSec: 0.5 });
  writeTone(at('native.wav'), { channelHz: [300], layout: 'mono', durationSec: 0.4, sampleRateHz: 16_000 });
  ffmpeg('-i', at('surround.mp4'), '-c', 'copy', '-movflags', '+faststart', at('fast.mp4'));
});

/** Either half of an outcome; the other is undefined. */
const outcome = (found: DecodedAudio | UndecodedAudio | undefined) =>
  found as Partial<Omit<DecodedAudio, 'kind'> & Omit<UndecodedAudio, 'kind'>>;

const GOOD = ['surround.mp4', 'native.wav', 'stereo.mp4', 'mono.mp3', 'quad.flac', 'surround.mp4'];

describe('decodeAudioFiles', () => {
  it('gives the samples that decodeAudio gives, bit for bit, and leaves nothing behind', async () => {
    const together = await decodeAudioFiles(
      GOOD.map((name) => ({ path: at(name) })),
      scratch,
    );
    for (const [index, name] of GOOD.entries()) {
      expect(together[index], name).toEqual(await decodeAudio(at(name)));
    }
    expect(outcome(together[0]).samples).toEqual(
      ffmpegSamples(at('surround.mp4'), '-af', 'pan=mono|c0=FC', '-ar', '16000'),
    );
    expect(readdirSync(scratch)).toEqual([]);
  });

  it('takes parts of files', async () => {
    const parts = [
      { path: at('surround.mp4'), startSec: 0.25, maxDurationSec: 0.5 },
      { path: at('quad.flac'), startSec: 0.3 },
      { path: at('native.wav'), maxDurationSec: 0.1 },
    ];
    const together = await decodeAudioFiles(parts, scratch);
    for (const [index, { path, ...part }] of parts.entries()) {
      expect(together[index]).toEqual(await decodeAudio(path, part));
    }
    expect(together.map((found) => outcome(found).samples?.length)).toEqual([8000, 3200, 1600]);
  });

  it('tells each fault with its own file, in the words of decodeAudio, and decodes the others', async () => {
    writeFileSync(at('words.mp4'), 'these are only words');
    writeFileSync(at('cut.mp4'), readFileSync(at('fast.mp4')).subarray(0, 30_000));
    ffmpeg('-f', 'lavfi', '-i', 'testsrc=s=32x32:d=0.3', at('nosound.mp4'));
    writeFileSync(at('empty.mp4'), '');
    const bad = ['words.mp4', 'cut.mp4', 'nosound.mp4', 'empty.mp4', 'missing.mp4'];
    const names = [...GOOD, ...bad].sort();
    const together = await decodeAudioFiles(
      names.map((name) => ({ path: at(name) })),
      scratch,
    );
    for (const [index, name] of names.entries()) {
      const alone = await decodeAudio(at(name)).catch((error: unknown) => error);
      if (bad.includes(name)) {
        expect(alone, name).toBeInstanceOf(InputError);
        expect(outcome(together[index]).error?.message).toBe((alone as Error).message);
      } else expect(together[index], name).toEqual(alone);
    }
    expect(outcome(together[names.indexOf('cut.mp4')]).error?.message).toMatch(
      /cut\.mp4 is truncated or damaged/,
    );
    expect(readdirSync(scratch)).toEqual([]);
  });

  it('takes sound without a single packet for what it is', async () => {
    // A video clip whose AAC track is announced but empty.
    ffmpeg(
      ...['-f', 'lavfi', '-i', 'testsrc=s=32x32:r=10:d=0.5', '-f', 'lavfi', '-t', '0.5', '-i', 'anullsrc'],
      ...['-filter:a', 'atrim=end=0', '-c:v', 'libx264', '-c:a', 'aac', at('hollow.mp4')],
    );
    const [hollow] = await decodeAudioFiles([{ path: at('hollow.mp4') }, { path: at('mono.mp3') }], scratch);
    expect(outcome(hollow).error).toBeInstanceOf(InputError);
    expect(outcome(hollow).error?.message).toMatch(
      /hollow\.mp4 (?:holds no samples|has no audio stream|cannot be decoded)/,
    );
  });

  it('takes file names as they are: quotes, spaces, other scripts, a leading dash, a line break', async () => {
    const names = [
      "quote's.mp4",
      'double".mp4',
      'two  spaces é 你好.mp4',
      '-dash.mp4',
      '%d.mp4',
      'line\nbreak.mp4',
    ];
    for (const name of names) copyFileSync(at('stereo.mp4'), at(name));
    const stereo = await decodeAudio(at('stereo.mp4'));
    const together = await decodeAudioFiles(
      names.map((name) => ({ path: at(name) })),
      scratch,
    );
    expect(together).toEqual(names.map(() => stereo));
    expect(await decodeAudio(at('line\nbreak.mp4'))).toEqual(stereo);
  });

  it('is not misled by what a file says of itself', async () => {
    const title = 'title=Error writing trailer: invalid, Exiting normally, received signal 9';
    ffmpeg('-i', at('stereo.mp4'), '-c', 'copy', '-metadata', title, at('titled.mp4'));
    const [titled] = await decodeAudioFiles([{ path: at('titled.mp4') }, { path: at('quad.flac') }], scratch);
    expect(outcome(titled).samples).toEqual((await decodeAudio(at('stereo.mp4'))).samples);
    expect(await decodeAudio(at('titled.mp4'))).toEqual(titled);
  });

  it('ends when it is aborted, and leaves nothing behind', async () => {
    const stop = new AbortController();
    const work = decodeAudioFiles(
      GOOD.map((name) => ({ path: at(name) })),
      scratch,
      stop.signal,
    );
    setTimeout(() => stop.abort(), 20);
    await expect(work).rejects.toThrow(/abort/i);
    expect(readdirSync(scratch)).toEqual([]);
  });
});

describe('what is not the fault of a file', () => {
  /** Runs code in a separate process and parses its output as JSON. */
  const inChild = (code: string, options: { env?: NodeJS.ProcessEnv; uid?: number } = {}): unknown =>
    JSON.parse(
      execFileSync(
        process.execPath,
        ['--input-type=module', '-e', `const { decodeAudio } = await import(${audioUrl});\n${code}`],
        { encoding: 'utf8', ...options },
      ),
    );

  it('an ffmpeg that is killed from outside is not bad input', () => {
    const killed = at('ffmpeg-killed');
    writeFileSync(killed, '#!/bin/sh\ncase "$*" in *-i\\ file:*) kill -9 $$;; *) exec ffmpeg "$@";; esac\n');
    chmodSync(killed, 0o755);
    const said = inChild(
      `const error = await decodeAudio(${JSON.stringify(at('stereo.mp4'))}).catch((thrown) => thrown);
       console.log(JSON.stringify([error.name, error.message]));`,
      { env: { ...process.env, FFMPEG_PATH: killed } },
    );
    expect(said).toEqual([
      'Error',
      'ffmpeg was ended from outside (killed with signal SIGKILL); run again to go on',
    ]);
  });

  it('a file that may not be read says so, with the cause', () => {
    const path = at('secret.wav');
    writeFileSync(path, encodeWav(new Float32Array(800).fill(0.1), 16_000));
    chmodSync(path, 0);
    chmodSync(folder, 0o755);
    const isRoot = process.getuid?.() === 0; // root may read everything, so the child runs as another user
    const said = inChild(
      `const error = await decodeAudio(${JSON.stringify(path)}).catch((thrown) => thrown);
       console.log(JSON.stringify([error.name, error.message, error.cause?.code]));`,
      isRoot ? { uid: 65_534 } : {},
    );
    expect(said).toEqual([
      'InputError',
      `audio file ${path} cannot be read: EACCES: permission denied, open '${path}'`,
      'EACCES',
    ]);
  });
});

describe('encodeFlacFiles', () => {
  it('writes the same samples, and the same bytes each time', async () => {
    const samples = Float32Array.from(
      { length: 12_345 },
      (_, i) => 0.7 * Math.sin(i / 20) * Math.sin(i / 999),
    );
    const wav = encodeWav(samples, 16_000);
    const files = [0, 1].map((index) => ({ wav: at(`${index}.wav`), flac: at(`${index}.flac`) }));
    for (const file of files) writeFileSync(file.wav, wav);
    await encodeFlacFiles(files);
    const [flac, wave] = [await decodeAudio(files[0]!.flac), await decodeAudio(files[0]!.wav)];
    expect(flac.samples).toEqual(wave.samples);
    expect([flac.byFfmpeg, wave.byFfmpeg]).toEqual([true, false]);
    expect(readFileSync(files[0]!.flac).equals(readFileSync(files[1]!.flac))).toBe(true);
    expect(readFileSync(files[0]!.flac).length).toBeLessThan(0.7 * wav.length);
  });

  it('says where a disk is full', async () => {
    writeFileSync(at('a.wav'), encodeWav(new Float32Array(800), 16_000));
    await expect(encodeFlacFiles([{ wav: at('a.wav'), flac: '/dev/full' }])).rejects.toThrow(
      /^ENOSPC: ffmpeg cannot write FLAC \(.*No space left on device.*\), writing \/dev\/full$/,
    );
  });
});
