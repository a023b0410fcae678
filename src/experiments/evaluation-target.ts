/**
 * @file What a run is scored on, its own test set or another corpus, of which the run may have seen utterances; and
 * what work on experiments needs of its caller: a device, versions to record, and somebody to tell.
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

/** The test set of runs: their own, wherever its manifest lies now, or another corpus. */
export interface EvaluationTarget {
  /** Their own manifest, where options name it. */
  readonly manifest?: string;
  readonly other?: {
    readonly corpus: OtherCorpus;
    /** For folders and tables. */
    readonly name: string;
    readonly metadata: CrossCorpusMetadata;
  };
}

/** What to score on, where it is not the test set of the runs in its own place. */
export interface TargetChoice {
  readonly manifest?: string;
  /** Pairs, or the file that holds them. */
  readonly labelMap?: string;
  readonly run?: string;
}

/** How many ids a message lists. */
const LISTED_IDS = 3;

/**
 * What options ask to score runs on. `listener` is told what of another corpus is left out, and what the runs have seen of it.
 * @throws InputError where the manifest or label map is wrong, or has too little in common with the runs
 */
export async function evaluationTarget(
  { manifest: path, labelMap: map, run }: TargetChoice,
  seeds: readonly SeedRuns[],
  { onNote, onWarning }: Listener,
): Promise<EvaluationTarget> {
  if (path === undefined) {
    if (map === undefined) return {};
    throw new InputError(
      '--label-map is for another corpus than the run was trained on; name it with --manifest',
    );
  }
  const [first] = seeds.flatMap(({ runs }) => runs) as [RunFolder];
  const metadata = (await readMetadata(first))!;
  const manifest = await readManifest(path);
  const isOwn = manifest.sha256 === metadata.manifest.sha256;
  if (isOwn && map === undefined) return { manifest: path };
  // Found by its manifest, a run whose manifest has changed is told of where its test set is read.
  if (run === undefined && resolve(path) === resolve(metadata.manifest.path)) return { manifest: path };
  const recipe = await runRecipe(first);
  const labelMap = map === undefined ? {} : await readLabelMap(map);
  const corpus = await otherCorpus(recipe, metadata.phase, manifest, labelMap);
  const name = corpusName(manifest);
  if (isOwn) onWarning(`${path} is the manifest that ${first.dir} was trained on`);
  for (const each of seeds.flatMap(({ runs }) => runs)) {
    for (const text of await overlapWarnings(each, path, corpus)) onWarning(text);
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
 * Where results on a target lie: in `cross/<corpus>` of the folder for results on the runs' own test set, which stay as
 * they are. Another manifest by the same name, or another label map, gets a folder of its own.
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

/** The name of a prepared corpus, or of a CSV's file or folder, as a folder may have it. */
function corpusName({ prepared, name, csvPath }: Manifest): string {
  const given = prepared || name !== 'manifest' ? name : nameOfManifest(csvPath);
  return given.replace(/[^\w.-]+/g, '-').replace(/^\.+/, '') || 'corpus';
}

async function overlapWarnings(folder: RunFolder, path: string, corpus: OtherCorpus): Promise<string[]> {
  const metadata = (await readMetadata(folder))!;
  const overlap = await trainingOverlap(await runRecipe(folder), metadata, corpus);
  if (overlap === undefined) {
    return [
      `${metadata.manifest.path} is gone or has changed since ${folder.dir} was trained, so whether it has seen utterances of ${path} is not known`,
    ];
  }
  const total = corpus.utterances.length;
  const warnings = (what: string, ids: readonly string[]): string[] =>
    ids.length === 0
      ? []
      : [
          `${ids.length} of ${total} utterances of ${path} have ${what} of an utterance that ${folder.dir} has seen in training or validation, such as ${ids.slice(0, LISTED_IDS).join(', ')}`,
        ];
  return [...warnings('the audio', overlap.audio), ...warnings('the id and the words', overlap.ids)];
}

/** What is scored of another corpus, and what of it is left out. */
function scopeText(path: string, { part, utterances, leftOut, absent, classes }: OtherCorpus): string {
  const labels = Object.entries(leftOut).map(([label, count]) => `${label} ${count}`);
  return `scoring on ${part === 'test' ? 'the test split' : 'all'} of ${path}: ${utterances.length} utterances of ${classes.join(', ')}${labels.length === 0 ? '' : `; left out, as no class of the run: ${labels.join(', ')}`}${absent.length === 0 ? '' : `; left out, as not in the corpus: the run's ${absent.join(', ')}`}`;
}

/** Whoever follows the work. */
export interface Listener {
  /** Told what was done or decided. */
  readonly onNote: (text: string) => void;
  /** Told what may not be wanted. */
  readonly onWarning: (text: string) => void;
}

/** How far something is. */
export interface ProgressView {
  update(done: number, total: number): void;
  finish(): void;
}

export interface ExperimentContext extends Listener {
  /** How intervals are found; null for none. */
  readonly resampling: Resampling | null;
  /** Versions of everything that a result depends on. */
  readonly versions: Readonly<Record<string, string>>;
  /** Gives the work a device to compute on. The signal that stops it is in the options. */
  readonly withCompute: <T>(work: (compute: ComputeOptions) => Promise<T>) => Promise<T>;
  /** Begins to show the progress of the prediction of a run's utterances. */
  readonly onPrediction: (dir: string) => ProgressView;
}
