/** @file Runs the real command line as a process. */

import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { vi } from 'vitest';
import { reportError } from '../../src/cli/error-report.js';
import { createProgram } from '../../src/cli/program.js';
import { commandEntries } from '../../src/cli/registry.js';

export const emoqBin = fileURLToPath(new URL('../../bin/emoq.js', import.meta.url));

export interface Outcome {
  code: number | null;
  stdout: string;
  stderr: string;
  elapsedMs: number;
}

/** `emoq ...args` in `cwd`, without a terminal. */
export function emoq(
  args: readonly string[],
  cwd = process.cwd(),
  env: NodeJS.ProcessEnv = {},
): Promise<Outcome> {
  return run(process.execPath, [emoqBin, ...args], cwd, env);
}

export function run(
  command: string,
  args: readonly string[],
  cwd = process.cwd(),
  env: NodeJS.ProcessEnv = {},
): Promise<Outcome> {
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

/** The same in this process, for the many cases of which the real process needs only one. */
export async function emoqHere(args: readonly string[]): Promise<Omit<Outcome, 'elapsedMs'>> {
  const outcome = { code: 0, stdout: '', stderr: '' };
  const spies = (['stdout', 'stderr'] as const).map((name) =>
    vi.spyOn(process[name], 'write').mockImplementation((chunk) => {
      outcome[name] += chunk;
      return true;
    }),
  );
  try {
    await (await createProgram(commandEntries, args)).parseAsync([...args], { from: 'user' });
  } catch (error) {
    outcome.code = reportError(error, false);
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
  return outcome;
}
