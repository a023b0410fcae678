/** @file The two streams: results go to stdout, everything else to stderr; colour only where it is wanted. */

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

/** Tells the user on stderr about something that they may not want. */
export function warn(text: string): void {
  note(`${errColor.yellow('warning:')} ${text}`);
}

/** Keeps one line at the foot of a terminal, under everything that is printed; '' takes it away. */
export function showStatus(text: string): void {
  const width = (process.stderr.columns || 80) - 1; // 0 columns where the terminal does not say
  const line = [...text].slice(0, width).join('');
  process.stderr.write(`\r\u001b[2K${line}`);
  statusText = line;
}

/** Takes the line at the foot away for good. */
export function dropStatus(): void {
  if (statusText !== '') showStatus('');
}

/**
 * A reader that has gone away (`emoq stats | head -1`) ends the output quietly, not the command: what it writes to
 * files still gets written.
 */
export function guardStreams(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error;
    });
  }
}

function withoutStatus(write: () => void): void {
  const status = statusText;
  if (status !== '') showStatus('');
  write();
  if (status !== '') showStatus(status);
}

function colorsOf(support: typeof supportsColor): ChalkInstance {
  const wanted = !process.env.NO_COLOR && support !== false;
  return new Chalk({ level: wanted ? support.level : 0 });
}
