/** @file What every preparation ends in: clips made, checked against what is known, written down as a manifest. */

import { stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { InputError, pathExists, readJson } from '../../base/index.js';
import { type ClipTask, type PreparationControls, prepareClips } from './clips.js';
import { refuseDifferences } from './corpus-facts.js';
import { type ClipNote, type CorpusCounts, type Utterance, writeManifest } from './manifest.js';

/** An utterance that is annotated, and the clip that it needs. */
export interface PlannedUtterance {
  utterance: Omit<Utterance, 'path' | 'durationSec'>;
  clip: ClipTask;
}

/** A corpus as read from its annotations, before any audio is touched. */
export interface CorpusPlan {
  name: string;
  /** In words, for the manifest. */
  source: string;
  /** The folder or file that the user named, for messages. */
  root: string;
  planned: PlannedUtterance[];
  /** Annotated utterances without a clip, as expected. */
  skipped: ClipNote[];
  /** Where the release differs from what is known of it. */
  differences: string[];
  /** Clips that may fail to decode without a complaint: id -> known fault. */
  knownBad: ReadonlyMap<string, string>;
}

export interface PreparationOptions extends PreparationControls {
  /** Folder of the prepared corpus: manifest.csv, manifest.json, audio/. */
  out: string;
  /** Go on although the release is not complete, and record every difference. */
  allowIncomplete?: boolean | undefined;
}

/** What was done, for the last lines that a user sees. */
export interface PreparationSummary {
  name: string;
  manifestPath: string;
  /** Utterances in the manifest. */
  kept: number;
  cut: ClipNote[];
  padded: ClipNote[];
  skipped: ClipNote[];
  differences: string[];
  counts: CorpusCounts;
  /** Length of all kept audio. */
  durationSec: number;
  /** Clips converted by this run; the others were there already. */
  converted: number;
  /** Wall-clock time of this run. */
  seconds: number;
  /** Nothing was converted or written: an earlier run had finished. */
  alreadyDone: boolean;
}

/**
 * Makes the clips of a plan and writes the manifest.
 * @throws InputError listing the differences, unless they are allowed: those of the annotations before any clip is
 *   made, those of the audio after (the clips stay, so allowing them then is quick).
 */
export async function prepareCorpus(
  plan: CorpusPlan,
  options: PreparationOptions,
): Promise<PreparationSummary> {
  const startedMs = performance.now();
  const out = resolve(options.out);
  await refuseOtherCorpus(out, plan.name);
  if (plan.differences.length > 0 && !options.allowIncomplete) refuseDifferences(plan.root, plan.differences);
  refuseSharedTargets(plan);

  const tasks = plan.planned.map(({ clip }) => clip);
  const { outcomes, converted } = await prepareClips(out, tasks, options);
  const utterances: Utterance[] = [];
  const cut: ClipNote[] = [];
  const padded: ClipNote[] = [];
  const skipped = [...plan.skipped];
  const damaged: string[] = [];
  for (const [index, { utterance, clip }] of plan.planned.entries()) {
    const outcome = outcomes[index]!;
    const { id } = utterance;
    if ('skipped' in outcome) {
      const fault = plan.knownBad.get(id);
      skipped.push({ id, reason: fault ? `${fault}, as known: ${outcome.skipped}` : outcome.skipped });
      if (!fault) damaged.push(`${id}: ${outcome.skipped}`);
      continue;
    }
    if (outcome.cut) cut.push({ id, reason: outcome.cut });
    if (outcome.padded) padded.push({ id, reason: outcome.padded });
    utterances.push({ ...utterance, path: join(out, clip.target), durationSec: outcome.durationSec });
  }
  if (damaged.length > 0 && !options.allowIncomplete) refuseDifferences(plan.root, damaged);
  if (utterances.length === 0) throw new InputError(`${plan.root}: not one clip can be used`);

  const differences = [...plan.differences, ...damaged];
  const notes = { cut, padded, skipped, differences };
  const { csvPath, info, written } = await writeManifest(out, { ...plan, utterances, notes });
  return {
    name: plan.name,
    manifestPath: csvPath,
    kept: utterances.length,
    ...notes,
    counts: info.counts,
    durationSec: info.durationSec,
    converted,
    seconds: (performance.now() - startedMs) / 1000,
    alreadyDone: converted === 0 && !written,
  };
}

/** One folder, one corpus: a second one would leave the first one's clips behind. */
async function refuseOtherCorpus(out: string, name: string): Promise<void> {
  const folder = await stat(out).catch(() => undefined);
  if (folder && !folder.isDirectory()) {
    throw new InputError(`${out} is a file; --out must be a folder, or a name for a new one`);
  }
  const path = join(out, 'manifest.json');
  if (!(await pathExists(path))) return;
  const other = (await readJson(path, 'manifest information')) as { name?: unknown } | null;
  if (typeof other?.name === 'string' && other.name !== name) {
    throw new InputError(`${out} already holds the corpus "${other.name}"; choose another folder with --out`);
  }
}

function refuseSharedTargets(plan: CorpusPlan): void {
  const seen = new Map<string, string>();
  for (const { clip } of plan.planned) {
    const key = clip.target.toLowerCase(); // some filesystems do not tell A from a
    const other = seen.get(key);
    if (other !== undefined) {
      throw new InputError(
        `${plan.root}: utterances "${other}" and "${clip.id}" would share the file ${clip.target}; give them ids that differ`,
      );
    }
    seen.set(key, clip.id);
  }
}
