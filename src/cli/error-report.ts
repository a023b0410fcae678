/** @file Turns a thrown error into a line on stderr and an exit code. */

import { CommanderError } from 'commander';
import {
  ComputationError,
  ExitCode,
  errorMessage,
  InputError,
  InterruptedError,
  ReaderGoneError,
  UnavailableError,
  withoutTemporarySuffix,
} from '../base/index.js';
import { errColor, note } from './terminal-output.js';

/**
 * Reports `error` and returns the exit code: 2 for wrong usage and bad input, 130 for an interruption, 141 silently
 * where the reader of the output has closed it, 1 for everything else. The stack is shown under `--debug` only.
 */
export function reportError(error: unknown, debug: boolean): number {
  if (error instanceof CommanderError) {
    // Commander has printed its message, or the help or version that was asked for.
    return error.exitCode === 0 ? ExitCode.done : ExitCode.badInput;
  }
  if (error instanceof InterruptedError || isAbort(error)) {
    note(error instanceof InterruptedError ? error.message : 'interrupted');
    if (debug) note(stackOf(error));
    return ExitCode.interrupted;
  }
  if (error instanceof ReaderGoneError) return error.exitCode;
  const disk = diskFullLine(errorMessage(error)) ?? refusedLine(errorMessage(error));
  if (disk !== undefined) {
    note(`${errColor.red('error:')} ${disk}`);
    if (debug) note(stackOf(error));
    return ExitCode.failed;
  }
  const known =
    error instanceof InputError || error instanceof UnavailableError || error instanceof ComputationError;
  const lines = errorMessage(error)
    .split('\n')
    .filter((line) => line.trim() !== '');
  // Only our own messages have several lines on purpose; of any other the first line says what happened.
  for (const line of known ? lines : lines.slice(0, 1)) note(`${errColor.red('error:')} ${line}`);
  if (debug) note(stackOf(error));
  else if (!known) note('Run again with --debug to see where.');
  return known ? error.exitCode : ExitCode.failed;
}

const FULL: Readonly<Record<string, string>> = {
  ENOSPC: 'no space left on the disk',
  EDQUOT: 'the disk quota is used up',
  EFBIG: 'the file is larger than the disk or the limits of this shell allow',
};

/** The line for a full disk; undefined for any other error. */
function diskFullLine(message: string): string | undefined {
  const code = /\b(ENOSPC|EDQUOT|EFBIG)\b/.exec(message)?.[1];
  return code && `${FULL[code]} (${message}); make room and run the same command again`;
}

const REFUSED: Readonly<Record<string, string>> = {
  EACCES: 'no permission for',
  EPERM: 'no permission for',
  EROFS: 'the file system is read-only:',
};

/** The line for a file that may not be opened, under its final name rather than its temporary one. */
function refusedLine(message: string): string | undefined {
  const [, code, call, path] = /^(EACCES|EPERM|EROFS): .*, (\w+) '([^']+)'/.exec(message) ?? [];
  if (code === undefined) return undefined;
  return `${REFUSED[code]} ${withoutTemporarySuffix(path!)} (${code}, ${call}); change that, or choose another path`;
}

function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === 'AbortError';
}

function stackOf(error: unknown): string {
  return error instanceof Error && error.stack ? error.stack : String(error);
}
