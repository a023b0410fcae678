/**
 * @file How a command is declared: its argument, its options under the names that they have in code, its help and its
 * work. The types of the options follow from the declaration; commander is told of it here and nowhere else.
 */

import { Argument, type Command, Option } from 'commander';

/** What an option can have beside its value and description. */
interface OptionDetails<Value> {
  /** Reads the value. `earlier` is the value so far where the option is repeated. @throws InvalidArgumentError */
  parse?(text: string, earlier?: Value): Value;
  readonly default?: Value;
  readonly required?: boolean;
  /** Options that cannot be given together with this one. */
  readonly conflicts?: readonly string[];
  /** The letter of a second, short flag. */
  readonly short?: string;
}

/** One option. `Value` is the type of what the command gets, with undefined where the option may be left out. */
export interface OptionDeclaration<Value = unknown> extends OptionDetails<Value> {
  /** What follows the flag in the help: `<file>`, `<two...>` for several, `[kinds]` where it is optional. */
  readonly value: string | undefined;
  readonly description: string;
  readonly choices?: readonly string[];
}

/** The options of a command, in the order of its help. The name `dryRun` declares `--dry-run`. */
export type OptionDeclarations = Readonly<Record<string, OptionDeclaration>>;

type ValueOf<Declaration> = Declaration extends OptionDeclaration<infer Value> ? Value : never;
type Optional<Declared> = {
  [Name in keyof Declared]: undefined extends ValueOf<Declared[Name]> ? Name : never;
}[keyof Declared];

/** What a command gets of the options that it declares. */
export type OptionsOf<Declared> = {
  readonly [Name in Optional<Declared>]?: Exclude<ValueOf<Declared[Name]>, undefined>;
} & {
  readonly [Name in Exclude<keyof Declared, Optional<Declared>>]: ValueOf<Declared[Name]>;
};

/** With one of these a command always gets a value. */
type Always<Value> = { readonly required: true } | { readonly default: Value };

/** Declares an option without a value. */
export function flag(
  description: string,
  details: Pick<OptionDetails<true>, 'conflicts'> = {},
): OptionDeclaration<true | undefined> {
  return { value: undefined, description, ...details };
}

/**
 * Declares an option with a value, which is text unless `parse` makes something else of it. Its type follows from
 * `details` alone (NoInfer), not from the place where it is declared.
 */
export function option<Value = string>(
  value: string,
  description: string,
  details: OptionDetails<Value> & Always<Value>,
): OptionDeclaration<NoInfer<Value>>;
export function option<Value = string>(
  value: string,
  description: string,
  details?: OptionDetails<Value>,
): OptionDeclaration<NoInfer<Value> | undefined>;
export function option<Value>(
  value: string,
  description: string,
  details: OptionDetails<Value> = {},
): OptionDeclaration<Value> {
  return { value, description, ...details };
}

/** Declares an option whose value is one of a few. */
export function choice<Value extends string>(
  value: string,
  description: string,
  choices: readonly Value[],
  details: Always<Value>,
): OptionDeclaration<NoInfer<Value>>;
export function choice<Value extends string>(
  value: string,
  description: string,
  choices: readonly Value[],
): OptionDeclaration<NoInfer<Value> | undefined>;
export function choice<Value extends string>(
  value: string,
  description: string,
  choices: readonly Value[],
  details: Partial<Always<Value>> = {},
): OptionDeclaration<Value> {
  return { value, description, choices, ...details };
}

/** A command. `Operand` is what its argument may be. */
export interface CommandDefinition<
  Declared extends OptionDeclarations = OptionDeclarations,
  Operand extends string = string,
> {
  readonly argument?: {
    /** `<file>`, or `<files...>` for several. */
    readonly name: string;
    readonly description: string;
    readonly choices?: readonly Operand[];
  };
  readonly options: Declared;
  /** The line of usage behind the command's name, where it is not what argument and options give. */
  readonly usage?: string;
  /** What stands below the options; it ends in an example that works. */
  readonly help: string;
  /** What `options` leave out of which one of several must be given: `--dataset <name> or --recipe <file>`. */
  missing?(options: OptionsOf<Declared>): readonly string[];
  /** Does the work, and loads what that takes only now. */
  run(options: OptionsOf<Declared>, ...operands: Operand[]): Promise<void>;
}

/** Defines a command: checks that its work takes the options that it declares. */
export function defineCommand<Declared extends OptionDeclarations, Operand extends string = string>(
  definition: CommandDefinition<Declared, Operand>,
): CommandDefinition {
  return definition;
}

/** Tells commander what a command takes. */
export function declareCommand(
  command: Command,
  { argument, options, usage, help }: CommandDefinition,
): Command {
  if (usage !== undefined) command.usage(usage);
  if (argument !== undefined) {
    const declared = new Argument(argument.name, argument.description);
    command.addArgument(argument.choices === undefined ? declared : declared.choices(argument.choices));
  }
  for (const [name, declaration] of Object.entries(options)) {
    command.addOption(commanderOption(name, declaration));
  }
  return command.addHelpText('after', help);
}

function commanderOption(name: string, declaration: OptionDeclaration): Option {
  const { value, description, short, parse, choices, required = false, conflicts = [] } = declaration;
  const long = `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
  const flags = [short === undefined ? long : `-${short}, ${long}`, ...(value === undefined ? [] : [value])];
  const made = new Option(flags.join(' '), description)
    .default(declaration.default)
    .makeOptionMandatory(required)
    .conflicts([...conflicts]);
  if (choices !== undefined) made.choices(choices);
  if (parse !== undefined) made.argParser(parse);
  return made;
}
