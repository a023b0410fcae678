/**
 * @file Identifies the process that wrote a lock or temporary file, and checks whether it is still alive. A process id
 * is not enough: ids are reused, and the first process of every container is number 1.
 */

import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import { sha256Of } from './checksums.js';

/** Identifies a process uniquely among all machines that share a disk. */
export interface ProcessIdentity {
  readonly pid: number;
  readonly host: string;
  /** Changes on every boot; '' where the system does not provide it (Windows, macOS). */
  readonly boot: string;
  /** PID namespace, as each container has its own; '' where the system does not provide it. */
  readonly namespace: string;
  /** Start time of the process in clock ticks; '' where the system does not provide it. */
  readonly start: string;
}

/** `unknown`: on another machine, or in a container whose processes are not visible from here. */
export type Liveness = 'alive' | 'dead' | 'unknown';

let own: ProcessIdentity | undefined;

/** This process. */
export function ownIdentity(): ProcessIdentity {
  own ??= {
    pid: process.pid,
    host: hostname(),
    boot: systemText('/proc/sys/kernel/random/boot_id'),
    namespace: namespaceOf('self'),
    start: startOf('self')?.start ?? '',
  };
  return own;
}

/** Linux gives the initial PID namespace this number; containers have other numbers. */
const FIRST_NAMESPACE = String(0xeffffffc);

/** True if processes outside this one's container are not visible. */
export function isInContainer(): boolean {
  const { namespace } = ownIdentity();
  return namespace !== '' && namespace !== FIRST_NAMESPACE;
}

/** Whether a process is alive, as far as this process can tell. */
export function livenessOf(process: ProcessIdentity): Liveness {
  const self = ownIdentity();
  if (process.boot === '' || self.boot === '') return livenessByNumber(process);
  if (process.boot !== self.boot || process.namespace !== self.namespace) return 'unknown';
  return livenessHere(process.pid, process.start);
}

/** Identifies the scope in which process ids are unique: one boot of one machine, and one container on it. */
export function pidScope(): string {
  const { boot, namespace, host } = ownIdentity();
  return sha256Of(boot === '' ? host : `${boot} ${namespace}`).slice(0, 8);
}

/** Whether the process with this id in this scope is still the one that started at `start`. */
export function livenessHere(pid: number, start: string): Liveness {
  const self = ownIdentity();
  if (pid === self.pid) return start === self.start ? 'alive' : 'dead';
  if (!isThere(pid)) return 'dead';
  const now = seesItself() ? startOf(pid) : undefined;
  if (now === undefined || start === '') return 'alive';
  return now.start === start && !now.isOver ? 'alive' : 'dead';
}

/** For locks of earlier versions, and for systems without /proc: only a host and a process id. */
function livenessByNumber({ pid, host }: ProcessIdentity): Liveness {
  if (host !== ownIdentity().host) return 'unknown';
  // Every container has a process 1. A lock with our own pid in the old format, which we no longer write, is older than
  // us.
  if (pid === 1 && process.pid === 1 && ownIdentity().boot !== '') return 'dead';
  return isThere(pid) ? 'alive' : 'dead';
}

function isThere(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** True if /proc shows this process under its own id; /proc may belong to another namespace. */
function seesItself(): boolean {
  try {
    return readlinkSync('/proc/self') === String(process.pid);
  } catch {
    return false;
  }
}

/** Fields 3 and 22 of /proc/PID/stat. The name in field 2 may contain spaces and brackets. */
function startOf(pid: number | 'self'): { start: string; isOver: boolean } | undefined {
  const text = systemText(`/proc/${pid}/stat`);
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const start = fields[19];
  // A zombie has exited, but its parent has not collected its exit code.
  return start === undefined ? undefined : { start, isOver: fields[0] === 'Z' || fields[0] === 'X' };
}

function namespaceOf(pid: 'self'): string {
  try {
    return /\d+/.exec(readlinkSync(`/proc/${pid}/ns/pid`))?.[0] ?? '';
  } catch {
    return '';
  }
}

function systemText(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return '';
  }
}
