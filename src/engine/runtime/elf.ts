/**
 * @file Reads what a shared library of 64-bit Linux needs: the dynamic section of an ELF file (System V ABI, gABI
 * chapters 4 and 5).
 */

import { type FileHandle, open } from 'node:fs/promises';
import { errorMessage, InputError } from '../../base/index.js';

/** The entries of a dynamic section that say which other libraries are loaded, and where they are looked for. */
export interface DynamicSection {
  /** Names of the libraries that are loaded with this one, in the order of the file. */
  readonly needed: readonly string[];
  /** Folders searched before LD_LIBRARY_PATH; without effect if there is a `runpath`. */
  readonly rpath: readonly string[];
  /** Folders searched after LD_LIBRARY_PATH. */
  readonly runpath: readonly string[];
}

const HEADER_BYTES = 64;
const PROGRAM_HEADER_BYTES = 56;
const ENTRY_BYTES = 16;
const CLASS_64 = 2;
const LITTLE_ENDIAN = 1;
const SHARED_OBJECT = 3;
const Segment = { load: 1, dynamic: 2 } as const;
const Tag = { needed: 1n, strings: 5n, stringsSize: 10n, rpath: 15n, runpath: 29n, end: 0n } as const;
/** Far above those of real libraries. */
const MOST_DYNAMIC_BYTES = 1 << 20;
const MOST_STRING_BYTES = 1 << 26;

/**
 * Reads the dynamic section of a shared library: a few kilobytes, whatever the size of the file.
 * @param name what to call the file in errors
 * @throws InputError naming the file if it cannot be read, is cut short, or is not a little-endian 64-bit ELF library
 */
export async function readDynamicSection(path: string, name = path): Promise<DynamicSection> {
  let file: FileHandle;
  try {
    file = await open(path, 'r');
  } catch (error) {
    throw new InputError(`library ${name} cannot be read: ${errorMessage(error)}`);
  }
  try {
    return await readSection(file, (why) => new InputError(`library ${name} ${why}`));
  } finally {
    await file.close();
  }
}

type Fail = (why: string) => InputError;

interface ProgramHeader {
  readonly type: number;
  readonly offset: number;
  readonly address: bigint;
  readonly byteLength: number;
}

async function readSection(file: FileHandle, fail: Fail): Promise<DynamicSection> {
  const { size } = await file.stat();
  const read = async (offset: number, length: number): Promise<Buffer> => {
    if (offset + length > size) throw fail('is cut short, or is not a library');
    const bytes = Buffer.alloc(length);
    const { bytesRead } = await file.read(bytes, 0, length, offset);
    if (bytesRead < length) throw fail('is cut short, or is not a library');
    return bytes;
  };
  const header = await read(0, Math.min(size, HEADER_BYTES));
  if (!header.subarray(0, 4).equals(Buffer.from('\x7fELF', 'latin1')) || size < HEADER_BYTES) {
    throw fail(size === 0 ? 'is empty' : 'is not an ELF file');
  }
  if (header[4] !== CLASS_64 || header[5] !== LITTLE_ENDIAN || header.readUInt16LE(16) !== SHARED_OBJECT) {
    throw fail('is not a shared library for 64-bit Linux');
  }
  const headers = await readProgramHeaders(header, read, fail);
  const dynamic = headers.find(({ type }) => type === Segment.dynamic);
  if (dynamic === undefined) throw fail('has no dynamic section');
  if (dynamic.byteLength > MOST_DYNAMIC_BYTES) throw fail('has an impossible dynamic section');
  const entries = entriesOf(await read(dynamic.offset, dynamic.byteLength));
  const valueOfTag = (tag: bigint): bigint | undefined => entries.find((entry) => entry.tag === tag)?.value;
  const address = valueOfTag(Tag.strings);
  const length = valueOfTag(Tag.stringsSize);
  if (address === undefined || length === undefined || length > MOST_STRING_BYTES) {
    throw fail('has a dynamic section without its table of names');
  }
  const strings = await read(offsetOf(address, headers, fail), Number(length));
  const textsOf = (tag: bigint): string[] =>
    entries.filter((entry) => entry.tag === tag).map(({ value }) => textAt(strings, value, fail));
  const foldersOf = (tag: bigint): string[] => textsOf(tag).flatMap((text) => text.split(':'));
  return {
    needed: textsOf(Tag.needed),
    rpath: foldersOf(Tag.rpath),
    runpath: foldersOf(Tag.runpath),
  };
}

async function readProgramHeaders(
  header: Buffer,
  read: (offset: number, length: number) => Promise<Buffer>,
  fail: Fail,
): Promise<ProgramHeader[]> {
  const [entryBytes, count] = [header.readUInt16LE(54), header.readUInt16LE(56)];
  if (entryBytes !== PROGRAM_HEADER_BYTES) throw fail('has program headers of an unknown size');
  const table = await read(safeNumber(header.readBigUInt64LE(32), fail), entryBytes * count);
  return Array.from({ length: count }, (_, index) => {
    const at = index * entryBytes;
    return {
      type: table.readUInt32LE(at),
      offset: safeNumber(table.readBigUInt64LE(at + 8), fail),
      address: table.readBigUInt64LE(at + 16),
      byteLength: safeNumber(table.readBigUInt64LE(at + 32), fail),
    };
  });
}

function entriesOf(bytes: Buffer): { tag: bigint; value: bigint }[] {
  const entries = Array.from({ length: Math.floor(bytes.length / ENTRY_BYTES) }, (_, index) => ({
    tag: bytes.readBigUInt64LE(index * ENTRY_BYTES),
    value: bytes.readBigUInt64LE(index * ENTRY_BYTES + 8),
  }));
  const end = entries.findIndex(({ tag }) => tag === Tag.end);
  return end < 0 ? entries : entries.slice(0, end);
}

/** Where an address of the loaded library is in its file. */
function offsetOf(address: bigint, headers: readonly ProgramHeader[], fail: Fail): number {
  const segment = headers.find(
    (each) =>
      each.type === Segment.load &&
      address >= each.address &&
      address < each.address + BigInt(each.byteLength),
  );
  if (segment === undefined) throw fail('has a table of names that is not in the file');
  return segment.offset + Number(address - segment.address);
}

/** The text at an offset of the table of names, up to the next zero byte. */
function textAt(strings: Buffer, offset: bigint, fail: Fail): string {
  const start = offset < BigInt(strings.length) ? Number(offset) : strings.length;
  const end = strings.indexOf(0, start);
  if (start === strings.length || end < 0) throw fail('names a library outside its table of names');
  return strings.toString('utf8', start, end);
}

function safeNumber(value: bigint, fail: Fail): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw fail('is cut short, or is not a library');
  return Number(value);
}
