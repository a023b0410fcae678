/** @file Configs of published models, for all families. */

import type { RawConfig } from './backbone-family.js';
import { decoderFamilies } from './decoders/decoder-families.js';
import { encoderFamilies } from './speech-encoders/encoder-families.js';
import { textEncoderFamilies } from './text-encoders/text-encoder-families.js';

/** config.json of published models, by hub id. */
export const publishedConfigs: Readonly<Record<string, RawConfig>> = Object.fromEntries(
  [...encoderFamilies, ...textEncoderFamilies, ...decoderFamilies].flatMap(({ published }) =>
    Object.entries(published),
  ),
);
