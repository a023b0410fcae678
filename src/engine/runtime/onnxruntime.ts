/** @file The one import of onnxruntime-node, behind what must be set before it is loaded. */

import './telemetry.js';
import ort, { listSupportedBackends } from 'onnxruntime-node';

export type { InferenceSession, Tensor as NativeTensor } from 'onnxruntime-node';
export { listSupportedBackends, ort };
