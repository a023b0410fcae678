/**
 * @file Signals: the first asks the work to save and stop, the second exits at once. Ctrl-C (SIGINT), the signal of job
 * schedulers (SIGTERM) and that of a closing terminal (SIGHUP) mean the same.
 */

import { isatty } from 'node:tty';
import { Worker } from 'node:worker_threads';
import { ExitCode, InterruptedError, STOP_SIGNALS } from '../base/index.js';
import { dropStatus, note } from './terminal-output.js';

const GRACE_MS = 1000;

/** Work under way that can save its state. */
interface Section {
  readonly finishing: string;
  readonly controller: AbortController;
}

const sections = new Set<Section>();
let isListening = false;
let isStopping = false;

/**
 * Listens from now on. A signal while there is nothing to save exits at once, with the same exit code: at no moment,
 * however early, can a signal end the process in the middle of writing.
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
 * Runs `work` with a signal that Ctrl-C aborts.
 * @param finishing what still happens after the first one, such as `finishing this step and saving`.
 * @throws InterruptedError after an earlier signal; what `work` throws
 */
export async function withInterrupts<T>(
  finishing: string,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  if (isStopping) throw new InterruptedError('interrupted; run the same command again to go on');
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
 * On exit Node restores the terminal's settings, and aborts if the terminal has been closed. The process then ends itself
 * with the signal that a closing terminal sends, whose exit code is 129.
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
  // A closing terminal sends its signal, and the shell in it repeats it: that is no second request.
  if (isStopping && name === 'SIGHUP') return;
  const [section] = sections;
  if (!isStopping && section === undefined) note('interrupted');
  if (isStopping || section === undefined) leaveAtOnce();
  isStopping = true;
  note(`${section.finishing}; press Ctrl-C again to leave at once`);
  for (const { controller } of sections) controller.abort();
}

function leaveAtOnce(): never {
  for (const name of STOP_SIGNALS) process.off(name, onSignal);
  dropStatus();
  // Exiting waits for a step in native code, which can take minutes: after a moment the signal itself ends that.
  new Worker(`setTimeout(() => process.kill(process.pid, 'SIGINT'), ${GRACE_MS})`, { eval: true });
  return process.exit(ExitCode.interrupted);
}
