/** @file Scores under noise: what is added to the test clips, and the results at each level. */

import { mkdir, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { InputError, writeJsonAtomic } from '../base/index.js';
import { noiseAt } from '../data/audio/index.js';
import {
  type NoiseResults,
  noiseLevel,
  type Scores,
  type TestNoise,
  writePredictions,
} from '../evaluation/index.js';
import type { NoiseLevel } from '../inference/index.js';
import { type Recipe, systemOf } from '../systems/index.js';
import { type ComputeOptions, identityOf, openRecordings } from '../training/index.js';
import { noisePredictions, type RunFolder, type RunMetadata } from '../training/runs/index.js';
import type { NoiseChoice } from './evaluation-target.js';
import type { RunScores, ScoresUnderNoise } from './run-scores.js';

/** Levels of noise, ready to be added. */
export interface NoiseTest {
  readonly levels: readonly NoiseLevel[];
  readonly noise: TestNoise;
}

/** Its power falls with frequency like that of many rooms and streets, and of speech. */
const COLOUR = 'pink';
/** Fixed, so that systems are compared under the same noise. */
const NOISE_SEED = 1;

/**
 * Opens the recordings, if there are any.
 * @returns undefined if no noise is asked for
 * @throws InputError for a folder that is missing or has no recordings
 */
export async function openNoiseTest(
  { noise: levels, noiseFrom: folder }: NoiseChoice,
  { cacheDir, stop }: Pick<ComputeOptions, 'cacheDir' | 'stop'>,
): Promise<NoiseTest | undefined> {
  if (levels === undefined) return undefined;
  const sounds =
    folder === undefined ? undefined : await openRecordings('--noise-from', folder, cacheDir, stop);
  return {
    levels: levels.map((snrDb) => ({ snrDb, alter: noiseAt(sounds ?? COLOUR, snrDb, NOISE_SEED) })),
    noise: { from: folder ?? COLOUR, ...(sounds && identityOf(sounds)), seed: NOISE_SEED },
  };
}

/** The same test, which says what words the model of a recipe reads beside the noise. */
export function heardBy(recipe: Recipe, { levels, noise }: NoiseTest): NoiseTest {
  return { levels, noise: { ...noise, ...(systemOf(recipe).views(recipe).text && { words: recipe.text }) } };
}

/** @param what the run or bundle @throws InputError for a model that reads no audio, which noise would not change */
export function requireHearing(what: string, recipe: Recipe, phase: string): void {
  if (systemOf(recipe).needs(recipe, phase, 'checkpoint').audio) return;
  throw new InputError(`--noise: ${what} reads no audio, so noise changes nothing; leave out --noise`);
}

/** SHA-256 of the checkpoints of runs; null where none is recorded. */
export function checkpointsOf(runs: readonly Pick<RunMetadata, 'checkpoint'>[]): (string | null)[] {
  return runs.map(({ checkpoint }) => checkpoint?.sha256 ?? null);
}

/** The content of noise.json. */
export function noiseResults(
  { result: clean }: Pick<RunScores, 'result'>,
  { noise, checkpoints, levels }: ScoresUnderNoise<Scores>,
): NoiseResults {
  return {
    name: clean.name,
    noise,
    checkpoints,
    levels: [noiseLevel(null, clean), ...levels.map(({ snrDb, result }) => noiseLevel(snrDb, result))],
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
