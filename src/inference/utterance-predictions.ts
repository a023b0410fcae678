/** @file What a model says about labelled utterances, as they are and under noise. */

import { InterruptedError } from '../base/index.js';
import type { Alter } from '../data/audio/index.js';
import {
  dialogueOf,
  historiesOf,
  type Manifest,
  type Utterance,
  withoutTags,
} from '../data/corpora/index.js';
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

/** Noise, and the corpus of the utterances, with their given texts and what was said before them. */
export interface NoisyCorpus extends NoiseConditions {
  readonly manifest: Manifest;
}

/** What is predicted besides the utterances as they are. */
export interface PredictionOptions<Noise extends NoiseConditions = NoiseConditions> {
  readonly noise?: Noise | undefined;
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

/** What messages call a model, and the fold that its predictions belong to. */
export interface PredictedSource {
  readonly source: string;
  readonly fold: number | null;
}

/** A run as the source of predictions. */
export const sourceOf = ({ folder, metadata }: TrainedModel): PredictedSource => ({
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
  { source, fold, noise, onProgress }: PredictedSource & PredictionOptions<NoisyCorpus>,
): Promise<UtterancePredictions> {
  const examples = encodeAll(phase, utterances);
  const view = { stripTags: recipe.strip_tags, history: phase.prompt?.history ?? 0 };
  const noisy = noise === undefined ? [] : await noisyUtterances(utterances, noise, view);
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
  let cutUnderNoise = 0;
  for (const [level, heard] of noisy.entries()) {
    const asRead = encodeAll(phase, heard);
    cutUnderNoise += countCutTexts(asRead);
    const answers = await inferred(asRead, examples.length * (1 + level));
    atLevels.push(examples.map((example, index) => scored(example, index, answers[index]!.probabilities)));
  }
  const recognises = noise?.recognise !== undefined;
  const underNoise = { clips: 0, texts: recognises ? cutUnderNoise : 0, total: noisy.flat().length };
  const lengths = { clips: features.cropped, texts: countCutTexts(examples), total: examples.length };
  return {
    predictions: examples.map((example, index) => scored(example, index, whole[index]!.probabilities)),
    underNoise: atLevels,
    ...(recognises && {
      wordErrors: [utterances, ...noisy].map((read) => wordErrors(utterances, read, noise.manifest)),
    }),
    embeddings: whole.map(({ embedding }) => embedding),
    cut: [
      ...cutNotes(recipe, phase, lengths),
      ...cutNotes(recipe, phase, underNoise).map((text) => `under noise, ${text}`),
    ],
  };
}

/** An utterance whose clip has noise. */
export type NoisyUtterance = Utterance & { readonly alter: Alter };

/**
 * The utterances at each level of noise. With a recogniser, their words and those of what was said before them are what
 * it hears there: they are read as those of a corpus would be that was prepared from the noisy clips.
 * @param view the most earlier turns that the model reads, and whether tags are taken out of texts
 * @throws InputError as `recognise`, also for the clip of an earlier turn
 */
export async function noisyUtterances(
  utterances: readonly Utterance[],
  { levels, recognise, manifest }: NoisyCorpus,
  { stripTags, history }: { readonly stripTags: boolean; readonly history: number },
): Promise<readonly (readonly NoisyUtterance[])[]> {
  const noisyId = (id: string, snrDb: number): string => `${id}\u00a0(SNR ${snrDb} dB)`;
  const noisy = levels.map(({ snrDb, alter }) =>
    utterances.map((utterance) => ({ ...utterance, id: noisyId(utterance.id, snrDb), alter })),
  );
  if (recognise === undefined) return noisy;
  const readsTurns = history > 0 && utterances.some((utterance) => utterance.history !== undefined);
  const rows = readsTurns ? withTheirDialogues(utterances, manifest) : utterances;
  const clips = rows.filter(({ path }) => path !== '');
  const texts = await recognise(
    levels.flatMap(({ snrDb, alter }) =>
      clips.map(({ id, path }) => ({ id: noisyId(id, snrDb), path, alter })),
    ),
  );
  return noisy.map((atLevel, level) => {
    const textOf = new Map(clips.map(({ id }, index) => [id, texts[level * clips.length + index]!]));
    const heard = rows.map((row) => ({ ...row, text: textOf.get(row.id) ?? row.recognised ?? '' }));
    const view = { history, stripTags, text: 'recognised' } as const;
    const histories = readsTurns ? historiesOf(manifest, heard, view) : undefined;
    return atLevel.map((utterance, index) => {
      const { id } = utterances[index]!;
      const text = textOf.get(id)!;
      return {
        ...utterance,
        text: stripTags ? withoutTags(text) : text,
        ...(histories && { history: histories.get(id)! }),
      };
    });
  });
}

/** Utterances, and those of a manifest that are in one dialogue with one of them. */
function withTheirDialogues(
  utterances: readonly Utterance[],
  manifest: Pick<Manifest, 'utterances'>,
): readonly Utterance[] {
  const placeOf = ({ split, session, dialogue = '' }: Utterance): string =>
    JSON.stringify([split, session, dialogue]);
  const ids = new Set(utterances.map(({ id }) => id));
  const own = manifest.utterances.filter(({ id }) => ids.has(id));
  const places = new Set(own.filter(({ dialogue = '' }) => dialogue !== '').map(placeOf));
  return manifest.utterances.filter((each) => ids.has(each.id) || places.has(placeOf(each)));
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
