/** @file Writes speech as video clips, for corpora released in that form: AAC sound with a black picture. */

import { spawn } from 'node:child_process';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deleteAtExit, sweepTemporaries, temporaryName, writeFileAtomic } from '../../base/index.js';
import { requireFfmpeg } from './ffmpeg.js';
import { pipeInputOptions } from './ffmpeg-metadata.js';
import { encodeWav } from './wav.js';

/** `surround` is 5.1 with the speech in the centre and a trace of it left and right; `stereo` has it on both sides. */
export type ClipLayout = 'surround' | 'stereo';

const layouts: Readonly<Record<ClipLayout, { pan: string; bitRate: string }>> = {
  surround: { pan: 'pan=5.1|FC=c0|FL=0.1*c0|FR=0.1*c0', bitRate: '320k' },
  stereo: { pan: 'pan=stereo|FL=c0|FR=c0', bitRate: '128k' },
};

/**
 * Writes mono samples as an MP4 clip with 48 kHz AAC sound, atomically. The same ffmpeg gives the same bytes for the
 * same samples.
 * @throws InputError when ffmpeg is not installed; Error with ffmpeg's own line when it fails
 */
export async function writeMp4(
  path: string,
  samples: Float32Array,
  {
    sampleRateHz = 16_000,
    layout,
    signal,
  }: { sampleRateHz?: number; layout: ClipLayout; signal?: AbortSignal | undefined },
): Promise<void> {
  await requireFfmpeg();
  const base = join(tmpdir(), 'emoq-mp4');
  await sweepTemporaries(base);
  const folder = temporaryName(base);
  const exit = deleteAtExit(folder);
  try {
    await mkdir(folder);
    const clip = join(folder, 'clip.mp4'); // an MP4 is not written sequentially, so it cannot be piped out
    const durationSec = samples.length / sampleRateHz;
    await runFfmpeg(encodingArguments(layout, durationSec, clip), encodeWav(samples, sampleRateHz), signal);
    await writeFileAtomic(path, await readFile(clip));
  } finally {
    await rm(folder, { recursive: true, force: true });
    exit.forget();
  }
}

function encodingArguments(layout: ClipLayout, durationSec: number, target: string): string[] {
  const { pan, bitRate } = layouts[layout];
  return [
    ...['-hide_banner', '-loglevel', 'error', '-threads', '1'],
    ...['-f', 'lavfi', '-i', `color=c=black:s=64x36:r=24:d=${durationSec.toFixed(4)}`],
    ...[...pipeInputOptions('wav'), '-f', 'wav', '-i', 'pipe:0', '-map', '0:v', '-map', '1:a'],
    ...['-af', pan, '-ar', '48000', '-c:a', 'aac', '-b:a', bitRate],
    ...['-c:v', 'mpeg4', '-threads', '1'],
    // Keeps encoder versions and dates out of the file.
    ...['-fflags', '+bitexact', '-flags:v', '+bitexact', '-flags:a', '+bitexact', '-map_metadata', '-1'],
    ...['-y', target],
  ];
}

function runFfmpeg(args: readonly string[], input: Buffer, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.env.FFMPEG_PATH ?? 'ffmpeg', args, {
      stdio: ['pipe', 'ignore', 'pipe'],
      signal,
    });
    let complaint = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      complaint += text;
    });
    child.on('error', reject);
    child.on('close', (code) => {
      if (code === 0) resolve();
      else
        reject(
          new Error(
            `ffmpeg could not write an MP4 clip: ${complaint.trim().split('\n')[0] || `exit ${code}`}`,
          ),
        );
    });
    child.stdin.on('error', () => {}); // a process that exits early is reported by its exit code
    child.stdin.end(input);
  });
}
