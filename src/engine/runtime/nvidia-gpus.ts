/** @file NVIDIA GPUs as nvidia-smi lists them, and those of them that CUDA shows to this process, with their memory. */

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

export interface Gpu {
  readonly name: string;
  readonly driver: string;
  /** Null where nvidia-smi does not tell, as on GPUs that use the memory of the host. */
  readonly total_bytes: number | null;
  readonly free_bytes: number | null;
}

const TIME_LIMIT_MS = 20_000;
const FIELDS = 'name,driver_version,memory.total,memory.free';

/**
 * The GPUs of this machine, in the order of nvidia-smi.
 * @param id only this one: its identifier, or the beginning of it
 * @throws Error if nvidia-smi is missing or fails
 */
export async function listGpus({ id, env = process.env }: GpuQuery = {}): Promise<Gpu[]> {
  const chosen = id === undefined ? [] : [`--id=${id}`];
  const { stdout } = await promisify(execFile)(
    'nvidia-smi',
    [...chosen, `--query-gpu=${FIELDS}`, '--format=csv,noheader,nounits'],
    { timeout: TIME_LIMIT_MS, killSignal: 'SIGKILL', env },
  );
  return parseGpus(stdout);
}

interface GpuQuery {
  readonly id?: string;
  readonly env?: NodeJS.ProcessEnv;
}

/** Lines of nvidia-smi: `NVIDIA H200, 570.86.15, 143771, 143051`, memory in MiB or `[N/A]`. */
export function parseGpus(listing: string): Gpu[] {
  const bytes = (mebibytes: string): number | null =>
    /^\d+$/.test(mebibytes) ? Number(mebibytes) * 2 ** 20 : null;
  return [...listing.matchAll(/^(.+), ([\d.]+), (\d+|\[.+\]), (\d+|\[.+\])$/gm)].map(
    ([, name, driver, total, free]) => ({
      name: name!,
      driver: driver!,
      total_bytes: bytes(total!),
      free_bytes: bytes(free!),
    }),
  );
}

/** Memory of a device, in bytes. */
export interface CardMemory {
  readonly totalBytes: number;
  /** Not in use by any process at the moment. */
  readonly freeBytes: number;
}

/**
 * The memory of the CUDA device with this index. CUDA counts only the devices in CUDA_VISIBLE_DEVICES, and the fastest
 * first unless CUDA_DEVICE_ORDER is PCI_BUS_ID (CUDA programming guide, environment variables); nvidia-smi counts all,
 * by bus.
 * @returns undefined if it cannot be read, or if different cards leave open which one it is
 */
export async function readCardMemory(index: number, env = process.env): Promise<CardMemory | undefined> {
  const visible = env.CUDA_VISIBLE_DEVICES?.split(',').map((name) => name.trim());
  const id = visible === undefined ? String(index) : visible[index];
  if (id === undefined || id === '') return undefined;
  try {
    const isIndex = /^\d+$/.test(id);
    const gpus = await listGpus(isIndex ? { env } : { id, env });
    const isAlike = new Set(gpus.map(({ name }) => name)).size === 1;
    if (!isAlike && env.CUDA_DEVICE_ORDER !== 'PCI_BUS_ID') return undefined;
    const { total_bytes: totalBytes = null, free_bytes: freeBytes = null } =
      gpus[isIndex ? Number(id) : 0] ?? {};
    return totalBytes === null || freeBytes === null ? undefined : { totalBytes, freeBytes };
  } catch {
    return undefined;
  }
}

/** The number of CUDA devices that this process can use, of which cuda:0 is the first; undefined if not known. */
export async function countCudaDevices(): Promise<number | undefined> {
  const gpus = await listGpus().catch(() => []);
  return gpus.length === 0 ? undefined : countVisible(gpus.length, process.env.CUDA_VISIBLE_DEVICES);
}

/**
 * How many of the GPUs CUDA shows: CUDA_VISIBLE_DEVICES lists them by index or identifier, and what follows an index
 * that does not exist is not shown (CUDA programming guide, environment variables).
 */
export function countVisible(gpus: number, visible: string | undefined): number {
  if (visible === undefined) return gpus;
  const entries = visible.split(',').map((entry) => entry.trim());
  const isShown = (entry: string): boolean =>
    /^\d+$/.test(entry) ? Number(entry) < gpus : /^(?:GPU|MIG)-/.test(entry);
  const end = entries.findIndex((entry) => !isShown(entry));
  return end < 0 ? entries.length : end;
}
