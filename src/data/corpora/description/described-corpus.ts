/** @file Prepares any corpus whose release is described by data: `data-manifests/*.yaml`, or a file of the user. */

import { resolve } from 'node:path';
import { InputError, mapConcurrently } from '../../../base/index.js';
import { type CorpusMetadata, countDifferences, readCorpusMetadata } from '../corpus-metadata.js';
import { readSplitNames } from '../manifest.js';
import {
  type CorpusPlan,
  clipFileName,
  type PlannedUtterance,
  type PreparationSummary,
  prepareCorpus,
  type ReleaseOptions,
  releasePlan,
} from '../preparation.js';
import { findClipFiles } from './clip-files.js';
import { findTableClips } from './clip-table.js';
import type { DescribedClip } from './described-clip.js';
import { type ValueReader, valueReader } from './value-reader.js';

export interface DescribedOptions extends ReleaseOptions {
  /** The description. */
  metadataPath: string;
}

/** Columns that a description may fill, besides the id. */
const COLUMNS = ['label', 'text', 'speaker', 'gender', 'session', 'split'] as const;
type Column = (typeof COLUMNS)[number];

/**
 * Prepares a corpus as its description says.
 * @throws InputError when the description is invalid, the folder is not the release, a table or transcript cannot be
 *   read, or the release differs from the description (counts, names, missing clips) and `allowIncomplete` is off.
 *   InterruptedError when `signal` is aborted.
 */
export async function prepareDescribed(options: DescribedOptions): Promise<PreparationSummary> {
  const metadata = await readCorpusMetadata(options.metadataPath);
  if (metadata.utterance === undefined) {
    throw new InputError(
      `${options.metadataPath}, key utterance: is missing: it says where labels come from`,
    );
  }
  return prepareCorpus(await planDescribed(resolve(options.root), metadata, resolve(options.out)), options);
}

async function planDescribed(root: string, metadata: CorpusMetadata, out: string): Promise<CorpusPlan> {
  const plan = releasePlan(metadata.corpus, root, metadata);
  const what = metadata.root?.what ?? 'the folder that the description is of';
  const find = metadata.clips ? findClipFiles : findTableClips;
  const found = await find(root, what, metadata, plan.knownBad.keys(), out);
  plan.differences.push(...found.differences);
  const readers = COLUMNS.map((column) => {
    const spec = metadata.utterance![column];
    return spec && ([column, valueReader(column, spec)] as const);
  }).filter((reader) => reader !== undefined);
  const annotated = await mapConcurrently(found.clips, 32, (clip) => planUtterance(clip, readers));
  readSplits(plan, annotated);
  for (const [index, each] of annotated.entries()) {
    const { id, label } = each.utterance;
    const known = plan.knownBad.get(id);
    const { fault } = found.clips[index]!;
    if (known !== undefined) plan.skipped.push({ id, reason: `${known}, as known` });
    else if (fault !== undefined) plan.skipped.push({ id, reason: fault });
    else if (label === '') {
      plan.skipped.push({ id, reason: 'no label' });
      plan.differences.push(`${id} has no label`);
    } else plan.planned.push(each);
  }
  const missing = readers.map(([, reader]) => ({ optional: reader.optional, lines: reader.missing() }));
  plan.differences.push(...missing.flatMap(({ optional, lines }) => (optional ? [] : lines)));
  plan.remarks = [...found.remarks, ...missing.flatMap(({ optional, lines }) => (optional ? lines : []))];
  const rows = annotated.map(({ utterance }) => ({ ...utterance, path: '', durationSec: 0 }));
  plan.differences.push(...countDifferences(metadata, rows)); // after their causes
  return plan;
}

async function planUtterance(
  clip: DescribedClip,
  readers: readonly (readonly [Column, ValueReader])[],
): Promise<PlannedUtterance> {
  const { id, source, segment, absent } = clip;
  const utterance = { id, text: '', label: '', speaker: '', gender: '', session: '', split: '' };
  for (const [column, reader] of readers) utterance[column] = await reader.read(clip);
  const folder = utterance.speaker === '' ? '' : `${clipFileName(utterance.speaker)}/`;
  return {
    utterance,
    clip: { id, source, target: `audio/${folder}${clipFileName(id)}.wav`, segment },
    absent,
  };
}

/** Reads split names as everywhere else. A corpus in which only some clips have one cannot be divided. */
function readSplits(plan: CorpusPlan, annotated: readonly PlannedUtterance[]): void {
  const splits = readSplitNames(annotated.map(({ utterance }) => utterance.split));
  const without = annotated.filter(({ utterance }) => {
    const split = splits.of(utterance.split);
    if (split === undefined) {
      throw new InputError(
        `${plan.root}: split "${utterance.split}" of ${utterance.id} is not train, dev or test`,
      );
    }
    utterance.split = split;
    return split === '';
  });
  if (without.length === 0 || without.length === annotated.length) return;
  plan.differences.push(
    `${without.length.toLocaleString('en')} clips are in no split while others are (one is ${without[0]!.utterance.id})`,
  );
}
