/**
 * @file What runs are scored on: their own test set or another corpus, some of which they may have seen in training.
 * Also the context that experiments need: a device, versions to record, and callbacks.
 */

import { createHash } from 'node:crypto';
import { join, resolve } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { InputError, pathExists } from '../base/index.js';
import { type Manifest, readLabelMap, readManifest } from '../data/corpora/index.js';
import { type CrossCorpusMetadata, type Resampling, readResults } from '../evaluation/index.js';
import { type OtherCorpus, otherCorpus, trainingOverlap } from '../inference/index.js';
import { nameOfManifest } from '../recipe/index.js';
import type { ComputeOptions } from '../training/index.js';
import { type RunFolder, readMetadata, runFolder, runRecipe } from '../training/runs/index.js';
import type { SeedRuns } from './run-selection.js';

/** Noise that options ask for. */
export interface NoiseChoice {
  /** Signal-to-noise ratios in dB. */
  readonly noise?: readonly number[];
  /** Folder of recordings; absent: noise that is made. */
  readonly noiseFrom?: string;
  /** The recogniser of the corpus, to recognise the words under noise too; absent: they are read as they are. */
  readonly transcribe?: string;
}

/** The test set of runs: their own, wherever its manifest is now, or another corpus. */
export interface EvaluationTarget {
  /** Their own manifest, if named by options. */
  readonly manifest?: string;
  readonly other?: {
    readonly corpus: OtherCorpus;
    /** For folders and tables. */
    readonly name: string;
    readonly metadata: CrossCorpusMetadata;
  };
  /** Noise under which they are scored too. */
  readonly noise?: NoiseChoice;
}

/** What to score on, if not the runs' own test set at its recorded path. */
export interface TargetChoice {
  readonly manifest?: string;
  /** Pairs, or a file that contains them. */
  readonly labelMap?: string;
  readonly run?: string;
}

/** How many ids a message lists. */
const LISTED_IDS = 3;

/**
 * The target that options ask for. `listener` receives notes on what is left out of another corpus, and on utterances
 * of it that the runs have seen.
 * @throws InputError if the manifest or label map is wrong, or has too little in common with the runs
 */
export async function evaluationTarget(
  { manifest: path, labelMap: map, run }: TargetChoice,
  seeds: readonly Pick<SeedRuns, 'runs'>[],
  { onNote, onWarning, onSeen = onWarning }: TargetListener,
): Promise<EvaluationTarget> {
  if (path === undefined) {
    if (map === undefined) return {};
    throw new InputError(
      '--label-map is for a corpus other than the one the run was trained on; name that corpus with --manifest',
    );
  }
  const [first] = seeds.flatMap(({ runs }) => runs) as [RunFolder];
  const metadata = (await readMetadata(first))!;
  const manifest = await readManifest(path);
  const isOwn = manifest.sha256 === metadata.manifest.sha256;
  if (isOwn && map === undefined) return { manifest: path };
  // Without `run`, the path alone matches; a changed manifest is reported where the test set is read.
  if (run === undefined && resolve(path) === resolve(metadata.manifest.path)) return { manifest: path };
  const recipe = await runRecipe(first);
  const labelMap = map === undefined ? {} : await readLabelMap(map);
  const corpus = await otherCorpus(recipe, metadata.phase, manifest, labelMap);
  const name = corpusName(manifest);
  if (isOwn) onWarning(`${path} is the manifest that ${first.dir} was trained on`);
  for (const each of seeds.flatMap(({ runs }) => runs)) {
    await reviewOverlap(each, path, corpus, { onWarning, onSeen });
  }
  onNote(scopeText(path, corpus));
  return {
    other: {
      corpus,
      name,
      metadata: {
        corpus: name,
        manifest: path,
        manifest_sha256: manifest.sha256,
        trained_manifest_sha256: metadata.manifest.sha256,
        part: corpus.part,
        label_map: corpus.labelMap,
        classes_left_out: corpus.absent,
        utterances_left_out: corpus.leftOut,
      },
    },
  };
}

/**
 * Folder for results on a target: `cross/<corpus>` inside the folder of the runs' own results, which are not
 * overwritten. A different manifest of the same name, or another label map, gets its own folder.
 */
export async function targetFolder(own: RunFolder, { other }: EvaluationTarget): Promise<RunFolder> {
  if (other === undefined) return own;
  const folder = runFolder(join(own.dir, 'cross', other.name));
  if (!(await pathExists(folder.results))) return folder;
  const { cross_corpus: before } = await readResults(folder.results);
  const { manifest, manifest_sha256: sha256, label_map: labels } = other.metadata;
  const isSame =
    before === undefined ||
    (isDeepStrictEqual(before.label_map, labels) &&
      (before.manifest_sha256 === sha256 || resolve(before.manifest) === resolve(manifest)));
  if (isSame) return folder;
  const distinct = createHash('sha256').update(JSON.stringify([sha256, Object.entries(labels).sort()]));
  return runFolder(`${folder.dir}-${distinct.digest('hex').slice(0, 8)}`);
}

/** The name of a prepared corpus, or of a CSV's file or folder, in a form that is valid for a folder. */
export function corpusName({ prepared, name, csvPath }: Manifest): string {
  const given = prepared || name !== 'manifest' ? name : nameOfManifest(csvPath);
  return given.replace(/[^\w.-]+/g, '-').replace(/^\.+/, '') || 'corpus';
}

/** Says which utterances of another corpus a run has seen, as far as is known. */
async function reviewOverlap(
  folder: RunFolder,
  path: string,
  corpus: OtherCorpus,
  { onWarning, onSeen }: Required<Pick<TargetListener, 'onWarning' | 'onSeen'>>,
): Promise<void> {
  const metadata = (await readMetadata(folder))!;
  const overlap = await trainingOverlap(await runRecipe(folder), metadata, corpus);
  if (overlap === undefined) {
    return onWarning(
      `${metadata.manifest.path} is missing or has changed since ${folder.dir} was trained, so whether it has seen utterances of ${path} is unknown`,
    );
  }
  const total = corpus.utterances.length;
  const seen = (what: string, ids: readonly string[]): void => {
    if (ids.length === 0) return;
    onSeen(
      `${ids.length} of ${total} utterances of ${path} have ${what} of an utterance that ${folder.dir} has seen in training or validation, such as ${ids.slice(0, LISTED_IDS).join(', ')}`,
    );
  };
  seen('the audio', overlap.audio);
  seen('the id and the words', overlap.ids);
}

/** Describes what is scored of another corpus, and what is left out. */
export function scopeText(path: string, { part, utterances, leftOut, absent, classes }: OtherCorpus): string {
  const labels = Object.entries(leftOut).map(([label, count]) => `${label} ${count}`);
  return `scoring on ${part === 'test' ? 'the test split' : 'all'} of ${path}: ${utterances.length} utterances of ${classes.join(', ')}${labels.length === 0 ? '' : `; left out, not a class of the run: ${labels.join(', ')}`}${absent.length === 0 ? '' : `; left out, as not in the corpus: the run's ${absent.join(', ')}`}`;
}

/** Receives messages about the work. */
export interface Listener {
  /** Receives notes on what was done or decided. */
  readonly onNote: (text: string) => void;
  /** Receives warnings. */
  readonly onWarning: (text: string) => void;
}

/** Of a target also utterances that runs have seen; absent: as warnings. */
interface TargetListener extends Listener {
  readonly onSeen?: (text: string) => void;
}

/** A progress display. */
export interface ProgressView {
  update(done: number, total: number): void;
  finish(): void;
}

export interface ExperimentContext extends Listener {
  /** How intervals are computed; null for none. */
  readonly resampling: Resampling | null;
  /** Versions of everything a result depends on. */
  readonly versions: Readonly<Record<string, string>>;
  /** Runs work on a device. The signal that stops it is part of the options. */
  readonly withCompute: <T>(work: (compute: ComputeOptions) => Promise<T>) => Promise<T>;
  /** Starts a progress display, such as `testing runs/meld7` in `utterances`. */
  readonly onWork: (label: string, unit: string) => ProgressView;
}
