/** @file Sessions of onnxruntime-node over host tensors, in the calling thread. */

import { createArray, type DType, elementCount, type Tensor, tensor } from '../tensor/index.js';
import type { Device } from './device.js';
import { type InferenceSession, type NativeTensor, onnxruntime } from './onnxruntime.js';

export interface SessionOptions {
  readonly device: Device;
  /** Threads inside one operator; 0 or absent: one for each physical core. */
  readonly threads?: number | undefined;
  /** Folder that the model's external data locations are relative to. */
  readonly weightsFolder?: string | undefined;
  /**
   * Take memory from the system for each value and give it back, instead of keeping an arena and a plan for each set of
   * shapes. Where shapes differ from run to run and state is large, that is less memory for about as much time (a stage-1
   * step of RoBERTa-base size: 8.3 instead of 10.6 GiB, 1.39 instead of 1.36 s).
   */
  readonly withoutArena?: boolean;
  /** Keep weights as they are instead of repacking them: less memory, slower first products. */
  readonly disablePrepacking?: boolean;
  /**
   * Leave constant expressions to each run. 16-bit weights that the graph casts then stay mapped from their files and
   * are cast layer by layer, instead of being held in float32 from the start: half the memory or less, and room that
   * the system can take back, for a quarter to a half more time.
   */
  readonly keepConstantExpressions?: boolean;
  /** Write onnxruntime's own profile beside this path. */
  readonly profilePrefix?: string;
}

export type Tensors = Readonly<Record<string, Tensor>>;

/** A loaded graph. `run` blocks its thread while it computes. */
export interface Session {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  /**
   * Runs the graph; with `outputs`, computes only those. The results are fresh arrays: the binding copies every output
   * into new memory, even one that it is given an array for.
   */
  run(feeds: Tensors, outputs?: readonly string[]): Promise<Record<string, Tensor>>;
  /** Frees the native memory. */
  dispose(): Promise<void>;
}

/** Loads a serialised model. @throws Error with onnxruntime's own message when it refuses the graph. */
export async function createSession(model: Uint8Array, options: SessionOptions): Promise<Session> {
  const native = await onnxruntime().InferenceSession.create(model, nativeOptions(options));
  return {
    inputNames: native.inputNames,
    outputNames: native.outputNames,
    async run(feeds, outputs) {
      const inputs = Object.fromEntries(
        Object.entries(feeds).map(([name, value]) => [name, toNative(value)]),
      );
      return fromNative(await (outputs === undefined ? native.run(inputs) : native.run(inputs, outputs)));
    },
    async dispose() {
      await native.release();
    },
  };
}

function nativeOptions(options: SessionOptions): InferenceSession.SessionOptions {
  const { device } = options;
  const session: Record<string, string> = { use_deterministic_compute: '1' };
  if (options.weightsFolder !== undefined) {
    session.model_external_initializers_file_folder_path = options.weightsFolder;
  }
  if (options.disablePrepacking === true) session.disable_prepacking = '1';
  const leftOut = leftOutOptimizers(options);
  return {
    executionProviders: device.kind === 'cpu' ? ['cpu'] : [{ name: 'cuda', deviceId: device.index }, 'cpu'],
    graphOptimizationLevel: 'all',
    ...(options.withoutArena === true && { enableCpuMemArena: false, enableMemPattern: false }),
    logSeverityLevel: 4, // errors arrive as exceptions; the native log would only print them once more
    ...(options.threads !== undefined && options.threads > 0 && { intraOpNumThreads: options.threads }),
    ...(options.profilePrefix !== undefined && {
      enableProfiling: true,
      profileFilePrefix: options.profilePrefix,
    }),
    extra: {
      session,
      ...(leftOut.length > 0 && { optimization: { disable_specified_optimizers: leftOut.join(';') } }),
    },
  };
}

function leftOutOptimizers({ device, keepConstantExpressions }: SessionOptions): string[] {
  return [
    // On the CPU the fused residual + layer norm takes eight times as long as the two it replaces, and a product that
    // transposes its first factor by itself an eighth longer than with a Transpose before it.
    ...(device.kind === 'cpu' ? ['SkipLayerNormFusion', 'GemmTransposeFusion'] : []),
    ...(keepConstantExpressions === true ? ['ConstantFolding'] : []),
  ];
}

/** Where Node has Float16Array, float16 comes back as one; emoq holds its words. */
function hostArray(dtype: DType, data: NativeTensor.DataType): Tensor['data'] {
  const array = data as Tensor['data'];
  if (dtype !== 'float16' || array instanceof Uint16Array) return array;
  return new Uint16Array(array.buffer, array.byteOffset, array.length);
}

function toNative({ dtype, data, shape }: Tensor): NativeTensor {
  if (dtype === 'float16') return float16Tensor(data as Uint16Array, shape);
  return new (onnxruntime().Tensor)(dtype as NativeTensor.Type, data as NativeTensor.DataType, shape);
}

/**
 * A float16 tensor over its words. Where JavaScript has Float16Array (Node 24 and newer), onnxruntime-common's own
 * constructor turns the words into one, of which onnxruntime-node 1.30 reads no bytes ("not enough space: expected
 * 251904, got 0"; onnxruntime issue 26791, pull request 32323). The binding reads `type` and `data` of the object and
 * takes words as float16 on every Node, so the tensor is made of words and its type is set afterwards. No global is
 * touched, nothing depends on which thread or module comes first, and a release that reads both arrays reads this one.
 */
function float16Tensor(words: Uint16Array, shape: readonly number[]): NativeTensor {
  const made = new (onnxruntime().Tensor)('uint16', words, shape);
  return Object.assign(made as { type: NativeTensor.Type }, { type: 'float16' as const }) as NativeTensor;
}

function fromNative(values: InferenceSession.OnnxValueMapType): Record<string, Tensor> {
  const result: Record<string, Tensor> = {};
  for (const [name, value] of Object.entries(values)) {
    const dtype = value.type as DType;
    const data = value.size === 0 ? createArray(dtype, 0) : hostArray(dtype, value.data);
    if (data.length !== elementCount(value.dims))
      throw new Error(`output ${name} came back with a wrong size`);
    result[name] = tensor(dtype, value.dims, data);
  }
  return result;
}
