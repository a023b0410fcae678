/** @file What a command cannot do without: all that is missing is named at once, and not only the first. */

import type { Command } from 'commander';

/** Names what must be given and is not, and ends the command; does nothing where nothing is missing. */
export type RequirementCheck = (operands: readonly unknown[]) => void;

/**
 * Takes over from commander the check of required arguments and options, which there ends at the first.
 * @param others what else the options leave out, each as `--dataset <name> or --recipe <file>`; told with what is missing
 */
export function requirementsOf(
  command: Command,
  others: (options: object) => readonly string[] = () => [],
): RequirementCheck {
  command.usage(command.usage()); // as it is now: what is not required is shown in brackets
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
