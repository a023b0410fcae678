/** @file Errors that the user sees as one line, and the exit codes of the command line. */

/**
 * Exit codes of the command line: 0 done, 1 failed, 2 wrong usage or bad input, 130 interrupted, 141 output closed (128
 * + SIGPIPE, as a shell reports it).
 */
export const ExitCode = { done: 0, failed: 1, badInput: 2, interrupted: 130, readerGone: 141 } as const;

/**
 * The user's input is wrong: a file, a flag, a recipe, a column. The message is one line: what is wrong, where (file,
 * line, column, key) and what to do. Exit code 2, no stack trace.
 */
export class InputError extends Error {
  readonly exitCode = ExitCode.badInput;
  override readonly name = 'InputError';
}

/** The user asked to stop. The message says what was saved and how to resume. Exit code 130, no stack trace. */
export class InterruptedError extends Error {
  readonly exitCode = ExitCode.interrupted;
  override readonly name = 'InterruptedError';
}

/**
 * Something outside this machine failed: a network, a server. The message is one line: what failed and what to do; the
 * same command may succeed later. Exit code 1, no stack trace.
 */
export class UnavailableError extends Error {
  readonly exitCode = ExitCode.failed;
  override readonly name = 'UnavailableError';
}

/**
 * The arithmetic failed, for example a loss that is NaN. The message is one line: where, and what to do. Exit code 1,
 * no stack trace.
 */
export class ComputationError extends Error {
  readonly exitCode = ExitCode.failed;
  override readonly name = 'ComputationError';
}

/** The memory of a device ran out. The message is one line: where, and what to do. Exit code 1, no stack trace. */
export class OutOfMemoryError extends Error {
  readonly exitCode = ExitCode.failed;
  override readonly name = 'OutOfMemoryError';
}

/** The reader of the output closed it, as in `| head`. Not an error. Exit code 141, no message. */
export class ReaderGoneError extends Error {
  readonly exitCode = ExitCode.readerGone;
  override readonly name = 'ReaderGoneError';

  constructor(output: string) {
    super(`${output} was closed by its reader`);
  }
}

/** The message of any thrown value, without its stack. */
export function errorMessage(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

const MOST_SHOWN = 1000;

/** Text from a file or the user, made fit for a message: on one line and of limited length. */
export function oneLine(text: string, most = MOST_SHOWN): string {
  const line = text.replace(/\s*[\r\n\u2028\u2029]+\s*/g, ' ');
  return line.length > most ? `${line.slice(0, most)}...` : line;
}

/** An error in one line of a file. Anything quoted from the file stays on one line. */
export function lineError(path: string, line: number | undefined, what: string): InputError {
  return new InputError(`${path}, line ${line}: ${oneLine(what)}`);
}

/** A value from a file or the user, for a message: JSON on one line, cut to 80 characters. */
export function quoted(value: unknown): string {
  let text: string;
  try {
    text = JSON.stringify(value) ?? 'nothing';
  } catch {
    return 'a value nested too deeply to show'; // JSON.parse does not recurse, but JSON.stringify does
  }
  return text.length > 80 ? `${text.slice(0, 80)}...` : text;
}

/** Signals that ask a command to save and exit. */
export const STOP_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
