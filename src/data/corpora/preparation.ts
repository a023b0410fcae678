/**
 * @file The final steps of every preparation: makes the clips, checks them against the metadata and writes the
 * manifest.
 */

import { stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import {
  claimLock,
  InputError,
  isSameFile,
  makeOutputFolder,
  mapConcurrently,
  pathExists,
  readJson,
  sha256Of,
} from '../../base/index.js';
import {
  type ClipOutcome,
  type ClipTask,
  decoderOf,
  type PreparationControls,
  type PreparedClips,
  prepareClips,
  SHORTEST_CLIP_SEC,
} from './clips/index.js';
import { type CorpusMetadata, refuseDifferences } from './corpus-metadata.js';
import { emptyNotes, type Utterance, writeManifest } from './manifest.js';
import type {
  ClipNote,
  CorpusCounts,
  MergedLabel,
  OtherTurn,
  PreparationNotes,
  RecogniserInfo,
} from './manifest-info.js';

/** An annotated utterance and the clip that it needs. */
export interface PlannedUtterance {
  utterance: Omit<Utterance, 'path' | 'durationSec'>;
  /** Undefined in a corpus of transcripts only. */
  clip?: ClipTask | undefined;
  /** Known in advance: its clip does not exist, or none of its split do (which is one difference, not hundreds). */
  absent?: 'clip' | 'split' | undefined;
}

/** A corpus as read from its annotations, before any audio is touched. */
export interface CorpusPlan {
  name: string;
  /** Description of the source, for the manifest. */
  source: string;
  /** The folder or file given by the user, for messages. */
  root: string;
  planned: PlannedUtterance[];
  /** Annotated utterances that are not planned. */
  skipped: ClipNote[];
  /** How the release differs from its metadata. */
  differences: string[];
  /** dialogue -> episode, for corpora with episodes. */
  episodes?: Record<string, string> | undefined;
  /** Clips that may fail to decode without a complaint: id -> known fault. */
  knownBad: ReadonlyMap<string, string>;
  /** Spellings of labels that were merged into others. */
  merged?: MergedLabel[] | undefined;
  /** Probable mistakes in the annotations, and values that were interpreted in some other way than written. */
  warnings?: readonly string[] | undefined;
  remarks?: readonly string[] | undefined;
  /** What is done to clips in addition to every preparation's steps. */
  rules?: readonly string[] | undefined;
  /** BCP 47 tags, if known. */
  languages?: readonly string[] | undefined;
  /** Turns of the dialogues that are not planned. */
  otherTurns?: readonly OtherTurn[] | undefined;
  /** Where recognised texts in the annotations come from. */
  recogniser?: RecogniserInfo | undefined;
}

/** The plan of a release, before its annotations are read. */
export function releasePlan(name: string, root: string, metadata: CorpusMetadata): CorpusPlan {
  return {
    name,
    source: [metadata.title, metadata.source].filter((part) => part !== '').join(', '),
    root,
    planned: [],
    skipped: [],
    differences: [],
    knownBad: new Map(metadata.known_bad.map(({ id, fault }) => [id, fault])),
    languages: metadata.language,
  };
}

/** Storage format of clips: both have the same 16-bit samples, FLAC in about half the space. */
export type ClipFormat = 'wav' | 'flac';

/** Recognises what is said in the clips of a corpus. */
export interface CorpusRecogniser {
  readonly identity: RecogniserInfo;
  /**
   * The texts of clips, in order.
   * @param folder of the corpus, in which what is done is kept for the next preparation
   */
  recognise(clips: readonly Pick<Utterance, 'id' | 'path'>[], folder: string): Promise<readonly string[]>;
}

export interface PreparationOptions extends PreparationControls {
  /** Folder of the prepared corpus: manifest.csv, manifest.json, audio/. */
  out: string;
  /** Continue with an incomplete release, and record every difference. */
  allowIncomplete?: boolean | undefined;
  /** 'wav' by default. */
  format?: ClipFormat | undefined;
  /** Writes recognised texts beside the given ones. */
  recogniser?: CorpusRecogniser | undefined;
}

/** Options for a corpus whose release is described by metadata. */
export interface ReleaseOptions extends PreparationOptions {
  /** The folder of the release. */
  root: string;
  /** Metadata to check against; the file shipped with emoq by default. */
  metadataPath?: string | undefined;
}

/** Summary for the last lines that a user sees. */
export interface PreparationSummary extends PreparationNotes {
  name: string;
  manifestPath: string;
  /** Utterances in the manifest. */
  kept: number;
  /** Warnings of the plan, to be shown. */
  warnings: readonly string[];
  remarks: readonly string[];
  counts: CorpusCounts;
  /** Total length of all kept audio. */
  durationSec: number;
  /** Clips converted by this run; the others existed already. */
  converted: number;
  decodedAgain: PreparedClips['decodedAgain'];
  /** Wall-clock time of this run. */
  seconds: number;
  /** Nothing was converted or written: an earlier run had finished. */
  alreadyDone: boolean;
}

/**
 * Makes the clips of a plan and writes the manifest.
 * @throws InputError listing the differences, unless they are allowed: those of the annotations before any clip is
 *   made, those of the audio after (the clips are kept, so allowing them then is quick). Also while another process
 *   prepares the same folder.
 */
export async function prepareCorpus(
  plan: CorpusPlan,
  options: PreparationOptions,
): Promise<PreparationSummary> {
  const startedMs = performance.now();
  const out = resolve(options.out);
  await refuseOtherCorpus(out, plan.name);
  const known = [
    ...plan.differences,
    ...plan.planned.flatMap((each) => missingClip(plan, each, each.absent)),
  ];
  if (known.length > 0 && !options.allowIncomplete) refuseDifferences(plan.root, known);
  refuseSharedTargets(plan);
  if (options.recogniser && plan.planned.some(({ clip }) => clip === undefined)) {
    throw new InputError(`${plan.root}: there is no audio to recognise; leave out --transcribe`);
  }
  const { format = 'wav' } = options;
  const planned = plan.planned.map((each) => ({ ...each, clip: each.clip && inFormat(each.clip, format) }));
  await refuseSources(plan.root, planned, out);
  await makeOutputFolder(options.out);
  const unlock = await lockFolder(out);
  try {
    const tasks = planned.flatMap(({ absent, clip }) => (absent === undefined && clip ? [clip] : []));
    const clips = await prepareClips(out, tasks, options);
    const outcomeOf = new Map(tasks.map(({ id }, index) => [id, clips.outcomes[index]!]));
    const { utterances, notes, ffmpeg } = account(plan, planned, outcomeOf, clips, out);
    const { differences } = notes;
    if (differences.length > 0 && !options.allowIncomplete) refuseDifferences(plan.root, differences);
    if (utterances.length === 0) throw new InputError(`${plan.root}: not one clip can be used`);
    const isText = plan.planned.length > 0 && plan.planned.every(({ clip }) => clip === undefined);
    notes.rules = isText ? ['there is no audio'] : [...commonRules(format), ...(plan.rules ?? [])];
    const { csvPath, info, written } = await writeManifest(out, {
      ...plan,
      ...(await recognised(utterances, options.recogniser, out)),
      otherTurns: [...unkeptTurns(plan, utterances), ...(plan.otherTurns ?? [])],
      notes,
      ffmpeg,
    });
    await clips.settle();
    return {
      name: plan.name,
      manifestPath: csvPath,
      kept: utterances.length,
      ...notes,
      warnings: plan.warnings ?? [],
      remarks: plan.remarks ?? [],
      counts: info.counts,
      durationSec: info.durationSec,
      converted: clips.converted,
      decodedAgain: clips.decodedAgain,
      seconds: (performance.now() - startedMs) / 1000,
      alreadyDone: clips.converted === 0 && !written,
    };
  } finally {
    await unlock();
  }
}

/** The turns of utterances that are planned, but have no usable clip. */
function unkeptTurns({ planned }: CorpusPlan, kept: readonly Utterance[]): OtherTurn[] {
  const ids = new Set(kept.map(({ id }) => id));
  return planned.flatMap(({ utterance }) => (ids.has(utterance.id) ? [] : turnWithoutClip(utterance)));
}

/** What was said in an utterance that is left out, as a turn of its dialogue; none if it is in no dialogue. */
export function turnWithoutClip(utterance: Omit<Utterance, 'path' | 'durationSec'>): OtherTurn[] {
  const { dialogue = '', turn, speaker, gender, text, session, split } = utterance;
  if (dialogue === '' || turn === undefined || text.trim() === '') return [];
  return [{ dialogue, turn, speaker, gender, text, session, split }];
}

/** Utterances with their recognised texts, if that is asked for. */
async function recognised(
  utterances: readonly Utterance[],
  recogniser: CorpusRecogniser | undefined,
  out: string,
): Promise<{ utterances: readonly Utterance[]; recogniser?: RecogniserInfo }> {
  if (recogniser === undefined) return { utterances };
  const texts = await recogniser.recognise(utterances, out);
  return {
    utterances: utterances.map((utterance, index) => ({ ...utterance, recognised: texts[index]! })),
    recogniser: recogniser.identity,
  };
}

/** File systems limit names to 255 bytes, including the extension and a temporary suffix. */
const LONGEST_NAME_BYTES = 200;

/** An id may contain anything; a file name must not leave the folder, be hidden or exceed the length limit. */
export function clipFileName(id: string): string {
  const name = id.replace(/[/\\:*?"<>|\p{Cc}]/gu, '_').replace(/^\./, '_');
  if (Buffer.byteLength(name) <= LONGEST_NAME_BYTES) return name;
  return `${[...name].slice(0, 40).join('')}_${sha256Of(id).slice(0, 16)}`;
}

function inFormat(clip: ClipTask, format: ClipFormat): ClipTask {
  return { ...clip, target: clip.target.replace(/\.wav$/, `.${format}`) };
}

function commonRules(format: ClipFormat): string[] {
  return [
    `clips are 16 kHz mono 16-bit ${format.toUpperCase()}: the centre channel of surround sound, the mean of other channels`,
    'of channels that cancel each other the loudest is taken; float samples beyond full scale are divided by the integer range that they lie in, or by their peak',
    `a clip under ${SHORTEST_CLIP_SEC} s is kept, with silence after it up to ${SHORTEST_CLIP_SEC} s`,
  ];
}

/** Outcome of every utterance, in plan order; differences start with those of the annotations. */
function account(
  plan: CorpusPlan,
  planned: readonly PlannedUtterance[],
  outcomeOf: ReadonlyMap<string, ClipOutcome>,
  { damagedArchives }: PreparedClips,
  out: string,
): { utterances: Utterance[]; notes: PreparationNotes; ffmpeg: string | undefined } {
  const utterances: Utterance[] = [];
  const notes = emptyNotes();
  const { cut, padded, skipped } = notes;
  skipped.push(...plan.skipped);
  const versions = new Set<string>();
  const missing: string[] = [];
  const damaged: string[] = [];
  for (const each of planned) {
    const { id } = each.utterance;
    if (each.clip === undefined) {
      utterances.push({ ...each.utterance, path: '', durationSec: 0 });
      continue;
    }
    const outcome = outcomeOf.get(each.clip.id);
    const fault = plan.knownBad.get(id);
    if (!outcome || outcome.kind === 'absent') {
      skipped.push({ id, reason: fault ? `${fault}, as known` : 'clip missing' });
      missing.push(...missingClip(plan, each, each.absent ?? outcome?.absent));
    } else if (outcome.kind === 'skipped') {
      skipped.push({ id, reason: fault ? `${fault}, as known: ${outcome.skipped}` : outcome.skipped });
      if (!fault) damaged.push(`${id}: ${outcome.skipped}`);
    } else {
      if (outcome.cut) cut.push({ id, reason: outcome.cut });
      if (outcome.padded) padded.push({ id, reason: outcome.padded });
      for (const { kind, text } of outcome.notes ?? []) notes[kind].push({ id, reason: text });
      const version = decoderOf(outcome);
      if (version !== undefined) versions.add(version);
      utterances.push({
        ...each.utterance,
        path: join(out, each.clip.target),
        durationSec: outcome.durationSec,
      });
    }
  }
  notes.differences = [...plan.differences, ...missing, ...damagedArchives, ...damaged];
  const ffmpeg = versions.size === 0 ? undefined : [...versions].sort().join(', ');
  return { utterances, notes, ffmpeg };
}

/** A missing clip as a difference; none if it is known to be missing, or its whole split is. */
function missingClip(
  plan: CorpusPlan,
  { utterance: { id } }: PlannedUtterance,
  absent: PlannedUtterance['absent'] | 'archive',
): string[] {
  return absent === 'clip' && !plan.knownBad.has(id) ? [`${id} has no clip`] : [];
}

/** Two preparations of one folder would delete each other's temporary files. */
async function lockFolder(out: string): Promise<() => Promise<void>> {
  const path = join(out, 'preparation.lock');
  const claim = await claimLock(path);
  if (typeof claim === 'function') return claim;
  throw new InputError(
    `process ${claim.pid} on ${claim.host} is preparing ${out} already; wait for it or choose another folder with --out (if there is no such process, delete ${path})`,
  );
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

/**
 * A corpus prepared into its own source folder would overwrite its recordings.
 * @throws InputError if a file to be read is also one to be written
 */
async function refuseSources(root: string, planned: readonly PlannedUtterance[], out: string): Promise<void> {
  const elsewhere = 'choose another folder with --out';
  if (await isSameFile(root, join(out, 'manifest.csv'))) {
    throw new InputError(`${root} would be replaced by the manifest of the prepared corpus; ${elsewhere}`);
  }
  const clips = planned.flatMap(({ clip }) => clip ?? []);
  const paths = clips.map(({ source }) => (typeof source === 'string' ? source : source.archive));
  const distinct = [...new Set(paths)];
  const keys = await mapConcurrently(distinct, 32, fileKey);
  const sources = new Map(distinct.map((path, index) => [keys[index], path]));
  await mapConcurrently(clips, 32, async ({ id, target }) => {
    const key = await fileKey(join(out, target));
    const source = key === undefined ? undefined : sources.get(key);
    if (source === undefined) return;
    throw new InputError(`${source} would be replaced by the clip of "${id}" (${target}); ${elsewhere}`);
  });
}

/** Equal for two names of the same file; undefined if there is no file. */
async function fileKey(path: string): Promise<string | undefined> {
  const found = await stat(path, { bigint: true }).catch(() => undefined);
  return found && `${found.dev} ${found.ino}`;
}

function refuseSharedTargets(plan: CorpusPlan): void {
  const seen = new Map<string, string>();
  for (const { clip } of plan.planned) {
    if (clip === undefined) continue;
    const key = clip.target.toLowerCase(); // some file systems are case-insensitive
    const other = seen.get(key);
    if (other !== undefined) {
      throw new InputError(
        `${plan.root}: utterances "${other}" and "${clip.id}" would share the file ${clip.target}; give them distinct ids`,
      );
    }
    seen.set(key, clip.id);
  }
}
