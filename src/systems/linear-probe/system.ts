/**
 * @file The linear probe: a linear classifier, or a small MLP, on an encoder's frozen features. It is the baseline of
 * the EmoBox benchmark (Ma et al., 2024) for comparing self-supervised encoders.
 */

import { requireWeight, trainedTensor } from '../../checkpoints/index.js';
import { add, cast, mul, relu, softmax, type Value, withScope } from '../../engine/onnx/index.js';
import { type Tensor, tensor } from '../../engine/tensor/index.js';
import type { GraphInput } from '../../engine/training/index.js';
import {
  type BatchValues,
  crossEntropy,
  dense,
  freshParameter,
  maskedMean,
  under,
  type Weights,
} from '../../nn/index.js';
import { equallyMixed, initialEncoderLayers, withEncoderLayers } from '../encoder-layers.js';
import { audioPart, joined, labelPart, phaseParameters, wholeModel } from '../phase-graphs.js';
import { encoderProblems } from '../settings.js';
import { audioStatistics, describeEncoder, inspectEncoder, pooledFeatures } from '../speech-features.js';
import type { Phase, PhaseContext, PhaseGraphs, PhaseNeeds, System } from '../system.js';
import { type ProbeRecipe, probeSchema } from './settings.js';

const PROBE = 'probe';
const NEEDS: PhaseNeeds = { audio: true, text: false, backbones: [] };

/** The linear probe, or with `probe.hidden` the benchmark's MLP. */
export const linearProbe: System<ProbeRecipe> = {
  kind: 'linear-probe',
  title: "a linear classifier, or an MLP, on an encoder's frozen features",
  schema: probeSchema,
  phaseTitles: { [PROBE]: 'probe' },
  promptedPhases: [],
  unscoredPhases: [],
  problems: async (values) => encoderProblems(values),
  phases: () => [PROBE],
  missingPhase: () => undefined,
  settings: ({ probe }) => probe,
  settingsWarning: noiseWarning,
  startsFrom: () => undefined,
  views: () => ({ audio: true, text: false }),
  missingEmbedding: () => undefined,
  missingAttention: () =>
    'is of a linear probe, which weighs all frames of a clip alike and has no attention',
  needs: () => NEEDS,
  review: async () => undefined,
  open: openProbe,
};

/** A warning if the scale of the probe's input makes noise of training large. */
function noiseWarning({ encoder, probe }: ProbeRecipe): string | undefined {
  const { dropout, mask_frames, mask_channels, train } = encoder;
  const noise = [
    ...(train !== 'frozen' && dropout > 0 ? ['encoder.dropout'] : []),
    ...(mask_frames > 0 ? ['encoder.mask_frames'] : []),
    ...(mask_channels > 0 ? ['encoder.mask_channels'] : []),
  ];
  if (noise.length === 0 || probe.hidden > 0 || !probe.standardize) return undefined;
  return `probe.standardize scales the means of clips, which differ little, and with them the noise of ${noise.join(' and ')}; set it to 0, probe.standardize to false, or probe.hidden to the width of a layer before the mean`;
}

/** The sizes of a probe. */
export interface ProbeSizes {
  /** Channels d_a of a frame. */
  readonly audioWidth: number;
  /** Hidden units h; 0 for none. */
  readonly hidden: number;
  /** Scale and shift each channel of the first layer's input. */
  readonly standardize: boolean;
  readonly classes: number;
}

/**
 * The graphs of a probe over C classes: features x [N, L, d_a] with mask m [N, L] to class logits [N, C]. With h hidden
 * units, z = mean over unmasked frames of ReLU(W_1 n(x) + b_1) and the logits are W_2 z + b_2; without hidden units, z
 * = n(mean of x). n is an optional scale and shift of each channel.
 */
export function probeGraphs({
  audioWidth,
  hidden,
  standardize,
  classes,
}: ProbeSizes): Omit<PhaseGraphs, 'frozen'> {
  const inputs: GraphInput[] = [
    { name: 'audio_features', dtype: 'float16', shape: ['batch', 'frames', audioWidth] },
    { name: 'frame_mask', dtype: 'int64', shape: ['batch', 'frames'] },
  ];
  const classify = (weights: Weights, batch: BatchValues): { pooled: Value; logits: Value } => {
    const own = under(weights, PROBE_PREFIX);
    const normed = (x: Value): Value =>
      standardize ? add(mul(x, own(NORM.scale, [audioWidth])), own(NORM.shift, [audioWidth])) : x;
    const mean = (x: Value): Value => withScope(x.graph, 'pooling', () => maskedMean(x, batch.frame_mask!));
    const features = cast(batch.audio_features!, 'float32');
    const pooled =
      hidden === 0 ? normed(mean(features)) : mean(relu(dense(own, 'hidden', normed(features), hidden)));
    return { pooled, logits: dense(own, 'out', pooled, classes) };
  };
  return {
    name: PROBE,
    inputs,
    targets: [{ name: 'labels', dtype: 'int64', shape: ['batch'] }],
    isTrainable: () => true,
    loss: (weights, batch) => ({
      loss: crossEntropy(classify(weights, batch).logits, batch.labels!),
      reported: {},
    }),
    forward: (weights, batch) => {
      const { pooled, logits } = classify(weights, batch);
      return { probabilities: softmax(logits), embedding: pooled };
    },
  };
}

/** Key prefix of the parameters in checkpoints, and keys below it. */
const PROBE_PREFIX = 'probe.';
const NORM = { scale: 'norm.weight', shift: 'norm.bias' };

async function openProbe(recipe: ProbeRecipe, _phase: string, context: PhaseContext): Promise<Phase> {
  const mayBeAbsent = context.weights === 'shapes-only';
  const encoder = await describeEncoder(recipe, { mayBeAbsent });
  const { width, held, warning } = encoder;
  const { hidden, standardize } = recipe.probe;
  const sizes = { audioWidth: width, hidden, standardize, classes: recipe.labels.length };
  const graphs = withEncoderLayers(probeGraphs(sizes), encoder, recipe.encoder);
  const parameters = phaseParameters(graphs);
  const noLengths = { inputs: {}, targets: {} };
  return {
    ...graphs,
    title: 'probe',
    needs: NEEDS,
    parameters,
    frozen: () => (key) => {
      throw new Error(`a probe has no frozen weight ${key}`);
    },
    prompt: undefined,
    hasOwnPrompt: true,
    readsGender: false,
    textLimit: undefined,
    vocabulary: 0,
    checkpoints: [],
    notes: [],
    warnings: mayBeAbsent && warning !== undefined ? [warning] : [],
    inspectBackbones: async () => {
      const { identity, warning: unread } = await inspectEncoder(recipe);
      return { identities: { encoder: identity }, warnings: unread === undefined ? [] : [unread] };
    },
    encode: ({ id, path, label }) => ({
      kind: 'example',
      example: { id, path, label: recipe.labels.indexOf(label), lengths: noLengths },
    }),
    estimate: () => noLengths,
    features: (features) => features,
    sizesOf: (_lengths, frames) => ({ frames }),
    summedSizes: [],
    collate: async (examples, features, withTargets) =>
      joined([
        { tensors: {}, sizes: { batch: examples.length } },
        await audioPart(examples, features, held * width),
        ...(withTargets ? [labelPart(examples)] : []),
      ]),
    initial: async ({ examples, features, seed }) => {
      const values = new Map(
        parameters.trainable
          .filter(({ key }) => key.startsWith(PROBE_PREFIX))
          .map(({ key, shape }) => [key, freshParameter(key, shape, seed)]),
      );
      const below = await initialEncoderLayers(parameters.trainable, recipe, undefined);
      for (const [key, value] of Object.entries(below)) values.set(key, value as Tensor<'float32'>);
      if (standardize) {
        // Statistics of frames; without a hidden layer, of their means, which vary much less.
        const frames = equallyMixed(features, encoder);
        const read = hidden === 0 ? pooledFeatures(frames, 1) : frames;
        const { mean, deviation } = await audioStatistics(examples, read, width, seed);
        // Do not amplify a nearly constant channel into noise.
        const least = Math.max(0.01 * Math.max(...deviation), 1e-6);
        const scale = deviation.map((value) => 1 / Math.max(value, least));
        const shift = scale.map((value, channel) => -value * mean[channel]!);
        values.set(PROBE_PREFIX + NORM.scale, tensor('float32', [width], scale));
        values.set(PROBE_PREFIX + NORM.shift, tensor('float32', [width], shift));
      }
      return Object.fromEntries(values);
    },
    ...(!mayBeAbsent && {
      standalone: async (trained) => [
        wholeModel(graphs, {
          name: PROBE,
          description: 'linear probe: speech features to probabilities of the labels',
          weight: (key, shape) => trainedTensor(requireWeight(trained, key, shape)),
        }),
      ],
    }),
  };
}
