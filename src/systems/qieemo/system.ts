/**
 * @file Qieemo (Chen et al., 2025) as a system: emotions from audio alone, by what a speech recogniser hears. Its fusion
 * modules are our reading of the paper's abstract, see fusion.ts.
 */

import { findCtcRecogniser, frameWidth } from '../../backbones/index.js';
import { requireWeight, trainedTensor } from '../../checkpoints/index.js';
import { labelCounts } from '../../data/corpora/index.js';
import { l2Normalize, softmax } from '../../engine/onnx/index.js';
import type { Tensor } from '../../engine/tensor/index.js';
import type { GraphInput, ParameterShape } from '../../engine/training/index.js';
import { affectiveLoss, crossEntropy, freshParameter, noDropout, standardizeAudio } from '../../nn/index.js';
import { accumulationWarning, affectiveLossOptions } from '../affective-loss.js';
import {
  type EncoderReading,
  equallyMixed,
  initialEncoderLayers,
  isEncoderKey,
  LOGITS,
  withEncoderLayers,
} from '../encoder-layers.js';
import { audioPart, joined, labelPart, phaseParameters, wholeModel } from '../phase-graphs.js';
import { audioStatistics, describeEncoder, inspectEncoder } from '../speech-features.js';
import type {
  Example,
  InitialContext,
  Phase,
  PhaseContext,
  PhaseGraphs,
  PhaseNeeds,
  System,
  Tensors,
} from '../system.js';
import {
  ALIGN,
  type AlignExample,
  alignExample,
  alignGraphs,
  estimatedSymbols,
  framePart,
  type Recogniser,
  reviewTranscripts,
  symbolPart,
} from './align.js';
import { FUSION_PREFIX, type FusionConfig, fuse } from './fusion.js';
import { type QieemoRecipe, qieemoProblems, qieemoSchema } from './settings.js';

const EMOTION = 'emotion';
const TITLES: Readonly<Record<string, string>> = { [ALIGN]: 'align', [EMOTION]: 'emotion' };

/** Qieemo: a posteriorgram and emotional features of a speech recogniser, fused. */
export const qieemo: System<QieemoRecipe> = {
  kind: 'qieemo',
  title: 'what a speech recogniser hears, fused with features of its middle layers',
  schema: qieemoSchema,
  phaseTitles: TITLES,
  promptedPhases: [],
  unscoredPhases: [ALIGN],
  problems: async (values) => qieemoProblems(values),
  phases: ({ emotion }) => (emotion.from_align ? [ALIGN, EMOTION] : [EMOTION]),
  missingPhase: ({ emotion }, phase) =>
    phase === ALIGN && !emotion.from_align
      ? {
          what: 'does not fine-tune its encoder on transcripts (emotion.from_align is false)',
          instead: 'train emotion alone, or --set emotion.from_align=true',
          why: 'has no phase align, because emotion.from_align is false',
        }
      : undefined,
  // What the last epoch gives: transcripts tell nothing of labels to select by.
  settings: ({ align, emotion }, phase) =>
    phase === ALIGN ? { ...align, select: 'last', select_figure: 'wf1', patience: 0 } : emotion,
  settingsWarning: ({ emotion }, phase) =>
    phase === EMOTION && emotion.loss === 'mal' ? accumulationWarning(EMOTION, emotion) : undefined,
  startsFrom: ({ emotion }, phase) =>
    phase === EMOTION && emotion.from_align
      ? {
          phase: ALIGN,
          unreadByEarlier: [
            'name',
            'labels',
            'label_map',
            'qieemo',
            'emotion',
            'encoder.layers',
            'encoder.mix',
          ],
          onlyReadByEarlier: ['align'],
          otherwise: '--set emotion.from_align=false',
        }
      : undefined,
  views: () => ({ audio: true, text: false }),
  missingEmbedding: () => undefined,
  missingAttention: () => 'is of Qieemo, which has no EmoQ-Former, whose attention would be shown',
  needs: (_, phase) => needsOf(phase),
  review: async (recipe, phase, corpus) => {
    if (phase !== ALIGN || corpus === undefined) return undefined;
    const recogniser = await findCtcRecogniser(recipe.backbones.encoder!).catch(() => undefined); // it may be absent so far
    return reviewTranscripts(corpus.train, recogniser);
  },
  ofBundle: (recipe) => ({ ...recipe, emotion: { ...recipe.emotion, from_align: false } }),
  open: (recipe, name, context) =>
    name === ALIGN ? openAlign(recipe, context) : openEmotion(recipe, context),
};

function needsOf(phase: string): PhaseNeeds {
  return { audio: true, text: phase === ALIGN, backbones: [] };
}

const noWeights: PhaseGraphs['frozen'] = () => (key) => {
  throw new Error(`a Qieemo has no frozen weight ${key}`);
};

/** What both phases are alike in. */
function common(recipe: QieemoRecipe, { width }: EncoderReading, warning: string | undefined) {
  const inputs: readonly GraphInput[] = [
    { name: 'audio_features', dtype: 'float16', shape: ['batch', 'frames', width] },
    { name: 'frame_mask', dtype: 'int64', shape: ['batch', 'frames'] },
  ];
  return {
    inputs,
    phase: {
      frozen: noWeights,
      prompt: undefined,
      hasOwnPrompt: true,
      readsGender: false,
      textLimit: undefined,
      vocabulary: 0,
      checkpoints: [],
      notes: [],
      warnings: warning === undefined ? [] : [warning],
      inspectBackbones: async () => {
        const { identity, warning: unread } = await inspectEncoder(recipe);
        return { identities: { encoder: identity }, warnings: unread === undefined ? [] : [unread] };
      },
      features: (features) => features,
      summedSizes: [],
    } satisfies Partial<Phase>,
  };
}

async function openAlign(recipe: QieemoRecipe, { weights }: PhaseContext): Promise<Phase<AlignExample>> {
  const mayBeAbsent = weights === 'shapes-only';
  const whole = await describeEncoder(recipe, { mayBeAbsent });
  // Logits alone: no hidden state is read.
  const encoder = { ...whole, upper: { ...whole.upper!, below: 0, read: [] } };
  const recogniser = await openRecogniser(recipe).catch((error: unknown) => {
    if (mayBeAbsent) return undefined;
    throw error;
  });
  const { targets } = recipe.align;
  const blank = recogniser?.blank ?? 0;
  const { inputs, phase } = common(recipe, encoder, mayBeAbsent ? whole.warning : undefined);
  const graphs = withEncoderLayers(alignGraphs(inputs, targets, blank), encoder, recipe.encoder);
  const parameters = phaseParameters(graphs);
  return {
    ...graphs,
    ...phase,
    title: TITLES[ALIGN]!,
    needs: needsOf(ALIGN),
    parameters,
    ...(recogniser && { encode: (utterance) => alignExample(utterance, targets, recogniser) }),
    estimate: (utterance) => ({
      inputs: {},
      targets: estimatedSymbols(utterance?.text),
    }),
    sizesOf: (lengths, frames) => ({ frames, ...lengths.targets }),
    collate: async (examples, features, withTargets) => {
      const audio = await audioPart(examples, features, frameWidth(encoder));
      return joined([
        { tensors: {}, sizes: { batch: examples.length } },
        audio,
        ...(withTargets ? [symbolPart(examples, blank)] : []),
        ...(withTargets && targets === 'words' ? [framePart(examples, audio.sizes.frames!, blank)] : []),
      ]);
    },
    initial: () => initialEncoderLayers(parameters.trainable, recipe, undefined),
  };
}

/** What the encoder recognises with. @throws InputError if it has no CTC head, or no vocabulary */
async function openRecogniser({ backbones }: QieemoRecipe): Promise<Recogniser> {
  const { vocabulary, frameSec } = await findCtcRecogniser(backbones.encoder!);
  return { vocabulary, frameSec, blank: vocabulary.symbols.indexOf(vocabulary.blank) };
}

/** The graphs of the emotion phase. @param trainingCounts utterances of each label in training, for `loss: mal` */
export function emotionGraphs(
  { emotion }: Pick<QieemoRecipe, 'emotion'>,
  config: FusionConfig,
  inputs: readonly GraphInput[],
  trainingCounts: readonly number[],
): Omit<PhaseGraphs, 'frozen'> {
  const losses = affectiveLossOptions(emotion, trainingCounts);
  return {
    name: EMOTION,
    inputs,
    targets: [{ name: 'labels', dtype: 'int64', shape: ['batch'] }],
    isTrainable: () => true,
    loss: (weights, batch, dropout) => {
      const { embedding, logits } = fuse(weights, config, streamsOf(batch), dropout);
      if (emotion.loss === 'cross_entropy')
        return { loss: crossEntropy(logits, batch.labels!), reported: {} };
      const { loss, contrastive, focal } = affectiveLoss(
        l2Normalize(embedding),
        logits,
        batch.labels!,
        losses,
      );
      return { loss, reported: { contrastive_loss: contrastive, focal_loss: focal } };
    },
    forward: (weights, batch) => {
      const { embedding, logits } = fuse(weights, config, streamsOf(batch), noDropout);
      return { probabilities: softmax(logits), embedding };
    },
  };
}

function streamsOf(batch: Parameters<PhaseGraphs['forward']>[1]): Parameters<typeof fuse>[2] {
  return { features: batch.audio_features, logits: batch[LOGITS], mask: batch.frame_mask! };
}

function fusionConfig({ qieemo: sizes, labels }: QieemoRecipe): FusionConfig {
  const { width, mmf, cma, heads, feed_forward, head_hidden, dropout } = sizes;
  return {
    ...{ width, mmf, cma, heads, dropout },
    feedForward: feed_forward,
    headHidden: head_hidden,
    classes: labels.length,
  };
}

async function openEmotion(recipe: QieemoRecipe, { weights, corpus }: PhaseContext): Promise<Phase> {
  const mayBeAbsent = weights === 'shapes-only';
  const encoder = await describeEncoder(recipe, { mayBeAbsent });
  const { inputs, phase } = common(recipe, encoder, mayBeAbsent ? encoder.warning : undefined);
  const counts = corpus ? labelCounts(corpus.train, recipe.labels) : recipe.labels.map(() => 1);
  const own = emotionGraphs(recipe, fusionConfig(recipe), inputs, counts);
  const graphs = withEncoderLayers(own, encoder, recipe.encoder);
  const parameters = phaseParameters(graphs);
  const noLengths = { inputs: {}, targets: {} };
  return {
    ...graphs,
    ...phase,
    title: TITLES[EMOTION]!,
    needs: needsOf(EMOTION),
    parameters,
    encode: ({ id, path, label }) => ({
      kind: 'example',
      example: { id, path, label: recipe.labels.indexOf(label), lengths: noLengths },
    }),
    estimate: () => noLengths,
    sizesOf: (_, frames) => ({ frames }),
    collate: async (examples, features, withTargets) =>
      joined([
        { tensors: {}, sizes: { batch: examples.length } },
        await audioPart(examples, features, frameWidth(encoder)),
        ...(withTargets ? [labelPart(examples)] : []),
      ]),
    initial: (context) => initialValues(parameters.trainable, recipe, encoder, context),
    ...(!mayBeAbsent && {
      standalone: async (trained) => [
        wholeModel(graphs, {
          name: 'qieemo',
          description: 'Qieemo: speech features to probabilities of the labels',
          weight: (key, shape) => trainedTensor(requireWeight(trained, key, shape)),
        }),
      ],
    }),
  };
}

/** New modules, whose emotion stream begins by standardising each channel of the features; the encoder's own layers. */
async function initialValues(
  parameters: readonly ParameterShape[],
  recipe: QieemoRecipe,
  encoder: EncoderReading,
  { examples, features, seed, from }: InitialContext<Example>,
): Promise<Tensors> {
  const below = await initialEncoderLayers(parameters, recipe, from);
  const values = new Map<string, Tensor<'float32'>>();
  for (const { key, shape } of parameters) {
    if (!isEncoderKey(key)) values.set(key, freshParameter(key, shape, seed));
  }
  if (encoder.heldUntrained > 0) {
    const states = equallyMixed(features, encoder);
    const statistics = await audioStatistics(examples, states, encoder.width, seed);
    standardizeAudio(values, `${FUSION_PREFIX}emotion_projection`, statistics);
  }
  return { ...below, ...Object.fromEntries(values) };
}
