/** @file Runs the real command line as a process. */

import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export const emoqBin = fileURLToPath(new URL('../../bin/emoq.js', import.meta.url));

export interface Outcome {
  code: number | null;
  stdout: string;
  stderr: string;
}

export interface TimedOutcome extends Outcome {
  elapsedMs: number;
}

/** `emoq ...args` in `cwd`, without a terminal. */
export function emoq(
  args: readonly string[],
  cwd = process.cwd(),
  env: NodeJS.ProcessEnv = {},
): Promise<TimedOutcome> {
  return run(process.execPath, [emoqBin, ...args], cwd, env);
}

export function run(
  command: string,
  args: readonly string[],
  cwd = process.cwd(),
  env: NodeJS.ProcessEnv = {},
): Promise<TimedOutcome> {
  const startMs = performance.now();
  const child = spawn(command, args, { cwd, env: { ...process.env, ...env } });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, stdout, stderr, elapsedMs: performance.now() - startMs }));
  });
}
