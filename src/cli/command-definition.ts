/**
 * @file Defines how a command declares its arguments, options, help and action, with option types inferred from the
 * declaration. Also the options that several commands share.
 */

import { Argument, type Command, InvalidArgumentError, Option } from 'commander';
import { InputError } from '../base/index.js';
import type { ChannelChoice } from '../data/audio/index.js';
import type { Shard } from '../inference/index.js';
import type { PrecisionChoice, Recipe } from '../systems/index.js';

/** Optional properties of an option. */
interface OptionDetails<Value> {
  /** Parses the value. `earlier` is the value so far if the option is repeated. @throws InvalidArgumentError */
  parse?(text: string, earlier?: Value): Value;
  readonly default?: Value;
  readonly required?: boolean;
  /** Options that cannot be combined with this one. */
  readonly conflicts?: readonly string[];
  /** The letter of an additional short flag. */
  readonly short?: string;
}

/** An option. `Value` is the type that the command receives, including undefined if the option may be omitted. */
export interface OptionDeclaration<Value = unknown> extends OptionDetails<Value> {
  /** The placeholder in the help: `<file>`, `<two...>` for several values, `[kinds]` for an optional value. */
  readonly value: string | undefined;
  readonly description: string;
  readonly choices?: readonly string[];
}

/** The options of a command, in help order. The name `dryRun` declares `--dry-run`. */
export type OptionDeclarations = Readonly<Record<string, OptionDeclaration>>;

type ValueOf<Declaration> = Declaration extends OptionDeclaration<infer Value> ? Value : never;
type Optional<Declared> = {
  [Name in keyof Declared]: undefined extends ValueOf<Declared[Name]> ? Name : never;
}[keyof Declared];

/** The option values that a command receives. */
export type OptionsOf<Declared> = {
  readonly [Name in Optional<Declared>]?: Exclude<ValueOf<Declared[Name]>, undefined>;
} & {
  readonly [Name in Exclude<keyof Declared, Optional<Declared>>]: ValueOf<Declared[Name]>;
};

/** With one of these, the value is always defined. */
type Always<Value> = { readonly required: true } | { readonly default: Value };

/** Declares an option without a value. */
export function flag(
  description: string,
  details: Pick<OptionDetails<true>, 'conflicts'> = {},
): OptionDeclaration<true | undefined> {
  return { value: undefined, description, ...details };
}

/**
 * Declares an option with a value, which is a string unless `parse` returns something else. Its type is inferred from
 * `details` only (NoInfer), not from the context.
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

/** Declares an option with a fixed set of values. */
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

/** A command. `Operand` is the type of its argument. */
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
  /** The usage after the command's name, if it cannot be derived from the argument and options. */
  readonly usage?: string;
  /** Shown below the options; ends in a working example. */
  readonly help: string;
  /** The missing alternative if `options` gives none of several: `--dataset <name> or --recipe <file>`. */
  missing?(options: OptionsOf<Declared>): readonly string[];
  /** Runs the command, loading its implementation on demand. */
  run(options: OptionsOf<Declared>, ...operands: Operand[]): Promise<void>;
}

/** Defines a command, checking that its action accepts the declared options. */
export function defineCommand<Declared extends OptionDeclarations, Operand extends string = string>(
  definition: CommandDefinition<Declared, Operand>,
): CommandDefinition {
  return definition;
}

/** Registers a command's options and arguments with commander. */
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

/** An option as it is typed: `--dry-run` for the name `dryRun`. */
export function flagOf(name: string): string {
  return `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

function commanderOption(name: string, declaration: OptionDeclaration): Option {
  const { value, description, short, parse, choices, required = false, conflicts = [] } = declaration;
  const long = flagOf(name);
  const flags = [short === undefined ? long : `-${short}, ${long}`, ...(value === undefined ? [] : [value])];
  const made = new Option(flags.join(' '), description)
    .default(declaration.default)
    .makeOptionMandatory(required)
    .conflicts([...conflicts]);
  if (choices !== undefined) made.choices(choices);
  if (parse !== undefined) made.argParser(parse);
  return made;
}

/** The device to compute on; `cuda` alone is the first NVIDIA GPU. */
export type DeviceOption = 'auto' | 'cpu' | 'webgpu' | `cuda:${number}`;

/** Root of the feature cache: in the working directory unless EMOQ_CACHE names another folder. */
export function cacheFolder(): string {
  return process.env.EMOQ_CACHE ?? '.cache/features';
}

/** Selects the corpus and recipe. */
export const corpusOptions = {
  dataset: option('<name>', 'a recipe or prepared corpus by name, such as toy4', { conflicts: ['recipe'] }),
  manifest: option('<file>', 'a prepared corpus by its manifest.csv'),
  recipe: option('<file>', 'a recipe of your own (YAML)'),
  set: option('<key=value>', 'override a recipe key; can be repeated', { parse: collect }),
};

export type CorpusOptions = OptionsOf<typeof corpusOptions>;

/** `--device` */
export const deviceOption = option('<device>', 'auto (CUDA if installed), cpu, webgpu, cuda or cuda:N', {
  parse: parseDevice,
  default: 'auto' as DeviceOption,
});

/** `--precision` */
export const precisionOption = choice<PrecisionChoice>(
  '<type>',
  'type of the matrix products of language model and speech encoder (default: auto, bfloat16 on CUDA for checkpoints of 16 bits, else float32)',
  ['auto', 'bfloat16', 'float16', 'float32'],
);

/** `--devices` @param work what is done on them */
export function devicesOption(work: string) {
  return option<readonly DeviceOption[]>('<list>', `${work}, such as cuda:0,cuda:1`, {
    parse: parseDevices,
    conflicts: ['device'],
  });
}

/** `--devices` of commands that train. */
export const trainingDevicesOption = devicesOption(
  'train the folds and seeds on these devices, one run on each at a time',
);

/** `--jobs` */
export const jobsOption = option(
  '<n>',
  'train n of the folds and seeds in parallel, dividing the cores among them',
  {
    parse: wholeNumber(1),
  },
);

/** `--threads` */
export function threadsOption(usual = 'one per core') {
  return option('<n>', `threads of a run (default: ${usual})`, { parse: wholeNumber(1) });
}

/** `--shard` */
export function shardOption(text: string) {
  return option<Shard>('<i/n>', text, { parse: parseShard });
}

/** Parser of `i/n`. */
function parseShard(value: string): Shard {
  const [, index, count] = /^(\d+)\/(\d+)$/.exec(value) ?? [];
  const shard = { index: Number(index), count: Number(count) };
  if (shard.index >= 1 && shard.index <= shard.count && shard.count <= 1_000_000) return shard;
  throw new InvalidArgumentError('It must be i/n with i from 1 to n, such as 3/8.');
}

/** `--backbone` */
export const backboneOption = option(
  '<key=folder>',
  'where a backbone of the run is now, such as llm=models/qwen; can be repeated',
  { parse: collectBackbones },
);

/** Parser of a repeatable `KEY=FOLDER`. */
function collectBackbones(value: string, earlier: readonly string[] = []): readonly string[] {
  if (/^(?:encoder|encoder_onnx|former|llm)=./.test(value)) return [...earlier, value];
  throw new InvalidArgumentError(
    'It must be encoder=FOLDER, encoder_onnx=FILE, former=FOLDER or llm=FOLDER.',
  );
}

/** As overrides of a recipe. */
export function backboneOverrides(backbones: readonly string[] = []): readonly string[] {
  return backbones.map((each) => `backbones.${each}`);
}

/** `--channel` */
export const channelOption = option(
  '<n>',
  'channel of multi-channel recordings: a number from 1, or mix (default: centre, else mix)',
);

/** `--language` */
export const languageOption = option(
  '<name>',
  'language of the recordings for a multilingual Whisper, such as de or german (default: it hears which)',
);

/** @throws InputError if `--language` is given without a recogniser */
export function refuseLoneLanguage({
  transcribe,
  language,
}: {
  readonly transcribe?: string | undefined;
  readonly language?: string | undefined;
}): void {
  if (language === undefined || transcribe !== undefined) return;
  throw new InputError(
    `--language ${language} is for a recogniser, but none is named; name one with --transcribe, or leave it out`,
  );
}

/** @throws InputError if `--set` is given without a recipe */
export function refuseLoneOverrides({ dataset, recipe, set }: CorpusOptions): void {
  if (set === undefined || dataset !== undefined || recipe !== undefined) return;
  throw new InputError(
    `--set ${set[0]} overrides a recipe, but none is named; name one with --dataset or --recipe, or leave it out`,
  );
}

/** The channel that the option names. @throws InputError when it is invalid. */
export async function channelOfOption(value: string | undefined): Promise<ChannelChoice | undefined> {
  if (value === undefined) return undefined;
  const { parseChannel } = await import('../data/audio/index.js');
  const channel = parseChannel(value);
  if (channel === undefined) throw new InputError(`--channel ${value} is neither a number from 1 nor mix`);
  return channel;
}

/** Loads the recipe that the options name. @throws InputError when it is invalid, or none is named. */
export async function recipeOfOptions(
  options: CorpusOptions & { readonly splitSeed?: number },
): Promise<Recipe> {
  const { loadRecipe } = await import('../recipe/index.js');
  const { set = [], splitSeed } = options;
  if (splitSeed !== undefined && set.some((override) => /^\s*split_seed\s*=/.test(override))) {
    throw new InputError('--split-seed and --set split_seed set the same key; leave one out');
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

/** The largest seed that the recipe key accepts. */
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
  if (value === 'auto' || value === 'cpu' || value === 'webgpu') return value;
  const index = /^cuda(?::(\d{1,2}))?$/.exec(value);
  if (index) return `cuda:${Number(index[1] ?? 0)}`;
  throw new InvalidArgumentError('It must be auto, cpu, webgpu, cuda or cuda:N, such as cuda:1.');
}

/** Parser of devices: `cuda:0,cuda:1`. The CPU may be there several times, a GPU once. */
function parseDevices(value: string): readonly DeviceOption[] {
  const devices = value.split(',').map((name) => parseDevice(name.trim()));
  if (devices.includes('auto')) throw new InvalidArgumentError('It must name devices, and auto is none.');
  const twice = devices.find((device, index) => device !== 'cpu' && devices.indexOf(device) < index);
  if (twice !== undefined) throw new InvalidArgumentError(`It names ${twice} twice.`);
  return devices;
}

/** Bytes of memory, or that of the device. */
export type MemoryLimit = number | 'auto';

const MEMORY_UNITS = { gb: 1e9, gib: 2 ** 30, '': 1e9 };

/** Parser of memory: `24GB`, `24` (also GB), `22.5GiB`, `auto`. */
function parseMemory(value: string): MemoryLimit {
  if (value === 'auto') return value;
  const [, size, unit] = /^(\d+(?:\.\d+)?) ?(gb|gib|)$/.exec(value.toLowerCase()) ?? [];
  const bytes = Number(size) * MEMORY_UNITS[unit as keyof typeof MEMORY_UNITS];
  if (bytes > 0) return bytes;
  throw new InvalidArgumentError('It must be a number of GB, such as 24GB or 22.5GiB, or auto.');
}

/** Options of the commands that train one phase of a recipe or all of them. */
export const trainingOptions = {
  ...corpusOptions,
  splitSeed: option(
    '<n>',
    'seed of the validation split, if other than the run seed (recipe key split_seed)',
    { parse: wholeNumber(0, LARGEST_SEED) },
  ),
  fold: option('<n>', 'train this fold of a cross-validation', {
    parse: wholeNumber(1),
    conflicts: ['folds'],
  }),
  folds: option('<k>', 'train all k folds', { parse: wholeNumber(2) }),
  seeds: option(
    '<list>',
    'train with each of these seeds, such as 1,2,3; also seeds the validation split unless --split-seed is given',
    { parse: parseSeeds },
  ),
  jobs: jobsOption,
  threads: threadsOption('one per core, or its share with --jobs'),
  run: option('<folder>', 'folder of the experiment (default: runs/<dataset>)'),
  dryRun: flag('print the resolved recipe, parameter counts, memory and steps, and train nothing'),
  device: deviceOption,
  devices: trainingDevicesOption,
  precision: precisionOption,
  fit: option(
    '<memory>',
    'choose precision, activation checkpointing and accumulation that fit into this GPU memory, such as 24GB, or auto for all of the device',
    { parse: parseMemory },
  ),
};

export type TrainingOptions = OptionsOf<typeof trainingOptions>;

/** Parser of distinct seeds: `1,2,3`. */
export function parseSeeds(value: string): readonly number[] {
  const parts = value.split(',').map((part) => part.trim());
  const seeds = parts.map(Number);
  const valid = parts.every((part) => /^\d+$/.test(part)) && seeds.every((seed) => seed <= LARGEST_SEED);
  if (valid && new Set(seeds).size === seeds.length) return seeds;
  throw new InvalidArgumentError('It must be distinct whole numbers separated by commas, such as 1,2,3.');
}
