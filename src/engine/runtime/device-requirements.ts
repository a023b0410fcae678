/** @file Checks that devices can be used, before anything is loaded that would fail on them later. */

import { InputError } from '../../base/index.js';
import { cudaNeeds, findCudaLibraries } from './cuda-provider.js';
import { type Device, deviceName } from './device.js';
import { countCudaDevices } from './nvidia-gpus.js';
import { listProviders } from './providers.js';

/**
 * Checks devices that `resolveDevice` has named: onnxruntime must have been built with WebGPU, the libraries of CUDA must
 * be where the loader looks, and the GPUs must exist. Where nvidia-smi does not tell how many there are, a session on one
 * that does not exist fails by itself.
 * @param providers names of the providers of the installed onnxruntime
 * @throws InputError with what is missing
 */
export async function requireDevices(
  devices: readonly Device[],
  providers = (): string[] => listProviders().map(({ name }) => name),
): Promise<void> {
  if (devices.some(({ kind }) => kind === 'webgpu') && !providers().includes('webgpu')) {
    throw new InputError(
      `device "webgpu" is not part of onnxruntime-node for ${process.platform} ${process.arch}; use --device cpu`,
    );
  }
  const cuda = devices.filter((device) => device.kind === 'cuda');
  if (cuda.length === 0) return;
  const missing = (await findCudaLibraries(await cudaNeeds())).filter(({ path }) => path === undefined);
  if (missing.length > 0) {
    throw new InputError(
      `device "${deviceName(cuda[0]!)}" needs ${missing.map(({ name }) => name).join(', ')}, which ${missing.length === 1 ? 'is' : 'are'} not where the loader looks; "emoq doctor" says what to do, or use --device cpu`,
    );
  }
  const isCertain = process.env.CUDA_VISIBLE_DEVICES === undefined && cuda.every(({ index }) => index === 0);
  const count = isCertain ? undefined : await countCudaDevices(); // takes seconds on some machines
  const beyond = cuda.find(({ index }) => count !== undefined && index >= count);
  if (beyond !== undefined) {
    const there = Array.from({ length: count! }, (_, index) => deviceName({ kind: 'cuda', index }));
    throw new InputError(
      `device "${deviceName(beyond)}" does not exist; CUDA shows ${there.length === 0 ? 'no GPU (CUDA_VISIBLE_DEVICES hides them)' : there.join(', ')}`,
    );
  }
}
