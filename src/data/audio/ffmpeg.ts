/**
 * @file The only module that runs ffmpeg, through fluent-ffmpeg. Its output is float WAV rather than raw floats,
 * because the WAV header gives the channel count and layout; one process then does the work of a probe and a decode.
 * Starting ffmpeg costs several times as much as decoding a clip of a few seconds, so many short clips share a process.
 */

import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough, Readable, Writable } from 'node:stream';
import ffmpeg, { type FfmpegCommand } from 'fluent-ffmpeg';
import { errorMessage, InputError } from '../../base/index.js';
import { FILE_INPUT_OPTIONS, findProgram, inspectProgram, pipeInputOptions } from './ffmpeg-metadata.js';
import {
  compareLengths,
  describeInput,
  ENDED,
  explain,
  type FfmpegReport,
  mostTelling,
  oneLine,
  readMessages,
} from './ffmpeg-output.js';
import type { InterleavedAudio } from './pcm.js';
import { encodeWav, parseWav, parseWavStream } from './wav.js';

/** What to decode. */
export interface FfmpegInput {
  /** Absolute path. */
  path: string;
  startSec?: number | undefined;
  durationSec?: number | undefined;
}

/** ffmpeg's output for one input. */
export interface FfmpegAudio extends InterleavedAudio {
  /** Length of the whole file in seconds, if the file gives it. */
  fileSec: number | undefined;
  /** Its samples were stored as floats, rather than produced by a codec or converted from integers. */
  isFloat: boolean;
}

let probed: Promise<void> | undefined;
let version: Promise<string | undefined> | undefined;

/** @throws InputError when no working ffmpeg is found. Checks once per process. */
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
 * Version of ffmpeg, such as `5.1.9-0+deb12u1`: codecs may give different samples in another version. Asks once per
 * process.
 * @returns undefined if no working ffmpeg is found
 */
export function ffmpegVersion(): Promise<string | undefined> {
  version ??= findProgram('ffmpeg')
    .then((path) => (path === undefined ? undefined : inspectProgram(path, 0)))
    .then(
      (program) => program?.version,
      () => undefined,
    );
  return version;
}

/**
 * Decodes the first audio stream of any file that ffmpeg supports, resampled, all channels interleaved, through a pipe.
 * @throws InputError when the file has no audio, cannot be decoded or is cut off; the message is one line
 */
export function decodeWithFfmpeg(
  input: FfmpegInput,
  sampleRateHz: number,
  signal?: AbortSignal,
): Promise<FfmpegAudio> {
  return decodeAlone(input, sampleRateHz, 'seek', signal);
}

/** How to reach a part: by seeking, or by decoding everything before it. */
export type Way = 'seek' | 'read';

async function decodeAlone(
  input: FfmpegInput,
  sampleRateHz: number,
  way: Way,
  signal: AbortSignal | undefined,
): Promise<FfmpegAudio> {
  await requireFfmpeg();
  const { sink, chunks } = memorySink();
  const command = ffmpegOf([input], way);
  addWavOutput(command, sink, 0, input, sampleRateHz);
  const report = await runFfmpeg(command, signal);
  if (way === 'seek' && report.isSeekLost) return decodeAlone(input, sampleRateHz, 'read', signal);
  refuseFailure(input, report);
  const audio = await parseWav(Buffer.concat(chunks), input.path);
  refuseShort(input, report, lengthSec(audio));
  return { ...audio, ...describeInput(report, 0) };
}

function refuseFailure({ path }: FfmpegInput, { failure }: FfmpegReport): void {
  if (failure !== undefined) throw new InputError(`${path} ${explain(failure)}`);
}

function refuseShort(
  input: FfmpegInput,
  { complaint, announcedSec }: FfmpegReport,
  decodedSec: number,
): void {
  const { wantedSec, isShort } = compareLengths(decodedSec, input, announcedSec[0]);
  if (!isShort || !complaint) return;
  throw new InputError(
    `${input.path} is truncated or damaged: ${decodedSec.toFixed(2)} s of ${wantedSec.toFixed(2)} s can be decoded (ffmpeg: ${complaint})`,
  );
}

function lengthSec(audio: InterleavedAudio & { sampleRateHz: number }): number {
  return audio.samples.length / audio.channels / audio.sampleRateHz;
}

/** What is known of a stream when it has ended. */
export interface StreamEnd {
  isFloat: boolean;
  /** ffmpeg did not find the start of the part: read it again without seeking. */
  isSeekLost: boolean;
}

/**
 * Like `decodeWithFfmpeg`, in pieces of interleaved audio: ffmpeg waits until each is taken, so that little is in
 * memory.
 * @throws InputError as `decodeWithFfmpeg`; a file that is cut off is noticed at its end
 */
export async function* streamWithFfmpeg(
  input: FfmpegInput,
  sampleRateHz: number,
  way: Way,
  signal?: AbortSignal,
): AsyncGenerator<InterleavedAudio, StreamEnd> {
  await requireFfmpeg();
  const command = ffmpegOf([input], way);
  const { frames, report } = yield* streamOf(command, input, sampleRateHz, signal);
  if (way === 'read' || !report.isSeekLost) {
    refuseFailure(input, report);
    refuseShort(input, report, frames / sampleRateHz);
  }
  return { isFloat: describeInput(report, 0).isFloat, isSeekLost: report.isSeekLost };
}

/**
 * Like `resampleWithFfmpeg`, in pieces. The process ends with the iteration.
 * @param pieces float samples with this many channels
 */
export async function* resampledStream(
  pieces: AsyncIterable<InterleavedAudio>,
  channels: number,
  rates: { fromHz: number; toHz: number },
  signal?: AbortSignal,
): AsyncGenerator<Float32Array> {
  await requireFfmpeg();
  const command = ffmpegOfPipe(bytesOf(pieces), 'f32le', [
    '-ar',
    String(rates.fromHz),
    '-ac',
    String(channels),
  ]);
  const stream = streamOf(command, { path: 'resampled sound' }, rates.toHz, signal);
  try {
    let next = await stream.next();
    for (; !next.done; next = await stream.next()) yield next.value.samples;
    const { failure } = next.value.report;
    if (failure !== undefined) throw new Error(`ffmpeg cannot resample (${mostTelling(failure)})`);
  } finally {
    await stream.return(undefined as never); // ends ffmpeg where not all is taken
  }
}

async function* bytesOf(pieces: AsyncIterable<InterleavedAudio>): AsyncGenerator<Buffer> {
  for await (const { samples } of pieces) {
    yield Buffer.from(samples.buffer, samples.byteOffset, samples.byteLength);
  }
}

/** Runs a command with one WAV output, which is parsed as it comes. The process ends with the iteration. */
async function* streamOf(
  command: FfmpegCommand,
  input: FfmpegInput,
  sampleRateHz: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<InterleavedAudio, { frames: number; report: FfmpegReport }> {
  const sink = new PassThrough({ autoDestroy: false, emitClose: false }); // as in memorySink
  addWavOutput(command, sink, 0, input, sampleRateHz);
  const own = new AbortController();
  const running = runFfmpeg(command, signal ? AbortSignal.any([signal, own.signal]) : own.signal);
  // A process that fails may leave its output open.
  const settled = running.then(
    ({ failure }) => void (failure !== undefined && sink.destroy()),
    () => void sink.destroy(),
  );
  let frames = 0;
  try {
    const chunks = sink.iterator({ destroyOnReturn: false });
    for await (const audio of parseWavStream(chunks, input.path)) {
      frames += audio.samples.length / audio.channels;
      yield audio;
    }
    return { frames, report: await running };
  } catch (error) {
    await settled;
    const report = await running;
    if (report.failure === undefined) throw error;
    return { frames, report };
  } finally {
    own.abort();
    await settled;
  }
}

/**
 * Resamples interleaved audio that was read without ffmpeg.
 * @param durationSec maximum duration to return
 * @throws InputError when ffmpeg is not installed; Error with ffmpeg's own line when it fails
 */
export async function resampleWithFfmpeg(
  { samples, channels, channelMask }: InterleavedAudio,
  rates: { fromHz: number; toHz: number },
  durationSec: number | undefined,
  signal?: AbortSignal,
): Promise<InterleavedAudio> {
  await requireFfmpeg();
  const { sink, chunks } = memorySink();
  const bytes = Buffer.from(samples.buffer, samples.byteOffset, samples.byteLength);
  const command = ffmpegOfPipe([bytes], 'f32le', ['-ar', String(rates.fromHz), '-ac', String(channels)]);
  addWavOutput(command, sink, 0, { durationSec }, rates.toHz);
  const { failure } = await runFfmpeg(command, signal);
  if (failure !== undefined) throw new Error(`ffmpeg cannot resample (${mostTelling(failure)})`);
  const resampled = await parseWav(Buffer.concat(chunks), 'resampled sound');
  return { samples: resampled.samples, channels, channelMask };
}

/**
 * Decodes several files in one process, with the same samples as one by one. Uses temporary files, which are deleted
 * afterwards.
 * @param folder existing folder for the temporary files, on a disk with a few free megabytes per input
 * @param take converts each decoded file; called one after the other, so that few are in memory at a time
 * @returns the result of `take` for each input, or undefined if it must be decoded alone to find out what is wrong
 */
export async function decodeTogether<T>(
  inputs: readonly FfmpegInput[],
  sampleRateHz: number,
  folder: string,
  take: (audio: FfmpegAudio, index: number) => Promise<T>,
  signal?: AbortSignal,
): Promise<(T | undefined)[]> {
  await requireFfmpeg();
  const scratch = await mkdtemp(join(folder, 'decoded-'));
  try {
    const command = ffmpegOf(inputs);
    const outputs = inputs.map((_, index) => join(scratch, `${index}.wav`));
    for (const [index, input] of inputs.entries()) {
      addWavOutput(command, outputs[index]!, index, input, sampleRateHz);
    }
    const report = await runFfmpeg(command, signal);
    const { failure, complaint, announcedSec } = report;
    if (failure === undefined && !report.isSeekLost) {
      const taken: (T | undefined)[] = [];
      for (const [index, input] of inputs.entries()) {
        const audio = await parseWav(await readFile(outputs[index]!), input.path);
        // Complaints do not name the input, so a clip that may be meant is checked alone.
        const isSuspect = complaint && compareLengths(lengthSec(audio), input, announcedSec[index]).isShort;
        const described = { ...audio, ...describeInput(report, index) };
        taken.push(isSuspect ? undefined : await take(described, index));
      }
      return taken;
    }
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
  // A file that cannot be opened ends ffmpeg before it decodes the others; bisecting finds it in a few starts.
  if (inputs.length < 2) return [undefined];
  const middle = Math.ceil(inputs.length / 2);
  const taken = await decodeTogether(inputs.slice(0, middle), sampleRateHz, folder, take, signal);
  const takeRest = (audio: FfmpegAudio, index: number) => take(audio, middle + index);
  taken.push(...(await decodeTogether(inputs.slice(middle), sampleRateHz, folder, takeRest, signal)));
  return taken;
}

/**
 * Losslessly encodes 16-bit WAV files as FLAC in one process. The same ffmpeg gives the same bytes.
 * @throws Error with ffmpeg's own line when it fails, for example on a full disk; the audio is not at fault
 */
export async function encodeFlacFiles(
  files: readonly { wav: string; flac: string }[],
  signal?: AbortSignal,
): Promise<void> {
  await requireFfmpeg();
  const command = ffmpegOf(files.map(({ wav }) => ({ path: wav })));
  for (const [index, { flac }] of files.entries()) {
    addOutput(command, flac, index).audioCodec('flac').outputOptions('-map_metadata', '-1').format('flac');
  }
  const { failure } = await runFfmpeg(command, signal);
  if (failure === undefined) return;
  const code = /No space left on device/.test(failure) ? 'ENOSPC: ' : '';
  throw new Error(`${code}ffmpeg cannot write FLAC (${mostTelling(failure)}), writing ${files[0]?.flac}`);
}

/** 24 kbit/s is 3 kB per second of speech, which stays clear at that rate. */
const MP3_BITRATE_KBPS = 24;

/**
 * Encodes a small mono MP3 at 16 kHz, in memory, for web pages. Every browser plays MP3: Safari on many phones is older
 * than its support for Opus in Ogg, and builds of Chromium and Firefox without licensed codecs have no AAC. The same
 * ffmpeg gives the same bytes.
 * @param samples mono [frames] at 16 kHz
 * @throws InputError when ffmpeg is not installed; Error with ffmpeg's own line when it has no MP3 encoder
 */
export async function encodeMp3(samples: Float32Array, signal?: AbortSignal): Promise<Buffer> {
  await requireFfmpeg();
  const { sink, chunks } = memorySink();
  const command = ffmpegOfPipe([encodeWav(samples, 16_000)], 'wav', []);
  addOutput(command, sink, 0)
    .audioCodec('libmp3lame')
    .audioBitrate(MP3_BITRATE_KBPS)
    .audioChannels(1)
    .audioFrequency(16_000)
    .outputOptions(['-map_metadata -1', '-write_xing 0', '-id3v2_version 0'])
    .format('mp3');
  const { failure } = await runFfmpeg(command, signal);
  if (failure !== undefined) throw new Error(`ffmpeg cannot write MP3 (${mostTelling(failure)})`);
  return Buffer.concat(chunks);
}

/** An in-memory target for ffmpeg's output. */
function memorySink(): { sink: Writable; chunks: Buffer[] } {
  const chunks: Buffer[] = [];
  // fluent-ffmpeg treats an early 'close' of its target as a failure, so the target never emits one.
  const sink = new Writable({
    autoDestroy: false,
    emitClose: false,
    write(chunk: Buffer, _encoding, done) {
      chunks.push(chunk);
      done();
    },
  });
  return { sink, chunks };
}

/** Given once, for all inputs. */
const GENERAL_OPTIONS = ['-nostdin', '-y', '-hide_banner', '-nostats'];
/** A layout that the file does not state stays unknown: a guessed centre could be any microphone. */
const INPUT_OPTIONS = ['-threads', '1', '-guess_layout_max', '2'];

function ffmpegOf(inputs: readonly FfmpegInput[], way: Way = 'seek'): FfmpegCommand {
  const command = ffmpeg();
  for (const [index, { path, startSec }] of inputs.entries()) {
    // With the `file:` protocol, names with colons or a leading dash are still read as paths.
    command.input(`file:${path}`);
    if (index === 0) command.inputOptions(GENERAL_OPTIONS);
    command.inputOptions([...INPUT_OPTIONS, ...FILE_INPUT_OPTIONS]);
    if (startSec && way === 'seek') command.seekInput(startSec);
    else if (startSec) command.seek(startSec);
  }
  return command;
}

/** An ffmpeg command that reads from memory. */
function ffmpegOfPipe(
  bytes: Iterable<Buffer> | AsyncIterable<Buffer>,
  format: string,
  options: readonly string[],
): FfmpegCommand {
  return ffmpeg()
    .input(Readable.from(bytes, { objectMode: false }))
    .inputOptions([...GENERAL_OPTIONS, ...INPUT_OPTIONS, ...pipeInputOptions(format)])
    .inputOptions(['-f', format, ...options]);
}

/** Adds an output for the audio of one input. */
function addOutput(command: FfmpegCommand, target: string | Writable, index: number): FfmpegCommand {
  return command
    .output(typeof target === 'string' ? `file:${target}` : target)
    .noVideo()
    .outputOptions([`-map ${index}:a:0`, '-threads 1'])
    .outputOptions(['-fflags +bitexact', '-flags:a +bitexact']); // keeps ffmpeg's version out of the file
}

function addWavOutput(
  command: FfmpegCommand,
  target: string | Writable,
  index: number,
  { durationSec }: Pick<FfmpegInput, 'durationSec'>,
  sampleRateHz: number,
): void {
  addOutput(command, target, index).audioCodec('pcm_f32le').audioFrequency(sampleRateHz).format('wav');
  if (durationSec !== undefined) command.duration(durationSec);
}

/**
 * @throws the signal's reason when it is aborted; Error when ffmpeg was killed from outside, which is not the input's
 * fault
 */
function runFfmpeg(command: FfmpegCommand, signal: AbortSignal | undefined): Promise<FfmpegReport> {
  return new Promise((resolve, reject) => {
    const messages = readMessages();
    const abort = (): void => void command.kill('SIGKILL');
    const finish = (): void => signal?.removeEventListener('abort', abort);
    command.on('start', () => {
      if (signal?.aborted) abort();
      else signal?.addEventListener('abort', abort, { once: true });
    });
    command.on('stderr', messages.line);
    command.on('error', (error: Error, _stdout: unknown, stderr: string | null) => {
      finish();
      const text = stderr ?? '';
      const ended = ENDED.exec(`${text}\n${error.message}`);
      if (signal?.aborted) reject(signal.reason);
      else if (ended) reject(new Error(`ffmpeg was ended from outside (${ended[0]}); run again to go on`));
      else resolve(messages.report(`${text}\n${errorMessage(error)}`));
    });
    command.on('end', () => {
      finish();
      resolve(messages.report());
    });
    command.run();
  });
}
