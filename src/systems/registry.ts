/** @file The registry of systems. A new system needs its own folder and a row here. */

import { InputError } from '../base/index.js';
import { emoq } from './emoq/system.js';
import { linearProbe } from './linear-probe/system.js';
import { qieemo } from './qieemo/system.js';
import type { Recipe } from './settings.js';
import type { System } from './system.js';

/** Each recipe was parsed with its own system's schema, which its functions can rely on. */
const systems = [emoq, linearProbe, qieemo] as unknown as readonly System[];

/** Names of the systems as used in recipes. */
export const systemKinds: readonly string[] = systems.map(({ kind }) => kind);

/** Looks up a system by name; undefined if there is none. */
export function systemNamed(kind: unknown): System | undefined {
  return systems.find((system) => system.kind === kind);
}

/** The system of a recipe. */
export function systemOf({ system: kind }: Pick<Recipe, 'system'>): System {
  const system = systemNamed(kind);
  if (system === undefined) throw new Error(`a recipe of system ${kind} was not checked`);
  return system;
}

/** How many earlier turns of a dialogue the models of a recipe read. */
export function turnsOf(recipe: Recipe): number {
  return systemOf(recipe).history?.(recipe) ?? 0;
}

/** Every phase of every system, in training order, with its display name. */
export const phaseTitles: Readonly<Record<string, string>> = Object.assign(
  {},
  ...systems.map((system) => system.phaseTitles),
);

/** The phases of each system, in training order. */
export const phasesOfSystems: readonly (readonly string[])[] = systems.map(({ phaseTitles: titles }) =>
  Object.keys(titles),
);

/** Display name of a phase: "stage 1". */
export function titleOf(phase: string): string {
  return phaseTitles[phase] ?? phase;
}

/** Whether a phase of a system is trained with a prompt, which its run records. */
export function hasPrompt(system: string, phase: string): boolean {
  return systemNamed(system)?.promptedPhases.includes(phase) ?? false;
}

/** Whether a phase gives probabilities of the labels, so that it is validated and its runs are scored. */
export function isScored(recipe: Pick<Recipe, 'system'>, phase: string): boolean {
  return !systemOf(recipe).unscoredPhases.includes(phase);
}

/** @throws InputError when a recipe does not have the phase */
export function requirePhase(recipe: Recipe, phase: string): void {
  const system = systemOf(recipe);
  const missing = system.missingPhase(recipe, phase);
  const problem = Object.hasOwn(system.phaseTitles, phase)
    ? missing && `${missing.what}; ${missing.instead}`
    : `is of system ${system.kind}, which has no ${phase}; it has ${Object.keys(system.phaseTitles).join(' and ')}`;
  if (problem !== undefined) throw new InputError(`recipe ${recipe.name} ${problem}`);
}

/** Where the training of a phase starts. */
export function trainingStart(recipe: Recipe, phase: string): 'backbones' | 'checkpoint' {
  return systemOf(recipe).startsFrom(recipe, phase) === undefined ? 'backbones' : 'checkpoint';
}
