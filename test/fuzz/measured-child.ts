/** @file Runs a script of a test in a process of its own, so that its memory can be measured and a hang be ended. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';

/** After so long a process is taken to hang: far longer than a busy machine makes of a minute. */
const HANG_MS = 1_500_000;

/** What a script prints as its last line: its findings, and the memory that it took beyond its start. */
export interface Measured {
  /** Of the process, in MiB: before the work began, and at most. */
  readonly baselineMiB: number;
  readonly peakMiB: number;
}

/**
 * Runs `script` (an .mjs file that prints lines, the last one a JSON object) and gives that object.
 * @throws Error with the last lines of output when it fails, is killed or hangs
 */
export async function runMeasured<T extends Measured>(
  script: URL,
  { args = [], nodeOptions = [] }: { args?: readonly string[]; nodeOptions?: readonly string[] } = {},
): Promise<T> {
  const child = spawn(process.execPath, [...nodeOptions, fileURLToPath(script), ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: HANG_MS,
    killSignal: 'SIGKILL',
  });
  let output = '';
  let errors = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  const [code, signal] = await once(child, 'close');
  const last = output.trimEnd().split('\n').at(-1) ?? '';
  if (code === 0) return JSON.parse(last);
  const how =
    signal === 'SIGKILL' ? `did not end within ${HANG_MS / 60_000} min` : `ended with ${code ?? signal}`;
  throw new Error(`${script.pathname} ${how}; last line: ${last}; ${errors.slice(-2000)}`);
}

/** What `repeat` of trials.mjs gives: how often damaged input could be read, and the longest trial's processor time. */
export interface Trials {
  readonly read: number;
  readonly refused: number;
  readonly longestSec: number;
}

/** Memory and time that reading something small and damaged never takes; a trial takes milliseconds. */
export function expectSmall(
  { baselineMiB, peakMiB }: Measured,
  ...trials: readonly Pick<Trials, 'longestSec'>[]
): void {
  expect(peakMiB - baselineMiB).toBeLessThan(150);
  for (const { longestSec } of trials) expect(longestSec).toBeLessThan(60); // of processor time
}
