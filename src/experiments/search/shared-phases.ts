/** @file Phases before the last one that trials have in common: the first trial trains them, others have copies. */

import { systemOf } from '../../systems/index.js';
import { sharesEarlierPhase } from '../../training/index.js';
import { adoptRun, phaseFolder } from '../../training/runs/index.js';
import type { Trial } from './trials.js';

export interface SharedPhases {
  /**
   * Waits for the trial that trains a phase for this one too, and copies its run.
   * @returns that trial; undefined if this one has to train the phase
   */
  adopt(trial: Trial, phase: string, fold: number | undefined): Promise<Trial | undefined>;
  /** A trial trains no more of the phases before its last. */
  settled(trial: Trial): void;
}

/** Of trials that begin in their order, so that each waits for one that has begun. */
export function sharedPhases(trials: readonly Trial[]): SharedPhases {
  const waiting = new Map(trials.map((trial) => [trial, signal()]));
  return {
    async adopt(trial, phase, fold) {
      const first = trials.find((other) => other === trial || shares(other, trial, phase));
      if (first === undefined || first === trial) return undefined;
      await waiting.get(first)!.given;
      const [from, to] = [first, trial].map(({ root }) => phaseFolder(root, phase, fold));
      return (await adoptRun(from!, to!, trial.recipe)) ? first : undefined;
    },
    settled: (trial) => waiting.get(trial)!.give(),
  };
}

/** Whether the run of a phase is the same in both, and so are those that it starts from. */
function shares(one: Trial, other: Trial, phase: string): boolean {
  if (one.phases.join() !== other.phases.join()) return false;
  const next = one.phases[one.phases.indexOf(phase) + 1];
  const start = next === undefined ? undefined : systemOf(one.recipe).startsFrom(one.recipe, next);
  return start?.phase === phase && sharesEarlierPhase(start, one.recipe, other.recipe);
}

/** Something that happens once and that others wait for. */
export function signal(): { readonly given: Promise<void>; readonly give: () => void } {
  let give = (): void => undefined;
  const given = new Promise<void>((resolve) => {
    give = resolve;
  });
  return { given, give: () => give() };
}
