/** @file The only import of onnxruntime-node, after the settings that must precede it. */

import { createRequire } from 'node:module';
import type * as Onnxruntime from 'onnxruntime-node';

export type { InferenceSession, Tensor as NativeTensor } from 'onnxruntime-node';

/**
 * Turns off onnxruntime's telemetry. Since 1.29 its Linux and macOS builds store a device id and a queue of events,
 * including graph names and metadata, in the user's cache folder, and look up a collector's host. The variable is read
 * once, when the first session is created, and only the main thread's environment reaches native code (a worker thread
 * has a copy). The main thread therefore imports this module before it starts a worker.
 */
process.env.ORT_DISABLE_TELEMETRY = '1';

const require = createRequire(import.meta.url);
let loaded: typeof Onnxruntime | undefined;

/**
 * onnxruntime-node. Its native library is loaded on the first call, so that commands that only read recipes or run
 * folders start fast, and work where it cannot be loaded.
 * @throws Error from the platform's loader
 */
export function onnxruntime(): typeof Onnxruntime {
  loaded ??= require('onnxruntime-node') as typeof Onnxruntime;
  return loaded;
}
