/** @file Writes WAV files in every form that a header can describe, and some with wrong headers. */

const PCM = 1;
const FLOAT = 3;
const EXTENSIBLE = 0xfffe;
const SUB_FORMAT_GUID = Buffer.from('000000001000800000aa00389b71', 'hex'); // after the tag

export interface WavForm {
  encoding: 'pcm' | 'float';
  bits: number;
  /** Bytes per sample; packed by default. */
  sampleBytes?: number;
  /** Alignment of integers narrower than their bytes: left-justified by default. */
  justified?: 'left' | 'right' | 'zero above';
  /** Writes WAVE_FORMAT_EXTENSIBLE, whose `bits` are those of the container, with these valid bits. */
  extensible?: boolean;
  channels: number;
  channelMask?: number;
  sampleRateHz?: number;
  /** Block align, and byte rate, in the header; right by default. */
  blockAlign?: number;
  bytesPerSec?: number;
  /** Size of the data chunk in the header; right by default. */
  dataSize?: number;
  /** Size of the RIFF chunk; right by default. */
  riffSize?: number;
  /** 64-bit sizes, as in RF64 or BW64. */
  longSizes?: 'RF64' | 'BW64';
  /** Chunks before and after the samples, by name. */
  before?: readonly (readonly [name: string, content: string])[];
  after?: readonly (readonly [name: string, content: string])[];
  /** Chunks of odd length without the padding byte. */
  unpadded?: boolean;
  /** Bytes of the data to omit at the end, or to add. */
  cutBytes?: number;
  moreBytes?: number;
}

/** Writes interleaved samples: in [-1, 1] for integers, unchanged for floats. */
export function writeWav(samples: ArrayLike<number>, form: WavForm): Buffer {
  const { encoding, bits, channels, sampleRateHz = 16_000, extensible, unpadded } = form;
  const width = form.sampleBytes ?? Math.ceil(bits / 8);
  const frameBytes = form.blockAlign ?? width * channels;
  const format = Buffer.alloc(extensible ? 40 : 16);
  const tag = encoding === 'pcm' ? PCM : FLOAT;
  format.writeUInt16LE(extensible ? EXTENSIBLE : tag, 0);
  format.writeUInt16LE(channels, 2);
  format.writeUInt32LE(sampleRateHz, 4);
  format.writeUInt32LE(form.bytesPerSec ?? sampleRateHz * frameBytes, 8);
  format.writeUInt16LE(frameBytes, 12);
  format.writeUInt16LE(extensible ? width * 8 : bits, 14);
  if (extensible) {
    format.writeUInt16LE(22, 16);
    format.writeUInt16LE(bits, 18);
    format.writeUInt32LE(form.channelMask ?? 0, 20);
    format.writeUInt16LE(tag, 24);
    SUB_FORMAT_GUID.copy(format, 26);
  }
  const whole = dataOf(samples, form, width);
  const more = Buffer.alloc(form.moreBytes ?? 0, 7);
  const data = Buffer.concat([whole.subarray(0, whole.length - (form.cutBytes ?? 0)), more]);
  const pad = (content: Buffer): Buffer => Buffer.alloc(unpadded ? 0 : content.length & 1);
  const chunk = (name: string, content: Buffer, size = content.length): Buffer => {
    const header = Buffer.from(`${name}----`, 'latin1');
    header.writeUInt32LE(size, 4);
    return Buffer.concat([header, content, pad(content)]);
  };
  const others = (list: WavForm['before'] = []) =>
    list.map(([name, content]) => chunk(name, Buffer.from(content, 'latin1')));
  const dataSize = form.dataSize ?? whole.length;
  const long = Buffer.alloc(28);
  long.writeBigUInt64LE(BigInt(dataSize), 8);
  const isCutOff = form.cutBytes !== undefined || form.moreBytes !== undefined;
  const body = Buffer.concat([
    Buffer.from('WAVE', 'latin1'),
    ...(form.longSizes ? [chunk('ds64', long)] : []),
    chunk('fmt ', format),
    ...others(form.before),
    chunk('data', data, form.longSizes ? 0xffffffff : dataSize).subarray(
      0,
      isCutOff ? 8 + data.length : undefined,
    ),
    ...others(form.after),
  ]);
  const riff = Buffer.from(`${form.longSizes ?? 'RIFF'}----`, 'latin1');
  riff.writeUInt32LE(form.longSizes ? 0xffffffff : (form.riffSize ?? body.length), 4);
  return Buffer.concat([riff, body]);
}

function dataOf(samples: ArrayLike<number>, form: WavForm, width: number): Buffer {
  const { encoding, bits, justified = 'left' } = form;
  const data = Buffer.alloc(samples.length * width);
  const spare = width * 8 - bits;
  Array.from(samples).forEach((sample, i) => {
    const at = i * width;
    if (encoding === 'float') {
      if (width === 4) data.writeFloatLE(sample, at);
      else data.writeDoubleLE(sample, at);
      return;
    }
    const value = integerOf(sample, bits);
    if (width === 1) data.writeUInt8(value * 2 ** spare + 128, at);
    else if (justified === 'left') data.writeIntLE(value * 2 ** spare, at, width);
    else if (justified === 'right') data.writeIntLE(value, at, width);
    else data.writeUIntLE(value < 0 ? value + 2 ** bits : value, at, width);
  });
  return data;
}

/** The integer with this many bits that is nearest to a sample in [-1, 1]. */
export function integerOf(sample: number, bits: number): number {
  const rounded = Math.round(sample * 2 ** (bits - 1)) + 0; // no -0
  return Math.max(-(2 ** (bits - 1)), Math.min(2 ** (bits - 1) - 1, rounded));
}
