/** @file The one import of onnxruntime-node, behind what must be set before it is loaded. */

import { createRequire } from 'node:module';
import './telemetry.js';
import type * as Onnxruntime from 'onnxruntime-node';

export type { InferenceSession, Tensor as NativeTensor } from 'onnxruntime-node';

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
