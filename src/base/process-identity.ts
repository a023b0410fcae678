/**
 * @file Which process wrote a lock or a temporary file, and whether it still lives. A process id alone does not say: ids
 * are given out again, and the first process of every container is number 1.
 */

import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import { sha256Of } from './checksums.js';

/** What tells a process from every other one, of any machine that shares a disk. */
export interface ProcessIdentity {
  readonly pid: number;
  readonly host: string;
  /** Changes whenever the machine starts; '' where the system does not say (Windows, macOS). */
  readonly boot: string;
  /** Of process ids: containers have their own; '' where the system does not say. */
  readonly namespace: string;
  /** When the process started, in ticks of the system's clock; '' where the system does not say. */
  readonly start: string;
}

/** `unknown`: of another machine, or of a container whose processes cannot be seen from here. */
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

/** Linux numbers the namespace that the machine itself started with so; containers have other numbers. */
const FIRST_NAMESPACE = String(0xeffffffc);

/** True where processes outside this one's container cannot be seen. */
export function isInContainer(): boolean {
  const { namespace } = ownIdentity();
  return namespace !== '' && namespace !== FIRST_NAMESPACE;
}

/** Whether a process lives, as far as this one can tell. */
export function livenessOf(process: ProcessIdentity): Liveness {
  const self = ownIdentity();
  if (process.boot === '' || self.boot === '') return livenessByNumber(process);
  if (process.boot !== self.boot || process.namespace !== self.namespace) return 'unknown';
  return livenessHere(process.pid, process.start);
}

/** Names where process ids mean the same: one start of one machine, and one container on it. */
export function placeName(): string {
  const { boot, namespace, host } = ownIdentity();
  return sha256Of(boot === '' ? host : `${boot} ${namespace}`).slice(0, 8);
}

/** Whether the process that has, or had, this number in this place is the one that started then. */
export function livenessHere(pid: number, start: string): Liveness {
  const self = ownIdentity();
  if (pid === self.pid) return start === self.start ? 'alive' : 'dead';
  if (!isThere(pid)) return 'dead';
  const now = seesItself() ? startOf(pid) : undefined;
  if (now === undefined || start === '') return 'alive';
  return now.start === start && !now.isOver ? 'alive' : 'dead';
}

/** What earlier versions wrote, and what there is without /proc: a host and a number. */
function livenessByNumber({ pid, host }: ProcessIdentity): Liveness {
  if (host !== ownIdentity().host) return 'unknown';
  // Every container has a process 1: what bears our own number there, in a form that we do not write, was before us.
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

/** True where /proc shows this process by its own number: it may be another namespace's. */
function seesItself(): boolean {
  try {
    return readlinkSync('/proc/self') === String(process.pid);
  } catch {
    return false;
  }
}

/** Fields 3 and 22 of /proc/PID/stat; the name in field 2 may hold spaces and brackets. */
function startOf(pid: number | 'self'): { start: string; isOver: boolean } | undefined {
  const text = systemText(`/proc/${pid}/stat`);
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const start = fields[19];
  // A zombie has ended; its parent has not asked for its exit code yet.
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
