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
  resolveDevice,
} from '../../src/engine/runtime/index.js';

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
    const message = `device "cuda:1" needs onnxruntime's CUDA libraries in ${bare}; run "make cuda", or use --device cpu`;
    expect(() => resolveDevice('cuda:1', bare, [driver])).toThrow(new InputError(message));
  });
  it('of any other name are refused', () => {
    for (const name of ['gpu', 'cuda:', 'cuda:x', 'cuda:-1', 'CPU', '', 'auto:0']) {
      expect(() => resolveDevice(name, full)).toThrow(
        new InputError(`device "${name}" is not known; use auto, cpu, cuda or cuda:N`),
      );
    }
  });
});
