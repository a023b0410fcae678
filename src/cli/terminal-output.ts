/**
 * @file Output: results go to stdout, everything else to stderr, with colour where supported. Also reports errors and
 * maps them to exit codes.
 */

import { stripVTControlCharacters } from 'node:util';
import { Chalk, type ChalkInstance, supportsColor, supportsColorStderr } from 'chalk';
import { CommanderError } from 'commander';
import {
  ComputationError,
  ExitCode,
  errorMessage,
  InputError,
  InterruptedError,
  OutOfMemoryError,
  ReaderGoneError,
  UnavailableError,
  withoutTemporarySuffix,
} from '../base/index.js';

/** Colours for stdout and stderr: none with NO_COLOR, in a pipe or in a file. */
export const outColor: ChalkInstance = colorsOf(supportsColor);
export const errColor: ChalkInstance = colorsOf(supportsColorStderr);

let statusText = '';

/** Writes a result to stdout, with a final newline. */
export function printResult(text: string): void {
  withoutStatus(() => process.stdout.write(text.endsWith('\n') ? text : `${text}\n`));
}

/** Writes one JSON value to stdout. */
export function printJson(value: unknown): void {
  printResult(JSON.stringify(value, null, 2));
}

/** Prints a note on stderr. */
export function note(text: string): void {
  withoutStatus(() => process.stderr.write(`${text}\n`));
}

/** Prints a warning on stderr. */
export function warn(text: string): void {
  note(`${errColor.yellow('warning:')} ${text}`);
}

/** Keeps lines at the bottom of a terminal, below all other output; '' removes them. */
export function showStatus(text: string): void {
  const { columns, rows } = process.stderr; // 0 if the terminal does not report it
  const lines = text
    .split('\n')
    .slice(0, (rows || 24) - 1)
    .map((line) => cutLine(line, (columns || 80) - 1));
  // A terminal that has been narrowed wraps a line over several rows.
  const shown = statusText.split('\n').map((line) => Math.ceil(widthOf(line) / (columns || 80)));
  const above = shown.reduce((total, lineRows) => total + Math.max(lineRows, 1), 0) - 1;
  const up = above > 0 ? `\u001b[${above}A` : '';
  process.stderr.write(`\r${up}\u001b[J${lines.join('\n')}`);
  statusText = lines.join('\n');
}

/** Removes the lines at the bottom. */
export function dropStatus(): void {
  if (statusText !== '') showStatus('');
}

/**
 * If the reader has closed the pipe (`emoq stats | head -1`) or the terminal was closed, output ends silently and the
 * command continues, so that files are still written. Any other failure to write results to stdout ends the command; a
 * failure to write to stderr never does.
 */
export function guardStreams(): void {
  process.stderr.on('error', () => undefined);
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE' && error.code !== 'EIO') throw error;
  });
}

function withoutStatus(write: () => void): void {
  const status = statusText;
  if (status !== '') showStatus('');
  write();
  if (status !== '') showStatus(status);
}

function widthOf(line: string): number {
  return [...stripVTControlCharacters(line)].length;
}

/** A line that fits is unchanged; a truncated one loses its colours. */
function cutLine(line: string, width: number): string {
  return widthOf(line) <= width ? line : [...stripVTControlCharacters(line)].slice(0, width).join('');
}

function colorsOf(support: typeof supportsColor): ChalkInstance {
  const wanted = !process.env.NO_COLOR && support !== false;
  return new Chalk({ level: wanted ? support.level : 0 });
}

/**
 * Reports `error` and returns the exit code: 2 for wrong usage and bad input, 130 for an interruption, 141 silently if
 * the reader has closed the output, 1 for everything else. The stack trace is shown only with `--debug`.
 */
export function reportError(error: unknown, debug: boolean): number {
  if (error instanceof CommanderError) {
    // Commander has already printed its message, or the requested help or version.
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
    error instanceof InputError ||
    error instanceof UnavailableError ||
    error instanceof ComputationError ||
    error instanceof OutOfMemoryError;
  const lines = errorMessage(error)
    .split('\n')
    .filter((line) => line.trim() !== '');
  // Only our own messages have several lines on purpose; of any other, the first line says what happened.
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

/** The message for a full disk; undefined for any other error. */
function diskFullLine(message: string): string | undefined {
  const code = /\b(ENOSPC|EDQUOT|EFBIG)\b/.exec(message)?.[1];
  return code && `${FULL[code]} (${message}); free some space and run the same command again`;
}

const REFUSED: Readonly<Record<string, string>> = {
  EACCES: 'no permission for',
  EPERM: 'no permission for',
  EROFS: 'the file system is read-only:',
};

/** The message for a file that cannot be opened, under its final name rather than its temporary one. */
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
