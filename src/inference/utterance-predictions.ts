/** @file What a model says about labelled utterances, as they are and under noise. */

import { InterruptedError } from '../base/index.js';
import type { Alter } from '../data/audio/index.js';
import { dialogueOf, type Manifest, type Utterance, withoutTags } from '../data/corpora/index.js';
import { type EditCount, plainText, type ScoredPrediction, textEdits } from '../evaluation/index.js';
import { argmax } from '../evaluation/metrics/index.js';
import type { Example } from '../systems/index.js';
import {
  type ComputeOptions,
  countCutTexts,
  cutNotes,
  encodeAll,
  phaseFeatures,
  requireInferences,
} from '../training/index.js';
import type { OpenedModel, TrainedModel } from './trained-run.js';

/** A level of noise at which utterances are predicted in addition. */
export interface NoiseLevel {
  readonly snrDb: number;
  readonly alter: Alter;
}

/** Noise under which utterances are predicted in addition. */
export interface NoiseConditions {
  readonly levels: readonly NoiseLevel[];
  /** The words of clips under noise, in order; absent: the model reads the same words at every level. */
  readonly recognise?:
    | ((
        clips: readonly { readonly id: string; readonly path: string; readonly alter: Alter }[],
      ) => Promise<readonly string[]>)
    | undefined;
}

/** What is predicted besides the utterances as they are. */
export interface PredictionOptions {
  readonly noise?: NoiseConditions | undefined;
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

/** What messages call a model, the fold that its predictions belong to, and what the utterances are of. */
export interface PredictedSource {
  readonly source: string;
  readonly fold: number | null;
  /** Where the given texts are, which those recognised under noise are compared with; absent: they are not. */
  readonly manifest?: Pick<Manifest, 'utterances'> | undefined;
}

/** A run as the source of predictions. */
export const sourceOf = ({ folder, metadata }: TrainedModel): Pick<PredictedSource, 'source' | 'fold'> => ({
  source: folder.dir,
  fold: metadata.fold,
});

/** What a model says about utterances. */
export interface UtterancePredictions {
  readonly predictions: readonly ScoredPrediction[];
  /** The same utterances at each level of noise that was asked for. */
  readonly underNoise: readonly (readonly ScoredPrediction[])[];
  /** Errors of the recognised words against the given ones, without noise and then at each level. */
  readonly wordErrors?: readonly EditCount[] | undefined;
  /** e'_q [d_h] of each utterance; undefined if the model has no Former. */
  readonly embeddings: readonly (Float32Array | undefined)[];
  /** Notes on cut inputs. */
  readonly cut: readonly string[];
}

/**
 * Predicts labelled utterances, in order, and the same utterances under noise.
 * @throws InterruptedError when `compute.stop` is aborted
 * @throws ComputationError when the model's output for an utterance is not a distribution over the labels
 */
export async function predictUtterances(
  { recipe, phase, infer }: OpenedModel,
  utterances: readonly Utterance[],
  compute: ComputeOptions,
  { source, fold, manifest, noise, onProgress }: PredictedSource & PredictionOptions,
): Promise<UtterancePredictions> {
  const examples = encodeAll(phase, utterances);
  const noisy = await noisyUtterances(utterances, noise, recipe.strip_tags, manifest);
  const features = await phaseFeatures(recipe, phase, [...utterances, ...noisy.flat()], compute);
  const all = examples.length * (1 + noisy.length);
  onProgress?.(0, all);
  const { stop } = compute;
  const inferred = async (asRead: readonly Example[], before: number) => {
    const onDone = onProgress && ((done: number) => onProgress(before + done, all));
    const inferences = await infer(asRead, features, { onProgress: onDone, stop }).catch((error: unknown) => {
      throw stop?.aborted
        ? new InterruptedError('interrupted before the end; no results were written')
        : error;
    });
    return requireInferences(
      examples,
      inferences,
      `the weights of ${source}, or of its backbones, are damaged`,
    );
  };
  const scored = ({ id, label }: Example, index: number, probabilities: Float32Array): ScoredPrediction => {
    const { speaker, dialogue = dialogueOf(id) ?? '' } = utterances[index]!;
    return {
      id,
      ...(fold !== null && { fold: String(fold) }),
      ...(speaker !== '' && { speaker }),
      ...(dialogue !== '' && { dialogue }),
      reference: recipe.labels[label]!,
      label: recipe.labels[argmax(probabilities)]!,
      probabilities,
    };
  };
  const whole = await inferred(examples, 0);
  const atLevels: ScoredPrediction[][] = [];
  for (const [level, heard] of noisy.entries()) {
    const answers = await inferred(encodeAll(phase, heard), examples.length * (1 + level));
    atLevels.push(examples.map((example, index) => scored(example, index, answers[index]!.probabilities)));
  }
  const lengths = { clips: features.cropped, texts: countCutTexts(examples), total: examples.length };
  return {
    predictions: examples.map((example, index) => scored(example, index, whole[index]!.probabilities)),
    underNoise: atLevels,
    ...(noise?.recognise &&
      manifest && {
        wordErrors: [utterances, ...noisy].map((read) => wordErrors(utterances, read, manifest)),
      }),
    embeddings: whole.map(({ embedding }) => embedding),
    cut: cutNotes(recipe, phase, lengths),
  };
}

/** An utterance whose clip has noise. */
export type NoisyUtterance = Utterance & { readonly alter: Alter };

/**
 * The utterances at each level of noise, with the words that are read there: their own, and those of the turns before
 * them, which are the turns that they have without noise, except those in which nothing was recognised.
 * @param manifest where the clips of turns are that are no utterances of this list
 */
export async function noisyUtterances(
  utterances: readonly Utterance[],
  { levels, recognise }: NoiseConditions = { levels: [] },
  stripTags: boolean,
  manifest: Pick<Manifest, 'utterances'> | undefined,
): Promise<readonly (readonly NoisyUtterance[])[]> {
  const noisyId = (id: string, snrDb: number): string => `${id}\u00a0(SNR ${snrDb} dB)`;
  const noisy = levels.map(({ snrDb, alter }) =>
    utterances.map((utterance) => ({ ...utterance, id: noisyId(utterance.id, snrDb), alter })),
  );
  if (recognise === undefined) return noisy;
  const turns = new Set(utterances.flatMap(({ history = [] }) => history.map(({ id }) => id)));
  const own = new Set(utterances.map(({ id }) => id));
  const others = (manifest?.utterances ?? []).filter(({ id }) => turns.has(id) && !own.has(id));
  const clips = [...utterances, ...others];
  const texts = await recognise(
    levels.flatMap(({ snrDb, alter }) =>
      clips.map(({ id, path }) => ({ id: noisyId(id, snrDb), path, alter })),
    ),
  );
  return noisy.map((atLevel, level) => {
    const heard = texts.slice(level * clips.length, (level + 1) * clips.length);
    const words = heard.map((text) => (stripTags ? withoutTags(text) : text));
    const wordsOf = new Map(clips.map(({ id }, index) => [id, words[index]!]));
    return atLevel.map((utterance, index) => ({
      ...utterance,
      text: words[index]!,
      ...(utterance.history && {
        history: utterance.history
          .map((turn) => ({ ...turn, text: wordsOf.get(turn.id ?? '') ?? turn.text }))
          .filter(({ text }) => text.trim() !== ''),
      }),
    }));
  });
}

/** Edits in words, in lower case and without punctuation, over the utterances with a given text. */
function wordErrors(
  utterances: readonly Utterance[],
  read: readonly Pick<Utterance, 'text'>[],
  manifest: Pick<Manifest, 'utterances'>,
): EditCount {
  const given = new Map(manifest.utterances.map(({ id, text }) => [id, text]));
  const counts = utterances.map(({ id }, index) => {
    const reference = plainText(withoutTags(given.get(id)!));
    return reference === '' ? { edits: 0, of: 0 } : textEdits(reference, plainText(read[index]!.text)).words;
  });
  const sum = (of: (count: EditCount) => number): number =>
    counts.reduce((total, count) => total + of(count), 0);
  return { edits: sum(({ edits }) => edits), of: sum(({ of }) => of) };
}
