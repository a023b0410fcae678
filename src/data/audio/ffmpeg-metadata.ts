/**
 * @file Properties of the installed ffmpeg (version, missing features), the formats it may be given, and notes on
 * decoded audio. Finds the program as fluent-ffmpeg does, but runs it with a time limit, since these checks run when
 * something may be broken.
 */

import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { delimiter, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { pathExists } from '../../base/index.js';

type PartKind = 'decoder' | 'encoder' | 'demuxer' | 'muxer' | 'filter';

/** An optional feature of an ffmpeg build. */
export interface FfmpegPart {
  readonly kind: PartKind;
  readonly name: string;
  /** What it is needed for. */
  readonly use: string;
  /** Nothing can be decoded without it. */
  readonly essential: boolean;
}

export interface ProgramMetadata {
  readonly path: string;
  /** As reported by the program, such as `5.1.9-0+deb12u1`. */
  readonly version: string;
}

export interface FfmpegMetadata extends ProgramMetadata {
  readonly missing: readonly FfmpegPart[];
}

/** Decoders have the names of their codecs; the video in MELD's containers is never decoded. */
export const FFMPEG_PARTS: readonly FfmpegPart[] = [
  ...essential('encoder', 'pcm_f32le'),
  ...essential('muxer', 'wav'),
  ...essential('filter', 'aresample'),
  ...forUse('WAV files', ['demuxer', 'wav'], ['decoder', 'pcm_s16le', 'pcm_s24le', 'pcm_f32le']),
  ...forUse("MELD's clips (MP4)", ['demuxer', 'mov'], ['decoder', 'aac']),
  ...forUse('FLAC corpora', ['demuxer', 'flac'], ['decoder', 'flac'], ['encoder', 'flac'], ['muxer', 'flac']),
  ...forUse('MP3 recordings', ['demuxer', 'mp3'], ['decoder', 'mp3']),
  ...forUse('Ogg and WebM recordings', ['demuxer', 'ogg', 'matroska'], ['decoder', 'opus', 'vorbis']),
  ...forUse('the audio of reports', ['encoder', 'libmp3lame'], ['muxer', 'mp3']),
];

/** A listing takes milliseconds, but a wrapper script, a slow disk or a busy machine may turn that into seconds. */
const TIME_LIMIT_MS = 20_000;
const LISTINGS = ['version', 'codecs', 'formats', 'filters'] as const;

/**
 * The program that fluent-ffmpeg uses: the one in FFMPEG_PATH (FFPROBE_PATH) if it exists, otherwise the one on the
 * PATH.
 * @returns undefined if there is none
 */
export async function findProgram(name: 'ffmpeg' | 'ffprobe'): Promise<string | undefined> {
  const named = process.env[`${name.toUpperCase()}_PATH`];
  if (named && (await pathExists(named))) return named;
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    const path = join(resolve(folder), process.platform === 'win32' ? `${name}.exe` : name);
    if (await isProgram(path)) return path;
  }
  return undefined;
}

/** @throws Error with a one-line reason when the program does not run */
export async function inspectFfmpeg(path: string): Promise<FfmpegMetadata> {
  const [version, codecs, formats, filters] = (await Promise.all(
    LISTINGS.map((listing) => output(path, listing)),
  )) as [string, string, string, string];
  const present = new Set([...codecParts(codecs), ...formatParts(formats)]);
  for (const [, name] of filters.matchAll(/^ [TSC.|]{2,3} (\S+)/gm)) present.add(`filter ${name}`);
  return {
    path,
    version: versionOf(version, path),
    missing: FFMPEG_PARTS.filter(({ kind, name }) => !present.has(`${kind} ${name}`)),
  };
}

/**
 * @param timeLimitMs 0 for none
 * @throws Error with a one-line reason when the program does not run
 */
export async function inspectProgram(path: string, timeLimitMs = TIME_LIMIT_MS): Promise<ProgramMetadata> {
  return { path, version: versionOf(await output(path, 'version', timeLimitMs), path) };
}

/**
 * ` DEA.L. opus   Opus (decoders: opus libopus ) (encoders: opus libopus )`: without a list the coder has the codec's
 * name.
 */
function* codecParts(listing: string): Generator<string> {
  for (const [, decodes, encodes, codec, text] of listing.matchAll(/^ (.)(.)[VASDT]... (\S+)(.*)$/gm)) {
    if (decodes === 'D') yield `decoder ${codec}`;
    if (encodes !== 'E') continue;
    const named = /\(encoders: ([^)]*)\)/.exec(text!)?.[1]?.trim();
    for (const encoder of named?.split(/\s+/) ?? [codec]) yield `encoder ${encoder}`;
  }
}

/** ` DE wav    WAV / WAVE`, ` D  mov,mp4,m4a,3gp,3g2,mj2 QuickTime / MOV`; newer versions have a column for devices. */
function* formatParts(listing: string): Generator<string> {
  for (const [, reads, writes, names] of listing.matchAll(/^ ([D ])([E ])[d ]?\s+(\S+)/gm)) {
    for (const name of names!.split(',')) {
      if (reads === 'D') yield `demuxer ${name}`;
      if (writes === 'E') yield `muxer ${name}`;
    }
  }
}

function versionOf(text: string, path: string): string {
  const version = /^ff\w+ version (\S+)/m.exec(text)?.[1];
  if (version === undefined) throw new Error(`${path} does not say which ffmpeg it is`);
  return version;
}

async function output(
  path: string,
  listing: (typeof LISTINGS)[number],
  timeLimitMs = TIME_LIMIT_MS,
): Promise<string> {
  try {
    const child = promisify(execFile)(path, ['-hide_banner', `-${listing}`], {
      timeout: timeLimitMs,
      killSignal: 'SIGKILL',
      maxBuffer: 4 << 20,
    });
    child.child.stdin?.end();
    return (await child).stdout;
  } catch (error) {
    const { killed, code, signal } = error as { killed?: boolean; code?: unknown; signal?: unknown };
    const why = killed
      ? `did not answer within ${timeLimitMs / 1000} s`
      : `does not run (${signal ?? (typeof code === 'number' ? `exit code ${code}` : code)})`;
    throw new Error(`${path} ${why}`);
  }
}

async function isProgram(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  if (!found?.isFile()) return false;
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}

function essential(kind: PartKind, name: string): FfmpegPart[] {
  return [{ kind, name, use: 'decoding', essential: true }];
}

function forUse(use: string, ...parts: readonly (readonly [PartKind, ...string[]])[]): FfmpegPart[] {
  return parts.flatMap(([kind, ...names]) => names.map((name) => ({ kind, name, use, essential: false })));
}

/** ffmpeg's demuxers for formats that contain their own audio data. */
const FORMATS = [
  ...['wav', 'w64', 'aiff', 'au', 'caf', 'sox', 'voc', 'nistsphere', 'ircam', 'avr', 'iff', 'pvf'],
  ...['flac', 'ape', 'wv', 'tta', 'tak', 'shn', 'dsf', 'oma', 'mlp', 'truehd'],
  ...['mp3', 'aac', 'loas', 'ogg', 'ac3', 'eac3', 'dts', 'dtshd', 'mpc', 'mpc8', 'xwma', 'wve'],
  ...[
    'amr',
    'amrnb',
    'amrwb',
    'gsm',
    'g722',
    'g723_1',
    'g729',
    'qcp',
    'sln',
    'aptx',
    'sbc',
    'codec2',
    'spdif',
  ],
  ...['mov', 'mp4', 'm4a', '3gp', '3g2', 'mj2', 'matroska', 'webm', 'avi', 'asf', 'flv'],
  ...['mpeg', 'mpegts', 'mpegvideo', 'mxf', 'gxf', 'dv', 'rm', 'nut', 'wtv'],
] as const;

/** Options for an input file. */
export const FILE_INPUT_OPTIONS: readonly string[] = restricted('file', FORMATS.join(','));

/** Options for an input pipe with a known format. */
export function pipeInputOptions(format: string): readonly string[] {
  return restricted('pipe', format);
}

function restricted(protocol: string, formats: string): string[] {
  return ['-protocol_whitelist', protocol, '-format_whitelist', formats];
}

/** The name of the format that ffmpeg refused because it is not on the list; newer versions do not give it. */
export function refusedFormat(said: string): string | undefined {
  const name = /^\[(\S+) @ [^\]]*\] Format not on whitelist/m.exec(said)?.[1];
  if (name === undefined) return undefined;
  return name.startsWith('in#') ? 'a format' : `the format "${name}"`;
}

/**
 * `silent`: nothing audible. `clipped`: flat at full scale. `channel`: the channels cancel when mixed, so another
 * choice was made. `rescaled`: float samples beyond full scale. `incomplete`: somewhat shorter than the header says.
 */
export const AUDIO_NOTE_KINDS = ['silent', 'clipped', 'channel', 'rescaled', 'incomplete'] as const;

export type AudioNoteKind = (typeof AUDIO_NOTE_KINDS)[number];

export interface AudioNote {
  kind: AudioNoteKind;
  /** One line, without the file's name and the kind. */
  text: string;
}

/**
 * Samples within this range, 3 steps of 16 bits (-87 dBFS), are silence plus codec rounding, around whatever constant:
 * a recorder may add a DC offset.
 */
const SILENT_RANGE = 3 / 0x8000;

/** The largest 16-bit sample is 0.99997. */
const FULL_SCALE = 0.9999;
/** A run of full-scale samples of this length hardly ever occurs in an unclipped recording. */
const FLAT_SAMPLES = 3;
/** A clip is clipped if at least this share of its samples is in such runs. */
const CLIPPED_SHARE = 0.001;

export function isSilent(samples: Float32Array): boolean {
  let [lowest, highest] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of samples) {
    if (value < lowest) lowest = value;
    if (value > highest) highest = value;
  }
  return isNarrow({ lowest, highest });
}

/** Whether a signal in this range is silent. */
export function isNarrow({ lowest, highest }: { lowest: number; highest: number }): boolean {
  return !(highest - lowest >= SILENT_RANGE);
}

/** The note on a clip that is flat at full scale in one of the channels it is mixed from. */
export function clippingNote(
  samples: Float32Array, // [frames * channels]
  channels: number,
  picked: readonly number[],
): AudioNote | undefined {
  const share = Math.max(...picked.map((channel) => flatShare(samples, channels, channel)));
  if (share < CLIPPED_SHARE) return undefined;
  return { kind: 'clipped', text: `${(share * 100).toFixed(1)} % of its samples are at full scale` };
}

function flatShare(samples: Float32Array, channels: number, channel: number): number {
  let [flat, run] = [0, 0];
  const end = (): void => {
    if (run >= FLAT_SAMPLES) flat += run;
  };
  let sign = 0;
  let frames = 0;
  for (let i = channel; i < samples.length; i += channels, frames++) {
    const value = samples[i]!;
    const now = value >= FULL_SCALE ? 1 : value <= -FULL_SCALE ? -1 : 0;
    if (now !== sign) {
      end();
      run = 0;
      sign = now;
    }
    if (now !== 0) run++;
  }
  end();
  return frames === 0 ? 0 : flat / frames;
}

/** One line for many files: `3 silent (first a.wav), 1 clipped (first b.wav)`; '' without notes. */
export function countByKind(notes: Iterable<{ readonly kind: string; readonly name: string }>): string {
  const kinds = new Map<string, { count: number; first: string }>();
  for (const { kind, name } of notes) {
    const known = kinds.get(kind);
    if (known) known.count += 1;
    else kinds.set(kind, { count: 1, first: name });
  }
  return describeKinds(kinds);
}

/** The same line for notes that are counted already. */
export function describeKinds(
  kinds: Iterable<readonly [kind: string, { readonly count: number; readonly first: string }]>,
): string {
  return [...kinds]
    .map(
      ([kind, { count, first }]) =>
        `${count.toLocaleString('en')} ${KIND_WORDS[kind] ?? kind} (first ${first})`,
    )
    .join(', ');
}

const KIND_WORDS: Readonly<Record<string, string>> = {
  cut: 'cut to their beginning',
  channel: 'with channels that cancel each other',
  recognition: 'with a recognised text that is cut',
};
