/** @file emotion2vec (Ma et al., 2024), base and plus: a data2vec 2.0 trained on emotional speech. */

import type { SpeechEncoderFamily } from '../speech-encoder.js';
import { normalizedBefore, parseEmotion2vecConfig } from './config.js';
import { emotion2vecEncoder, emotion2vecFraming } from './encoder.js';

export const emotion2vec: SpeechEncoderFamily = {
  modelType: 'emotion2vec',
  title: 'emotion2vec',
  parseConfig: parseEmotion2vecConfig,
  prefixes: ['d2v_model.', ''],
  encoder: emotion2vecEncoder,
  framing: emotion2vecFraming,
  normalizes: normalizedBefore,
  harmless: [
    /^(?:d2v_model\.)?modality_encoders\.AUDIO\.decoder\./, // for training
    /^proj\.(?:weight|bias)$/, // the classes of the plus models
  ],
  published: {},
};
