/** @file Interface of a speech encoder family. */

import type { Weights } from '../../nn/index.js';
import type { EncoderFamily, RawConfig } from '../backbone-family.js';
import type { Preprocessor, Wav2Vec2Config } from './wav2vec2/config.js';
import type { Wav2Vec2Inputs, Wav2Vec2Options, Wav2Vec2Outputs } from './wav2vec2/encoder.js';

/** Config of a speech encoder. All families have the same settings as wav2vec 2.0. */
export type SpeechEncoderConfig = Wav2Vec2Config;

export interface SpeechEncoderFamily extends EncoderFamily<SpeechEncoderConfig> {
  /**
   * Parses config.json, and preprocessor_config.json if present.
   * @throws InputError naming the file and key of anything that is not supported
   */
  parseConfig(raw: RawConfig, path: string, preprocessor?: Preprocessor): SpeechEncoderConfig;
  /** Waveforms to hidden states; weights by their keys without prefix. */
  encoder(
    weights: Weights,
    config: SpeechEncoderConfig,
    inputs: Wav2Vec2Inputs,
    options?: Wav2Vec2Options,
  ): Wav2Vec2Outputs;
}
