/**
 * @file Fits a phase into a CUDA device's memory: chooses settings for `--fit`, and says which settings help where
 * memory is short.
 */

import { formatMemory, InputError, OutOfMemoryError } from '../base/index.js';
import { type CardMemory, type Device, deviceName, readCardMemory } from '../engine/runtime/index.js';
import type { ComputeOptions } from './compute-options.js';
import type { MemorySettings, SizedPhase, SizedSettings } from './device-size.js';

/** Settings that the user has given, which are kept. */
export type GivenSettings = Readonly<Partial<Record<keyof MemorySettings, boolean>>>;

export interface Fit {
  /** The first that fits; undefined if none does. */
  readonly chosen: SizedSettings | undefined;
  /** The one that takes the least memory, of those that were tried. */
  readonly least: SizedSettings;
}

/** A change has to save this share of the memory. */
const WORTHWHILE = 0.01;

/**
 * Chooses settings with which a phase fits: its own if they do, else, one after the other, bfloat16, activation
 * checkpointing, gradient accumulation, and one step per run of the graph. Batch and results stay the same but for
 * rounding; accumulation also changes the contrastive loss of stage 1, which compares utterances of a micro-batch.
 */
export function fitSettings(phase: SizedPhase, memoryBytes: number, given: GivenSettings = {}): Fit {
  let least = phase.sized(phase.given);
  const fits = ({ memory }: SizedSettings): boolean => memory.totalBytes <= memoryBytes;
  const tried = (settings: MemorySettings): SizedSettings => {
    const sized = phase.sized(settings);
    if (sized.memory.totalBytes < least.memory.totalBytes) least = sized;
    return sized;
  };
  let settings = phase.given;
  for (const change of firstChanges(phase, given)) {
    const before = phase.sized(settings);
    if (fits(before)) return { chosen: before, least };
    const after = tried({ ...settings, ...change });
    if (saving(before, after) > 0) settings = { ...settings, ...change };
  }
  for (const oneStep of [false, true]) {
    for (const accumulate of given.accumulate ? [settings.accumulate] : partsOf(phase)) {
      const sized = tried({ ...settings, accumulate, ...(oneStep && { oneStep }) });
      if (fits(sized)) return { chosen: sized, least };
    }
  }
  return { chosen: undefined, least };
}

/** Bytes that a change saves; 0 if they are too few for it. */
function saving(before: SizedSettings, after: SizedSettings): number {
  const saved = before.memory.totalBytes - after.memory.totalBytes;
  return saved > WORTHWHILE * before.memory.totalBytes ? saved : 0;
}

function firstChanges(
  { given: { precision, activation_checkpointing }, languageModel }: SizedPhase,
  given: GivenSettings,
): Partial<MemorySettings>[] {
  return [
    ...(!given.precision && precision === 'float32' && languageModel !== undefined
      ? [{ precision: 'bfloat16' } as const]
      : []),
    ...(!given.activation_checkpointing && !activation_checkpointing
      ? [{ activation_checkpointing: true }]
      : []),
  ];
}

/** Numbers of micro-batches: the phase's own, and its doubles. */
function partsOf(phase: SizedPhase): number[] {
  const { accumulate } = phase.given;
  const parts = [accumulate];
  while (2 * parts.at(-1)! <= mostParts(phase)) parts.push(2 * parts.at(-1)!);
  return parts;
}

/** Micro-batches of a batch at most: each has at least two utterances, which the contrastive loss of stage 1 compares. */
function mostParts({ batchSize }: SizedPhase): number {
  return Math.floor(batchSize / 2);
}

/** The recipe's keys that a choice changes, as overrides: `stage2.accumulate=4`. */
export function overridesOf({ name, given }: SizedPhase, chosen: MemorySettings): string[] {
  const { activation_checkpointing, accumulate } = chosen;
  return [
    ...(activation_checkpointing === given.activation_checkpointing
      ? []
      : [`${name}.activation_checkpointing=${activation_checkpointing}`]),
    ...(accumulate === given.accumulate ? [] : [`${name}.accumulate=${accumulate}`]),
  ];
}

/** What a choice changes, as options: `--precision bfloat16 --set stage2.accumulate=4`. */
export function optionsOf(phase: SizedPhase, chosen: MemorySettings): string {
  const precision = chosen.precision === phase.given.precision ? [] : [`--precision ${chosen.precision}`];
  const run = chosen.oneStep ? ['and one step at a time'] : [];
  return [...precision, ...overridesOf(phase, chosen).map((override) => `--set ${override}`), ...run].join(
    ' ',
  );
}

/** What helps beside the settings, and by how much. Empty if nothing does. */
export function memoryAdvice(phase: SizedPhase, settings: MemorySettings = phase.given): string {
  const { languageModel, name } = phase;
  const before = phase.sized(settings);
  const parts = Math.min(4 * settings.accumulate, mostParts(phase));
  const changes: [string, Partial<MemorySettings>][] = [];
  if (languageModel !== undefined && settings.precision === 'float32')
    changes.push(['--precision bfloat16', { precision: 'bfloat16' }]);
  if (!settings.activation_checkpointing)
    changes.push([`--set ${name}.activation_checkpointing=true`, { activation_checkpointing: true }]);
  if (parts > settings.accumulate) changes.push([`--set ${name}.accumulate=${parts}`, { accumulate: parts }]);
  const savings = changes.map(([options, change]): [string, number] => [
    options,
    saving(before, phase.sized({ ...settings, ...change })),
  ]);
  savings.push(['a 4-bit checkpoint (emoq quantize)', packedSaving(phase, settings.precision) ?? 0]);
  const [first, ...others] = savings
    .filter(([, bytes]) => bytes > 0)
    .map(([options, bytes]) => [options, formatMemory(bytes)]);
  if (first === undefined) return '';
  return [`${first[0]} saves ${first[1]}`, ...others.map((other) => other.join(' '))].join(', ');
}

/** Bytes of a packed weight with its scale, by `emoq quantize` in blocks of 32. */
const PACKED_BYTES = 4.63 / 8;

/** What packing the language model to 4 bits saves; undefined if there is none, or it is packed. */
export function packedSaving(
  { languageModel }: SizedPhase,
  precision: MemorySettings['precision'],
): number | undefined {
  if (languageModel === undefined || languageModel.packedElements === 0) return undefined;
  const bytes = precision === 'float32' ? 4 : 2;
  return languageModel.packedElements * (bytes - PACKED_BYTES);
}

/** How a phase's estimate compares with a device's memory. */
export interface MemoryVerdict {
  /**
   * `enough`: it runs. `one step`: it does with one step per run of the graph. `short`: it does not run, even if CUDA
   * itself took nothing. `tight`: it may run. `unknown`: there is nothing to compare with.
   */
  readonly kind: 'enough' | 'one step' | 'tight' | 'short' | 'unknown';
  /** One line; empty if there is enough. */
  readonly text: string;
}

/** @param device its name, such as cuda:0 */
export function compareWithCard(
  phase: SizedPhase,
  device: string,
  card: CardMemory | undefined,
): MemoryVerdict {
  if (card === undefined) {
    const text = `${aboutPhase(phase, phase.given, device)}, whose memory nvidia-smi does not tell`;
    return { kind: 'unknown', text };
  }
  const { totalBytes, freeBytes } = card;
  const needed = phase.sized(phase.given).memory.totalBytes;
  if (needed <= freeBytes) return { kind: 'enough', text: '' };
  const sparing = { ...phase.given, oneStep: true };
  const { totalBytes: least, contextBytes } = phase.sized(sparing).memory;
  const has =
    least > totalBytes
      ? `which has ${formatMemory(totalBytes)}`
      : `of which ${formatMemory(freeBytes)} of ${formatMemory(totalBytes)} are free`;
  if (least <= freeBytes) {
    const several = `several steps at a time would need about ${formatMemory(needed)} on ${device}`;
    return { kind: 'one step', text: `${phase.title} runs step by step: ${several}, ${has}` };
  }
  const text = `${aboutPhase(phase, sparing, device)}, ${has}${advicePart(phase, sparing)}`;
  return { kind: least - contextBytes > totalBytes ? 'short' : 'tight', text };
}

function aboutPhase(phase: SizedPhase, settings: MemorySettings, device: string): string {
  const { totalBytes } = phase.sized(settings).memory;
  return `${phase.title} needs about ${formatMemory(totalBytes)} on ${device}`;
}

function advicePart(phase: SizedPhase, settings: MemorySettings): string {
  const advice = memoryAdvice(phase, settings);
  return advice === '' ? '' : `: ${advice}`;
}

/**
 * Compares a phase with the memory of the CUDA device that it is to run on, before anything is loaded.
 * @returns whether there is only room for one step per run of the graph
 * @throws InputError if it cannot run there, with the settings that help
 */
export async function reviewDeviceMemory(
  phase: SizedPhase,
  { device, memoryBytes }: Pick<ComputeOptions, 'device' | 'memoryBytes'>,
  say: { readonly note: (text: string) => void; readonly warn: (text: string) => void },
): Promise<boolean> {
  if (device.kind !== 'cuda') return false;
  const card = limited(await readCardMemory(device.index), memoryBytes);
  const { kind, text } = compareWithCard(phase, deviceName(device), card);
  if (kind === 'short') throw new InputError(text);
  if (kind === 'tight') say.warn(text);
  if (kind === 'unknown' || kind === 'one step') say.note(text);
  return kind === 'tight' || kind === 'one step';
}

/** A device of which only so much is to be used. */
function limited(card: CardMemory | undefined, bytes: number | undefined): CardMemory | undefined {
  if (bytes === undefined) return card;
  const { totalBytes = bytes, freeBytes = bytes } = card ?? {};
  return { totalBytes: Math.min(totalBytes, bytes), freeBytes: Math.min(freeBytes, bytes) };
}

/** The error of a phase that ran out of memory, with its estimate and what helps; any other error as it is. */
export function withMemoryAdvice(error: unknown, phase: SizedPhase | undefined, device: Device): unknown {
  if (!(error instanceof OutOfMemoryError) || phase === undefined) return error;
  const { given } = phase;
  const about = `${aboutPhase(phase, given, deviceName(device))}${advicePart(phase, given)}`;
  return new OutOfMemoryError(`${error.message}; ${about}`);
}
