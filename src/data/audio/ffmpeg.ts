/**
 * @file The only door to ffmpeg (through fluent-ffmpeg): one file in, samples out through a pipe. The pipe carries a
 * float WAV rather than bare floats, because its header says how many channels there are and which is the centre;
 * so one process does what would otherwise take a probe and a decode.
 */

import { Writable } from 'node:stream';
import ffmpeg from 'fluent-ffmpeg';
import { errorMessage, InputError } from '../../base/index.js';
import type { InterleavedAudio } from './channels.js';
import { parseWav } from './wav.js';

/** What to decode, and at which rate it should come out. */
export interface FfmpegRequest {
  /** Absolute path. */
  path: string;
  sampleRateHz: number;
  startSec?: number | undefined;
  durationSec?: number | undefined;
  signal?: AbortSignal | undefined;
}

let probed: Promise<void> | undefined;

/** @throws InputError when there is no ffmpeg that runs. Looks once for the whole process. */
export function requireFfmpeg(): Promise<void> {
  probed ??= new Promise<void>((resolve, reject) => {
    ffmpeg().getAvailableEncoders((error, encoders) => {
      if (!error && encoders && 'pcm_f32le' in encoders) return resolve();
      const why = error ? ` (${oneLine(errorMessage(error))})` : '';
      reject(
        new InputError(
          `ffmpeg is not installed or does not run${why}: install it (Debian, Ubuntu: apt-get install ffmpeg) or set FFMPEG_PATH`,
        ),
      );
    });
  });
  return probed;
}

/**
 * Decodes the first audio stream of any file that ffmpeg reads, resampled, all channels interleaved.
 * @throws InputError when the file has no audio, cannot be decoded or is cut off; the message is one line.
 */
export async function decodeWithFfmpeg(request: FfmpegRequest): Promise<InterleavedAudio> {
  await requireFfmpeg();
  const output = await runFfmpeg(request);
  const audio = await parseWav(output.bytes, request.path);
  const decodedSec = audio.samples.length / audio.channels / request.sampleRateHz;
  const wantedSec = Math.min(
    output.announcedSec - (request.startSec ?? 0),
    request.durationSec ?? Number.POSITIVE_INFINITY,
  );
  // ffmpeg ends well on a file that stops in the middle. A clip much shorter than announced, together with a
  // complaint, is a broken one; without a complaint the sound may just end before the picture.
  if (output.complaint && decodedSec < 0.9 * wantedSec - 0.25) {
    throw new InputError(
      `${request.path} is truncated or damaged: ${decodedSec.toFixed(2)} s of ${wantedSec.toFixed(2)} s can be decoded (ffmpeg: ${output.complaint})`,
    );
  }
  return audio;
}

interface FfmpegOutput {
  bytes: Buffer;
  /** Container duration in seconds; NaN where the file does not say, or ffmpeg only guesses. */
  announcedSec: number;
  /** The first line that reports broken data, or ''. */
  complaint: string;
}

function runFfmpeg(request: FfmpegRequest): Promise<FfmpegOutput> {
  const { path, sampleRateHz, startSec, durationSec, signal } = request;
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let announcedSec = Number.NaN;
    let complaint = '';
    // The `file:` protocol keeps names with colons or a leading dash from being read as anything but a path.
    // A layout that the file does not state stays unknown: a guessed centre would be some microphone.
    const command = ffmpeg(`file:${path}`)
      .inputOptions(['-nostdin', '-hide_banner', '-nostats', '-threads 1', '-guess_layout_max 2'])
      .noVideo()
      .outputOptions(['-map 0:a:0', '-threads 1'])
      .audioCodec('pcm_f32le')
      .audioFrequency(sampleRateHz)
      .format('wav');
    if (startSec) command.seekInput(startSec);
    if (durationSec !== undefined) command.duration(durationSec);

    const abort = (): void => void command.kill('SIGKILL');
    const finish = (): void => signal?.removeEventListener('abort', abort);
    command.on('start', () => {
      if (signal?.aborted) abort();
      else signal?.addEventListener('abort', abort, { once: true });
    });
    command.on('codecData', (data: { duration?: string }) => {
      announcedSec = clockToSec(data.duration ?? '');
    });
    command.on('stderr', (line: string) => {
      if (/Estimating duration from bitrate/.test(line)) announcedSec = Number.NaN;
      if (/partial file|corrupt|invalid|error while decoding|failed|do not match/i.test(line)) {
        complaint ||= oneLine(line);
      }
    });
    command.on('error', (error: Error, _stdout: unknown, stderr: string | null) => {
      finish();
      if (signal?.aborted) reject(signal.reason);
      else reject(new InputError(`${path} ${explain(stderr ?? '', error)}`));
    });
    command.on('end', () => {
      finish();
      resolve({ bytes: Buffer.concat(chunks), announcedSec, complaint });
    });
    // fluent-ffmpeg takes an early 'close' of its target for a failure, so the target never emits one.
    const sink = new Writable({
      autoDestroy: false,
      emitClose: false,
      write(chunk: Buffer, _encoding, done) {
        chunks.push(chunk);
        done();
      },
    });
    command.pipe(sink, { end: true });
  });
}

function explain(stderr: string, error: Error): string {
  if (/matches no streams|does not contain any stream/.test(stderr)) return 'has no audio stream';
  if (/moov atom not found/.test(stderr)) return 'is truncated or not a video file (moov atom not found)';
  const lines = stderr.split('\n').filter((line) => /invalid|error|failed|not found|denied/i.test(line));
  return `cannot be decoded (ffmpeg: ${oneLine(lines[0] ?? errorMessage(error))})`;
}

/** Drops the `[demuxer @ 0x55...]` prefix, whose address differs on each run, and keeps one line. */
function oneLine(text: string): string {
  return text
    .replace(/\[[^\]]* @ 0x[0-9a-f]+\]\s*/g, '')
    .replace(/\s*[\r\n]+\s*/g, '; ')
    .trim()
    .slice(0, 200);
}

function clockToSec(clock: string): number {
  const match = /^(\d+):(\d\d):(\d\d(?:\.\d+)?)$/.exec(clock.trim());
  return match ? Number(match[1]) * 3600 + Number(match[2]) * 60 + Number(match[3]) : Number.NaN;
}
