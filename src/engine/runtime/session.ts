/** @file Sessions of onnxruntime-node over host tensors, in the calling thread. */

import { createArray, type DType, elementCount, type Tensor, tensor } from '../tensor/index.js';
import type { Device } from './device.js';
import { namingShortage } from './memory-shortage.js';
import { type InferenceSession, type NativeTensor, onnxruntime } from './onnxruntime.js';
import { providerError } from './provider-errors.js';

export interface SessionOptions {
  readonly device: Device;
  /** Threads per operator; 0 or absent: one per physical core. */
  readonly threads?: number | undefined;
  /** Folder that the model's external data locations are relative to. */
  readonly weightsFolder?: string | undefined;
  /**
   * Allocate each value from the system and free it again, instead of keeping an arena and a memory plan per set of
   * shapes. Takes less memory for about the same time when shapes vary from run to run and state is large (a stage-1
   * step of RoBERTa-base size: 8.3 instead of 10.6 GiB, 1.39 instead of 1.36 s).
   */
  readonly withoutArena?: boolean;
  /** Keep weights as they are instead of repacking them: less memory, slower first products. */
  readonly disablePrepacking?: boolean;
  /**
   * Evaluate constant expressions in each run. 16-bit weights that the graph casts then stay mapped from their files
   * and are cast layer by layer, instead of being held in float32 from the start. Takes half the memory or less, and
   * leaves it reclaimable by the system, for 25 to 50% more time.
   */
  readonly keepConstantExpressions?: boolean;
  /**
   * Threads that wait for their part of an operator keep their cores busy instead of sleeping. Small steps are up to 15%
   * faster; whatever else computes is slower, such as another session: prediction with toy models took 1.6 times as
   * long, and twice the processor time.
   */
  readonly withSpinning?: boolean;
  /** Path prefix for onnxruntime's profile. */
  readonly profilePrefix?: string;
}

export type Tensors = Readonly<Record<string, Tensor>>;

/** A loaded graph. `run` blocks its thread while it computes. */
export interface Session {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  /**
   * Runs the graph; with `outputs`, computes only those. The results are fresh arrays: the binding copies every output
   * into new memory, even if given an array for it.
   */
  run(feeds: Tensors, outputs?: readonly string[]): Promise<Record<string, Tensor>>;
  /** Frees the native memory. */
  dispose(): Promise<void>;
}

/** Loads what reads models only for this device: every thread of sessions would load it otherwise. */
async function forWebGpu(model: Uint8Array) {
  const { webGpuModel } = await import('../onnx/index.js');
  return webGpuModel(model);
}

/**
 * Loads a serialised model.
 * @throws InputError if the device cannot be used, OutOfMemoryError if it has too little memory (also from runs), Error
 *   with onnxruntime's own message if it rejects the graph
 */
export async function createSession(model: Uint8Array, options: SessionOptions): Promise<Session> {
  const { device } = options;
  const fitted = device.kind === 'webgpu' ? await forWebGpu(model) : { model, cpuNodes: [] };
  const creation = onnxruntime().InferenceSession.create(
    fitted.model,
    nativeOptions(options, fitted.cpuNodes),
  );
  const native = await namingShortage(device, true, creation).catch((error: unknown) => {
    throw providerError(error, device);
  });
  return {
    inputNames: native.inputNames,
    outputNames: native.outputNames,
    async run(feeds, outputs) {
      const inputs = Object.fromEntries(
        Object.entries(feeds).map(([name, value]) => [name, toNative(value)]),
      );
      const running = outputs === undefined ? native.run(inputs) : native.run(inputs, outputs);
      return fromNative(await namingShortage(device, false, running));
    },
    async dispose() {
      await native.release();
    },
  };
}

function nativeOptions(
  options: SessionOptions,
  cpuNodes: readonly string[],
): InferenceSession.SessionOptions {
  const { device } = options;
  const session: Record<string, string> = {
    use_deterministic_compute: '1',
    'intra_op.allow_spinning': options.withSpinning === true ? '1' : '0',
  };
  if (options.weightsFolder !== undefined) {
    session.model_external_initializers_file_folder_path = options.weightsFolder;
  }
  if (options.disablePrepacking === true) session.disable_prepacking = '1';
  const leftOut = leftOutOptimizers(options);
  return {
    executionProviders: executionProviders(device, cpuNodes),
    graphOptimizationLevel: 'all',
    ...(options.withoutArena === true && { enableCpuMemArena: false, enableMemPattern: false }),
    logSeverityLevel: 4, // errors arrive as exceptions; the native log would only repeat them
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

/** In order of preference: what a provider has no kernel for, or must not compute, goes to the CPU. */
function executionProviders(
  device: Device,
  cpuNodes: readonly string[],
): InferenceSession.ExecutionProviderConfig[] {
  if (device.kind === 'cpu') return ['cpu'];
  if (device.kind === 'cuda') return [{ name: 'cuda', deviceId: device.index }, 'cpu'];
  // An empty list is refused.
  return [{ name: 'webgpu', ...(cpuNodes.length > 0 && { forceCpuNodeNames: cpuNodes }) }, 'cpu'];
}

function leftOutOptimizers({ device, keepConstantExpressions }: SessionOptions): string[] {
  return [
    // On the CPU, the fused residual + layer norm takes eight times as long as the two nodes it replaces, and a product
    // that transposes its own first factor takes an eighth longer than one after a Transpose.
    // Elsewhere, a Slice with bounds that are known at run time waits for the device to copy them to the host.
    ...(device.kind === 'cpu' ? ['SkipLayerNormFusion', 'GemmTransposeFusion'] : ['GatherToSliceFusion']),
    ...(keepConstantExpressions === true ? ['ConstantFolding'] : []),
  ];
}

/** On a Node with Float16Array, float16 outputs arrive as one; emoq holds the raw words. */
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
 * A float16 tensor over its raw words. Where JavaScript has Float16Array (Node 24 and newer), the constructor of
 * onnxruntime-common converts the words into one, which onnxruntime-node 1.30 cannot read ("not enough space: expected
 * 251904, got 0"; onnxruntime issue 26791, pull request 32323). The binding reads the object's `type` and `data` and
 * accepts words as float16 on every Node, so the tensor is created from words and its type is set afterwards. This
 * touches no global, does not depend on import order or thread, and also works with a release that reads both kinds of
 * array.
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
