/** @file Runs a test script in a separate process, so that its memory can be measured and a hang terminated. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';

/** After this long a process counts as hanging: far longer than a busy machine needs for a minute's work. */
const HANG_MS = 1_500_000;

/** The last line of a script's output: its findings, and its memory. */
export interface Measured {
  /** Resident memory of the process in MiB: before the work began, and the peak. */
  readonly baselineMiB: number;
  readonly peakMiB: number;
}

/**
 * Runs `script` (an .mjs file whose last line of output is a JSON object) and returns that object.
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

/**
 * The result of `repeat` in trials.mjs: how often damaged input could be read, and the longest trial's processor time.
 */
export interface Trials {
  readonly read: number;
  readonly refused: number;
  readonly longestSec: number;
}

/** Generous limits on memory and time for reading small damaged input; a trial takes milliseconds. */
export function expectSmall(
  { baselineMiB, peakMiB }: Measured,
  ...trials: readonly Pick<Trials, 'longestSec'>[]
): void {
  expect(peakMiB - baselineMiB).toBeLessThan(150);
  for (const { longestSec } of trials) expect(longestSec).toBeLessThan(60); // of processor time
}
