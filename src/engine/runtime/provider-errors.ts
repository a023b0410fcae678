/** @file Turns onnxruntime's messages about a device that cannot be used into one line that says what to do. */

import { InputError } from '../../base/index.js';
import { type Device, deviceName } from './device.js';

/** Of the CUDA runtime: there is memory, but not enough. The device itself works. */
const OUT_OF_MEMORY = '2';
/** Of the CUDA runtime: no device has this number. */
const INVALID_DEVICE = '101';

/**
 * The error of a session that could not be created.
 * @returns an InputError if the device is the reason, else the error itself
 */
export function providerError(error: unknown, device: Device): unknown {
  const reason = error instanceof Error ? deviceProblem(error.message, device) : undefined;
  if (reason === undefined) return error;
  return new InputError(`device "${deviceName(device)}" ${reason}, or use --device cpu`);
}

function deviceProblem(message: string, { kind }: Device): string | undefined {
  if (kind === 'webgpu' && /Failed to get a WebGPU (?:adapter|device)/.test(message)) {
    return 'needs a GPU with a driver for Vulkan, Metal or Direct3D 12, and WebGPU finds none; install the driver';
  }
  if (kind !== 'cuda') return undefined;
  const library = /error: (\S+): cannot open shared object file/.exec(message)?.[1];
  if (library !== undefined) {
    return `needs ${library}, which is not where libraries are looked for; "emoq doctor" says what is missing and where it can be`;
  }
  const [, code, text = ''] = /CUDA failure (\d+): ([^;\n]*)/.exec(message) ?? [];
  if (code === undefined || code === OUT_OF_MEMORY) return undefined;
  if (code === INVALID_DEVICE)
    return 'does not exist; "emoq doctor" lists the GPUs, of which cuda:0 is the first';
  return `cannot be used: ${text.trim()} (CUDA error ${code}); see "emoq doctor"`;
}
