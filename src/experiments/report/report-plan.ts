/** @file The runs that a report is of: found, held to what is asked for, and scored where they are not yet. */

import { join } from 'node:path';
import { InputError } from '../../base/index.js';
import { readManifest } from '../../data/corpora/index.js';
import { trainedManifest } from '../../training/index.js';
import { manifestChange, type RunFolder, readMetadata, runFiles } from '../../training/runs/index.js';
import type { ExperimentContext } from '../context.js';
import { checkAgainstRuns, type ExperimentChoice, rootOf } from '../named-experiment.js';
import { isScored } from '../run-scores.js';
import { missingFoldsWarning, type SeedRuns, selectSeeds } from '../run-selection.js';
import { scoreRuns } from '../scoring.js';

export interface ReportPlan {
  /** The experiment's folder. */
  readonly root: string;
  readonly seeds: readonly SeedRuns[];
  /** Where the page lies unless it is said: beside the results. */
  readonly beside: string;
  /** The files that it is made from. */
  readonly sources: readonly string[];
}

/**
 * Finds the runs that are named, and computes nothing.
 * @throws InputError where they are not there, not what is asked for, or were trained on another manifest
 */
export async function planReport(
  choice: ExperimentChoice,
  { onNote, onWarning }: ExperimentContext,
): Promise<ReportPlan> {
  const root = await rootOf(choice, onNote);
  const seeds = await selectSeeds(root, choice);
  const runs = seeds.flatMap((each) => each.runs);
  const changed = await checkAgainstRuns(choice, runs);
  if (changed !== undefined) onWarning(changed);
  if (choice.manifest !== undefined) await checkManifest(choice.manifest, runs);
  const folders = seeds.flatMap(({ folder, runs: own }) => [folder, ...own]);
  const facts = await Promise.all(folders.map(readMetadata));
  return {
    root,
    seeds,
    beside:
      choice.seeds === undefined
        ? join(seeds[0]!.folder.dir, 'report.html')
        : join(root, `${seeds[0]!.phase}-seeds.html`),
    sources: [...folders.flatMap(runFiles), ...facts.flatMap((run) => (run ? [run.manifest.path] : []))],
  };
}

/**
 * Scores the runs that were not scored since they were trained.
 * @param manifest theirs, in another place than their recipes say
 */
export async function scorePlanned(
  { seeds }: ReportPlan,
  manifest: string | undefined,
  context: ExperimentContext,
): Promise<void> {
  for (const each of seeds) {
    if (await isScored(each)) {
      const missing = missingFoldsWarning(each);
      if (missing !== undefined) context.onWarning(missing);
    } else await scoreRuns(each, context, { ...(manifest !== undefined && { manifest }) });
  }
}

/** @throws InputError where the manifest that is named is not the one that the runs were trained on */
async function checkManifest(path: string, runs: readonly RunFolder[]): Promise<void> {
  const named = trainedManifest(path, await readManifest(path));
  for (const run of runs) {
    if (manifestChange((await readMetadata(run))!.manifest, named) === undefined) continue;
    throw new InputError(
      `${path} is not the manifest that ${run.dir} was trained on, and a report is of its own test set; score it on another corpus with emoq eval --run ${run.dir} --manifest ${path}`,
    );
  }
}
