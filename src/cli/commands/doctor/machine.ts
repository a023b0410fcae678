/** @file Node, memory and cores: what this process may use, not what the machine has. */

import { availableParallelism, cpus, freemem, totalmem } from 'node:os';
import { formatMemory } from '../../../base/index.js';
import { type Check, checked } from './check.js';
import { readControlGroup } from './control-group.js';

/** What the demo takes at its peak, with room to spare: its training holds about a third of it. */
const DEMO_MEMORY_BYTES = 2 ** 30;

/** Bytes that computing may take here, and how many of them are free. */
export async function memoryBudget(): Promise<{ totalBytes: number; freeBytes: number; isLimited: boolean }> {
  const { memoryLimitBytes = Infinity, memoryUsedBytes = 0 } = await readControlGroup();
  const isLimited = memoryLimitBytes < totalmem();
  return {
    totalBytes: Math.min(totalmem(), memoryLimitBytes),
    freeBytes: Math.max(0, Math.min(freemem(), memoryLimitBytes - memoryUsedBytes)),
    isLimited,
  };
}

/** bin/node-version.js, which is not compiled: it must run on a Node of any age. */
interface NodeVersions {
  readonly SUPPORTED_NODES: string;
  nodeVersionProblem(version: string): string | undefined;
}

export async function nodeChecks(): Promise<Check[]> {
  return nodeChecksOf(process.versions.node);
}

/** The same for any version. */
export async function nodeChecksOf(version: string): Promise<Check[]> {
  const module = new URL('../../../../bin/node-version.js', import.meta.url).href;
  const { SUPPORTED_NODES: wanted, nodeVersionProblem } = (await import(module)) as NodeVersions;
  const isSupported = nodeVersionProblem(version) === undefined;
  return [
    checked('Node', isSupported ? 'ok' : 'missing', `${version}; ${wanted} is needed`, {
      needed: true,
      mend: isSupported ? null : 'nvm install 24',
      facts: { version, wanted },
    }),
  ];
}

export async function memoryChecks(): Promise<Check[]> {
  const { totalBytes, freeBytes, isLimited } = await memoryBudget();
  const whose = isLimited ? 'by the limit of its control group' : 'in all';
  const figures = `${formatMemory(totalBytes)} ${whose}, ${formatMemory(freeBytes)} free`;
  const facts = { total_bytes: totalBytes, free_bytes: freeBytes, limited: isLimited };
  const rest = { needed: true, facts };
  if (totalBytes < DEMO_MEMORY_BYTES) {
    const found = `${figures}; the demo takes up to ${formatMemory(DEMO_MEMORY_BYTES)}`;
    return [checked('memory', 'missing', found, rest)];
  }
  if (freeBytes < DEMO_MEMORY_BYTES) {
    const found = `${figures}, which is little; see what takes it`;
    return [checked('memory', 'warning', found, { ...rest, mend: 'ps aux --sort=-rss | head' })];
  }
  return [checked('memory', 'ok', figures, rest)];
}

export async function coreChecks(): Promise<Check[]> {
  const usable = availableParallelism();
  const { cores: quota } = await readControlGroup();
  const model = cpus()[0]?.model.trim() ?? 'unknown';
  const facts = { usable, installed: cpus().length, quota: quota ?? null, model };
  const threads = Math.max(1, Math.floor(quota ?? usable));
  if (threads >= usable) return [checked('cores', 'ok', `${usable}, ${model}`, { facts })];
  // Threads beyond the quota are stopped in the middle of a product, and the others wait for them.
  return [
    checked('cores', 'warning', `${usable}, but time for ${quota} by the quota of its control group`, {
      mend: `emoq stage1 --dataset NAME --threads ${threads}`,
      facts,
    }),
  ];
}
