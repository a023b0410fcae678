/**
 * @file TensorBoard event files with scalars only: TFRecord framing (length, masked CRC-32C, data, masked CRC-32C)
 * around the protobuf messages Event, Summary and Summary.Value, of which only a few fields are needed.
 */

/** One point on each of one or more curves. */
export interface ScalarEvent {
  readonly step: number;
  /** Seconds since 1970. */
  readonly wallTimeSec: number;
  /** Value by tag, such as `train/loss`; kept as float32. */
  readonly scalars: Readonly<Record<string, number>>;
}

/** The first bytes of every event file. */
export function eventFileHeader(): Uint8Array {
  return record(stringField(EVENT.fileVersion, 'brain.Event:2'));
}

/** The encoded bytes of one event, to append to a file. */
export function encodeEvent({ step, wallTimeSec, scalars }: ScalarEvent): Uint8Array {
  const values = Object.entries(scalars).map(([tag, value]) =>
    bytesField(SUMMARY.value, Buffer.concat([stringField(VALUE.tag, tag), floatField(VALUE.simple, value)])),
  );
  return record(
    Buffer.concat([
      wallTimeSec === 0 ? empty : doubleField(EVENT.wallTime, wallTimeSec), // proto3 omits zeros
      step === 0 ? empty : Buffer.concat([key(EVENT.step, WIRE.varint), varint(step)]),
      bytesField(EVENT.summary, Buffer.concat(values)),
    ]),
  );
}

/** The time and step of an event. */
export interface EventTime {
  readonly step: number;
  readonly wallTimeSec: number;
}

/**
 * Times of the events after the file's header, up to the first one that is incomplete or not in the form that {@link
 * encodeEvent} writes.
 */
export function eventTimes(file: Uint8Array): EventTime[] {
  const bytes = Buffer.from(file.buffer, file.byteOffset, file.byteLength);
  const times: EventTime[] = [];
  let offset = eventFileHeader().length;
  while (offset + RECORD_HEAD <= bytes.length) {
    const length = Number(bytes.readBigUInt64LE(offset));
    const end = offset + RECORD_HEAD + length;
    if (end + CHECKSUM > bytes.length) break;
    const data = bytes.subarray(offset + RECORD_HEAD, end);
    if (bytes.readUInt32LE(end) !== maskedCrc32c(data)) break;
    times.push(timeOf(data));
    offset = end + CHECKSUM;
  }
  return times;
}

/** The first fields of an event. Zeros are omitted. */
function timeOf(data: Buffer): EventTime {
  let [offset, wallTimeSec, step] = [0, 0, 0];
  if (data[0] === (EVENT.wallTime << 3) + WIRE.fixed64) {
    wallTimeSec = data.readDoubleLE(1);
    offset = 9;
  }
  if (data[offset] !== EVENT.step << 3) return { step, wallTimeSec };
  for (let scale = 1; ; scale *= 128) {
    offset += 1;
    const byte = data[offset] ?? 0;
    step += (byte & 127) * scale;
    if (byte < 128) return { step, wallTimeSec };
  }
}

// Field numbers of tensorflow/core/util/event.proto and tensorflow/core/framework/summary.proto.
const EVENT = { wallTime: 1, step: 2, fileVersion: 3, summary: 5 } as const;
const SUMMARY = { value: 1 } as const;
const VALUE = { tag: 1, simple: 2 } as const;
const WIRE = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const;
const empty = Buffer.alloc(0);

/** Bytes of a checksum, and of a record's length with its own checksum. */
const CHECKSUM = 4;
const RECORD_HEAD = 8 + CHECKSUM;

function key(field: number, wire: number): Buffer {
  return varint(field * 8 + wire);
}

/** @param value a non-negative integer */
function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 128) {
    bytes.push((rest % 128) + 128);
    rest = Math.floor(rest / 128); // shifts would truncate to 32 bits
  }
  return Buffer.from([...bytes, rest]);
}

function bytesField(field: number, content: Uint8Array): Buffer {
  return Buffer.concat([key(field, WIRE.bytes), varint(content.length), content]);
}

function stringField(field: number, text: string): Buffer {
  return bytesField(field, Buffer.from(text, 'utf8'));
}

function floatField(field: number, value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return Buffer.concat([key(field, WIRE.fixed32), bytes]);
}

function doubleField(field: number, value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(value);
  return Buffer.concat([key(field, WIRE.fixed64), bytes]);
}

/** A TFRecord: uint64 length, its checksum, the data, its checksum. */
function record(data: Buffer): Buffer {
  const bytes = Buffer.alloc(RECORD_HEAD + data.length + CHECKSUM);
  bytes.writeBigUInt64LE(BigInt(data.length));
  bytes.writeUInt32LE(maskedCrc32c(bytes.subarray(0, 8)), 8);
  data.copy(bytes, RECORD_HEAD);
  bytes.writeUInt32LE(maskedCrc32c(data), RECORD_HEAD + data.length);
  return bytes;
}

/** Rotated and offset, so that checksums of data that contains checksums remain useful. */
function maskedCrc32c(bytes: Uint8Array): number {
  const crc = crc32c(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

/** The Castagnoli polynomial, reversed; zlib's crc32 uses a different one. */
const POLYNOMIAL = 0x82f63b78;

const crcTable = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1;
  return crc;
});

function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = crcTable[(crc ^ byte) & 0xff]! ^ (crc >>> 8);
  return ~crc >>> 0;
}
