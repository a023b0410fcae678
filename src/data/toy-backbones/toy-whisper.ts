/** @file A small random Whisper in the real Hugging Face format, decoder included, which its encoder does without. */

import { join } from 'node:path';
import { writeJsonAtomic } from '../../base/index.js';
import { tensor } from '../../engine/tensor/index.js';
import { weightMaker, writeModel } from './model-files.js';

const SIZES = {
  width: 64,
  layers: 2,
  heads: 4,
  feedForward: 128,
  melBins: 80,
  /** Published models have windows of 30 s. */
  windowSec: 5,
  vocabulary: 16,
  targetPositions: 8,
};

/** Frames of a window, 50 a second. */
const POSITIONS = 50 * SIZES.windowSec;

/** Writes a folder (WhisperModel): config, preprocessor settings and weights. */
export async function writeToyWhisper(dir: string, seed: number): Promise<void> {
  const { width, layers, heads, feedForward, melBins, windowSec, vocabulary, targetPositions } = SIZES;
  const { weights, constant, normal, linear, layerNorm } = weightMaker(seed, 'whisper');
  const attention = (key: string): void => {
    for (const part of ['q', 'k', 'v']) linear(`${key}.${part}_proj`, width, width, { bias: part !== 'k' });
    linear(`${key}.out_proj`, width, width, { gain: 0.5 });
  };
  const feed = (key: string): void => {
    linear(`${key}.fc1`, feedForward, width, { gain: Math.SQRT2 });
    linear(`${key}.fc2`, width, feedForward, { gain: 0.5 });
    layerNorm(`${key}.final_layer_norm`, width);
  };
  const selfAttention = (key: string): void => {
    attention(`${key}.self_attn`);
    layerNorm(`${key}.self_attn_layer_norm`, width);
  };

  [melBins, width].forEach((inputs, index) => {
    const key = `encoder.conv${index + 1}`;
    // Spectrograms are small beside the positions that are added to what these make of them.
    normal(`${key}.weight`, [width, inputs, 3], 2 / Math.sqrt(3 * inputs));
    constant(`${key}.bias`, [width], 0);
  });
  weights.push(['encoder.embed_positions.weight', tensor('float32', [POSITIONS, width], sinusoids())]);
  for (let layer = 0; layer < layers; layer++) {
    selfAttention(`encoder.layers.${layer}`);
    feed(`encoder.layers.${layer}`);
  }
  layerNorm('encoder.layer_norm', width);

  normal('decoder.embed_tokens.weight', [vocabulary, width], 0.2);
  normal('decoder.embed_positions.weight', [targetPositions, width], 0.02);
  selfAttention('decoder.layers.0');
  attention('decoder.layers.0.encoder_attn');
  layerNorm('decoder.layers.0.encoder_attn_layer_norm', width);
  feed('decoder.layers.0');
  layerNorm('decoder.layer_norm', width);

  await writeJsonAtomic(join(dir, 'preprocessor_config.json'), {
    chunk_length: windowSec,
    feature_extractor_type: 'WhisperFeatureExtractor',
    feature_size: melBins,
    hop_length: 160,
    n_fft: 400,
    n_samples: windowSec * 16_000,
    nb_max_frames: windowSec * 100,
    padding_side: 'right',
    padding_value: 0,
    return_attention_mask: false,
    sampling_rate: 16_000,
  });
  await writeModel(dir, weights, {
    architectures: ['WhisperModel'],
    model_type: 'whisper',
    activation_function: 'gelu',
    bos_token_id: 1,
    d_model: width,
    decoder_attention_heads: heads,
    decoder_ffn_dim: feedForward,
    decoder_layers: 1,
    decoder_start_token_id: 1,
    encoder_attention_heads: heads,
    encoder_ffn_dim: feedForward,
    encoder_layers: layers,
    eos_token_id: 2,
    max_source_positions: POSITIONS,
    max_target_positions: targetPositions,
    num_mel_bins: melBins,
    pad_token_id: 0,
    scale_embedding: false,
    vocab_size: vocabulary,
  });
}

/** Whisper's positions [POSITIONS, width]: sines of wave lengths from 2 pi to 20,000 pi, then cosines. */
function sinusoids(): Float32Array {
  const { width } = SIZES;
  const half = width / 2;
  return Float32Array.from({ length: POSITIONS * width }, (_, place) => {
    const [position, channel] = [Math.floor(place / width), place % width];
    const angle = position * 10_000 ** (-(channel % half) / (half - 1));
    return channel < half ? Math.sin(angle) : Math.cos(angle);
  });
}
