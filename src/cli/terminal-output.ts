/** @file The two streams: results go to stdout, everything else to stderr; colour only where it is wanted. */

import { stripVTControlCharacters } from 'node:util';
import { Chalk, type ChalkInstance, supportsColor, supportsColorStderr } from 'chalk';

/** Colours for stdout and stderr: none under NO_COLOR, in a pipe or in a file. */
export const outColor: ChalkInstance = colorsOf(supportsColor);
export const errColor: ChalkInstance = colorsOf(supportsColorStderr);

let statusText = '';

/** Writes a result to stdout, with a final newline. */
export function printResult(text: string): void {
  withoutStatus(() => process.stdout.write(text.endsWith('\n') ? text : `${text}\n`));
}

/** Writes one JSON value to stdout, for programs to read. */
export function printJson(value: unknown): void {
  printResult(JSON.stringify(value, null, 2));
}

/** Tells the user something on stderr. */
export function note(text: string): void {
  withoutStatus(() => process.stderr.write(`${text}\n`));
}

/** Warns the user on stderr. */
export function warn(text: string): void {
  note(`${errColor.yellow('warning:')} ${text}`);
}

/** Keeps lines at the foot of a terminal, under everything that is printed; '' removes them. */
export function showStatus(text: string): void {
  const { columns, rows } = process.stderr; // 0 where the terminal does not say
  const lines = text
    .split('\n')
    .slice(0, (rows || 24) - 1)
    .map((line) => cutLine(line, (columns || 80) - 1));
  // A terminal that has become narrower since shows a line in several rows.
  const shown = statusText.split('\n').map((line) => Math.ceil(widthOf(line) / (columns || 80)));
  const above = shown.reduce((total, lineRows) => total + Math.max(lineRows, 1), 0) - 1;
  const up = above > 0 ? `\u001b[${above}A` : '';
  process.stderr.write(`\r${up}\u001b[J${lines.join('\n')}`);
  statusText = lines.join('\n');
}

/** Removes the lines at the foot. */
export function dropStatus(): void {
  if (statusText !== '') showStatus('');
}

/**
 * Where the reader has closed the pipe (`emoq stats | head -1`), or the terminal was closed, the output ends quietly and the
 * command goes on: what it writes to files still gets written. Any other failure to write results to stdout ends the
 * command; no failure to write to stderr does.
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

/** A line that fits stays as it is; one that is cut loses its colours. */
function cutLine(line: string, width: number): string {
  return widthOf(line) <= width ? line : [...stripVTControlCharacters(line)].slice(0, width).join('');
}

function colorsOf(support: typeof supportsColor): ChalkInstance {
  const wanted = !process.env.NO_COLOR && support !== false;
  return new Chalk({ level: wanted ? support.level : 0 });
}
