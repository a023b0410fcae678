/** @file The one import of onnxruntime-node, behind what must be set before it is loaded. */

import { createRequire } from 'node:module';
import type * as Onnxruntime from 'onnxruntime-node';

export type { InferenceSession, Tensor as NativeTensor } from 'onnxruntime-node';

/**
 * onnxruntime's telemetry is off. Since 1.29 its builds for Linux and macOS keep a device id and a queue of events, with
 * the names and metadata of graphs, below the user's cache folder, and look up a collector's host. The variable is read
 * once, when the first session is made, and reaches native code from the main thread alone (the environment of a worker
 * thread is a copy), which therefore imports this module before it starts a worker.
 */
process.env.ORT_DISABLE_TELEMETRY = '1';

const require = createRequire(import.meta.url);
let loaded: typeof Onnxruntime | undefined;

/**
 * onnxruntime-node. Its native library is loaded with the first call, so that what only reads recipes or run folders
 * works, and starts fast, where it cannot be loaded.
 * @throws Error of the platform's loader
 */
export function onnxruntime(): typeof Onnxruntime {
  loaded ??= require('onnxruntime-node') as typeof Onnxruntime;
  return loaded;
}
