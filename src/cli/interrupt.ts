/**
 * @file Signal handling: the first signal asks the work to save and stop, the second exits at once. Ctrl-C (SIGINT),
 * SIGTERM (from job schedulers) and SIGHUP (from a closing terminal) are treated the same.
 */

import { spawn } from 'node:child_process';
import { isatty } from 'node:tty';
import { ExitCode, InterruptedError, STOP_SIGNALS } from '../base/index.js';
import { dropStatus, note } from './terminal-output.js';

const GRACE_MS = 1000;

/** Work in progress that can save its state. */
interface Section {
  readonly finishing: string;
  readonly controller: AbortController;
}

const sections = new Set<Section>();
let isListening = false;
let isStopping = false;

/**
 * Starts listening for signals. If there is nothing to save, a signal exits at once with the same exit code. From here
 * on, no signal can end the process in the middle of a write.
 * @returns a function that stops listening
 */
export function listenForSignals(): () => void {
  isListening = true;
  for (const name of STOP_SIGNALS) process.on(name, onSignal);
  return () => {
    isListening = false;
    for (const name of STOP_SIGNALS) process.off(name, onSignal);
  };
}

/**
 * Runs `work` with an AbortSignal that Ctrl-C triggers.
 * @param finishing what still happens after the first Ctrl-C, such as `finishing this step and saving`.
 * @throws InterruptedError after an earlier signal; what `work` throws
 */
export async function withInterrupts<T>(
  finishing: string,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  if (isStopping) throw new InterruptedError('interrupted; run the same command again to resume');
  const stopListening = isListening ? undefined : listenForSignals();
  const section: Section = { finishing, controller: new AbortController() };
  sections.add(section);
  try {
    return await work(section.controller.signal);
  } finally {
    sections.delete(section);
    stopListening?.();
  }
}

/**
 * On exit, Node restores the terminal's settings, and aborts if the terminal has been closed. The process then ends
 * itself with the signal of a closing terminal, whose exit code is 129.
 */
export function surviveClosedTerminal(): void {
  const terminals = [0, 1, 2].filter(isatty);
  const atExit = (code: number): void => {
    if (terminals.every(isatty)) return;
    for (const listener of process.listeners('exit')) if (listener !== atExit) listener.call(process, code);
    process.removeAllListeners('SIGHUP');
    process.kill(process.pid, 'SIGHUP');
  };
  process.on('exit', atExit);
}

function onSignal(name: NodeJS.Signals): void {
  // A closing terminal sends its signal, and the shell in it repeats it; this is not a second request.
  if (isStopping && name === 'SIGHUP') return;
  const [section] = sections;
  if (!isStopping && section === undefined) note('interrupted');
  if (isStopping || section === undefined) leaveAtOnce();
  isStopping = true;
  note(`${section.finishing}; press Ctrl-C again to exit at once`);
  for (const { controller } of sections) controller.abort();
}

function leaveAtOnce(): never {
  for (const name of STOP_SIGNALS) process.off(name, onSignal);
  dropStatus();
  // Exiting ends the threads of this process, and waits for a step in native code, which can take minutes. So another
  // process kills this one after a moment; if this one has ended before, their channel closes, and the other ends too.
  const kill = `process.on('disconnect', () => process.exit());
    setTimeout(() => process.kill(${process.pid}, 'SIGINT'), ${GRACE_MS});`;
  spawn(process.execPath, ['-e', kill], { detached: true, stdio: ['ignore', 'ignore', 'ignore', 'ipc'] });
  return process.exit(ExitCode.interrupted);
}
