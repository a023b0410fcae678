/** @file The in-process command line: same outcome as in a process of its own, and nothing left behind. */

import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { emoq } from './command-line.js';
import { emoqHere } from './in-process.js';

const folder = realpathSync(mkdtempSync(join(tmpdir(), 'emoq-in-process-')));
afterAll(() => rmSync(folder, { recursive: true }));

/** Everything a command could change in its process. */
function processState(): object {
  const streams = [process, process.stdout, process.stderr] as NodeJS.EventEmitter[];
  return {
    cwd: process.cwd(),
    argv: process.argv,
    exitCode: process.exitCode,
    env: { ...process.env },
    write: [process.stdout.write, process.stderr.write],
    listeners: streams.map((emitter) =>
      emitter.eventNames().map((name) => [name, emitter.listenerCount(name)]),
    ),
  };
}

describe('a command in this process', () => {
  it.each([
    ['that succeeds', ['--version']],
    ['that is wrong', ['stats', '--manifest', 'none.csv']],
    ['that asks for help', []],
    ['that writes files', ['prepare-toy', '--out', 'toy', '--speakers', '5', '--utterances', '1']],
  ])('%s ends as in one of its own', async (_, args) => {
    const { code, stdout, stderr } = await emoq(args, folder);
    rmSync(join(folder, 'toy'), { recursive: true, force: true });
    expect(await emoqHere(args, folder)).toEqual({ code, stdout, stderr });
  });

  it('leaves folder, variables, streams, exit code and listeners as they were', async () => {
    await emoqHere(['--version']); // what is registered once for the process, is now
    const before = processState();
    const env = { EMOQ_CACHE: 'elsewhere', PATH: undefined };
    expect((await emoqHere(['stats', '--manifest', 'none.csv'], folder, env)).code).toBe(2);
    expect(processState()).toEqual(before);
  });

  it('waits for the one before it', async () => {
    const [first, second, third] = await Promise.all([
      emoqHere(['--version'], folder),
      emoqHere(['stats', '--manifest', 'none.csv'], folder),
      emoqHere(['--version'], folder),
    ]);
    expect([first!.code, second!.code, third!.code]).toEqual([0, 2, 0]);
    expect(third).toEqual(first);
    expect(second!.stdout).toBe('');
  });
});
