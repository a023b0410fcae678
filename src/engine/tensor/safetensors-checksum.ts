/**
 * @file A checksum of a whole safetensors file, kept in its own metadata so that file and checksum cannot part: the
 * CRC-32 of all its bytes, header included, with the checksum's own digits taken as zeros.
 */

import { createReadStream } from 'node:fs';
import { crc32 } from 'node:zlib';
import { readSafetensorsHeader } from './safetensors.js';
import { LENGTH_BYTES, METADATA_KEY } from './safetensors-header.js';

/** The checksum's key in the metadata: the first there, so that its place in the file is known. */
export const CHECKSUM_KEY = 'file_crc32';
const ZEROS = '00000000';

const BEFORE = Buffer.from(`{"${METADATA_KEY}":{"${CHECKSUM_KEY}":"`);
const DIGITS_START = LENGTH_BYTES + BEFORE.length;
const DIGITS_END = DIGITS_START + ZEROS.length;

/** Metadata with a place for the checksum. */
export function withChecksumPlace(metadata: Readonly<Record<string, string>>): Record<string, string> {
  return { [CHECKSUM_KEY]: ZEROS, ...metadata };
}

/** Writes the checksum into a header that has a place for it. @param content what comes behind the header */
export async function fillChecksum(head: Buffer, content: AsyncIterable<Uint8Array>): Promise<void> {
  let sum = crc32(head);
  for await (const piece of content) sum = crc32(piece, sum);
  head.write(digitsOf(sum), DIGITS_START, 'latin1');
}

/**
 * Whether a file's content is what its checksum was made of; undefined where it has none.
 * @throws InputError where it is no safetensors file
 */
export async function hasWholeContent(path: string): Promise<boolean | undefined> {
  const { metadata } = await readSafetensorsHeader(path);
  let sum = 0;
  let stored: string | undefined;
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) {
    const bytes = chunk as Buffer;
    if (stored === undefined) {
      const hasPlace = bytes.subarray(LENGTH_BYTES, DIGITS_START).equals(BEFORE);
      if (!hasPlace) return metadata[CHECKSUM_KEY] === undefined ? undefined : false;
      // From here and not from the header above: another process may have replaced the file in between.
      stored = bytes.toString('latin1', DIGITS_START, DIGITS_END);
      bytes.fill(ZEROS, DIGITS_START, DIGITS_END, 'latin1');
    }
    sum = crc32(bytes, sum);
  }
  return digitsOf(sum) === stored;
}

function digitsOf(sum: number): string {
  return sum.toString(16).padStart(ZEROS.length, '0');
}
