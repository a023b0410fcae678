/**
 * @file The encoder of Whisper (Radford et al., 2022) as a graph fragment from waveforms: windows of 30 s, their
 * log-mel spectrograms, two convolutions, pre-norm transformer layers.
 *
 * Whisper was trained on windows of 30 s, silence added, and its layers attend to that silence. So a short clip costs
 * as much as 30 s of audio: less silence would give other features.
 */

import {
  add,
  arange,
  cast,
  concat,
  constant,
  div,
  floorDivideDim,
  gather,
  gelu,
  int64Vector,
  less,
  linear,
  mul,
  multiplyDims,
  pad,
  reduceSum,
  reshape,
  reshapeTo,
  sizeOf,
  sliceTo,
  sub,
  transpose,
  unsqueeze,
  type Value,
  withScope,
} from '../../../engine/onnx/index.js';
import { int64 } from '../../../engine/tensor/index.js';
import { asStored, dense, multiHeadAttention, norm, under, type Weights } from '../../../nn/index.js';
import type { EncoderInputs, EncoderOptions, EncoderOutputs, Framing } from '../speech-encoder.js';
import { FRAME_SAMPLES, type WhisperConfig, windowSamples } from './config.js';
import { feedForward, NORM_EPSILON, unbiased } from './layer-parts.js';
import { logMel } from './log-mel.js';

/** Taps of both convolutions. */
const KERNEL = 3;

/**
 * One frame for each 20 ms of a clip that has begun: that whose middle is in the clip. This is the length that
 * WhisperModel gives for the attention mask of the clip's features.
 */
export function whisperFraming(config: WhisperConfig): Framing {
  return {
    frames: (samples) => Math.ceil(samples / FRAME_SAMPLES),
    frameSamples: FRAME_SAMPLES,
    fewestSamples: 1,
    stepSamples: windowSamples(config),
    ignoresPadding: true,
  };
}

/**
 * Waveforms to hidden states, 50 frames a second. Each clip is cut into windows of 30 s, the last one filled with
 * silence; a window has the frames that WhisperFeatureExtractor and WhisperEncoder give it alone. The layers see
 * windows, [N * windows, 1500, width].
 */
export function whisperEncoder(
  weights: Weights,
  config: WhisperConfig,
  { inputValues, attentionMask }: EncoderInputs,
  { layers = config.numHiddenLayers }: EncoderOptions = {},
): EncoderOutputs {
  const { graph } = inputValues;
  const scoped = <T>(name: string, build: () => T): T => withScope(graph, name, build);
  const windows = scoped('windows', () =>
    windowsOf(mul(inputValues, cast(attentionMask, 'float32')), config),
  );
  const spectrogram = scoped('log_mel', () => logMel(windows, windowSamples(config), config.numMelBins));
  const convolved = ['conv1', 'conv2'].reduce(
    (x, name, index) =>
      scoped(name, () => gelu(convolution(under(weights, `${name}.`), config, index + 1, x))),
    spectrogram,
  );
  // As stored: it is added, not multiplied, and stays in float32 whatever the precision of the products.
  const shape = [config.maxSourcePositions, config.hiddenSize];
  const position = cast(asStored(weights('embed_positions.weight', shape)), 'float32');
  const states = [add(convolved, position)];
  for (let layer = 0; layer < layers; layer++) {
    const name = `layers.${layer}`;
    const before = states.at(-1)!;
    states.push(scoped(name, () => transformerLayer(under(weights, `${name}.`), config, before)));
  }
  if (layers === config.numHiddenLayers) {
    states.push(scoped('layer_norm', () => norm(weights, 'layer_norm', states.pop()!, NORM_EPSILON)));
  }
  const frames = framesOf(sizeOf(inputValues, 1));
  return {
    hiddenStates: states,
    inFrames: (state) => scoped('frames', () => clipFrames(state, inputValues, frames)),
    frameMask: scoped('frames', () => {
      const order = unsqueeze(arange(frames, 'frames'), [0]);
      const counts = framesOf(reduceSum(attentionMask, [1]));
      return cast(less(order, unsqueeze(counts, [1])), 'int64');
    }),
  };
}

/** Frames of so many samples: int64 of any shape. */
function framesOf(samples: Value): Value {
  return div(add(samples, FRAME_SAMPLES - 1), FRAME_SAMPLES);
}

/** [N, samples] -> [N * windows, windowSamples], with silence after the end. */
function windowsOf(waveforms: Value, config: WhisperConfig): Value {
  const { graph } = waveforms;
  const length = windowSamples(config);
  const samples = sizeOf(waveforms, 1);
  const filled = mul(div(add(samples, length - 1), length), length);
  const missing = unsqueeze(sub(filled, samples), [0]);
  const whole = pad(waveforms, 1, int64Vector(graph, [0]), missing, multiplyDims('windows', length));
  return reshape(whole, [multiplyDims(waveforms.shape[0]!, 'windows'), length]);
}

/** [N * windows, positions, width] -> [N, frames, width]. */
function clipFrames(state: Value, inputValues: Value, frames: Value): Value {
  const { graph } = state;
  const [clips] = inputValues.shape;
  const [, positions, width] = state.shape as [unknown, number, number];
  const sizes = concat([unsqueeze(sizeOf(inputValues, 0), [0]), int64Vector(graph, [-1, width])], 0);
  const joined = reshapeTo(state, sizes, [clips!, multiplyDims('windows', positions), width]);
  return sliceTo(joined, [1], unsqueeze(frames, [0]), [clips!, 'frames', width]);
}

/**
 * The convolution `number`, 1 or 2, which is also its stride; padded by one step on either side: x [N, T, in] -> [N, T
 * / number, width]. A product over gathered windows, as in wav2vec 2.0's feature encoder.
 */
function convolution(weights: Weights, { hiddenSize }: WhisperConfig, number: number, x: Value): Value {
  const { graph } = x;
  const [, length, width] = x.shape as [unknown, number, number];
  const one = int64Vector(graph, [1]);
  const steps = floorDivideDim(length, number) as number;
  const starts = Array.from({ length: steps }, (_, step) => step * number);
  const taps = constant(graph, int64([1, KERNEL], [...Array(KERNEL).keys()]));
  const places = add(constant(graph, int64([steps, 1], starts)), taps);
  const gathered = gather(pad(x, 1, one, one, length + 2), places, 1); // [N, T', 3, in]
  const rows = reshape(gathered, [x.shape[0]!, steps, KERNEL * width]);
  const inOrder = transpose(weights('weight', [hiddenSize, width, KERNEL]), [0, 2, 1]);
  return linear(rows, reshape(inOrder, [hiddenSize, KERNEL * width]), weights('bias', [hiddenSize]));
}

/** One pre-norm layer: x [N, L, width] -> [N, L, width]. */
function transformerLayer(weights: Weights, config: WhisperConfig, x: Value): Value {
  const { graph } = x;
  const { hiddenSize: width, numAttentionHeads: heads, intermediateSize } = config;
  const attended = withScope(graph, 'self_attn', () => {
    const own = under(weights, 'self_attn.');
    const normed = norm(weights, 'self_attn_layer_norm', x, NORM_EPSILON);
    const queries = dense(own, 'q_proj', normed, width);
    const keys = unbiased(own, 'k_proj', normed);
    const values = dense(own, 'v_proj', normed, width);
    return add(x, dense(own, 'out_proj', multiHeadAttention({ queries, keys, values }, heads), width));
  });
  return feedForward(weights, attended, intermediateSize);
}
