/** @file The errors that a user sees as one line, and the exit codes that scripts read. */

/**
 * Exit codes of the command line: 0 done, 1 failed, 2 wrong usage or bad input, 130 interrupted, 141 as a shell gives it
 * for a program whose reader has gone (128 and the number of SIGPIPE).
 */
export const ExitCode = { done: 0, failed: 1, badInput: 2, interrupted: 130, readerGone: 141 } as const;

/**
 * Something that the user gave is wrong: a file, a flag, a recipe, a column. The message is one line that says
 * what is wrong, where (file, line, column, key) and what to do about it. Exit code 2, no stack.
 */
export class InputError extends Error {
  readonly exitCode = ExitCode.badInput;
  override readonly name = 'InputError';
}

/** The user asked to stop. The message says what was saved and how to go on. Exit code 130, no stack. */
export class InterruptedError extends Error {
  readonly exitCode = ExitCode.interrupted;
  override readonly name = 'InterruptedError';
}

/**
 * Something outside this machine failed: a network, a server. The message is one line that says what and what to do;
 * the same command may work later. Exit code 1, no stack.
 */
export class UnavailableError extends Error {
  readonly exitCode = ExitCode.failed;
  override readonly name = 'UnavailableError';
}

/**
 * The arithmetic itself failed: a loss that is not a number. The message is one line that says where and what to do.
 * Exit code 1, no stack.
 */
export class ComputationError extends Error {
  readonly exitCode = ExitCode.failed;
  override readonly name = 'ComputationError';
}

/** Whoever read the output has gone, as in `| head`: no mistake, and nobody to tell. Exit code 141, no message. */
export class ReaderGoneError extends Error {
  readonly exitCode = ExitCode.readerGone;
  override readonly name = 'ReaderGoneError';

  constructor(output: string) {
    super(`nobody reads ${output} any more`);
  }
}

/** The message of anything thrown, without its stack. */
export function errorMessage(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

const MOST_SHOWN = 1000;

/** Text that a file or the user gave, for a message: on one line, and no longer than a line may be. */
export function oneLine(text: string, most = MOST_SHOWN): string {
  const line = text.replace(/\s*[\r\n\u2028\u2029]+\s*/g, ' ');
  return line.length > most ? `${line.slice(0, most)}...` : line;
}

/** What is wrong in a line of a file; what it cites of the file stays on one line. */
export function lineError(path: string, line: number | undefined, what: string): InputError {
  return new InputError(`${path}, line ${line}: ${oneLine(what)}`);
}

/** Something that a file or the user gave, for a message: JSON on one line, cut to 80 characters. */
export function quoted(value: unknown): string {
  let text: string;
  try {
    text = JSON.stringify(value) ?? 'nothing';
  } catch {
    return 'something nested too deeply to show'; // JSON.parse does not recurse, JSON.stringify does
  }
  return text.length > 80 ? `${text.slice(0, 80)}...` : text;
}

/** Signals that ask a command to save and end. */
export const STOP_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
