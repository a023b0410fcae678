/**
 * @file The log-mel spectrogram of Whisper (Radford et al., 2022, section 2.2) as a graph fragment, as computed by
 * WhisperFeatureExtractor. The Fourier transform is a product with a matrix of windowed sines and cosines, so that it
 * runs wherever products do.
 */

import {
  add,
  arange,
  constant,
  div,
  gather,
  log,
  matmul,
  max,
  min,
  mul,
  neg,
  reduceMax,
  scalar,
  sub,
  unsqueeze,
  type Value,
} from '../../../engine/onnx/index.js';
import { float32, int64 } from '../../../engine/tensor/index.js';
import { FFT_SAMPLES, HOP_SAMPLES } from './config.js';

/** Frequencies of the spectrum, from 0 to the Nyquist frequency of 8 kHz. */
const FREQUENCIES = FFT_SAMPLES / 2 + 1;
const NYQUIST_HZ = 8000;

/** Power below which all is the same silence. */
const LEAST_POWER = 1e-10;

/** Powers of ten below the loudest of the window that remain. */
const RANGE = 8;

/**
 * Windows of equal length, float32 [N, samples], to [N, samples / 160, bands]. The loudest power of a window decides
 * what is silence in it.
 * @param samples a multiple of 160
 */
export function logMel(waveforms: Value, samples: number, bands: number): Value {
  const { graph } = waveforms;
  const segments = gather(waveforms, segmentSamples(waveforms, samples), 1); // [N, T, 400]
  // Plain MatMul: weights of Gemm may be quantized, and these must not be.
  const parts = matmul(segments, constant(graph, float32([FFT_SAMPLES, 2 * FREQUENCIES], fourierMatrix())));
  // The sum of the squares of both parts is the power; the filters of a band take it over both at once.
  const filters = melFilters(bands);
  const power = matmul(
    mul(parts, parts),
    constant(graph, float32([2 * FREQUENCIES, bands], Float32Array.from([...filters, ...filters]))),
  );
  const level = div(log(max(power, LEAST_POWER)), Math.LN10); // [N, T, bands]
  const audible = max(level, sub(reduceMax(level, [1, 2], true), RANGE));
  return div(add(audible, 4), 4);
}

/**
 * Which samples the Fourier transform of each step reads: int64 [T, 400], centred on the step, and reflected at both
 * ends of the window. PyTorch's torch.stft gives one step more at the end, which Whisper drops.
 */
function segmentSamples({ graph }: Value, samples: number): Value {
  const steps = samples / HOP_SAMPLES;
  const starts = sub(mul(arange(scalar(graph, steps, 'int64'), steps), HOP_SAMPLES), FFT_SAMPLES / 2);
  const taps = constant(graph, int64([1, FFT_SAMPLES], [...Array(FFT_SAMPLES).keys()]));
  const positions = add(unsqueeze(starts, [1]), taps);
  const fromStart = max(positions, neg(positions));
  return min(fromStart, sub(2 * (samples - 1), fromStart));
}

/** [400, 402]: cosines of all frequencies, then sines, times a periodic Hann window. */
function fourierMatrix(): Float32Array {
  const matrix = new Float32Array(FFT_SAMPLES * 2 * FREQUENCIES);
  for (let sample = 0; sample < FFT_SAMPLES; sample++) {
    const window = 0.5 - 0.5 * Math.cos((2 * Math.PI * sample) / FFT_SAMPLES);
    for (let frequency = 0; frequency < FREQUENCIES; frequency++) {
      // Reduced to one turn, where the angle is most precise.
      const angle = (2 * Math.PI * ((sample * frequency) % FFT_SAMPLES)) / FFT_SAMPLES;
      const row = sample * 2 * FREQUENCIES;
      matrix[row + frequency] = window * Math.cos(angle);
      matrix[row + FREQUENCIES + frequency] = window * Math.sin(angle);
    }
  }
  return matrix;
}

/**
 * The filter bank of Slaney's Auditory Toolbox (1998), as librosa and transformers have it: triangles of equal area,
 * evenly spaced on the mel scale from 0 to 8 kHz. [201, bands]
 */
export function melFilters(bands: number): Float32Array {
  const top = melOf(NYQUIST_HZ);
  const corners = Array.from({ length: bands + 2 }, (_, corner) => hertzOf((top * corner) / (bands + 1)));
  const filters = new Float32Array(FREQUENCIES * bands);
  for (let band = 0; band < bands; band++) {
    const [low, peak, high] = corners.slice(band, band + 3) as [number, number, number];
    for (let frequency = 0; frequency < FREQUENCIES; frequency++) {
      const hertz = (NYQUIST_HZ * frequency) / (FREQUENCIES - 1);
      const height = Math.min((hertz - low) / (peak - low), (high - hertz) / (high - peak));
      filters[frequency * bands + band] = (Math.max(0, height) * 2) / (high - low);
    }
  }
  return filters;
}

/** Slaney's mel scale is linear up to here, and logarithmic above. */
const LINEAR_HZ = 1000;
const LINEAR_MELS = 15;
const MELS_PER_NEPER = 27 / Math.log(6.4);

function melOf(hertz: number): number {
  if (hertz < LINEAR_HZ) return (hertz * LINEAR_MELS) / LINEAR_HZ;
  return LINEAR_MELS + Math.log(hertz / LINEAR_HZ) * MELS_PER_NEPER;
}

function hertzOf(mels: number): number {
  if (mels < LINEAR_MELS) return (mels * LINEAR_HZ) / LINEAR_MELS;
  return LINEAR_HZ * Math.exp((mels - LINEAR_MELS) / MELS_PER_NEPER);
}
