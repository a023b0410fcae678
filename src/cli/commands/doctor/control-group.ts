/** @file What a container may use: limits of memory and processor time in the control groups of this process. */

import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** Undefined where there is no limit. */
export interface ControlGroup {
  readonly memoryLimitBytes: number | undefined;
  /** In use below that limit, without what the system can drop at once. */
  readonly memoryUsedBytes: number | undefined;
  /** Processors' worth of time, such as 1.5. */
  readonly cores: number | undefined;
}

/** "No limit" in version 1 is a number near 2^63; no machine has an exbibyte. */
const NO_LIMIT_BYTES = 2 ** 60;

/** Names of files in one of the two versions of control groups. */
interface Layout {
  /** Line of /proc/self/cgroup: `0::/path`, or `4:memory:/path`. */
  readonly controller: RegExp;
  readonly mount: string;
}

const UNIFIED = /^0::(.*)$/m;
const MEMORY: readonly (Layout & { limit: string; usage: string; droppable: RegExp })[] = [
  {
    controller: UNIFIED,
    mount: 'sys/fs/cgroup',
    limit: 'memory.max',
    usage: 'memory.current',
    droppable: /^inactive_file (\d+)$/m,
  },
  {
    controller: /^\d+:(?:[^:]*,)?memory(?:,[^:]*)?:(.*)$/m,
    mount: 'sys/fs/cgroup/memory',
    limit: 'memory.limit_in_bytes',
    usage: 'memory.usage_in_bytes',
    droppable: /^total_inactive_file (\d+)$/m,
  },
];
const PROCESSOR_V1 = /^\d+:(?:[^:]*,)?cpu(?:,[^:]*)?:(.*)$/m;

/**
 * Reads both versions of control groups: of the group and of all around it the tightest limit counts.
 * @param root of the file system
 */
export async function readControlGroup(root = '/'): Promise<ControlGroup> {
  const membership = await text(join(root, 'proc/self/cgroup'));
  let memoryLimitBytes: number | undefined;
  let memoryUsedBytes: number | undefined;
  for (const layout of MEMORY) {
    for (const folder of foldersOf(root, membership, layout)) {
      const limit = numberIn(await text(join(folder, layout.limit)));
      if (limit === undefined || limit >= NO_LIMIT_BYTES || limit >= (memoryLimitBytes ?? Infinity)) continue;
      memoryLimitBytes = limit;
      const used = numberIn(await text(join(folder, layout.usage)));
      const droppable = Number(layout.droppable.exec(await text(join(folder, 'memory.stat')))?.[1] ?? 0);
      memoryUsedBytes = used === undefined ? undefined : Math.max(0, used - droppable);
    }
  }
  return { memoryLimitBytes, memoryUsedBytes, cores: await coresOf(root, membership) };
}

async function coresOf(root: string, membership: string): Promise<number | undefined> {
  const quotas: number[] = [];
  for (const folder of foldersOf(root, membership, { controller: UNIFIED, mount: 'sys/fs/cgroup' })) {
    const [, quota, period] = /^(\d+) (\d+)/.exec(await text(join(folder, 'cpu.max'))) ?? [];
    if (quota !== undefined) quotas.push(Number(quota) / Number(period));
  }
  for (const mount of ['sys/fs/cgroup/cpu', 'sys/fs/cgroup/cpu,cpuacct']) {
    for (const folder of foldersOf(root, membership, { controller: PROCESSOR_V1, mount })) {
      const quota = numberIn(await text(join(folder, 'cpu.cfs_quota_us')));
      const period = numberIn(await text(join(folder, 'cpu.cfs_period_us')));
      if (quota !== undefined && period !== undefined) quotas.push(quota / period);
    }
  }
  return quotas.length === 0 ? undefined : Math.min(...quotas);
}

/**
 * The folder of the group and those around it up to the mount. In a container the path may be the host's and lead
 * nowhere, while the mount is the group itself.
 */
function foldersOf(root: string, membership: string, { controller, mount }: Layout): string[] {
  const path = controller.exec(membership)?.[1] ?? '/';
  const folders: string[] = [];
  for (let group = join('/', path); ; group = dirname(group)) {
    folders.push(join(root, mount, group));
    if (group === '/') return folders;
  }
}

function numberIn(content: string): number | undefined {
  return /^\d+$/.test(content.trim()) ? Number(content) : undefined;
}

/** '' where a file cannot be read: controllers that are not in use have none. */
function text(path: string): Promise<string> {
  return readFile(path, 'utf8').catch(() => '');
}
