/** @file Device selection with and without onnxruntime's CUDA libraries and a driver. */

import { mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { InputError } from '../../src/base/index.js';
import {
  cudaProviderInstalled,
  deviceName,
  providerFolder,
  requireDevices,
  resolveDevice,
} from '../../src/engine/runtime/index.js';
import { providerError } from '../../src/engine/runtime/provider-errors.js';

describe('devices', () => {
  const libraries = ['libonnxruntime_providers_shared.so', 'libonnxruntime_providers_cuda.so'];
  let folder: string;
  let bare: string;
  let full: string;
  let driver: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'emoq-devices-'));
    [bare, full, driver] = ['bare', 'full', 'nvidiactl'].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ];
    await mkdir(bare);
    await mkdir(full);
    await writeFile(join(bare, libraries[0]!), '');
    for (const library of libraries) await writeFile(join(full, library), '');
    await writeFile(driver, '');
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it('are looked for where onnxruntime-node has its libraries', async () => {
    await expect(stat(join(providerFolder(), 'onnxruntime_binding.node'))).resolves.toBeDefined();
    expect(cudaProviderInstalled(bare)).toBe(false);
    expect(cudaProviderInstalled(full)).toBe(true);
  });
  it('auto is a GPU where libraries and driver are there, else the CPU', () => {
    expect(resolveDevice('auto', bare, [driver])).toEqual({ kind: 'cpu' });
    expect(resolveDevice('auto', full, [join(folder, 'no-driver')])).toEqual({ kind: 'cpu' });
    expect(resolveDevice('auto', full, ['/absent', driver])).toEqual({ kind: 'cuda', index: 0 });
    expect(['cpu', 'cuda:0']).toContain(deviceName(resolveDevice('auto')));
  });
  it('are taken by name', () => {
    expect(resolveDevice('cpu', full)).toEqual({ kind: 'cpu' });
    expect(resolveDevice('cuda', full)).toEqual({ kind: 'cuda', index: 0 });
    expect(deviceName(resolveDevice('cuda:3', full))).toBe('cuda:3');
    expect(deviceName(resolveDevice('cpu'))).toBe('cpu');
  });
  it('cuda without its libraries says in one line what to do', () => {
    const message = `device "cuda:1" needs onnxruntime's CUDA libraries in ${bare}; run "emoq doctor --install-cuda", or use --device cpu`;
    expect(() => resolveDevice('cuda:1', bare, [driver])).toThrow(new InputError(message));
  });
  it('webgpu needs no libraries, and is never chosen by itself', () => {
    expect(resolveDevice('webgpu', bare)).toEqual({ kind: 'webgpu' });
    expect(deviceName(resolveDevice('webgpu', full))).toBe('webgpu');
    expect(resolveDevice('auto', bare, [driver])).toEqual({ kind: 'cpu' });
  });
  it('of any other name are refused', () => {
    for (const name of ['gpu', 'cuda:', 'cuda:x', 'cuda:-1', 'CPU', '', 'auto:0']) {
      expect(() => resolveDevice(name, full)).toThrow(
        new InputError(`device "${name}" is not known; use auto, cpu, webgpu, cuda or cuda:N`),
      );
    }
  });
});

it('webgpu is refused where onnxruntime is built without it', async () => {
  const devices = [{ kind: 'cpu' }, { kind: 'webgpu' }] as const;
  await requireDevices(devices, () => ['cpu', 'webgpu']);
  await requireDevices([devices[0]], () => ['cpu']);
  await expect(requireDevices(devices, () => ['cpu', 'cuda'])).rejects.toThrow(
    new InputError(
      `device "webgpu" is not part of onnxruntime-node for ${process.platform} ${process.arch}; use --device cpu`,
    ),
  );
});

describe('an error of a provider', () => {
  const cuda = { kind: 'cuda', index: 5 } as const;
  const messageOf = (text: string, device: Parameters<typeof providerError>[1] = cuda): string => {
    const error = providerError(new Error(text), device);
    expect(error).toBeInstanceOf(InputError);
    return (error as Error).message;
  };
  it('about a device that cannot be used says in one line what to do', () => {
    expect(
      messageOf('webgpu_context.cc:136 Failed to get a WebGPU adapter: No supported adapters\n', {
        kind: 'webgpu',
      }),
    ).toBe(
      'device "webgpu" needs a GPU with a driver for Vulkan, Metal or Direct3D 12, and WebGPU finds none; install the driver, or use --device cpu',
    );
    expect(
      messageOf(
        'provider_bridge_ort.cc:2273 Failed to load library libonnxruntime_providers_cuda.so with error: libcublasLt.so.13: cannot open shared object file: No such file or directory',
      ),
    ).toBe(
      'device "cuda:5" needs libcublasLt.so.13, which is not where libraries are looked for; "emoq doctor" says what is missing and where it can be, or use --device cpu',
    );
    expect(
      messageOf('CUDA failure 101: invalid device ordinal ; GPU=-1 ; hostname=a ; expr=cudaSetDevice(5); '),
    ).toBe(
      'device "cuda:5" does not exist; "emoq doctor" lists the GPUs, of which cuda:0 is the first, or use --device cpu',
    );
    expect(
      messageOf('CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version ; GPU=-1 ;'),
    ).toBe(
      'device "cuda:5" cannot be used: CUDA driver version is insufficient for CUDA runtime version (CUDA error 35); see "emoq doctor", or use --device cpu',
    );
  });
  it('about anything else stays as it is', () => {
    for (const text of [
      'CUDA failure 2: out of memory ; GPU=0',
      'Load model failed: Protobuf parsing failed',
    ]) {
      const error = new Error(text);
      expect(providerError(error, cuda)).toBe(error);
      expect(providerError(error, { kind: 'cpu' })).toBe(error);
    }
  });
});
