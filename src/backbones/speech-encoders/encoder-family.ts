/** @file What a family of speech encoders is. */

import type { Weights } from '../../nn/index.js';
import type { EncoderFamily, RawConfig } from '../backbone-family.js';
import type { Preprocessor, Wav2Vec2Config } from './wav2vec2/config.js';
import type { Wav2Vec2Inputs, Wav2Vec2Options, Wav2Vec2Outputs } from './wav2vec2/encoder.js';

/** What is known of an encoder before it is built. All families have the sizes of wav2vec 2.0. */
export type SpeechEncoderConfig = Wav2Vec2Config;

export interface SpeechEncoderFamily extends EncoderFamily<SpeechEncoderConfig> {
  /**
   * Reads config.json's object, and preprocessor_config.json's where there is one.
   * @throws InputError naming the file and key of anything that cannot be built
   */
  parseConfig(raw: RawConfig, path: string, preprocessor?: Preprocessor): SpeechEncoderConfig;
  /** Waveforms to hidden states, over weights by their keys without prefix. */
  encoder(
    weights: Weights,
    config: SpeechEncoderConfig,
    inputs: Wav2Vec2Inputs,
    options?: Wav2Vec2Options,
  ): Wav2Vec2Outputs;
}
