/** @file Lists NVIDIA GPUs with nvidia-smi, and counts those that CUDA shows to this process. */

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

export interface Gpu {
  readonly name: string;
  readonly driver: string;
  readonly total_bytes: number;
  readonly free_bytes: number;
}

const TIME_LIMIT_MS = 20_000;
const FIELDS = 'name,driver_version,memory.total,memory.free';

/** The GPUs of this machine, in the order of nvidia-smi. @throws Error if nvidia-smi is missing or fails */
export async function listGpus(): Promise<Gpu[]> {
  const { stdout } = await promisify(execFile)(
    'nvidia-smi',
    [`--query-gpu=${FIELDS}`, '--format=csv,noheader,nounits'],
    { timeout: TIME_LIMIT_MS, killSignal: 'SIGKILL' },
  );
  return parseGpus(stdout);
}

/** Lines of nvidia-smi: `NVIDIA H200, 570.86.15, 143771, 143051`, memory in MiB. */
export function parseGpus(listing: string): Gpu[] {
  return [...listing.matchAll(/^(.+), ([\d.]+), (\d+), (\d+)$/gm)].map(([, name, driver, total, free]) => ({
    name: name!,
    driver: driver!,
    total_bytes: Number(total) * 2 ** 20,
    free_bytes: Number(free) * 2 ** 20,
  }));
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
