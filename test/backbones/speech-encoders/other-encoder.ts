/** @file An encoder other than HuBERT: one strided convolution as an ONNX file, and the same function in JavaScript. */

import { create, toBinary } from '@bufbuild/protobuf';
import {
  AttributeProto_AttributeType,
  AttributeProtoSchema,
  ModelProtoSchema,
  TensorProto_DataType,
} from 'onnx-buf';

/** Sizes and interface of the encoder. */
export interface OtherEncoder {
  readonly width: number;
  readonly kernel: number;
  readonly stride: number;
  /** Whether the file gives the width of its output, or leaves it dynamic. */
  readonly tellsWidth?: boolean;
  /** Whether it takes only one clip at a time. */
  readonly takesOne?: boolean;
  /** Name of its input; default `input_values`. */
  readonly input?: string;
  readonly metadata?: Readonly<Record<string, string>>;
}

/** Weight of tap `tap` in channel `channel`: small, and different for each. */
function weight(channel: number, tap: number): number {
  return Math.fround(Math.sin(1 + 7 * channel + 0.37 * tap) / 16);
}

/** The ONNX file: input [N, samples] to `last_hidden_state` [N, frames, width]. */
export function otherEncoderFile(encoder: OtherEncoder): Uint8Array {
  const { width, kernel, stride, tellsWidth = true, takesOne = false, input = 'input_values' } = encoder;
  const { FLOAT, INT64 } = TensorProto_DataType;
  const size = (value: number | string) => ({
    value:
      typeof value === 'number'
        ? { case: 'dimValue' as const, value: BigInt(value) }
        : { case: 'dimParam' as const, value },
  });
  const valueInfo = (name: string, sizes: readonly (number | string)[]) => ({
    name,
    type: {
      value: { case: 'tensorType' as const, value: { elemType: FLOAT, shape: { dim: sizes.map(size) } } },
    },
  });
  const numbers = (name: string, values: readonly number[]) =>
    create(AttributeProtoSchema, {
      name,
      type: AttributeProto_AttributeType.INTS,
      ints: values.map(BigInt),
    });
  const taps = Float32Array.from({ length: width * kernel }, (_, at) =>
    weight(Math.floor(at / kernel), at % kernel),
  );
  const batch = takesOne ? 1 : 'batch';
  const model = create(ModelProtoSchema, {
    irVersion: 8n,
    opsetImport: [{ domain: '', version: 18n }],
    metadataProps: Object.entries(encoder.metadata ?? {}).map(([key, value]) => ({ key, value })),
    graph: {
      name: 'other',
      input: [valueInfo(input, [batch, 'samples'])],
      output: [valueInfo('last_hidden_state', [batch, 'frames', tellsWidth ? width : 'width'])],
      initializer: [
        { name: 'axis', dims: [1n], dataType: INT64, int64Data: [1n] },
        { name: 'taps', dims: [width, 1, kernel].map(BigInt), dataType: FLOAT, floatData: [...taps] },
      ],
      node: [
        { opType: 'Unsqueeze', input: [input, 'axis'], output: ['channel'] },
        {
          opType: 'Conv',
          input: ['channel', 'taps'],
          output: ['convolved'],
          attribute: [numbers('strides', [stride])],
        },
        {
          opType: 'Transpose',
          input: ['convolved'],
          output: ['last_hidden_state'],
          attribute: [numbers('perm', [0, 2, 1])],
        },
      ],
    },
  });
  return toBinary(ModelProtoSchema, model);
}

/** Its output for a waveform: [frames, width], row by row. */
export function otherFeatures({ width, kernel, stride }: OtherEncoder, waveform: Float32Array): number[] {
  const frames = Math.floor((waveform.length - kernel) / stride) + 1;
  return Array.from({ length: frames * width }, (_, at) => {
    const [start, channel] = [Math.floor(at / width) * stride, at % width];
    let sum = 0;
    for (let tap = 0; tap < kernel; tap++) sum += waveform[start + tap]! * weight(channel, tap);
    return sum;
  });
}
