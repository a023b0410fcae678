/** @file Compute devices: the CPU, a GPU by way of WebGPU, or a CUDA device if the provider libraries are installed. */

import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { InputError } from '../../base/index.js';

/** A compute device. */
export type Device =
  | { readonly kind: 'cpu' }
  | { readonly kind: 'webgpu' }
  | { readonly kind: 'cuda'; readonly index: number };

/**
 * onnxruntime supports CUDA only if both are present, in onnxruntime-node's folder of native libraries. The provider
 * proper is the last; the first connects it to onnxruntime.
 */
export const CUDA_PROVIDER_LIBRARIES: readonly string[] = ['shared', 'cuda'].map(
  (provider) => `libonnxruntime_providers_${provider}.so`,
);

/** One of these exists wherever an NVIDIA driver runs: on Linux and in WSL, respectively. */
const DRIVER_FILES = ['/dev/nvidiactl', '/dev/dxg'];

/** True if an NVIDIA driver is running. */
export function nvidiaDriverPresent(files: readonly string[] = DRIVER_FILES): boolean {
  return files.some((file) => existsSync(file));
}

/** Folder of onnxruntime-node's native libraries for this platform. */
export function providerFolder(): string {
  const entry = createRequire(import.meta.url).resolve('onnxruntime-node');
  return join(dirname(entry), '..', 'bin', 'napi-v6', process.platform, process.arch);
}

/** Version of the installed onnxruntime-node. */
export function onnxruntimeVersion(): string {
  const manifest = join(providerFolder(), '..', '..', '..', '..', 'package.json');
  return (JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }).version;
}

/** True if onnxruntime-node's CUDA provider libraries are installed (requesting CUDA without them throws). */
export function cudaProviderInstalled(folder = providerFolder()): boolean {
  return CUDA_PROVIDER_LIBRARIES.every((library) => existsSync(join(folder, library)));
}

/**
 * Resolves `auto`, `cpu`, `webgpu`, `cuda` or `cuda:N`. `auto` is the first CUDA device if there is one and the
 * provider libraries are installed, otherwise the CPU.
 * @throws InputError for any other text, or for CUDA without its libraries
 */
export function resolveDevice(
  name: string,
  folder = providerFolder(),
  driverFiles: readonly string[] = DRIVER_FILES,
): Device {
  const installed = cudaProviderInstalled(folder);
  if (name === 'cpu' || name === 'webgpu') return { kind: name };
  if (name === 'auto' && !(installed && nvidiaDriverPresent(driverFiles))) return { kind: 'cpu' };
  const match = /^(?:auto|cuda(?::(\d+))?)$/.exec(name);
  if (match === null)
    throw new InputError(`device "${name}" is not known; use auto, cpu, webgpu, cuda or cuda:N`);
  if (!installed) {
    throw new InputError(
      `device "${name}" needs onnxruntime's CUDA libraries in ${folder}; run "emoq doctor --install-cuda", or use --device cpu`,
    );
  }
  return { kind: 'cuda', index: Number(match[1] ?? 0) };
}

/** "cpu", "webgpu" or "cuda:0". */
export function deviceName(device: Device): string {
  return device.kind === 'cuda' ? `cuda:${device.index}` : device.kind;
}
