/** @file Prepares CREMA-D from its raw release, whose file names give actor, sentence, emotion and level. */

import { readdir, readFile, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { InputError, lineError, mapConcurrently, pathExists } from '../../base/index.js';
import { readCsvTable } from '../tables/index.js';
import {
  type CorpusMetadata,
  corpusMetadataPath,
  countDifferences,
  readCorpusMetadata,
} from './corpus-metadata.js';
import {
  type CorpusPlan,
  type PlannedUtterance,
  type PreparationSummary,
  prepareCorpus,
  type ReleaseOptions,
  releasePlan,
} from './preparation.js';

export interface CremaDOptions extends ReleaseOptions {
  /** The folder CREMA-D, a clone with its Git LFS files. */
  root: string;
}

const CLIPS = 'AudioWAV';
const DEMOGRAPHICS = 'VideoDemographics.csv';

/** The sentence of each code. Source: README.md of the release, "Filename labeling conventions". */
const SENTENCES: Readonly<Record<string, string>> = {
  IEO: "It's eleven o'clock",
  TIE: 'That is exactly what happened',
  IOM: "I'm on my way to the meeting",
  IWW: 'I wonder what this is about',
  TAI: 'The airplane is almost full',
  MTI: 'Maybe tomorrow it will be cold',
  IWL: 'I would like a new alarm clock',
  ITH: "I think I have a doctor's appointment",
  DFA: "Don't forget a jacket",
  ITS: "I think I've seen this before",
  TSI: 'The surface is slick',
  WSI: "We'll stop in a couple of minutes",
};

/** Low, medium, high, unspecified. Source: as above. */
const LEVELS: readonly string[] = ['LO', 'MD', 'HI', 'XX'];

/** Source: file names in AudioWAV and rows of VideoDemographics.csv, which agree. */
const [FIRST_ACTOR, LAST_ACTOR] = [1001, 1091];

/**
 * Prepares CREMA-D: ids are file names, speakers are actors, the label is the intended emotion (not the perceived one),
 * and the text is the sentence of the code. There are no splits or sessions; levels are part of the ids.
 * @throws InputError when the tree is not CREMA-D, the demographics cannot be read, or the release differs from the
 *   metadata (counts, files that are not clips, clips that Git LFS has not fetched, actors without a gender) and
 *   `allowIncomplete` is off. InterruptedError when `signal` is aborted.
 */
export async function prepareCremaD(options: CremaDOptions): Promise<PreparationSummary> {
  const metadata = await readCorpusMetadata(options.metadataPath ?? corpusMetadataPath('crema-d'));
  return prepareCorpus(await planCremaD(resolve(options.root), metadata), options);
}

async function planCremaD(root: string, metadata: CorpusMetadata): Promise<CorpusPlan> {
  const plan = releasePlan('crema-d', root, metadata);
  const { knownBad } = plan;
  const folder = join(root, CLIPS);
  const files = await listFiles(root);
  const clips: CremaDClip[] = [];
  // A release without its known bad clips is complete.
  for (const file of new Set([...files, ...[...knownBad.keys()].map((id) => `${id}.wav`)])) {
    const clip = parseCremaDName(file, metadata.codes ?? {});
    if (typeof clip === 'string') plan.differences.push(`${CLIPS}/${clip}`);
    else clips.push(clip);
  }
  if (clips.every(({ id }) => knownBad.has(id))) {
    throw new InputError(
      `${folder} has no clip with a name like ${EXAMPLE}: is it the folder of the release?`,
    );
  }
  clips.sort((a, b) => (a.id < b.id ? -1 : 1));
  const genderOf = await readGenders(root, clips, plan);
  const pointers = await findPointers(folder, files);
  if (pointers.size > 0) {
    plan.differences.push(
      `${pointers.size} of ${files.length} files in ${CLIPS} are Git LFS pointers, not audio (one is ${[...pointers][0]}): run git lfs pull in the clone`,
    );
  }
  const annotated = clips.map((clip) => planUtterance(clip, folder, genderOf.get(clip.actor) ?? ''));
  for (const each of annotated) {
    const { id } = each.utterance;
    const fault = knownBad.get(id);
    if (fault !== undefined) plan.skipped.push({ id, reason: `${fault}, as known` });
    else if (pointers.has(`${id}.wav`)) plan.skipped.push({ id, reason: 'a Git LFS pointer, not audio' });
    else plan.planned.push(each);
  }
  const rows = annotated.map(({ utterance }) => ({ ...utterance, path: '', durationSec: 0 }));
  plan.differences.push(...countDifferences(metadata, rows)); // after their causes
  return plan;
}

function planUtterance(
  { id, actor, text, label }: CremaDClip,
  folder: string,
  gender: string,
): PlannedUtterance {
  return {
    utterance: { id, text, label, speaker: actor, gender, session: '', split: '' },
    clip: { id, source: join(folder, `${id}.wav`), target: `audio/${actor}/${id}.wav` },
  };
}

/** File names in AudioWAV, sorted, without hidden files (`.DS_Store`, `._*`). */
async function listFiles(root: string): Promise<string[]> {
  const names = await readdir(join(root, CLIPS)).catch(() => undefined);
  if (names === undefined) {
    throw new InputError(
      `${root} has no folder ${CLIPS}: --root must be the folder CREMA-D, a clone of the release`,
    );
  }
  return names.filter((name) => !name.startsWith('.')).sort();
}

/** The parts of a clip's file name. */
export interface CremaDClip {
  /** `1001_DFA_ANG_XX` */
  id: string;
  /** `1001` */
  actor: string;
  text: string;
  label: string;
}

const EXAMPLE = '1001_DFA_ANG_XX.wav';

/**
 * Parses a clip's file name.
 * @param codes emotion code -> label
 * @returns the clip, or one line that says what is wrong with the name and what to do
 */
export function parseCremaDName(file: string, codes: Readonly<Record<string, string>>): CremaDClip | string {
  const parts = /^(\d+)_([A-Z]+)_([A-Z]+)_([A-Z]+)\.wav$/.exec(file);
  if (!parts) return `${file} is not named like a clip (${EXAMPLE}); remove it from the folder`;
  const [, actor, sentence, code, level] = parts as unknown as [string, string, string, string, string];
  const refuse = (what: string): string => `${file}: ${what}; restore its name in the release`;
  const isActor = /^\d{4}$/.test(actor) && Number(actor) >= FIRST_ACTOR && Number(actor) <= LAST_ACTOR;
  if (!isActor) return refuse(`actor ${actor} is not one of ${FIRST_ACTOR} to ${LAST_ACTOR}`);
  for (const [what, value, known] of [
    ['sentence', sentence, Object.keys(SENTENCES)],
    ['emotion', code, Object.keys(codes)],
    ['level', level, LEVELS],
  ] as const) {
    if (!known.includes(value)) return refuse(`${what} ${value} is not one of ${known.join(', ')}`);
  }
  return { id: file.slice(0, -'.wav'.length), actor, text: SENTENCES[sentence]!, label: codes[code]! };
}

const USE = { what: 'CSV file', columns: ['ActorID', 'Sex'] };
const GENDERS = new Map([
  ['Female', 'F'],
  ['Male', 'M'],
]);

/**
 * Actor -> F or M, from VideoDemographics.csv. Actors without a line are reported as a difference.
 * @throws InputError with file and line: a missing column, a sex other than Female or Male, a repeated actor
 */
async function readGenders(
  root: string,
  clips: readonly CremaDClip[],
  plan: CorpusPlan,
): Promise<Map<string, string>> {
  const path = join(root, DEMOGRAPHICS);
  const genderOf = new Map<string, string>();
  if (!(await pathExists(path))) {
    plan.differences.push(`${DEMOGRAPHICS} is missing, so genders are unknown; get it from the release`);
    return genderOf;
  }
  for (const { line, fields } of (await readCsvTable(path, USE)).rows) {
    const actor = fields.ActorID!.trim();
    const gender = GENDERS.get(fields.Sex!.trim());
    if (gender === undefined)
      throw lineError(path, line, `column Sex: "${fields.Sex}" is not Female or Male`);
    if (genderOf.has(actor)) throw lineError(path, line, `actor ${actor} already has a line`);
    genderOf.set(actor, gender);
  }
  const unknown = [...new Set(clips.map(({ actor }) => actor))].filter((actor) => !genderOf.has(actor));
  if (unknown.length > 0) {
    plan.differences.push(
      `${DEMOGRAPHICS} has no line for actor ${unknown.join(', ')}, so the gender is unknown; get it from the release`,
    );
  }
  return genderOf;
}

/** A pointer has about 130 bytes; every clip is larger than this. */
const POINTER_BYTES = 1024;

/** Files that are Git LFS pointers, as in a clone without Git LFS. */
async function findPointers(folder: string, files: readonly string[]): Promise<Set<string>> {
  const found = await mapConcurrently(files, 32, async (file) => {
    const path = join(folder, file);
    const entry = await stat(path).catch(() => undefined);
    if (!entry?.isFile() || entry.size > POINTER_BYTES) return [];
    const text = await readFile(path, 'latin1').catch(() => '');
    return text.startsWith('version https://git-lfs.github.com/') ? [file] : [];
  });
  return new Set(found.flat());
}
