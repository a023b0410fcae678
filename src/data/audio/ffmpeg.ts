/**
 * @file The only module that runs ffmpeg, through fluent-ffmpeg. Its output is float WAV rather than raw floats,
 * because the WAV header gives the channel count and layout; one process then does the work of a probe and a decode.
 * Starting ffmpeg costs several times as much as decoding a clip of a few seconds, so many short clips share a process.
 */

import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import ffmpeg, { type FfmpegCommand } from 'fluent-ffmpeg';
import { errorMessage, InputError } from '../../base/index.js';
import {
  FILE_INPUT_OPTIONS,
  findProgram,
  inspectProgram,
  pipeInputOptions,
  refusedFormat,
} from './ffmpeg-metadata.js';
import type { InterleavedAudio } from './pcm.js';
import { encodeWav, parseWav } from './wav.js';

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
type Way = 'seek' | 'read';

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
  if (report.failure !== undefined) throw new InputError(`${input.path} ${explain(report.failure)}`);
  const audio = await parseWav(Buffer.concat(chunks), input.path);
  const { decodedSec, wantedSec, isShort } = compareLengths(audio, input, report.announcedSec[0]);
  if (isShort && report.complaint) {
    throw new InputError(
      `${input.path} is truncated or damaged: ${decodedSec.toFixed(2)} s of ${wantedSec.toFixed(2)} s can be decoded (ffmpeg: ${report.complaint})`,
    );
  }
  return { ...audio, ...describeInput(report, 0) };
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
  const command = ffmpegOfPipe(bytes, 'f32le', ['-ar', String(rates.fromHz), '-ac', String(channels)]);
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
        const isSuspect = complaint && compareLengths(audio, input, announcedSec[index]).isShort;
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
  const command = ffmpegOfPipe(encodeWav(samples, 16_000), 'wav', []);
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
function ffmpegOfPipe(bytes: Buffer, format: string, options: readonly string[]): FfmpegCommand {
  return ffmpeg()
    .input(Readable.from([bytes], { objectMode: false }))
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
 * ffmpeg succeeds on a file that stops in the middle. A clip much shorter than announced is broken if ffmpeg also
 * complained; otherwise its sound may just end before the picture.
 */
function compareLengths(
  audio: InterleavedAudio & { sampleRateHz: number },
  { startSec = 0, durationSec = Number.POSITIVE_INFINITY }: FfmpegInput,
  announcedSec = Number.NaN,
): { decodedSec: number; wantedSec: number; isShort: boolean } {
  const decodedSec = audio.samples.length / audio.channels / audio.sampleRateHz;
  const wantedSec = Math.min(announcedSec - startSec, durationSec);
  return { decodedSec, wantedSec, isShort: decodedSec < 0.9 * wantedSec - 0.25 };
}

/** An output that ffmpeg could not write completely; it may still exit with success. */
const UNWRITTEN =
  /^(?:\[[^\]]*\] )?(?:av_interleaved_write_frame|Error (?:writing|muxing|closing|submitting a packet to the muxer))/;
/** Broken data. Indented lines are the file's own metadata: a title may say anything. */
const COMPLAINT = /^\S.*(?:partial file|corrupt|invalid|error while decoding|failed|do not match)/i;
/** Some versions lose the last frames of FLAC this way, and continue without a sample. */
const SEEK_LOST = /^(?:\[[^\]]*\] )?(?:\S.*: )?could not seek to position/;
/** Ended from outside: by a signal that ffmpeg treats as a request to stop, or cannot catch. */
const ENDED = /^Exiting normally, received signal \d+|killed with signal SIG(?:KILL|TERM|INT|HUP)/m;

/** Samples that are stored as floats. A codec's output is float too, and may slightly exceed full scale. */
const FLOAT_CODEC = /^(?:pcm_f\d+[lb]e\b|wavpack\b.*\bfltp?\b)/;

function describeInput(
  { announcedSec, codecs }: FfmpegReport,
  index: number,
): Pick<FfmpegAudio, 'fileSec' | 'isFloat'> {
  const fileSec = announcedSec[index];
  return {
    fileSec: Number.isFinite(fileSec) ? fileSec : undefined,
    isFloat: FLOAT_CODEC.test(codecs[index] ?? ''),
  };
}

/** Parsed output of ffmpeg. */
interface FfmpegReport {
  /** Container duration of each input in seconds; NaN if the file does not give it, or ffmpeg only guesses. */
  announcedSec: number[];
  /** The first audio stream of each input, such as `pcm_f32le ([3][0][0][0] / 0x0003), 16000 Hz, mono, flt`. */
  codecs: string[];
  /** The first line that reports broken data, or ''. */
  complaint: string;
  /** ffmpeg did not find the start of the part; its output may be empty. */
  isSeekLost: boolean;
  /** ffmpeg's full output, if it failed. */
  failure: string | undefined;
}

/**
 * @throws the signal's reason when it is aborted; Error when ffmpeg was killed from outside, which is not the input's
 * fault
 */
function runFfmpeg(command: FfmpegCommand, signal: AbortSignal | undefined): Promise<FfmpegReport> {
  return new Promise((resolve, reject) => {
    const announcedSec: number[] = [];
    const codecs: string[] = [];
    let input = -1;
    let isGuess = false;
    let complaint = '';
    let unwritten: string | undefined;
    let isSeekLost = false;
    const abort = (): void => void command.kill('SIGKILL');
    const finish = (): void => signal?.removeEventListener('abort', abort);
    command.on('start', () => {
      if (signal?.aborted) abort();
      else signal?.addEventListener('abort', abort, { once: true });
    });
    command.on('stderr', (line: string) => {
      const opened = /^Input #(\d+), /.exec(line);
      if (opened) input = Number(opened[1]);
      if (/^Stream mapping:|^Output #/.test(line)) input = -1;
      const codec = /^(?: {2}){1,2}Stream #\d+:\d+.*?: Audio: (.*)$/.exec(line);
      if (codec && input >= 0) codecs[input] ??= codec[1]!;
      const duration = /^ {2}Duration: ([^,]+),/.exec(line);
      if (duration && input >= 0) {
        announcedSec[input] = isGuess ? Number.NaN : clockToSec(duration[1]!);
        isGuess = false;
      }
      if (/Estimating duration from bitrate/.test(line)) isGuess = true;
      if (COMPLAINT.test(line)) complaint ||= oneLine(line);
      if (UNWRITTEN.test(line)) unwritten ??= line;
      if (SEEK_LOST.test(line)) isSeekLost = true;
    });
    command.on('error', (error: Error, _stdout: unknown, stderr: string | null) => {
      finish();
      const text = stderr ?? '';
      const ended = ENDED.exec(`${text}\n${error.message}`);
      if (signal?.aborted) reject(signal.reason);
      else if (ended) reject(new Error(`ffmpeg was ended from outside (${ended[0]}); run again to go on`));
      else
        resolve({ announcedSec, codecs, complaint, isSeekLost, failure: `${text}\n${errorMessage(error)}` });
    });
    command.on('end', () => {
      finish();
      resolve({ announcedSec, codecs, complaint, isSeekLost, failure: unwritten });
    });
    command.run();
  });
}

/** Why a file has no output; follows its name in the message. */
function explain(failure: string): string {
  if (/matches no streams|does not contain any stream/.test(failure)) return 'has no audio stream';
  const format = refusedFormat(failure);
  if (format !== undefined) {
    return `is not a recording but of ${format}, which emoq does not open: it may name other files; give the recordings themselves`;
  }
  if (/moov atom not found/.test(failure)) return 'is truncated or not a video file (moov atom not found)';
  return `cannot be decoded (ffmpeg: ${mostTelling(failure)})`;
}

/** The most informative line; the last one is fluent-ffmpeg's own. */
function mostTelling(failure: string): string {
  const lines = failure.trim().split('\n');
  const cause = lines.find((line) => /invalid|error|failed|not found|denied|no space/i.test(line));
  return oneLine(cause ?? lines.at(-1)!);
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
