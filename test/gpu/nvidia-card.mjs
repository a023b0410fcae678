/** @file What nvidia-smi says of a card: its name, driver and memory, and its memory in use while something runs. */

import { execFileSync, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

const MIB = 2 ** 20;
const FIELDS = ['name', 'memory.total', 'driver_version', 'compute_cap', 'power.limit', 'clocks.max.sm'];

/** What nvidia-smi calls a device that CUDA numbers among the visible ones. */
const idOf = (index) => process.env.CUDA_VISIBLE_DEVICES?.split(',')[index] || index;

function ask(index, fields) {
  const query = [`--query-gpu=${fields}`, '--format=csv,noheader,nounits', `--id=${idOf(index)}`];
  return execFileSync('nvidia-smi', query, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
}

/** Name, memory and driver of a card; undefined where there is no nvidia-smi, or none that answers. */
export function describeCard(index) {
  try {
    const [name, memoryMib, driver, computeCapability, powerWatt, clockMhz] = ask(index, FIELDS).split(', ');
    const others = { computeCapability, powerLimitWatt: Number(powerWatt), maxClockMhz: Number(clockMhz) };
    return { name, memoryBytes: Number(memoryMib) * MIB, driver, ...others };
  } catch {
    return undefined;
  }
}

/**
 * Watches the memory in use on a card, every 50 ms and by all processes. `peakBytes()` is the most since the last
 * `begin()`; undefined without nvidia-smi. What was in use at the start counts as somebody else's.
 */
export function watchMemory(index) {
  let before;
  try {
    before = Number(ask(index, ['memory.used'])) * MIB;
  } catch {
    return { begin() {}, peakBytes: () => undefined, stop() {} };
  }
  let [peak, now] = [0, 0];
  const query = [
    '--query-gpu=memory.used',
    '--format=csv,noheader,nounits',
    `--id=${idOf(index)}`,
    '-lms',
    '50',
  ];
  const child = spawn('nvidia-smi', query, { stdio: ['ignore', 'pipe', 'ignore'] });
  child.on('error', () => {});
  createInterface({ input: child.stdout }).on('line', (line) => {
    now = Number(line) * MIB;
    peak = Math.max(peak, now);
  });
  return {
    begin() {
      peak = now;
    },
    peakBytes: () => (peak === 0 ? undefined : peak - before),
    stop: () => child.kill(),
  };
}
