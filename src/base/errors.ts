/** @file The errors that a user sees as one line, and the exit codes that scripts read. */

/** Exit codes of the command line: 0 done, 1 failed, 2 wrong usage or bad input, 130 interrupted. */
export const ExitCode = { done: 0, failed: 1, badInput: 2, interrupted: 130 } as const;

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

/** The message of anything thrown, without its stack. */
export function errorMessage(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
