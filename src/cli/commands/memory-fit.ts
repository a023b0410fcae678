/** @file `--fit`: chooses settings with which training fits into a CUDA device's memory, and shows what was chosen. */

import { formatMemory, InputError } from '../../base/index.js';
import { deviceName, readCardMemory, resolveDevice } from '../../engine/runtime/index.js';
import { type Recipe, systemOf, titleOf } from '../../systems/index.js';
import {
  type Fit,
  fitSettings,
  type GivenSettings,
  memoryParts,
  optionsOf,
  overridesOf,
  type PhaseSize,
  packedSaving,
  type SizedPhase,
  type SizedSettings,
  sizePhase,
} from '../../training/index.js';
import { type MemoryLimit, recipeOfOptions, type TrainingOptions } from '../command-definition.js';
import { note } from '../terminal-output.js';

/** Memory of the cards that a dry run shows settings for, in GB of 10^9 bytes. */
const CARDS_GB = [24, 48, 80, 140];
const GB = 1e9;

/** The fold whose batches are sized: each fold has others, of about the same size. */
export function sizedFold({ fold, folds }: Pick<TrainingOptions, 'fold' | 'folds'>): number | undefined {
  return fold ?? (folds === undefined ? undefined : 1);
}

/**
 * The options with those that `--fit` chooses for the phases, which it prints.
 * @throws InputError if nothing fits, or the device has no memory to fit into
 */
export async function fittedOptions(
  options: TrainingOptions,
  phasesOf: (recipe: Recipe) => readonly string[],
): Promise<TrainingOptions> {
  const { fit } = options;
  if (fit === undefined) return options;
  const memoryBytes = await limitOf(fit, options);
  const recipe = await recipeOfOptions(options);
  const { set = [] } = options;
  const overrides: string[] = [];
  let { precision } = options;
  for (const name of phasesOf(recipe)) {
    const phase = (await sizePhase(recipe, name, sizedFold(options))).onDevice(precision);
    const { chosen, least } = fitSettings(phase, memoryBytes, givenBy(options, name));
    if (chosen === undefined) {
      throw new InputError(`--fit: ${leastText(phase, least)}, more than ${formatMemory(memoryBytes)}`);
    }
    note(
      `--fit ${formatMemory(memoryBytes)}: ${phase.title} ${choiceText(phase, recipe, chosen)}, about ${memoryParts(chosen.memory)}`,
    );
    overrides.push(...overridesOf(phase, chosen));
    if (chosen.precision !== phase.given.precision) precision = chosen.precision;
  }
  return { ...options, fit: memoryBytes, ...(precision && { precision }), set: [...set, ...overrides] };
}

/** @throws InputError without a CUDA device to train on, or if its memory is asked for and cannot be read */
async function limitOf(
  fit: MemoryLimit,
  { device, dryRun }: Pick<TrainingOptions, 'device' | 'dryRun'>,
): Promise<number> {
  if (dryRun && fit !== 'auto') return fit; // needs no device
  const resolved = resolveDevice(device);
  if (resolved.kind !== 'cuda') {
    throw new InputError(
      `--fit is for the memory of a CUDA device, and this computes on ${deviceName(resolved)}; leave it out, or add --dry-run to see what it would choose`,
    );
  }
  if (fit !== 'auto') return fit;
  const card = await readCardMemory(resolved.index);
  if (card !== undefined) return card.totalBytes;
  throw new InputError(
    `--fit auto: nvidia-smi does not tell the memory of ${deviceName(resolved)}; give it, such as --fit 24GB`,
  );
}

/** What the user has set, which a fit keeps. */
function givenBy(
  { precision, set = [] }: Pick<TrainingOptions, 'precision' | 'set'>,
  phase: string,
): GivenSettings {
  const isSet = (key: string): boolean =>
    set.some((override) => override.split('=')[0]!.trim() === `${phase}.${key}`);
  return {
    precision: precision !== undefined && precision !== 'auto',
    activation_checkpointing: isSet('activation_checkpointing'),
    accumulate: isSet('accumulate'),
  };
}

/** "fits as it is", or "fits with --set ..." and what that changes. */
function choiceText(phase: SizedPhase, recipe: Recipe, chosen: SizedSettings): string {
  const options = optionsOf(phase, chosen);
  if (options === '') return 'fits as it is';
  const { accumulate, activation_checkpointing } = chosen;
  const system = systemOf(recipe);
  const settings = { ...system.settings(recipe, phase.name), accumulate, activation_checkpointing };
  const changes =
    accumulate === phase.given.accumulate
      ? undefined
      : system.settingsWarning({ ...recipe, [phase.name]: settings } as Recipe, phase.name);
  return `fits with ${options}${changes === undefined ? '' : ` (${changes})`}`;
}

function leastText(phase: SizedPhase, least: SizedSettings): string {
  const options = optionsOf(phase, least);
  const packed = packedSaving(phase, least.precision);
  return [
    `${phase.title} needs at least ${formatMemory(least.memory.totalBytes)}`,
    ...(options === '' ? [] : [`with ${options}`]),
    ...(packed === undefined
      ? []
      : [`(a 4-bit checkpoint, emoq quantize, would save another ${formatMemory(packed)})`]),
  ].join(' ');
}

/** Prints a phase's memory on CUDA, and what `--fit` would choose for cards of several sizes. */
export function describeDeviceMemory(
  name: string,
  recipe: Recipe,
  { onDevice }: Pick<PhaseSize, 'onDevice'>,
  options: TrainingOptions,
): void {
  const phase = onDevice(options.precision);
  const { memory } = phase.sized(phase.given);
  const precision = phase.languageModel === undefined ? '' : `, with ${phase.given.precision} products`;
  note(`memory on CUDA: about ${memoryParts(memory)}${precision}`);
  const given = givenBy(options, name);
  for (const gigabytes of CARDS_GB) {
    const bytes = gigabytes * GB;
    note(
      `--fit ${gigabytes}GB (${formatMemory(bytes)}): ${rowText(phase, recipe, fitSettings(phase, bytes, given))}`,
    );
  }
}

function rowText(phase: SizedPhase, recipe: Recipe, { chosen, least }: Fit): string {
  if (chosen === undefined) return leastText(phase, least);
  return `${titleOf(phase.name)} ${choiceText(phase, recipe, chosen)}, about ${formatMemory(chosen.memory.totalBytes)}`;
}
