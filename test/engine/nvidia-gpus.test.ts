/** @file The memory of CUDA devices, from an nvidia-smi that lists what it is told to. */

import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readCardMemory } from '../../src/engine/runtime/index.js';
import { parseGpus } from '../../src/engine/runtime/nvidia-gpus.js';

const MIB = 2 ** 20;
const small = { totalBytes: 24564 * MIB, freeBytes: 20111 * MIB };
const large = { totalBytes: 81559 * MIB, freeBytes: 81000 * MIB };

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'emoq-smi-'));
  const script = `#!/bin/sh
case "$1" in
  --id=GPU-8a) echo "NVIDIA A100, 580.65.06, 81559, 81000" ;;
  --id=*) echo "No devices were found"; exit 6 ;;
  *) echo "$LISTED" ;;
esac
`;
  await writeFile(join(folder, 'nvidia-smi'), script);
  await chmod(join(folder, 'nvidia-smi'), 0o755);
});
afterAll(() => rm(folder, { recursive: true }));

const line = (name: string, total: string, free: string): string => `${name}, 580.65.06, ${total}, ${free}`;
const SMALL = line('NVIDIA L4', '24564', '20111');
const BUSY = line('NVIDIA L4', '24564', '11');
const LARGE = line('NVIDIA A100', '81559', '81000');
const SHARED = line('NVIDIA GB10', '[N/A]', '[N/A]');

const read = (index: number, listed: string[], env: Record<string, string> = {}) =>
  readCardMemory(index, { PATH: `${folder}:${process.env.PATH}`, LISTED: listed.join('\n'), ...env });

describe('the memory of a CUDA device', () => {
  it('is that of the card with its number', async () => {
    expect(await read(0, [BUSY, SMALL])).toEqual({ ...small, freeBytes: 11 * MIB });
    expect(await read(1, [BUSY, SMALL])).toEqual(small);
  });

  it('is that of the card that CUDA_VISIBLE_DEVICES has in its place', async () => {
    expect(await read(0, [BUSY, SMALL], { CUDA_VISIBLE_DEVICES: '1' })).toEqual(small);
    expect(await read(1, [BUSY, SMALL], { CUDA_VISIBLE_DEVICES: '1, GPU-8a' })).toEqual(large);
  });

  it('is unknown where CUDA may count different cards in another order', async () => {
    expect(await read(0, [SMALL, LARGE])).toBeUndefined();
    expect(await read(0, [SMALL, LARGE], { CUDA_VISIBLE_DEVICES: '1' })).toBeUndefined();
    expect(await read(0, [SMALL, LARGE], { CUDA_DEVICE_ORDER: 'PCI_BUS_ID' })).toEqual(small);
    expect(await read(0, [SMALL, LARGE], { CUDA_VISIBLE_DEVICES: 'GPU-8a' })).toEqual(large);
  });

  it('is unknown where it cannot be read', async () => {
    expect(await read(2, [BUSY, SMALL])).toBeUndefined();
    expect(await read(1, [BUSY, SMALL], { CUDA_VISIBLE_DEVICES: '1' })).toBeUndefined();
    expect(await read(0, [BUSY, SMALL], { CUDA_VISIBLE_DEVICES: '' })).toBeUndefined();
    expect(await read(0, [BUSY, SMALL], { CUDA_VISIBLE_DEVICES: 'GPU-00' })).toBeUndefined();
    expect(await read(0, [SHARED])).toBeUndefined();
    expect(await read(0, ['No devices were found'])).toBeUndefined();
    expect(await readCardMemory(0, { PATH: '/nowhere' })).toBeUndefined();
  });
});

it('a card whose memory nvidia-smi does not tell is listed all the same', () => {
  expect(parseGpus(`${SMALL}\n${SHARED}\n`)).toEqual([
    { name: 'NVIDIA L4', driver: '580.65.06', total_bytes: 24564 * MIB, free_bytes: 20111 * MIB },
    { name: 'NVIDIA GB10', driver: '580.65.06', total_bytes: null, free_bytes: null },
  ]);
});
