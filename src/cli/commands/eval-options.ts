/** @file What `emoq eval` can be asked, as the files that do its parts read it; and the parsers that `report` shares. */

import { InvalidArgumentError } from 'commander';
import type { Resampling, ResamplingUnit } from '../../evaluation/index.js';
import type { RunChoice } from '../../experiments/index.js';
import { type CorpusOptions, type DeviceOption, wholeNumber } from '../options.js';
import { parseSeeds } from './stage.js';

export const FORMATS = ['text', 'json', 'csv', 'markdown', 'latex'] as const;
export const UNITS: readonly ResamplingUnit[] = ['utterance', 'speaker', 'dialogue'];
export const RESAMPLES = { usual: 10_000, fewest: 100, most: 1_000_000 };
export const RESAMPLE_SEED = 1;

export type OutputFormat = (typeof FORMATS)[number];

/** How intervals are found. What is absent has its default. */
export interface ResamplingOptions {
  readonly resamples?: number;
  readonly resampleBy?: ResamplingUnit;
  readonly resampleSeed?: number;
}

/** What computes. */
export interface ComputeChoice {
  readonly device: DeviceOption;
  readonly threads?: number;
}

export interface EvalOptions extends CorpusOptions, RunChoice, ComputeChoice, ResamplingOptions {
  readonly predictions?: string;
  readonly compare?: readonly string[];
  readonly run?: string;
  readonly labelMap?: string;
  readonly json?: true;
  readonly format?: OutputFormat;
}

/** How to print. */
export function formatOf({ json, format }: Pick<EvalOptions, 'json' | 'format'>): OutputFormat {
  return json ? 'json' : (format ?? 'text');
}

/** The bootstrap that options ask for; null for none. */
export function resamplingOf({
  resamples = RESAMPLES.usual,
  resampleBy = 'utterance',
  resampleSeed = RESAMPLE_SEED,
}: ResamplingOptions): Resampling | null {
  return resamples === 0 ? null : { resamples, unit: resampleBy, seed: resampleSeed };
}

/** Parser of `--seeds`: a list, or all that are there. */
export function parseSeedsOrAll(value: string): readonly number[] | 'all' {
  return value === 'all' ? value : parseSeeds(value);
}

/** Parser of `--stage`. */
export function parseStage(value: string): 1 | 2 {
  if (value === '1' || value === '2') return value === '1' ? 1 : 2;
  throw new InvalidArgumentError('It must be 1 or 2.');
}

/** Parser of `--resamples`. */
export function parseResamples(value: string): number {
  const { fewest, most } = RESAMPLES;
  const number = wholeNumber(0)(value);
  if (number === 0 || (number >= fewest && number <= most)) return number;
  throw new InvalidArgumentError(`It must be 0 or a whole number from ${fewest} to ${most}.`);
}
