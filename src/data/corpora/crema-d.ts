/** @file CREMA-D from its raw release to a prepared corpus: clips whose names say actor, sentence and emotion. */

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
  type PreparationOptions,
  type PreparationSummary,
  prepareCorpus,
} from './preparation.js';

export interface CremaDOptions extends PreparationOptions {
  /** The folder CREMA-D, as cloned, with what Git LFS keeps. */
  root: string;
  /** Metadata to check against; those that come with emoq by default. */
  metadataPath?: string | undefined;
}

const CLIPS = 'AudioWAV';
const DEMOGRAPHICS = 'VideoDemographics.csv';

/** What is said in the clips of each code. Source: README.md of the release, "Filename labeling conventions". */
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

/** Source: the names in AudioWAV and the rows of VideoDemographics.csv, which agree. */
const [FIRST_ACTOR, LAST_ACTOR] = [1001, 1091];

/**
 * Prepares CREMA-D: ids are the clips' names, speakers its actors, the label the emotion that was to be acted (not what
 * raters perceived), the text the sentence of the name's code. There are no splits or sessions; levels are in the ids.
 * @throws InputError when the tree is not CREMA-D, the demographics cannot be read, or the release differs from the
 *   metadata (counts, files that are no clips, clips that Git LFS has not fetched, actors without a gender) and
 *   `allowIncomplete` is off. InterruptedError when `signal` fires.
 */
export async function prepareCremaD(options: CremaDOptions): Promise<PreparationSummary> {
  const metadata = await readCorpusMetadata(options.metadataPath ?? corpusMetadataPath('crema-d'));
  return prepareCorpus(await planCremaD(resolve(options.root), metadata), options);
}

async function planCremaD(root: string, metadata: CorpusMetadata): Promise<CorpusPlan> {
  const knownBad = new Map(metadata.known_bad.map(({ id, fault }) => [id, fault]));
  const plan: CorpusPlan = {
    name: 'crema-d',
    source: `${metadata.title}, ${metadata.source}`,
    root,
    planned: [],
    skipped: [],
    differences: [],
    knownBad,
  };
  const folder = join(root, CLIPS);
  const files = await listFiles(root);
  const clips: CremaDClip[] = [];
  // Whoever has deleted a bad clip has a whole release all the same.
  for (const file of new Set([...files, ...[...knownBad.keys()].map((id) => `${id}.wav`)])) {
    const clip = parseCremaDName(file, metadata.codes ?? {});
    if (typeof clip === 'string') plan.differences.push(`${CLIPS}/${clip}`);
    else clips.push(clip);
  }
  if (clips.every(({ id }) => knownBad.has(id))) {
    throw new InputError(
      `${folder} holds no clip with a name like ${EXAMPLE}: is it the folder of the release?`,
    );
  }
  clips.sort((a, b) => (a.id < b.id ? -1 : 1));
  const genderOf = await readGenders(root, clips, plan);
  const pointers = await findPointers(folder, files);
  if (pointers.size > 0) {
    plan.differences.push(
      `${pointers.size} of ${files.length} files in ${CLIPS} are pointers of Git LFS, not audio (one is ${[...pointers][0]}): run git lfs pull in the clone`,
    );
  }
  const annotated = clips.map((clip) => planUtterance(clip, folder, genderOf.get(clip.actor) ?? ''));
  for (const each of annotated) {
    const { id } = each.utterance;
    const fault = knownBad.get(id);
    if (fault !== undefined) plan.skipped.push({ id, reason: `${fault}, as known` });
    else if (pointers.has(`${id}.wav`)) plan.skipped.push({ id, reason: 'a pointer of Git LFS, not audio' });
    else plan.planned.push(each);
  }
  const rows = annotated.map(({ utterance }) => ({ ...utterance, path: '', durationSec: 0 }));
  plan.differences.push(...countDifferences(metadata, rows)); // after what they come of
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

/** Names in AudioWAV, in order; those of hidden files (`.DS_Store`, `._*`) are not among them. */
async function listFiles(root: string): Promise<string[]> {
  const names = await readdir(join(root, CLIPS)).catch(() => undefined);
  if (names === undefined) {
    throw new InputError(
      `${root} has no folder ${CLIPS}: --root must be the folder CREMA-D, a clone of the release`,
    );
  }
  return names.filter((name) => !name.startsWith('.')).sort();
}

/** What the name of a clip says. */
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
 * Takes the name of a clip apart.
 * @param codes emotion codes that the corpus knows -> labels.
 * @returns in place of a clip one line that says what is wrong with the name and what to do.
 */
export function parseCremaDName(file: string, codes: Readonly<Record<string, string>>): CremaDClip | string {
  const parts = /^(\d+)_([A-Z]+)_([A-Z]+)_([A-Z]+)\.wav$/.exec(file);
  if (!parts) return `${file} is no clip, whose name is like ${EXAMPLE}; take it out of the folder`;
  const [, actor, sentence, code, level] = parts as unknown as [string, string, string, string, string];
  const refuse = (what: string): string => `${file}: ${what}; give it the name that it has in the release`;
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
 * Actor -> F or M, from VideoDemographics.csv; actors that it lacks are a difference of the plan.
 * @throws InputError with file and line: a column is missing, another sex than Female or Male, an actor twice.
 */
async function readGenders(
  root: string,
  clips: readonly CremaDClip[],
  plan: CorpusPlan,
): Promise<Map<string, string>> {
  const path = join(root, DEMOGRAPHICS);
  const genderOf = new Map<string, string>();
  if (!(await pathExists(path))) {
    plan.differences.push(`${DEMOGRAPHICS} is missing, which gives the genders; get it from the release`);
    return genderOf;
  }
  for (const { line, fields } of (await readCsvTable(path, USE)).rows) {
    const actor = fields.ActorID!.trim();
    const gender = GENDERS.get(fields.Sex!.trim());
    if (gender === undefined)
      throw lineError(path, line, `column Sex: "${fields.Sex}" is not Female or Male`);
    if (genderOf.has(actor)) throw lineError(path, line, `actor ${actor} has a line already`);
    genderOf.set(actor, gender);
  }
  const unknown = [...new Set(clips.map(({ actor }) => actor))].filter((actor) => !genderOf.has(actor));
  if (unknown.length > 0) {
    plan.differences.push(
      `${DEMOGRAPHICS} has no line for actor ${unknown.join(', ')}, whose gender is not known then; get it from the release`,
    );
  }
  return genderOf;
}

/** A pointer has about 130 bytes; no clip is as small as this. */
const POINTER_BYTES = 1024;

/** Files that hold what a clone without Git LFS has in place of audio. */
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
