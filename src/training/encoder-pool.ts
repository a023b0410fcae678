/** @file A speech encoder on one device or several, each batch of clips being encoded on one that is free. */

import type { EncoderSource, SpeechEncoder } from '../backbones/index.js';
import { createPool, OutOfMemoryError } from '../base/index.js';
import { type Device, deviceName } from '../engine/runtime/index.js';
import type { Precision } from '../nn/index.js';
import { encoderPrecision } from '../systems/index.js';
import { type ComputeOptions, devicesAlike } from './compute-options.js';

export interface EncoderPool {
  readonly precision: Precision;
  readonly paddedSamples: SpeechEncoder['paddedSamples'];
  /** How many batches are encoded at a time. */
  readonly lanes: number;
  /** As `SpeechEncoder.encode`. @throws OutOfMemoryError with what helps */
  readonly encode: SpeechEncoder['encode'];
  readonly close: () => Promise<void>;
}

/**
 * Loads the encoder on a device when that device gets its first batch. The devices are those that compute in the
 * precision of the first, each once: the CPU encodes with all cores.
 */
export function encoderPool(source: EncoderSource, compute: ComputeOptions): EncoderPool {
  const { threads } = compute;
  const precision = encoderPrecision(source, compute);
  const alike = devicesAlike(
    compute,
    (device) => encoderPrecision(source, { ...compute, device }),
    'encoding audio',
  );
  const devices = [...new Map(alike.map((each) => [deviceName(each), each])).values()];
  const opened: Promise<SpeechEncoder>[] = [];
  const lanes = devices.map((device: Device): (() => Promise<SpeechEncoder>) => {
    let encoder: Promise<SpeechEncoder> | undefined;
    return () => {
      if (encoder === undefined) {
        encoder = source.open({ device, threads, precision });
        opened.push(encoder);
      }
      return encoder;
    };
  });
  const pool = createPool(lanes as [(typeof lanes)[number]]);
  return {
    precision,
    paddedSamples: source.paddedSamples,
    lanes: lanes.length,
    encode: (waveforms) => pool.use(async (open) => (await open()).encode(waveforms)).catch(encodingShortage),
    async close() {
      for (const encoder of opened) await encoder.then((open) => open.close()).catch(() => undefined);
    },
  };
}

/** Says what ran out of memory. Clips are encoded in batches of up to `max_audio_sec`. */
function encodingShortage(error: unknown): never {
  if (!(error instanceof OutOfMemoryError)) throw error;
  throw new OutOfMemoryError(
    `${error.message} while encoding audio; lower max_audio_sec, or encode with --device cpu`,
  );
}
