/** @file Clips for the audio and corpus tests, made by ffmpeg itself (not by the code under test). */

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';

/** Runs ffmpeg quietly; throws with ffmpeg's own message when it fails. */
export function ffmpeg(...args: string[]): Buffer {
  return execFileSync('ffmpeg', ['-v', 'error', '-nostdin', '-y', ...args], { maxBuffer: 1 << 28 });
}

/** A file as decoded by ffmpeg itself: mono or interleaved float32 samples. */
export function ffmpegSamples(path: string, ...options: string[]): Float32Array {
  const bytes = ffmpeg('-i', path, '-map', '0:a:0', ...options, '-c:a', 'pcm_f32le', '-f', 'f32le', 'pipe:1');
  return new Float32Array(new Uint8Array(bytes).buffer);
}

/** Duration of a file's audio stream in seconds, from ffprobe. */
export function ffprobeSec(path: string): number {
  const args = [
    '-v',
    'error',
    '-select_streams',
    'a:0',
    '-show_entries',
    'stream=duration',
    '-of',
    'csv=p=0',
  ];
  return Number(execFileSync('ffprobe', [...args, path], { encoding: 'utf8' }));
}

export interface Tone {
  /** One frequency per channel, in the layout's order. */
  channelHz: readonly number[];
  layout: 'mono' | 'stereo' | '5.1' | '4.0';
  durationSec: number;
  sampleRateHz?: number;
  /** Adds a small moving picture. */
  video?: boolean;
}

/** Writes sines, one frequency per channel; the extension and `codec` choose the format. */
export function writeTone(path: string, tone: Tone, codec: string[] = []): void {
  mkdirSync(dirname(path), { recursive: true });
  const { channelHz, layout, durationSec, sampleRateHz = 48_000 } = tone;
  const sines = channelHz.map((hz) => `0.4*sin(2*PI*${hz}*t)`).join('|');
  const audio = `aevalsrc=exprs='${sines}':channel_layout=${layout}:s=${sampleRateHz}:d=${durationSec}`;
  const picture = tone.video
    ? [
        '-f',
        'lavfi',
        '-i',
        `testsrc=s=32x32:r=10:d=${durationSec}`,
        '-c:v',
        'libx264',
        '-preset',
        'ultrafast',
      ]
    : [];
  ffmpeg('-f', 'lavfi', '-i', audio, ...picture, ...codec, path);
}

/** Power of one frequency in mono samples, as the amplitude of that sine (Goertzel with plain sums). */
export function amplitudeAt(samples: Float32Array, hz: number, sampleRateHz = 16_000): number {
  let real = 0;
  let imaginary = 0;
  for (let i = 0; i < samples.length; i++) {
    const angle = (2 * Math.PI * hz * i) / sampleRateHz;
    real += samples[i]! * Math.cos(angle);
    imaginary += samples[i]! * Math.sin(angle);
  }
  return (2 * Math.hypot(real, imaginary)) / samples.length;
}

/** The silences of a file in seconds, by ffmpeg's silencedetect. */
export function silencesOf(path: string, decibels: number, leastSec: number): [number, number][] {
  const filter = `silencedetect=n=${decibels}dB:d=${leastSec}`;
  const args = ['-nostdin', '-hide_banner', '-i', path, '-af', filter, '-f', 'null', '-'];
  const { stderr } = spawnSync('ffmpeg', args, { encoding: 'utf8' });
  const times = (name: string): number[] =>
    [...stderr.matchAll(new RegExp(`silence_${name}: (\\S+)`, 'g'))].map(([, sec]) => Number(sec));
  const ends = times('end');
  return times('start').map((start, i) => [Math.max(0, start), ends[i] ?? Number.POSITIVE_INFINITY]);
}
