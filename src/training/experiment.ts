/** @file A phase of a recipe on its corpus, ready for training: backbones, graphs, examples. */

import { InputError } from '../base/index.js';
import type { ValidationDraw } from '../data/corpora/index.js';
import type { Recipe } from '../systems/index.js';
import {
  type Example,
  type ModelUtterance,
  type Phase,
  type Prompt,
  requirePhase,
  systemOf,
  type TextLimit,
  trainingStart,
} from '../systems/index.js';
import {
  type ComputeOptions,
  type ExperimentCorpus,
  type ExtractedFeatures,
  loadCorpus,
  openFeatures,
  TRAINING_PARTS,
} from './corpus.js';

/** A phase on its corpus. */
export interface Experiment {
  readonly recipe: Recipe;
  readonly phase: Phase;
  readonly corpus: ExperimentCorpus;
}

/**
 * Loads the recipe's corpus and opens the phase for it. `draw` and `prompt` are those of a resumed run.
 * @throws InputError for anything wrong with recipe, corpus or backbones
 */
export async function openExperiment(
  recipe: Recipe,
  name: string,
  fold: number | undefined,
  draw?: ValidationDraw,
  prompt?: Prompt,
): Promise<Experiment> {
  const system = systemOf(recipe);
  requirePhase(recipe, name);
  const start = trainingStart(recipe, name);
  const audioParts = system.needs(recipe, name, start).audio ? TRAINING_PARTS : [];
  const corpus = await loadCorpus(recipe, fold, audioParts, draw);
  const phase = await system.open(recipe, name, { weights: 'present', start, corpus, prompt });
  return { recipe, phase, corpus };
}

/** Encodes the utterances as examples. @throws InputError for one that the model cannot read, naming it */
export function encodeAll(phase: Phase, utterances: readonly ModelUtterance[]): Example[] {
  return utterances.map((utterance) => {
    const encoded = phase.encode!(utterance);
    if (encoded.kind === 'example') return encoded.example;
    throw new InputError(`utterance ${utterance.id}: ${encoded.problem}`);
  });
}

/** Stored features of some utterances, if the phase reads any; extracts those missing from the cache. */
export function phaseFeatures(
  recipe: Recipe,
  phase: Phase,
  utterances: readonly ModelUtterance[],
  compute: ComputeOptions,
): Promise<ExtractedFeatures> {
  return openFeatures(recipe, phase.needs.audio ? utterances : [], compute);
}

/** Whether part of the transcript is cut. */
export function isCutText({ cutTokens = 0 }: Example): boolean {
  return cutTokens > 0;
}

export function countCutTexts(examples: readonly Example[]): number {
  return examples.filter(isCutText).length;
}

/** Notes on cut inputs: a line for clips and one for transcripts, if any are cut. */
export function cutNotes(
  { max_audio_sec }: Pick<Recipe, 'max_audio_sec'>,
  { textLimit }: Pick<Phase, 'textLimit'>,
  { clips, texts, total }: { readonly clips: number; readonly texts: number; readonly total: number },
): string[] {
  return [
    ...(clips > 0 ? [`cut to ${max_audio_sec} s (max_audio_sec): ${clips} of ${total} clips`] : []),
    ...(texts > 0 && textLimit
      ? [`${cutTo(textLimit)} (${textLimit.cause}): ${texts} of ${total} transcripts`]
      : []),
  ];
}

/** "cut to 128 tokens for the Former" */
export function cutTo({ tokens, reader }: TextLimit): string {
  return `cut to ${tokens} tokens for ${reader}`;
}
