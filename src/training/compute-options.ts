/** @file What a command computes with: devices, threads, precision, the cache; and who hears of it. */

import type { FeatureProgress } from '../data/features/index.js';
import { type Device, deviceName } from '../engine/runtime/index.js';
import type { Precision } from '../nn/index.js';
import type { PrecisionChoice } from '../systems/index.js';

/** Device, threads and cache of a command that computes. */
export interface ComputeOptions {
  readonly device: Device;
  /**
   * Where several runs train, one on each at a time, and where clips are encoded and utterances are judged, each on one
   * of them: see {@link devicesAlike}. The first is `device`. Absent: `device` alone.
   */
  readonly devices?: readonly [Device, ...Device[]];
  /** Threads within one operator; absent: one per physical core. */
  readonly threads?: number;
  /** Of a language model's products. Default `auto`. */
  readonly precision?: PrecisionChoice;
  /** Memory of a CUDA device that training may take; absent: all of it. */
  readonly memoryBytes?: number;
  /** Changes to the recipe of a run that is opened, such as `backbones.llm=DIR`. */
  readonly overrides?: readonly string[];
  /** Root of the feature cache. */
  readonly cacheDir: string;
  /** Called when the input has been checked and computing begins; may be called again. */
  readonly onBegin?: () => void;
  readonly onFeatures?: (progress: FeatureProgress) => void;
  /** Receives a one-line note on the audio of the clips, if there is one. */
  readonly onAudioNotes?: (text: string) => void;
  /** Receives notes on a run or on opened backbones. */
  readonly onNote?: (text: string) => void;
  readonly onWarning?: (text: string) => void;
  readonly stop?: AbortSignal;
}

/**
 * The devices that compute in the precision of the first. The others would give other results, and are left out with a
 * note.
 * @param precisionOn the precision on a device; the first's is known to be possible
 * @throws InputError as `precisionOn`, for a device that cannot compute in the chosen precision
 */
export function devicesAlike(
  { device, devices = [device], onNote }: ComputeOptions,
  precisionOn: (device: Device) => Precision,
  work: string,
): readonly [Device, ...Device[]] {
  const precision = precisionOn(device);
  const others = devices.slice(1).filter((each) => {
    const own = precisionOn(each);
    if (own !== precision) {
      onNote?.(
        `${work} on ${deviceName(device)} in ${precision}; not on ${deviceName(each)}, which computes in ${own}`,
      );
    }
    return own === precision;
  });
  return [device, ...others];
}
