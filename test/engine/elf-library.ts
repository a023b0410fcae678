/** @file Writes small shared libraries for tests: an ELF file of a header, a dynamic section and its names. */

/** What a made-up library needs, and bytes that it has besides. */
export interface ElfContent {
  readonly needed?: readonly string[];
  readonly rpath?: string;
  readonly runpath?: string;
  /** Text somewhere in the file, between zero bytes. */
  readonly text?: string;
}

const HEADER_BYTES = 64;
const PROGRAM_HEADER_BYTES = 56;
/** The address of the file's first byte once loaded, so that addresses differ from offsets. */
const BASE = 0x40_0000;

/** The bytes of a 64-bit little-endian shared library of x86-64. */
export function elfLibrary({ needed = [], rpath, runpath, text = '' }: ElfContent = {}): Buffer {
  let strings = '\0';
  const add = (name: string): number => {
    const offset = strings.length;
    strings += `${name}\0`;
    return offset;
  };
  const entries: [number, number][] = [
    ...needed.map((name): [number, number] => [1, add(name)]),
    ...(rpath === undefined ? [] : [[15, add(rpath)] as [number, number]]),
    ...(runpath === undefined ? [] : [[29, add(runpath)] as [number, number]]),
  ];
  const dynamicOffset = HEADER_BYTES + 2 * PROGRAM_HEADER_BYTES;
  const stringsOffset = dynamicOffset + 16 * (entries.length + 3);
  entries.push([5, BASE + stringsOffset], [10, strings.length], [0, 0]);
  const dynamic = Buffer.alloc(16 * entries.length);
  for (const [index, [tag, value]] of entries.entries()) {
    dynamic.writeBigUInt64LE(BigInt(tag), 16 * index);
    dynamic.writeBigUInt64LE(BigInt(value), 16 * index + 8);
  }
  const tail = Buffer.from(`${strings}\0${text}\0`, 'latin1');
  const size = stringsOffset + tail.length;
  const segments = [programHeader(1, 0, size), programHeader(2, dynamicOffset, dynamic.length)];
  return Buffer.concat([fileHeader(segments.length), ...segments, dynamic, tail]);
}

function fileHeader(segments: number): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.write('\x7fELF\x02\x01\x01', 'latin1');
  header.writeUInt16LE(3, 16); // a shared object
  header.writeUInt16LE(62, 18); // of x86-64
  header.writeUInt32LE(1, 20);
  header.writeBigUInt64LE(BigInt(HEADER_BYTES), 32);
  header.writeUInt16LE(HEADER_BYTES, 52);
  header.writeUInt16LE(PROGRAM_HEADER_BYTES, 54);
  header.writeUInt16LE(segments, 56);
  return header;
}

function programHeader(type: number, offset: number, byteLength: number): Buffer {
  const header = Buffer.alloc(PROGRAM_HEADER_BYTES);
  header.writeUInt32LE(type, 0);
  header.writeBigUInt64LE(BigInt(offset), 8);
  header.writeBigUInt64LE(BigInt(BASE + offset), 16);
  header.writeBigUInt64LE(BigInt(byteLength), 32);
  header.writeBigUInt64LE(BigInt(byteLength), 40);
  return header;
}
