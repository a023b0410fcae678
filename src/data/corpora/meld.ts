/** @file MELD from its raw release: three CSVs and three folders of video clips to a prepared corpus. */

import { readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { InputError, pathExists } from '../../base/index.js';
import type { CutRule } from './clips.js';
import { type CorpusFacts, corpusFactsPath, countDifferences, readCorpusFacts } from './corpus-facts.js';
import { type MeldAnnotation, readMeldAnnotations } from './meld-annotations.js';
import {
  type CorpusPlan,
  type PlannedUtterance,
  type PreparationOptions,
  type PreparationSummary,
  prepareCorpus,
} from './preparation.js';

export interface MeldOptions extends PreparationOptions {
  /** The folder MELD.Raw, unpacked. */
  root: string;
  /** Facts to check against; those that come with emoq by default. */
  factsPath?: string | undefined;
}

const CLIP_FOLDERS = {
  train: 'train_splits',
  dev: 'dev_splits_complete',
  test: 'output_repeated_splits_test',
} as const;
type MeldSplit = keyof typeof CLIP_FOLDERS;

/**
 * Prepares MELD: ids `train_dia0_utt0`, all seven emotions, the centre channel of 5.1 and the mix of stereo, clips
 * that run far past their annotation cut (`clip_rule` in the facts), text repaired.
 * @throws InputError when the tree is not MELD.Raw, an annotation cannot be read, or the counts differ from the
 *   facts and `allowIncomplete` is off. InterruptedError when `signal` fires.
 */
export async function prepareMeld(options: MeldOptions): Promise<PreparationSummary> {
  const facts = await readCorpusFacts(options.factsPath ?? corpusFactsPath('meld'));
  return prepareCorpus(await planMeld(resolve(options.root), facts), options);
}

async function planMeld(root: string, facts: CorpusFacts): Promise<CorpusPlan> {
  const knownBad = new Map(facts.known_bad.map(({ id, fault }) => [id, fault]));
  const plan: CorpusPlan = {
    name: 'meld',
    source: `${facts.title}, ${facts.source}`,
    root,
    planned: [],
    skipped: [],
    differences: [],
    knownBad,
  };
  const annotated: PlannedUtterance[] = [];
  for (const split of Object.keys(CLIP_FOLDERS) as MeldSplit[]) {
    const csvPath = await findIn(root, split, `${split}_sent_emo.csv`);
    if (!csvPath) {
      plan.differences.push(`${split}_sent_emo.csv is missing`);
      continue;
    }
    const { folder, names } = await listClips(root, split);
    if (!names) plan.differences.push(`folder ${CLIP_FOLDERS[split]} is missing`);
    const annotations = await readMeldAnnotations(csvPath, facts.labels);
    for (const annotation of annotations) {
      const name = `dia${annotation.dialogue}_utt${annotation.utterance}`;
      const planned = planUtterance(annotation, split, name, folder, facts);
      annotated.push(planned);
      const { id } = planned.utterance;
      if (names?.has(`${name}.mp4`)) plan.planned.push(planned);
      else {
        const fault = knownBad.get(id);
        plan.skipped.push({ id, reason: fault ? `${fault}, as known` : 'clip missing' });
        if (names && !fault) plan.differences.push(`${id} has no clip`);
      }
    }
  }
  if (annotated.length === 0) {
    throw new InputError(
      `${root} holds none of train_sent_emo.csv, dev_sent_emo.csv, test_sent_emo.csv: --root must be the unpacked folder MELD.Raw`,
    );
  }
  const rows = annotated.map(({ utterance }) => ({ ...utterance, path: '', durationSec: 0 }));
  plan.differences.unshift(...countDifferences(facts, rows));
  return plan;
}

function planUtterance(
  annotation: MeldAnnotation,
  split: MeldSplit,
  name: string,
  folder: string,
  facts: CorpusFacts,
): PlannedUtterance {
  const id = `${split}_${name}`;
  const { text, speaker, emotion, annotatedSec } = annotation;
  return {
    utterance: { id, text, label: emotion, speaker, gender: '', session: '', split },
    clip: {
      id,
      source: join(folder, `${name}.mp4`),
      target: `audio/${split}/${id}.wav`,
      cut: cutRule(id, annotatedSec, facts),
    },
  };
}

/** The part to keep of a clip that runs far past its annotation; see `clip_rule` and `wrong_annotations`. */
export function cutRule(id: string, annotatedSec: number, facts: CorpusFacts): CutRule | undefined {
  const rule = facts.clip_rule;
  if (!rule) return undefined;
  const farPast = (lengthSec: number): number =>
    Math.min(rule.longest_sec, rule.factor * lengthSec + rule.slack_sec);
  const wrong = facts.wrong_annotations?.find((entry) => entry.id === id);
  if (wrong && Math.abs(wrong.annotated_sec - annotatedSec) < 0.01) {
    const keepSec = wrong.first_sec ?? wrong.last_sec ?? rule.longest_sec;
    const keep = wrong.last_sec === undefined ? 'first' : 'last';
    return { longerThanSec: farPast(keepSec), keep, keepSec };
  }
  const keepSec =
    annotatedSec < rule.shortest_annotation_sec ? rule.longest_sec : Math.min(annotatedSec, rule.longest_sec);
  return { longerThanSec: farPast(keepSec), keep: 'first', keepSec };
}

/** Names in a split's clip folder. Extras (`final_videos_testdia*`, `._*`) are in the set but never asked for. */
async function listClips(
  root: string,
  split: MeldSplit,
): Promise<{ folder: string; names: Set<string> | undefined }> {
  const folder = await findIn(root, split, CLIP_FOLDERS[split]);
  if (folder) return { folder, names: new Set(await readdir(folder)) };
  const archive = await findIn(root, split, `${split}.tar.gz`);
  if (archive) {
    throw new InputError(`${archive} is still packed: unpack it with tar -xzf ${split}.tar.gz in ${root}`);
  }
  return { folder: join(root, CLIP_FOLDERS[split]), names: undefined };
}

/** The release's archives unpack beside each other or, by some tools, each into a folder of its own. */
async function findIn(root: string, split: MeldSplit, name: string): Promise<string | undefined> {
  for (const path of [join(root, name), join(root, split, name)]) if (await pathExists(path)) return path;
  return undefined;
}
