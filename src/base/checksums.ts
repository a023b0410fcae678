/** @file Checksums of files and buffers, and formatting of sizes and durations. */

import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';

/** SHA-256 of a file's content in hexadecimal, streamed. */
export async function sha256OfFile(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

/** SHA-256 of bytes or text in hexadecimal. */
export function sha256Of(content: Uint8Array | string): string {
  return createHash('sha256').update(content).digest('hex');
}

/** `512 bytes`, `28.1 kB`, `378 MB`, `3.95 GB`: decimal units, as for disks and downloads. */
export function formatBytes(bytes: number): string {
  if (bytes < 999.5) return `${Math.round(bytes)} bytes`;
  const power = bytes < 999.5e3 ? 1 : bytes < 999.5e6 ? 2 : 3;
  const amount = Number((bytes / 1000 ** power).toPrecision(3)).toLocaleString('en');
  return `${amount} ${['kB', 'MB', 'GB'][power - 1]}`;
}

/** `316 MiB`, `51.8 GiB`: binary units, as for memory. */
export function formatMemory(bytes: number): string {
  return bytes < 2 ** 30 ? `${(bytes / 2 ** 20).toFixed(0)} MiB` : `${(bytes / 2 ** 30).toFixed(1)} GiB`;
}

/** `0.4 s`, `36 s`, `4 min 10 s`, `1 h 05 min`. */
export function formatDuration(sec: number): string {
  if (sec < 9.95) return `${sec.toFixed(1)} s`;
  const whole = Math.round(sec);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, '0')} s`;
  const minutes = Math.round(sec / 60);
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, '0')} min`;
}
