/**
 * @file A recording opens no other file: formats that name other files, URLs or programs are rejected, whatever the
 * file name.
 */

import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { InputError } from '../../../src/base/index.js';
import { decodeAudio, decodeAudioFiles, ffmpegVersion } from '../../../src/data/audio/index.js';
import { ffmpeg, type Tone, writeTone } from './ffmpeg-clips.js';

const folder = mkdtempSync(join(tmpdir(), 'emoq-formats-'));
const at = (name: string): string => join(folder, name);
afterAll(() => rmSync(folder, { recursive: true }));

beforeAll(() => {
  const tone: Tone = { channelHz: [300], layout: 'mono', durationSec: 0.5 };
  writeTone(at('secret.wav'), tone);
  writeTone(at('secret.ts'), tone);
  writeTone(at('fine.flac'), tone);
});

const MASTER = '#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n';
const LISTS: Record<string, [format: string, content: () => string | Buffer]> = {
  'concat.wav': ['concat', () => 'ffconcat version 1.0\nfile secret.wav\n'],
  'unsafe.wav': ['concat', () => `ffconcat version 1.0\nfile '${at('secret.wav')}'\n`],
  'concat.mp3': ['concat', () => 'ffconcat version 1.0\nfile secret.wav\n'],
  'hls.wav': ['hls', () => `${MASTER}secret.ts\n#EXT-X-ENDLIST\n`],
  'hls.m3u8': ['hls', () => `${MASTER}secret.ts\n#EXT-X-ENDLIST\n`],
  'far.m3u8': ['hls', () => `${MASTER}http://127.0.0.1:9/x.ts\n#EXT-X-ENDLIST\n`],
  'sdp.wav': [
    'sdp',
    () => 'v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n',
  ],
  'dash.mpd': [
    'dash',
    () =>
      '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><Period><AdaptationSet mimeType="audio/mp4"><Representation id="1" bandwidth="1"><BaseURL>secret.wav</BaseURL></Representation></AdaptationSet></Period></MPD>\n',
  ],
  'subtitles.wav': [
    'srt',
    () => '1\n00:00:00,000 --> 00:00:01,000\nhello\n\n2\n00:00:01,000 --> 00:00:02,000\nx\n',
  ],
  'picture.wav': [
    'png_pipe',
    () =>
      ffmpeg(
        '-f',
        'lavfi',
        '-i',
        'color=s=16x16:d=0.1',
        '-frames:v',
        '1',
        '-f',
        'image2pipe',
        '-c:v',
        'png',
        '-',
      ),
  ],
  'metadata.wav': ['ffmetadata', () => ';FFMETADATA1\ntitle=x\n'],
  'raw.sw': ['s16le', () => Buffer.alloc(4000, 3)],
};

/** ffmpeg 5 and 6 name the format that they refuse. */
const usual = /^[56]\./.test((await ffmpegVersion()) ?? '');

describe('what is no recording', () => {
  it.each(Object.keys(LISTS))('%s is refused by its format, in one line', async (name) => {
    const [format, content] = LISTS[name]!;
    writeFileSync(at(name), content());
    const said = [await decodeAudio(at(name)).catch((thrown: unknown) => thrown)];
    const [bad, good] = await decodeAudioFiles([{ path: at(name) }, { path: at('fine.flac') }], folder);
    expect(good).toHaveProperty('samples');
    for (const error of [...said, 'error' in bad! ? bad.error : undefined]) {
      expect(error).toBeInstanceOf(InputError);
      const { message } = error as Error;
      expect(message).not.toContain('\n');
      // Not every version names the format, or uses its usual name.
      const refused = `is not a recording but of (?:the format "${format}"|a format), which emoq does not open`;
      expect(message).toMatch(new RegExp(`^${at(name)} (?:${refused}: .*|cannot be decoded .*)$`));
      if (usual) expect(message).toContain(`the format "${format}"`);
    }
  });

  it('is nothing that a name could make ffmpeg open', async () => {
    const names = ['http:', 'concat:secret.wav|secret.wav', 'lavfi', 'pipe:0', 'frame-%03d.png', 'data:text'];
    for (const name of names) {
      writeFileSync(at(name), 'these are only words');
      await expect(decodeAudio(at(name)), name).rejects.toThrow(/cannot be decoded|is not a recording/);
    }
    mkdirSync(at('concat:a'));
    writeTone(at('concat:a/b.flac'), { channelHz: [300], layout: 'mono', durationSec: 0.2 });
    expect((await decodeAudio(at('concat:a/b.flac'))).samples.length).toBe(3200);
  });
});

describe('every ffmpeg that emoq starts', () => {
  it('is given the allowed protocol and formats of its inputs', () => {
    // A wrapper that records how ffmpeg was called, then runs it.
    const spy = at('ffmpeg-spy');
    writeFileSync(spy, `#!/bin/sh\necho "$*" >> '${at('calls')}'\nexec ffmpeg "$@"\n`);
    chmodSync(spy, 0o755);
    const dist = new URL('../../../dist/data/audio/', import.meta.url).href;
    writeFileSync(at('odd.wav'), oddWav());
    const code = `
      const audio = await import('${dist}index.js');
      const { writeMp4 } = await import('${dist}mp4-writer.js');
      const at = (name) => ${JSON.stringify(`${folder}/`)} + name;
      await audio.decodeAudio(at('fine.flac'));
      await audio.decodeAudio(at('odd.wav'));
      await audio.decodeAudioFiles([{ path: at('fine.flac') }, { path: at('secret.wav') }], at('.'));
      await audio.encodeFlacFiles([{ wav: at('secret.wav'), flac: at('secret.flac') }]);
      await audio.encodeMp3(new Float32Array(1600));
      await writeMp4(at('made.mp4'), new Float32Array(1600), { layout: 'stereo' });`;
    execFileSync(process.execPath, ['--input-type=module', '-e', code], {
      env: { ...process.env, FFMPEG_PATH: spy },
    });
    const calls = readFileSync(at('calls'), 'utf8').trim().split('\n');
    const working = calls.filter((call) => / -i /.test(call));
    expect(working).toHaveLength(6);
    for (const call of working) {
      // The options before each input, except our own generated one.
      const inputs = call.replace(/-f lavfi -i \S+/, '').split(/ -i /);
      for (const options of inputs.slice(0, -1)) {
        expect(options).toMatch(/-protocol_whitelist (?:file|pipe) -format_whitelist \S+/);
        expect(options).not.toMatch(/[ ,](?:concat|hls|dash|sdp|image2|lavfi|srt)[ ,]/);
      }
      for (const [, input] of call.matchAll(/ -i (\S+)/g)) expect(input).toMatch(/^(?:file:|pipe:|color=)/);
    }
  });
});

/** A WAV that must be read here and resampled by ffmpeg: its header has no size. */
function oddWav(): Buffer {
  const bytes = readFileSync(at('secret.wav'));
  bytes.writeUInt32LE(0, bytes.indexOf('data') + 4);
  return bytes;
}
