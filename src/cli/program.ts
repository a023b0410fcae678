/** @file The command-line program: which commands there are, how usage errors and help look. */

import { Command } from 'commander';
import { errColor, outColor } from './output.js';
import type { CommandEntry } from './registry.js';
import { requirementsOf } from './requirements.js';
import { emoqVersion } from './version.js';

/**
 * Builds the program for one invocation. Only the command that `args` name is loaded, and its action only when it
 * runs, so that help stays quick.
 * @param args the arguments after `emoq`.
 */
export async function createProgram(
  entries: readonly CommandEntry[],
  args: readonly string[],
): Promise<Command> {
  const named = args.filter((arg) => !arg.startsWith('-'));
  const chosen = named[0] === 'help' ? named[1] : named[0];
  const known = entries.some(({ name }) => name === chosen);
  const program = new Command('emoq')
    .description('Speech emotion recognition with EmoQ: prepare corpora, train, evaluate and predict.')
    .version(emoqVersion(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand('help [command]', 'print the help of a command')
    .option('--debug', 'show the stack of an error')
    .exitOverride()
    .configureHelp({
      styleTitle: (text) => outColor.bold(text),
      subcommandTerm: (command) => command.name(),
    })
    .configureOutput({
      outputError: (text, write) => {
        const line = text
          .trim()
          .replace(/\.$/, '')
          .replace(/\s*\n\s*/g, ' ')
          .replace(/^error:/, errColor.red('error:'));
        write(`${line}; see emoq ${known ? `${chosen} ` : ''}--help\n`);
      },
    })
    .addHelpText('after', '\nExample:\n  emoq prepare-toy');
  for (const entry of entries) {
    const command = program.command(entry.name).description(entry.summary);
    if (entry.name !== chosen) continue;
    const declaration = await entry.declaration();
    declaration.declare(command);
    const checkRequirements = requirementsOf(command, declaration.missing);
    command.action(async (...values: unknown[]) => {
      // Commander hands over the operands (an array where there may be many), then the options and the command itself.
      checkRequirements(values.slice(0, -2));
      const operands = values.slice(0, -2).flat() as string[];
      const { run } = await entry.action();
      await run(values.at(-2) as object, ...operands);
    });
  }
  return program;
}
