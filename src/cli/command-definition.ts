/**
 * @file How a command is declared: its arguments, its options under the names that they have in code, its help and its
 * work; and the options that several commands share, those of training among them. The types of the options follow
 * from the declaration.
 */

import { Argument, type Command, InvalidArgumentError, Option } from 'commander';
import { InputError } from '../base/index.js';
import type { ChannelChoice } from '../data/audio/index.js';
import type { Recipe } from '../systems/index.js';

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

/** Where to compute; `cuda` alone is the first GPU. */
export type DeviceOption = 'auto' | 'cpu' | `cuda:${number}`;

/** Root of the feature cache, below the working directory unless EMOQ_CACHE names another folder. */
export function cacheFolder(): string {
  return process.env.EMOQ_CACHE ?? '.cache/features';
}

/** Which corpus and recipe to work on. */
export const corpusOptions = {
  dataset: option('<name>', 'a recipe or prepared corpus by name, such as toy4', { conflicts: ['recipe'] }),
  manifest: option('<file>', 'a prepared corpus by its manifest.csv'),
  recipe: option('<file>', 'a recipe of your own (YAML)'),
  set: option('<key=value>', 'change a key of the recipe; as often as needed', { parse: collect }),
};

export type CorpusOptions = OptionsOf<typeof corpusOptions>;

/** `--device` */
export const deviceOption = option('<device>', 'auto (CUDA where it is installed), cpu, cuda or cuda:N', {
  parse: parseDevice,
  default: 'auto' as DeviceOption,
});

/** `--threads` */
export function threadsOption(usual = 'one for each core') {
  return option('<n>', `threads of a run (default: ${usual})`, { parse: wholeNumber(1) });
}

/** `--channel` */
export const channelOption = option(
  '<n>',
  'of recordings with several: a number from 1, or mix (default: centre, else mix)',
);

/** @throws InputError where `--set` has no recipe to change */
export function refuseLoneOverrides({ dataset, recipe, set }: CorpusOptions): void {
  if (set === undefined || dataset !== undefined || recipe !== undefined) return;
  throw new InputError(
    `--set ${set[0]} changes a recipe, and none is named; name one with --dataset or --recipe, or leave it out`,
  );
}

/** The channel that the option names. @throws InputError when it is none. */
export async function channelOfOption(value: string | undefined): Promise<ChannelChoice | undefined> {
  if (value === undefined) return undefined;
  const { parseChannel } = await import('../data/audio/index.js');
  const channel = parseChannel(value);
  if (channel === undefined) throw new InputError(`--channel ${value} is neither a number from 1 nor mix`);
  return channel;
}

/** Loads the recipe that the options name. @throws InputError when it is wrong or none is named. */
export async function recipeOfOptions(
  options: CorpusOptions & { readonly splitSeed?: number },
): Promise<Recipe> {
  const { loadRecipe } = await import('../recipe/index.js');
  const { set = [], splitSeed } = options;
  if (splitSeed !== undefined && set.some((override) => /^\s*split_seed\s*=/.test(override))) {
    throw new InputError('--split-seed and --set split_seed say the same; leave one out');
  }
  return loadRecipe({
    dataset: options.dataset,
    path: options.recipe,
    manifest: options.manifest,
    overrides: splitSeed === undefined ? set : [...set, `split_seed=${splitSeed}`],
  });
}

/** Parser of a repeatable option. */
export function collect(value: string, earlier: readonly string[] = []): string[] {
  return [...earlier, value];
}

/** The largest seed, as the recipe's key has it. */
export const LARGEST_SEED = 2 ** 32 - 1;

/** Parser of a whole number from `minimum`. */
export function wholeNumber(minimum: number, maximum = Number.MAX_SAFE_INTEGER): (value: string) => number {
  const range = maximum < Number.MAX_SAFE_INTEGER ? `${minimum} to ${maximum}` : `${minimum}`;
  return (value) => {
    const number = Number(value);
    if (/^\d+$/.test(value) && number >= minimum && number <= maximum) return number;
    throw new InvalidArgumentError(`It must be a whole number from ${range}.`);
  };
}

function parseDevice(value: string): DeviceOption {
  if (value === 'auto' || value === 'cpu') return value;
  const index = /^cuda(?::(\d{1,2}))?$/.exec(value);
  if (index) return `cuda:${Number(index[1] ?? 0)}`;
  throw new InvalidArgumentError('It must be auto, cpu, cuda or cuda:N, such as cuda:1.');
}

/** What a command takes that trains one phase of a recipe, or all of them. */
export const trainingOptions = {
  ...corpusOptions,
  splitSeed: option(
    '<n>',
    'seed of who validates, in place of the seed of the run (the recipe key split_seed)',
    { parse: wholeNumber(0, LARGEST_SEED) },
  ),
  fold: option('<n>', 'train this fold of a cross-validation', {
    parse: wholeNumber(1),
    conflicts: ['folds'],
  }),
  folds: option('<k>', 'train all k folds', { parse: wholeNumber(2) }),
  seeds: option(
    '<list>',
    'train with each of these seeds, such as 1,2,3; a seed also draws who validates, but with --split-seed',
    { parse: parseSeeds },
  ),
  jobs: option('<n>', 'train n of the folds and seeds at a time, the cores divided among them', {
    parse: wholeNumber(1),
  }),
  threads: threadsOption('one for each core, or its part with --jobs'),
  run: option('<folder>', 'folder of the experiment (default: runs/<dataset>)'),
  dryRun: flag('print the resolved recipe, parameter counts, memory and steps, and train nothing'),
  device: deviceOption,
};

export type TrainingOptions = OptionsOf<typeof trainingOptions>;

/** Parser of seeds, each once: `1,2,3`. */
export function parseSeeds(value: string): readonly number[] {
  const parts = value.split(',').map((part) => part.trim());
  const seeds = parts.map(Number);
  const valid = parts.every((part) => /^\d+$/.test(part)) && seeds.every((seed) => seed <= LARGEST_SEED);
  if (valid && new Set(seeds).size === seeds.length) return seeds;
  throw new InvalidArgumentError(
    'It must be different whole numbers with commas between them, such as 1,2,3.',
  );
}
