/**
 * @file Runs the command line in this process: same output and files, without the half second of process start-up and
 * the cold JIT. Tests of signals, pipes, memory, another ffmpeg or process exit need a real process.
 */

import { deleteAtExit } from '../../src/base/index.js';
import { main } from '../../src/cli/index.js';
import type { Outcome } from './command-line.js';

/** `emoq ...args` in `cwd`, in this process. Calls wait for each other: folder, variables and streams are the process's. */
export function emoqHere(
  args: readonly string[],
  cwd?: string,
  env: NodeJS.ProcessEnv = {},
): Promise<Outcome> {
  const turn = lastCall.then(() => runHere(args, cwd ?? process.cwd(), env));
  lastCall = turn.catch(() => undefined);
  return turn;
}

let lastCall: Promise<unknown> = Promise.resolve();

async function runHere(args: readonly string[], cwd: string, env: NodeJS.ProcessEnv): Promise<Outcome> {
  const outcome = { code: 0, stdout: '', stderr: '' };
  const argv = ['node', 'emoq', ...args];
  const undo = [useFolder(cwd), useVariables(env), useArguments(argv), useExitCode(), useListeners()];
  undo.push(
    capture(process.stdout, (text) => {
      outcome.stdout += text;
    }),
    capture(process.stderr, (text) => {
      outcome.stderr += text;
    }),
  );
  try {
    await main(argv);
    outcome.code = Number(process.exitCode ?? 0);
  } finally {
    for (const each of undo.reverse()) each();
  }
  return outcome;
}

type Undo = () => void;

function useFolder(folder: string): Undo {
  const before = process.cwd();
  process.chdir(folder);
  return () => process.chdir(before);
}

/** Sets variables, and removes undefined ones. */
function useVariables(env: NodeJS.ProcessEnv): Undo {
  const before = Object.keys(env).map((name) => [name, process.env[name]] as const);
  setVariables(Object.entries(env));
  return () => setVariables(before);
}

function setVariables(values: readonly (readonly [string, string | undefined])[]): void {
  for (const [name, value] of values) {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
}

function useArguments(argv: string[]): Undo {
  const before = process.argv;
  process.argv = argv;
  return () => {
    process.argv = before;
  };
}

function useExitCode(): Undo {
  const before = process.exitCode;
  process.exitCode = undefined;
  return () => {
    process.exitCode = before;
  };
}

/** Removes the listeners that a command leaves until its process ends. */
function useListeners(): Undo {
  deleteAtExit('').forget(); // its one listener stays
  const watched = [process, process.stdout, process.stderr].map((emitter) => ({
    emitter: emitter as NodeJS.EventEmitter,
    before: listenersOf(emitter),
  }));
  return () => {
    for (const { emitter, before } of watched) {
      for (const [name, listeners] of listenersOf(emitter)) {
        const kept = before.get(name) ?? [];
        for (const listener of listeners) if (!kept.includes(listener)) emitter.off(name, listener);
      }
    }
  };
}

type Listener = Parameters<NodeJS.EventEmitter['off']>[1];

function listenersOf(emitter: NodeJS.EventEmitter): Map<string | symbol, Listener[]> {
  return new Map(emitter.eventNames().map((name) => [name, emitter.rawListeners(name) as Listener[]]));
}

/** Redirects what is written to a stream to `take`. */
function capture(stream: NodeJS.WriteStream, take: (text: string) => void): Undo {
  const { write } = stream;
  stream.write = ((chunk: string | Uint8Array, ...rest: unknown[]): boolean => {
    take(typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString());
    const done = rest.find((each): each is () => void => typeof each === 'function');
    done?.();
    return true;
  }) as typeof write;
  return () => {
    stream.write = write;
  };
}
