/**
 * @file Prepares MELD from its raw release: annotation CSVs (possibly inside an archive), which are checked and
 * repaired, and three folders or archives of video clips.
 */

import { readdir, readFile, rm, stat, utimes } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import {
  InputError,
  lineError,
  makeOutputFolder,
  pathExists,
  temporaryName,
  writeFileAtomic,
} from '../../base/index.js';
import { parseCsvTable, readTableBytes } from '../tables/index.js';
import { type ClipTask, type CutRule, readArchive } from './clips/index.js';
import {
  type CorpusMetadata,
  corpusMetadataPath,
  countDifferences,
  readCorpusMetadata,
} from './corpus-metadata.js';
import { repairText } from './passages.js';
import {
  type CorpusPlan,
  type PlannedUtterance,
  type PreparationSummary,
  prepareCorpus,
  type ReleaseOptions,
  releasePlan,
} from './preparation.js';

export interface MeldOptions extends ReleaseOptions {
  /** The folder MELD.Raw, with the clips of each split unpacked or as train.tar.gz, dev.tar.gz and test.tar.gz. */
  root: string;
  /** Prefer the test split's `final_videos_*` clips over the plain ones if both exist. */
  finalVideos?: boolean | undefined;
}

const CLIP_FOLDERS = {
  train: 'train_splits',
  dev: 'dev_splits_complete',
  test: 'output_repeated_splits_test',
} as const;
type MeldSplit = keyof typeof CLIP_FOLDERS;

/** Location of the clips of a split. */
type ClipLocation =
  | { kind: 'folder' | 'missing'; folder: string; names: ReadonlySet<string> }
  | { kind: 'archive'; archive: string };

/**
 * Prepares MELD: ids `train_dia0_utt0`, dialogues with their turns, all seven emotions, the centre channel of 5.1 and
 * the mix of stereo, repaired text, and clips cut to their annotation if they run far past it (`clip_rule` in the
 * metadata). A split may be a folder or an archive; if both exist, the folder is used.
 * @throws InputError when the tree is not MELD.Raw, an annotation cannot be read, or the counts differ from the
 *   metadata and `allowIncomplete` is off. InterruptedError when `signal` is aborted.
 */
export async function prepareMeld(options: MeldOptions): Promise<PreparationSummary> {
  const metadata = await readCorpusMetadata(options.metadataPath ?? corpusMetadataPath('meld'));
  return prepareCorpus(await planMeld(resolve(options.root), metadata, options), options);
}

async function planMeld(root: string, metadata: CorpusMetadata, options: MeldOptions): Promise<CorpusPlan> {
  await refuseArchive(root);
  const episodes: Record<string, string> = {};
  const plan: CorpusPlan = {
    ...releasePlan('meld', root, metadata),
    rules: rulesOf(metadata, options),
  };
  for (const split of Object.keys(CLIP_FOLDERS) as MeldSplit[]) {
    const csvPath = await findAnnotations(root, split, options);
    if (!csvPath) {
      plan.differences.push(`${split}_sent_emo.csv is missing`);
      continue;
    }
    const location = await findClips(root, split);
    if (location.kind === 'missing') plan.differences.push(`folder ${CLIP_FOLDERS[split]} is missing`);
    for (const annotation of await readMeldAnnotations(csvPath, metadata.labels)) {
      plan.planned.push(planUtterance(annotation, split, location, metadata, options));
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
  location: ClipLocation,
  metadata: CorpusMetadata,
  { finalVideos }: MeldOptions,
): PlannedUtterance {
  const { text, speaker, emotion, annotatedSec, dialogue, utterance } = annotation;
  const name = `dia${dialogue}_utt${utterance}`;
  const id = `${split}_${name}`;
  const names = [`${name}.mp4`];
  if (finalVideos && split === 'test') names.unshift(`final_videos_test${name}.mp4`);
  const { source, absent } = findClip(location, names);
  return {
    utterance: {
      ...{ id, text, label: emotion, speaker, gender: '', session: '', split },
      ...{ dialogue: `${split}_dia${dialogue}`, turn: utterance },
    },
    clip: { id, source, target: `audio/${split}/${id}.wav`, cut: cutRule(id, annotatedSec, metadata) },
    absent,
  };
}

/** A folder may also contain extras (`final_videos_testdia*`, `._*`), which are ignored unless wanted. */
function findClip(
  location: ClipLocation,
  names: readonly string[],
): { source: ClipTask['source']; absent?: PlannedUtterance['absent'] } {
  if (location.kind === 'archive') return { source: { archive: location.archive, names } };
  const name = names.find((each) => location.names.has(each));
  const source = join(location.folder, name ?? names.at(-1)!);
  return name === undefined ? { source, absent: location.kind === 'folder' ? 'clip' : 'split' } : { source };
}

/** Which part of a clip to keep if it runs far past its annotation; see `clip_rule` and `wrong_annotations`. */
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

async function findClips(root: string, split: MeldSplit): Promise<ClipLocation> {
  const folder = await findIn(root, split, CLIP_FOLDERS[split]);
  if (folder) return { kind: 'folder', folder, names: new Set(await readdir(folder)) };
  const archive = await findIn(root, split, `${split}.tar.gz`);
  return archive
    ? { kind: 'archive', archive }
    : { kind: 'missing', folder: join(root, CLIP_FOLDERS[split]), names: new Set() };
}

/** A split's CSV next to its clips or in its archive, where the release has the train CSV. */
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

/** The release's archives unpack next to each other or, with some tools, each into a folder of its own. */
async function findIn(root: string, split: MeldSplit, name: string): Promise<string | undefined> {
  for (const path of [join(root, name), join(root, split, name)]) if (await pathExists(path)) return path;
  return undefined;
}

/** One annotated utterance of MELD. */
export interface MeldAnnotation {
  line: number;
  dialogue: number;
  utterance: number;
  text: string;
  speaker: string;
  emotion: string;
  /** StartTime to EndTime; 0 if they are equal or swapped. */
  annotatedSec: number;
  /** `s08e21`; '' if the CSV does not give it. */
  episode: string;
}

const COLUMNS = [
  'Utterance',
  'Speaker',
  'Emotion',
  'Dialogue_ID',
  'Utterance_ID',
  'StartTime',
  'EndTime',
] as const;

const USE = { what: 'CSV file', columns: COLUMNS };

/**
 * Reads one `*_sent_emo.csv`.
 * @param labels the emotions of the corpus
 * @throws InputError with file, line and column: a missing column, an unknown emotion, an id that is not a number or
 *   is duplicated, a time that is not HH:MM:SS,mmm
 */
export async function readMeldAnnotations(
  path: string,
  labels: readonly string[],
): Promise<MeldAnnotation[]> {
  const { rows } = parseCsvTable(path, repairText(await readTableBytes(path, USE)), COLUMNS);
  const lineOf = new Map<string, number>();
  return rows.map(({ line, fields }) => {
    const refuse = (column: string, what: string): never => {
      throw new InputError(`${path}, line ${line}, column ${column}: "${fields[column]}" ${what}`);
    };
    const whole = (column: string): number => {
      const text = fields[column]!.trim();
      return /^\d+$/.test(text) ? Number(text) : refuse(column, 'is not a whole number');
    };
    const clockSec = (column: string): number => {
      const clock = /^(\d{1,2}):(\d\d):(\d\d)[,.](\d{1,3})$/.exec(fields[column]!.trim());
      if (!clock) return refuse(column, 'is not a time like 00:16:16,059');
      const [, hours, minutes, seconds, fraction] = clock;
      return Number(hours) * 3600 + Number(minutes) * 60 + Number(`${seconds}.${fraction}`);
    };
    const emotion = fields.Emotion!.trim();
    if (!labels.includes(emotion)) refuse('Emotion', `is not one of ${labels.join(', ')}`);
    const dialogue = whole('Dialogue_ID');
    const utterance = whole('Utterance_ID');
    const key = `dia${dialogue}_utt${utterance}`;
    const earlier = lineOf.get(key);
    if (earlier !== undefined) {
      throw lineError(path, line, `${key} is on line ${earlier} already`);
    }
    lineOf.set(key, line);
    return {
      line,
      dialogue,
      utterance,
      text: fields.Utterance!.trim(),
      speaker: fields.Speaker!.trim(),
      emotion,
      episode: episodeName(fields.Season, fields.Episode),
      // Clock times are in milliseconds; round their difference too, to avoid 2.9399999999998272.
      annotatedSec: Math.max(0, Math.round((clockSec('EndTime') - clockSec('StartTime')) * 1000) / 1000),
    };
  });
}

/** Not every copy of the CSVs has these columns, and nothing depends on them. */
function episodeName(season = '', episode = ''): string {
  const [first, second] = [season.trim(), episode.trim()];
  const known = /^\d+$/.test(first) && /^\d+$/.test(second);
  return known ? `s${first.padStart(2, '0')}e${second.padStart(2, '0')}` : '';
}

/**
 * Extracts a CSV from an archive to `<out>/<name>`. The copy gets the archive's modification time; while they agree,
 * the archive is not read again.
 * @returns its path; undefined if the archive does not contain it
 * @throws InputError when the archive is damaged before the CSV
 */
export async function unpackAnnotations(
  archive: string,
  name: string,
  out: string,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  const path = join(out, name);
  const modifiedSec = await changedAtSec(archive);
  if ((await changedAtSec(path)) === modifiedSec) return path;
  await makeOutputFolder(out);
  const unpacked = temporaryName(path);
  let isThere = false;
  try {
    const damage = await readArchive(
      archive,
      async (file, save) => {
        if (file.name !== name) return true;
        await save(unpacked);
        isThere = true;
        return false;
      },
      signal,
    );
    if (damage !== undefined)
      throw new InputError(`${archive} does not contain a complete ${name}: ${damage}; get it again`);
    if (!isThere) return undefined;
    await writeFileAtomic(path, await readFile(unpacked));
  } finally {
    await rm(unpacked, { force: true });
  }
  if (modifiedSec !== undefined) await utimes(path, modifiedSec, modifiedSec);
  return path;
}

/** Whole seconds; undefined if there is no file. */
async function changedAtSec(path: string): Promise<number | undefined> {
  const file = await stat(path).catch(() => undefined);
  return file && Math.floor(file.mtimeMs / 1000);
}
