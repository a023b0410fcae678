/** @file The config of a Whisper checkpoint (Radford et al., 2022), as far as its encoder goes. */

import { z } from 'zod';
import { InputError } from '../../../base/index.js';
import type { RawConfig } from '../../backbone-family.js';
import {
  checkDivides,
  checkModelType,
  headCount,
  layerCount,
  only,
  parseFields,
  width,
} from '../../backbone-family.js';
import type { Preprocessor } from '../preprocessor.js';
import type { SpeechEncoderConfig } from '../speech-encoder.js';

/** Config of the encoder. */
export interface WhisperConfig extends SpeechEncoderConfig {
  numAttentionHeads: number;
  intermediateSize: number;
  /** Bands of the log-mel spectrogram. */
  numMelBins: number;
  /** Frames of a window, half as many as its spectrogram has. */
  maxSourcePositions: number;
}

/** Samples of a step of the spectrogram, 10 ms, and of a frame of the encoder. */
export const HOP_SAMPLES = 160;
export const FRAME_SAMPLES = 2 * HOP_SAMPLES;

/** Samples of a window of the Fourier transform, 25 ms. */
export const FFT_SAMPLES = 400;

const SAMPLE_RATE_HZ = 16_000;

/** Far above the published models, which have 1,500 (30 s): the cost of a window grows with its square. */
const positions = z
  .int()
  .positive()
  .max(1 << 15);

/** More would have bands between the lines of the spectrum, which hold nothing; published models have 80 or 128. */
const melBins = z.int().positive().max(256);

const configFields = z.object({
  d_model: width.default(384),
  encoder_layers: layerCount.default(4),
  encoder_attention_heads: headCount.default(6),
  encoder_ffn_dim: width.default(1536),
  num_mel_bins: melBins.default(80),
  max_source_positions: positions.default(1500),
  activation_function: only('gelu').default('gelu'),
  scale_embedding: only(false).default(false),
});

/** Settings of WhisperFeatureExtractor. Its mel filters follow from them, and are stored in some files all the same. */
const preprocessorFields = z.object({
  feature_size: melBins.optional(),
  sampling_rate: only(SAMPLE_RATE_HZ).default(SAMPLE_RATE_HZ),
  n_fft: only(FFT_SAMPLES).default(FFT_SAMPLES),
  hop_length: only(HOP_SAMPLES).default(HOP_SAMPLES),
  chunk_length: z.int().positive().optional(),
  padding_value: only(0).default(0),
  dither: only(0).default(0),
  do_normalize: only(false).default(false),
});

/**
 * Parses config.json, and preprocessor_config.json if present.
 * @throws InputError naming the file and key of anything that is not supported, or does not fit the other file
 */
export function parseWhisperConfig(raw: RawConfig, path: string, preprocessor?: Preprocessor): WhisperConfig {
  checkModelType(raw, 'whisper', path);
  const fields = parseFields(configFields, raw, path);
  const heads = fields.encoder_attention_heads;
  checkDivides(path, 'd_model', fields.d_model, 'encoder_attention_heads', heads);
  const config = {
    hiddenSize: fields.d_model,
    numHiddenLayers: fields.encoder_layers,
    numAttentionHeads: heads,
    intermediateSize: fields.encoder_ffn_dim,
    numMelBins: fields.num_mel_bins,
    maxSourcePositions: fields.max_source_positions,
    doNormalize: false,
  };
  if (preprocessor !== undefined) checkPreprocessor(preprocessor, config);
  return config;
}

/** Whisper never normalises waveforms. @throws InputError if the settings are not Whisper's */
export function normalizesNothing({ raw, path }: Preprocessor): boolean {
  return parseFields(preprocessorFields, raw, path).do_normalize;
}

/** Samples of a window: 480,000 (30 s) in published models. */
export function windowSamples({ maxSourcePositions }: Pick<WhisperConfig, 'maxSourcePositions'>): number {
  return maxSourcePositions * FRAME_SAMPLES;
}

/** @throws InputError if the spectrogram of these settings is not the one that the encoder takes */
function checkPreprocessor({ raw, path }: Preprocessor, config: WhisperConfig): void {
  const { feature_size: size, chunk_length: chunkSec } = parseFields(preprocessorFields, raw, path);
  const { numMelBins, maxSourcePositions } = config;
  if (size !== undefined && size !== numMelBins) {
    throw new InputError(
      `model config ${path}: feature_size ${size} is not the ${numMelBins} of num_mel_bins in config.json`,
    );
  }
  if (chunkSec !== undefined && chunkSec * SAMPLE_RATE_HZ !== windowSamples(config)) {
    throw new InputError(
      `model config ${path}: chunk_length ${chunkSec} (seconds) is not what max_source_positions ${maxSourcePositions} in config.json stands for, at 50 a second`,
    );
  }
}
