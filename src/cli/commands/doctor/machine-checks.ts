/** @file Checks Node, memory and cores: what this process may use, not what the machine has. */

import { readFile } from 'node:fs/promises';
import { availableParallelism, cpus, freemem, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { formatMemory } from '../../../base/index.js';
import { type CheckResult, checked } from './check-result.js';

/** Peak memory of the demo, with a margin: its training uses about a third of it. */
const DEMO_MEMORY_BYTES = 2 ** 30;

/** Bytes of memory that this process may use, and how many of them are free. */
export async function memoryBudget(): Promise<{ totalBytes: number; freeBytes: number; isLimited: boolean }> {
  const { memoryLimitBytes = Infinity, memoryUsedBytes = 0 } = await readControlGroup();
  const isLimited = memoryLimitBytes < totalmem();
  return {
    totalBytes: Math.min(totalmem(), memoryLimitBytes),
    freeBytes: Math.max(0, Math.min(freemem(), memoryLimitBytes - memoryUsedBytes)),
    isLimited,
  };
}

/** bin/node-version.js, which is not compiled because it must run on any version of Node. */
interface NodeVersions {
  readonly SUPPORTED_NODES: string;
  nodeVersionProblem(version: string): string | undefined;
}

export async function nodeChecks(): Promise<CheckResult[]> {
  return nodeChecksOf(process.versions.node);
}

/** The same for any version. */
export async function nodeChecksOf(version: string): Promise<CheckResult[]> {
  const module = new URL('../../../../bin/node-version.js', import.meta.url).href;
  const { SUPPORTED_NODES: wanted, nodeVersionProblem } = (await import(module)) as NodeVersions;
  const isSupported = nodeVersionProblem(version) === undefined;
  return [
    checked('Node', isSupported ? 'ok' : 'missing', `${version}; ${wanted} is needed`, {
      needed: true,
      fix: isSupported ? null : 'nvm install 24',
      details: { version, wanted },
    }),
  ];
}

export async function memoryChecks(): Promise<CheckResult[]> {
  const { totalBytes, freeBytes, isLimited } = await memoryBudget();
  const whose = isLimited ? 'limited by its control group' : 'in all';
  const figures = `${formatMemory(totalBytes)} ${whose}, ${formatMemory(freeBytes)} free`;
  const details = { total_bytes: totalBytes, free_bytes: freeBytes, limited: isLimited };
  const rest = { needed: true, details };
  if (totalBytes < DEMO_MEMORY_BYTES) {
    const found = `${figures}; the demo takes up to ${formatMemory(DEMO_MEMORY_BYTES)}`;
    return [checked('memory', 'missing', found, rest)];
  }
  if (freeBytes < DEMO_MEMORY_BYTES) {
    const found = `${figures}, which is low; see what uses it`;
    return [checked('memory', 'warning', found, { ...rest, fix: 'ps aux --sort=-rss | head' })];
  }
  return [checked('memory', 'ok', figures, rest)];
}

export async function coreChecks(): Promise<CheckResult[]> {
  const usable = availableParallelism();
  const { cores: quota } = await readControlGroup();
  const model = cpus()[0]?.model.trim() ?? 'unknown';
  const details = { usable, installed: cpus().length, quota: quota ?? null, model };
  const threads = Math.max(1, Math.floor(quota ?? usable));
  if (threads >= usable) return [checked('cores', 'ok', `${usable}, ${model}`, { details })];
  // Threads beyond the quota are paused during matrix products, and the others wait for them.
  return [
    checked('cores', 'warning', `${usable}, but CPU time for ${quota} because of its control group's quota`, {
      fix: `emoq stage1 --dataset NAME --threads ${threads}`,
      details,
    }),
  ];
}

/** undefined if there is no limit. */
export interface ControlGroup {
  readonly memoryLimitBytes: number | undefined;
  /** Used memory below that limit, without what the system can reclaim at once. */
  readonly memoryUsedBytes: number | undefined;
  /** CPU quota in cores, such as 1.5. */
  readonly cores: number | undefined;
}

/** In version 1, "no limit" is a number near 2^63; no machine has an exbibyte. */
const NO_LIMIT_BYTES = 2 ** 60;

/** File names in one of the two versions of control groups. */
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
 * Reads both versions of control groups, and returns the tightest limit of the group and its ancestors.
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
 * The folder of the group and its ancestors up to the mount. In a container, the path may be the host's and not exist,
 * while the mount is the group itself.
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

/** '' if a file cannot be read: unused controllers have none. */
function text(path: string): Promise<string> {
  return readFile(path, 'utf8').catch(() => '');
}
