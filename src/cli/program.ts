/** @file Builds the command-line program: its commands, usage errors and help. */

import { Command } from 'commander';
import { declareCommand } from './command-definition.js';
import type { CommandEntry } from './command-table.js';
import { errColor, outColor } from './terminal-output.js';
import { emoqVersion } from './versions.js';

/**
 * Builds the program for one invocation. Loads only the command that `args` names, and its implementation only when it
 * runs, so that help stays fast.
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
  for (const { name, summary, load } of entries) {
    const command = program.command(name).description(summary);
    if (name !== chosen) continue;
    const definition = await load();
    declareCommand(command, definition);
    const checkRequirements = requirementsOf(command, definition.missing);
    command.action(async (...values: unknown[]) => {
      // Commander passes the operands (an array if there may be several), then the options and the command itself.
      checkRequirements(values.slice(0, -2));
      const operands = values.slice(0, -2).flat() as string[];
      await definition.run(values.at(-2) as object, ...operands);
    });
  }
  return program;
}

/** Ends the command with an error that lists what is missing, if anything. */
type RequirementCheck = (operands: readonly unknown[]) => void;

/**
 * Replaces commander's check of required arguments and options, which stops at the first missing one.
 * @param others other missing options, each as `--dataset <name> or --recipe <file>`; included in the message
 */
function requirementsOf(
  command: Command,
  others: (options: object) => readonly string[] = () => [],
): RequirementCheck {
  command.usage(command.usage()); // before the changes below: options that are not required are shown in brackets
  const options = command.options.filter(({ mandatory }) => mandatory);
  const operands = command.registeredArguments.filter(({ required }) => required);
  for (const option of options) option.mandatory = false;
  for (const operand of operands) operand.required = false;
  return (values) => {
    const isMissing = (value: unknown): boolean =>
      value === undefined || (Array.isArray(value) && value.length === 0);
    const missingOperands = operands.filter((operand) =>
      isMissing(values[command.registeredArguments.indexOf(operand)]),
    );
    const missingOptions = options.filter((option) =>
      isMissing(command.getOptionValue(option.attributeName())),
    );
    if (missingOperands.length + missingOptions.length === 0) return;
    const flags = missingOptions.map(({ flags }) => `'${flags}'`);
    const parts = [
      ...(missingOperands.length === 0
        ? []
        : [
            `missing required ${plural('argument', missingOperands)} ${list(missingOperands.map((operand) => `'${operand.name()}'`))}`,
          ]),
      ...(flags.length === 0 ? [] : [`required ${plural('option', flags)} ${list(flags)} not specified`]),
      ...others(command.opts()).map((other) => `${other} not specified`),
    ];
    command.error(`error: ${parts.join('; ')}`);
  };
}

function plural(noun: string, things: readonly unknown[]): string {
  return things.length === 1 ? noun : `${noun}s`;
}

function list(names: readonly string[]): string {
  return names.length < 2 ? names.join('') : `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`;
}
