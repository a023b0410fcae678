/** @file Scores under noise: what is added to the test clips, and the results at each level. */

import { mkdir, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { InputError, writeJsonAtomic } from '../base/index.js';
import { noiseAt } from '../data/audio/index.js';
import type { RecogniserInfo } from '../data/corpora/index.js';
import {
  type NoiseResults,
  noiseLevel,
  type Scores,
  type TestNoise,
  writePredictions,
} from '../evaluation/index.js';
import {
  type NamedRecipe,
  type NoiseConditions,
  readingOf,
  recogniserUnderNoise,
} from '../inference/index.js';
import { type Recipe, systemOf } from '../systems/index.js';
import { type ComputeOptions, identityOf, openRecordings, recogniserOf } from '../training/index.js';
import { noisePredictions, type RunFolder, type RunMetadata } from '../training/runs/index.js';
import type { ExperimentContext, NoiseChoice } from './evaluation-target.js';
import type { RunScores, ScoresUnderNoise } from './run-scores.js';

/** Levels of noise, ready to be added, and what is known of them. */
export interface NoiseTest extends NoiseConditions {
  readonly noise: TestNoise;
}

/** Its power falls with frequency like that of many rooms and streets, and of speech. */
const COLOUR = 'pink';
/** Fixed, so that systems are compared under the same noise. */
const NOISE_SEED = 1;

/** A model that is to hear noise. */
export interface HearingModel extends NamedRecipe {
  readonly phase: string;
}

/**
 * Checks that noise changes what models read, before anything is computed.
 * @param models one, or the members of an ensemble
 * @throws InputError for a model that reads no audio, and for `--transcribe` without one that reads recognised words
 */
export function checkNoiseTest(models: readonly HearingModel[], { noise, transcribe }: NoiseChoice): void {
  if (noise === undefined) return;
  for (const { name, recipe, phase } of models) {
    if (systemOf(recipe).needs(recipe, phase, 'checkpoint').audio) continue;
    throw new InputError(`--noise: ${name} reads no audio, so noise changes nothing; leave out --noise`);
  }
  if (transcribe === undefined) return;
  const { views, text } = readingOf(models);
  const names = models.map(({ name }) => name).join(' and ');
  const [read, were] = models.length === 1 ? ['reads', 'was'] : ['read', 'were'];
  if (!views.text) throw new InputError(`--transcribe: ${names} ${read} no words; leave it out`);
  if (text === 'given') {
    throw new InputError(
      `--transcribe: ${names} ${were} trained on given words (text: given), which noise does not change; leave it out, or train with text: recognised`,
    );
  }
}

/** What a noise test needs to know of a model and of what it is tested on. */
export interface NoisyReading {
  readonly recipe: Recipe;
  /** The recogniser of the corpus, if the model reads recognised words. */
  readonly recogniser: RecogniserInfo | undefined;
}

/**
 * Opens the recordings, if there are any, and finds the recogniser, if one is named.
 * @returns undefined if no noise is asked for
 * @throws InputError for a folder that is missing or has no recordings, or another recogniser than that of the corpus
 */
export async function openNoiseTest(
  { noise: levels, noiseFrom: folder, transcribe: model }: NoiseChoice,
  { recipe, recogniser: recorded }: NoisyReading,
  compute: ComputeOptions,
  { onWork, onWarning }: Pick<ExperimentContext, 'onWork' | 'onWarning'>,
): Promise<NoiseTest | undefined> {
  if (levels === undefined) return undefined;
  const { cacheDir, stop } = compute;
  const sounds =
    folder === undefined ? undefined : await openRecordings('--noise-from', folder, cacheDir, stop);
  const readsWords = systemOf(recipe).views(recipe).text;
  const recogniser =
    model === undefined || !readsWords
      ? undefined
      : await recogniserUnderNoise(model, recogniserOf(recorded), compute, { onWarning });
  return {
    levels: levels.map((snrDb) => ({ snrDb, alter: noiseAt(sounds ?? COLOUR, snrDb, NOISE_SEED) })),
    ...(recogniser && {
      recognise(clips) {
        const progress = onWork('recognising words under noise', 'clips');
        const onProgress = (done: number, total: number): void => progress.update(done, total);
        return recogniser.recognise(clips, onProgress).finally(() => progress.finish());
      },
    }),
    noise: {
      ...{ from: folder ?? COLOUR, ...(sounds && identityOf(sounds)), seed: NOISE_SEED },
      ...(readsWords && { words: recipe.text }),
      ...(recogniser && { recogniser: recogniser.identity }),
    },
  };
}

/** SHA-256 of the checkpoints of runs; null where none is recorded. */
export function checkpointsOf(runs: readonly Pick<RunMetadata, 'checkpoint'>[]): (string | null)[] {
  return runs.map(({ checkpoint }) => checkpoint?.sha256 ?? null);
}

/** The content of noise.json. */
export function noiseResults(
  { result: clean }: Pick<RunScores, 'result'>,
  { noise, checkpoints, levels, wordErrors }: ScoresUnderNoise<Scores>,
): NoiseResults {
  return {
    name: clean.name,
    noise,
    checkpoints,
    levels: [
      noiseLevel(null, clean, wordErrors?.[0]),
      ...levels.map(({ snrDb, result }, level) => noiseLevel(snrDb, result, wordErrors?.[1 + level])),
    ],
    versions: clean.versions,
    metadata: clean.metadata,
  };
}

/** Writes noise.json, and the predictions at each level, into the folder of the results. */
export async function writeNoiseResults(
  folder: RunFolder,
  scores: Pick<RunScores, 'result'>,
  underNoise: ScoresUnderNoise,
): Promise<void> {
  const { levels } = underNoise;
  // Those of other levels would look as if they belonged to these.
  await rm(dirname(noisePredictions(folder, 0)), { recursive: true, force: true });
  for (const { snrDb, result, predictions } of levels) {
    const path = noisePredictions(folder, snrDb);
    await mkdir(dirname(path), { recursive: true });
    await writePredictions(path, result.labels, predictions);
  }
  await writeJsonAtomic(folder.noise, noiseResults(scores, underNoise));
}
