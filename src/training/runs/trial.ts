/** @file trial.json: what a search tries in an experiment's folder, and how that ended. */

import { dirname, join } from 'node:path';
import { z } from 'zod';
import { InputError, pathExists, readJson, writeJsonAtomic } from '../../base/index.js';

const trialSchema = z.object({
  trial: z.int().min(1),
  /** By recipe key. */
  values: z.record(z.string(), z.unknown()),
  /** For each epoch the figure below (or above) which the trial is stopped after it; null: it is not. */
  thresholds: z.array(z.number().nullable()),
  status: z.enum(['running', 'finished', 'stopped', 'failed']),
});

/** A trial of a search. */
export type TrialRecord = z.infer<typeof trialSchema>;

function trialPath(root: string): string {
  return join(root, 'trial.json');
}

/** The trial in an experiment's folder; undefined if it is none. @throws InputError when the file is damaged */
export async function readTrial(root: string): Promise<TrialRecord | undefined> {
  const path = trialPath(root);
  if (!(await pathExists(path))) return undefined;
  const parsed = trialSchema.safeParse(await readJson(path, 'trial'));
  if (parsed.success) return parsed.data;
  throw new InputError(`${path} is damaged; delete the folder ${root}, and the search tries it again`);
}

export function writeTrial(root: string, trial: TrialRecord): Promise<void> {
  return writeJsonAtomic(trialPath(root), trial);
}

/** The trial that a run belongs to: its folder is PHASE or PHASE/fold-N in that of the trial. */
export async function trialOfRun(dir: string): Promise<TrialRecord | undefined> {
  const phase = dirname(dir);
  return (await readTrial(phase)) ?? (await readTrial(dirname(phase)));
}
