/** @file The memory that this process has used. */

import { readFileSync } from 'node:fs';

/**
 * Peak resident memory of this process so far, in bytes, all threads together. `process.resourceUsage().maxRSS` is at
 * least the memory that the parent had when it started this process (Linux keeps it across fork and exec), so it is
 * used only where the system does not say better (VmHWM in /proc/self/status, see proc(5)).
 */
export function peakMemoryBytes(): number {
  const kib = /^VmHWM:\s+(\d+) kB$/m.exec(statusOfProcess())?.[1] ?? process.resourceUsage().maxRSS;
  return Number(kib) * 1024;
}

function statusOfProcess(): string {
  try {
    return readFileSync('/proc/self/status', 'utf8');
  } catch {
    return ''; // not Linux
  }
}
