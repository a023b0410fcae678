/** @file Errors that say that the memory of a CUDA device ran out. */

import { formatBytes, OutOfMemoryError } from '../../base/index.js';
import { type Device, deviceName } from './device.js';

/** What onnxruntime's arena, CUDA and its libraries say when there is no more memory. */
const SHORTAGES = [
  /Failed to allocate memory for requested buffer of size (\d+)/,
  /Available memory of \d+ is smaller than requested bytes of (\d+)/,
  /CUDA failure 2\b|CUDA_ERROR_OUT_OF_MEMORY|CUBLAS_STATUS_ALLOC_FAILED|CUDNN_STATUS_ALLOC_FAILED/,
];

/**
 * Awaits native work on a device. @throws OutOfMemoryError in place of onnxruntime's error where a CUDA device ran out
 * of memory
 */
export async function namingShortage<T>(device: Device, loading: boolean, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw (device.kind === 'cuda' ? outOfMemory(error, device, loading) : undefined) ?? error;
  }
}

/** The error for the user; undefined if memory is not what was missing. */
export function outOfMemory(error: unknown, device: Device, loading: boolean): OutOfMemoryError | undefined {
  const message = error instanceof Error ? error.message : String(error);
  const found = SHORTAGES.map((pattern) => pattern.exec(message)).find((match) => match !== null);
  if (found === undefined) return undefined;
  // A loop reports its own failure around that of the node inside.
  const nodes = [...message.matchAll(/while running (\w+) node\. Name:'([^']*)'/g)];
  const [, operator, name] = nodes.at(-1) ?? [];
  const when = operator !== undefined ? `in ${operator} ${name}` : loading ? 'loading the model' : 'in a run';
  const asked = found[1] === undefined ? '' : `, which asked for another ${formatBytes(Number(found[1]))}`;
  return new OutOfMemoryError(`${deviceName(device)} ran out of memory ${when}${asked}`);
}
