/** @file Entry point of the command line: parses the arguments, runs one command, sets the exit code. */

import { commandEntries } from './command-table.js';
import { listenForSignals, surviveClosedTerminal } from './interrupt.js';
import { createProgram } from './program.js';
import { guardStreams, printResult, reportError } from './terminal-output.js';

/**
 * Runs the command line. Never rejects: errors are reported on stderr and in `process.exitCode`, so that output already
 * written to stdout is not cut off.
 * @param argv as `process.argv`: node, script, arguments.
 */
export async function main(argv: string[]): Promise<void> {
  listenForSignals(); // before anything slow is loaded
  surviveClosedTerminal();
  guardStreams();
  const debug = argv.includes('--debug');
  const fail = (error: unknown): void => {
    process.exitCode = reportError(error, debug);
  };
  process.on('uncaughtException', (error) => {
    fail(error);
    process.exit(); // the state is unknown now, so nothing may continue
  });
  try {
    const args = argv.slice(2);
    if (args[0] === 'complete' && args[1] === '--') {
      const { completionAnswer } = await import('./completion.js');
      printResult(await completionAnswer(commandEntries, args.slice(2)));
      return;
    }
    const program = await createProgram(commandEntries, args);
    if (args.length === 0) program.help({ error: true });
    await program.parseAsync(argv);
  } catch (error) {
    fail(error);
  }
}
