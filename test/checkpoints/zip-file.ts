/** @file Writes zip files for tests: valid, wrong in one field, or sparse with gigabytes of zeros. */

import { open } from 'node:fs/promises';
import { crc32 } from 'node:zlib';

/** Fields of an entry's two headers that can be falsified. */
export interface HeaderFields {
  name?: string;
  flags?: number;
  method?: number;
  crc?: number;
  size?: number;
  /** Offset of the local header; only in the directory. */
  offset?: number;
}

export interface ZipEntry {
  readonly name: string;
  /** The bytes, or a number of zeros (which take no disk space). */
  readonly content: Uint8Array | number;
  /** False values in the entry's local header. */
  readonly local?: HeaderFields;
  /** False values in the directory. */
  readonly directory?: HeaderFields;
}

const LIMIT_32 = 0xffff_ffff;

/** Writes a zip of stored entries, in zip64 if a size, an offset or the option requires it. */
export async function writeZip(
  path: string,
  entries: readonly ZipEntry[],
  { zip64 = false }: { zip64?: boolean } = {},
): Promise<void> {
  const file = await open(path, 'w');
  try {
    let end = 0;
    let waiting: Uint8Array[] = [];
    const append = (bytes: Uint8Array): void => {
      waiting.push(bytes);
      end += bytes.length;
    };
    const flush = async (): Promise<void> => {
      const bytes = Buffer.concat(waiting);
      waiting = [];
      await file.write(bytes, 0, bytes.length, end - bytes.length);
    };
    const directory: Buffer[] = [];
    for (const { name, content, local, directory: listed } of entries) {
      const size = typeof content === 'number' ? content : content.length;
      const crc = typeof content === 'number' ? 0 : crc32(content);
      const truth = { name, flags: 0x800, method: 0, crc, size, offset: end };
      directory.push(directoryHeader({ ...truth, ...listed }));
      append(localHeader({ ...truth, ...local }));
      if (typeof content !== 'number') append(content);
      else {
        await flush();
        end += size; // a hole
      }
    }
    const start = end;
    append(Buffer.concat(directory));
    const size = end - start;
    if (zip64 || end > LIMIT_32) {
      append(zip64End(entries.length, size, start));
      append(endRecord(0xffff, LIMIT_32, LIMIT_32));
    } else {
      append(endRecord(entries.length, size, start));
    }
    await flush();
  } finally {
    await file.close();
  }
}

function fields(...values: readonly (readonly [bytes: 2 | 4 | 8, value: number])[]): Buffer {
  return Buffer.concat(
    values.map(([bytes, value]) => {
      const buffer = Buffer.alloc(bytes);
      if (bytes === 8) buffer.writeBigUInt64LE(BigInt(value));
      else buffer.writeUIntLE(value, 0, bytes);
      return buffer;
    }),
  );
}

function localHeader({ name, flags, method, crc, size }: Required<HeaderFields>): Buffer {
  const wide = size >= LIMIT_32;
  const extra = wide ? fields([2, 1], [2, 16], [8, size], [8, size]) : Buffer.alloc(0);
  const shown = wide ? LIMIT_32 : size;
  const head = fields([4, 0x04034b50], [2, 45], [2, flags], [2, method], [4, 0], [4, crc]);
  const nameBytes = Buffer.from(name);
  const lengths = fields([4, shown], [4, shown], [2, nameBytes.length], [2, extra.length]);
  return Buffer.concat([head, lengths, nameBytes, extra]);
}

function directoryHeader({ name, flags, method, crc, size, offset }: Required<HeaderFields>): Buffer {
  const wide = [size, size, offset].filter((value) => value >= LIMIT_32);
  const extra =
    wide.length === 0
      ? Buffer.alloc(0)
      : fields([2, 1], [2, 8 * wide.length], ...wide.map((value): [8, number] => [8, value]));
  const [shown, place] = [size, offset].map((value) => Math.min(value, LIMIT_32)) as [number, number];
  const nameBytes = Buffer.from(name);
  const head = fields([4, 0x02014b50], [2, 45], [2, 45], [2, flags], [2, method], [4, 0], [4, crc]);
  const lengths = fields([4, shown], [4, shown], [2, nameBytes.length], [2, extra.length], [2, 0]);
  return Buffer.concat([head, lengths, fields([2, 0], [2, 0], [4, 0], [4, place]), nameBytes, extra]);
}

function zip64End(count: number, size: number, start: number): Buffer {
  const record = fields([4, 0x06064b50], [8, 44], [2, 45], [2, 45], [4, 0], [4, 0], [8, count], [8, count]);
  const locator = fields([4, 0x07064b50], [4, 0], [8, start + size], [4, 1]);
  return Buffer.concat([record, fields([8, size], [8, start]), locator]);
}

function endRecord(count: number, size: number, start: number): Buffer {
  return fields([4, 0x06054b50], [2, 0], [2, 0], [2, count], [2, count], [4, size], [4, start], [2, 0]);
}
