/**
 * @file Signals: the first asks the work to stop at a good place, the second leaves at once. Ctrl-C (SIGINT), what job
 * schedulers send (SIGTERM) and a terminal that closes (SIGHUP) mean the same.
 */

import { isatty } from 'node:tty';
import { Worker } from 'node:worker_threads';
import { ExitCode, InterruptedError } from '../base/index.js';
import { dropStatus, note } from './terminal-output.js';

/** What asks a process to end. */
export const STOP_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
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
 * Listens from now on. A signal while nothing can be saved leaves at once, with the same exit code: so there is no
 * moment, however early, at which a signal ends the process in the middle of writing.
 * @returns gives the signals back to Node
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
 * @throws InterruptedError where a signal has come already; what `work` throws
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
 * Node gives a terminal its settings back when it ends, and aborts where the terminal was closed meanwhile: by then the
 * process is better ended by the signal that closed terminals send, whose exit code is 129.
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
  // A closing terminal sends its signal, and the shell in it sends it once more: nobody has lost patience.
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
