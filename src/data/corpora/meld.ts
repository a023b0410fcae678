/** @file MELD from its raw release: three CSVs and three folders or archives of video clips to a prepared corpus. */

import { readdir, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { InputError, pathExists } from '../../base/index.js';
import type { ClipTask, CutRule } from './clips/index.js';
import {
  type CorpusMetadata,
  corpusMetadataPath,
  countDifferences,
  readCorpusMetadata,
} from './corpus-metadata.js';
import { type MeldAnnotation, readMeldAnnotations, unpackAnnotations } from './meld-release.js';
import {
  type CorpusPlan,
  type PlannedUtterance,
  type PreparationOptions,
  type PreparationSummary,
  prepareCorpus,
} from './preparation.js';

export interface MeldOptions extends PreparationOptions {
  /** The folder MELD.Raw, with the splits' clips unpacked or as train.tar.gz, dev.tar.gz and test.tar.gz. */
  root: string;
  /** Prefer the test split's `final_videos_*` clips to the plain ones where there are both. */
  finalVideos?: boolean | undefined;
  /** Metadata to check against; those that come with emoq by default. */
  metadataPath?: string | undefined;
}

const CLIP_FOLDERS = {
  train: 'train_splits',
  dev: 'dev_splits_complete',
  test: 'output_repeated_splits_test',
} as const;
type MeldSplit = keyof typeof CLIP_FOLDERS;

/** Where the clips of a split are. */
type ClipPlace =
  | { kind: 'folder' | 'missing'; folder: string; names: ReadonlySet<string> }
  | { kind: 'archive'; archive: string };

/**
 * Prepares MELD: ids `train_dia0_utt0`, all seven emotions, the centre channel of 5.1 and the mix of stereo, clips
 * that run far past their annotation cut (`clip_rule` in the metadata), text repaired. A split may be a folder or an
 * archive; where it is both, the folder is taken.
 * @throws InputError when the tree is not MELD.Raw, an annotation cannot be read, or the counts differ from the
 *   metadata and `allowIncomplete` is off. InterruptedError when `signal` fires.
 */
export async function prepareMeld(options: MeldOptions): Promise<PreparationSummary> {
  const metadata = await readCorpusMetadata(options.metadataPath ?? corpusMetadataPath('meld'));
  return prepareCorpus(await planMeld(resolve(options.root), metadata, options), options);
}

async function planMeld(root: string, metadata: CorpusMetadata, options: MeldOptions): Promise<CorpusPlan> {
  await refuseArchive(root);
  const episodes: Record<string, string> = {};
  const plan: CorpusPlan = {
    name: 'meld',
    source: `${metadata.title}, ${metadata.source}`,
    root,
    planned: [],
    skipped: [],
    differences: [],
    knownBad: new Map(metadata.known_bad.map(({ id, fault }) => [id, fault])),
    rules: rulesOf(metadata, options),
  };
  for (const split of Object.keys(CLIP_FOLDERS) as MeldSplit[]) {
    const csvPath = await findAnnotations(root, split, options);
    if (!csvPath) {
      plan.differences.push(`${split}_sent_emo.csv is missing`);
      continue;
    }
    const place = await findClips(root, split);
    if (place.kind === 'missing') plan.differences.push(`folder ${CLIP_FOLDERS[split]} is missing`);
    for (const annotation of await readMeldAnnotations(csvPath, metadata.labels)) {
      plan.planned.push(planUtterance(annotation, split, place, metadata, options));
      if (annotation.episode !== '') episodes[`${split}_dia${annotation.dialogue}`] ??= annotation.episode;
    }
  }
  if (plan.planned.length === 0) {
    throw new InputError(
      `${root} holds none of train_sent_emo.csv, dev_sent_emo.csv, test_sent_emo.csv: --root must be the unpacked folder MELD.Raw`,
    );
  }
  const rows = plan.planned.map(({ utterance }) => ({ ...utterance, path: '', durationSec: 0 }));
  plan.differences.unshift(...countDifferences(metadata, rows));
  if (Object.keys(episodes).length > 0) plan.episodes = episodes;
  return plan;
}

function rulesOf({ clip_rule: rule }: CorpusMetadata, { finalVideos }: MeldOptions): string[] {
  const cut = rule
    ? [
        `a clip over ${rule.factor} times its annotation and ${rule.slack_sec} s more is cut to it, and none is longer than ${rule.longest_sec} s`,
      ]
    : [];
  const finals = finalVideos ? 'preferred to the plain ones' : 'ignored';
  return [...cut, `the final_videos_* clips of the test split are ${finals}`];
}

function planUtterance(
  annotation: MeldAnnotation,
  split: MeldSplit,
  place: ClipPlace,
  metadata: CorpusMetadata,
  { finalVideos }: MeldOptions,
): PlannedUtterance {
  const { text, speaker, emotion, annotatedSec, dialogue, utterance } = annotation;
  const name = `dia${dialogue}_utt${utterance}`;
  const id = `${split}_${name}`;
  const names = [`${name}.mp4`];
  if (finalVideos && split === 'test') names.unshift(`final_videos_test${name}.mp4`);
  const { source, absent } = findClip(place, names);
  return {
    utterance: { id, text, label: emotion, speaker, gender: '', session: '', split },
    clip: { id, source, target: `audio/${split}/${id}.wav`, cut: cutRule(id, annotatedSec, metadata) },
    absent,
  };
}

/** Extras in a folder (`final_videos_testdia*`, `._*`) are among its names but, unless wanted, never asked for. */
function findClip(
  place: ClipPlace,
  names: readonly string[],
): { source: ClipTask['source']; absent?: PlannedUtterance['absent'] } {
  if (place.kind === 'archive') return { source: { archive: place.archive, names } };
  const name = names.find((each) => place.names.has(each));
  const source = join(place.folder, name ?? names.at(-1)!);
  return name === undefined ? { source, absent: place.kind === 'folder' ? 'clip' : 'split' } : { source };
}

/** The part to keep of a clip that runs far past its annotation; see `clip_rule` and `wrong_annotations`. */
export function cutRule(id: string, annotatedSec: number, metadata: CorpusMetadata): CutRule | undefined {
  const rule = metadata.clip_rule;
  if (!rule) return undefined;
  const farPast = (lengthSec: number): number =>
    Math.min(rule.longest_sec, rule.factor * lengthSec + rule.slack_sec);
  const wrong = metadata.wrong_annotations?.find((entry) => entry.id === id);
  if (wrong && Math.abs(wrong.annotated_sec - annotatedSec) < 0.01) {
    const keepSec = wrong.first_sec ?? wrong.last_sec ?? rule.longest_sec;
    const keep = wrong.last_sec === undefined ? 'first' : 'last';
    return { longerThanSec: farPast(keepSec), keep, keepSec };
  }
  const keepSec =
    annotatedSec < rule.shortest_annotation_sec ? rule.longest_sec : Math.min(annotatedSec, rule.longest_sec);
  return { longerThanSec: farPast(keepSec), keep: 'first', keepSec };
}

async function findClips(root: string, split: MeldSplit): Promise<ClipPlace> {
  const folder = await findIn(root, split, CLIP_FOLDERS[split]);
  if (folder) return { kind: 'folder', folder, names: new Set(await readdir(folder)) };
  const archive = await findIn(root, split, `${split}.tar.gz`);
  return archive
    ? { kind: 'archive', archive }
    : { kind: 'missing', folder: join(root, CLIP_FOLDERS[split]), names: new Set() };
}

/** A split's CSV beside its clips, or in its archive: there the release's own train CSV is. */
async function findAnnotations(
  root: string,
  split: MeldSplit,
  { out, signal }: MeldOptions,
): Promise<string | undefined> {
  const name = `${split}_sent_emo.csv`;
  const csvPath = await findIn(root, split, name);
  if (csvPath) return csvPath;
  const archive = await findIn(root, split, `${split}.tar.gz`);
  return archive && unpackAnnotations(archive, name, resolve(out), signal);
}

async function refuseArchive(root: string): Promise<void> {
  const found = await stat(root).catch(() => undefined);
  if (found?.isFile()) {
    throw new InputError(
      `${root} is a file: --root must be the folder that it unpacks to (tar -xzf MELD.Raw.tar.gz; the archives in it may stay packed)`,
    );
  }
}

/** The release's archives unpack beside each other or, by some tools, each into a folder of its own. */
async function findIn(root: string, split: MeldSplit, name: string): Promise<string | undefined> {
  for (const path of [join(root, name), join(root, split, name)]) if (await pathExists(path)) return path;
  return undefined;
}
