/** @file What a file's samples depend on beside its bytes: by which rules it is decoded, and by which ffmpeg. */

import { open } from 'node:fs/promises';
import { SAMPLE_RATE_HZ } from './decode.js';
import { ffmpegVersion } from './ffmpeg.js';
import { readWavHeader } from './wav.js';

/** A change of what becomes of floats, odd blocks or several channels. */
const DECODING = 'decoding 2';

/**
 * For a key of what is computed from an audio file. A prepared clip, and any other 16 kHz mono file of integers (WAV or
 * FLAC), has one meaning and the key ''; anything else is a matter of rules, and of ffmpeg's version where that decodes.
 */
export async function decodingKey(path: string): Promise<string> {
  const header = await readWavHeader(path).catch(() => undefined); // what is wrong with it is told by who decodes it
  if (header?.sampleRateHz === SAMPLE_RATE_HZ) {
    const isPlain = header.encoding === 'pcm' && header.channels === 1 && !header.isOdd;
    return isPlain ? '' : DECODING;
  }
  if (await isPlainFlac(path)) return '';
  return `${DECODING}, ffmpeg ${(await ffmpegVersion()) ?? 'unknown'}`;
}

/** FLAC's first block says so: RFC 9639, section 8.2. */
async function isPlainFlac(path: string): Promise<boolean> {
  const handle = await open(path, 'r').catch(() => undefined);
  try {
    const { buffer, bytesRead } = (await handle?.read(Buffer.alloc(22), 0, 22, 0)) ?? { bytesRead: 0 };
    if (!buffer || bytesRead < 22 || buffer.toString('latin1', 0, 4) !== 'fLaC') return false;
    const rateAndChannels = buffer.readUIntBE(18, 3); // 20 bits of rate, 3 of channels less 1
    return rateAndChannels >> 4 === SAMPLE_RATE_HZ && ((rateAndChannels >> 1) & 7) === 0;
  } finally {
    await handle?.close();
  }
}
