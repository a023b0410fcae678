/**
 * @file Shared by commands that compute: device, recorded versions, feature cache, and notes, warnings and progress on
 * the terminal.
 */

import type { FeatureProgress } from '../../data/features/index.js';
import { type Device, deviceName, requireDevices, resolveDevice } from '../../engine/runtime/index.js';
import type { ExperimentContext } from '../../experiments/index.js';
import { unfinishedWarning } from '../../inference/index.js';
import type { ComputeOptions } from '../../training/index.js';
import type { RunFolder, RunMetadata } from '../../training/runs/index.js';
import {
  backboneOverrides,
  cacheFolder,
  type DeviceOption,
  type TrainingOptions,
} from '../command-definition.js';
import { withInterrupts } from '../interrupt.js';
import { type Progress, startProgress } from '../progress.js';
import { note, warn } from '../terminal-output.js';
import { recordedVersions } from '../versions.js';
import { type ComputeChoice, type ResamplingOptions, resamplingOf } from './eval-options.js';

type ComputeSettings = { [K in 'threads' | 'precision' | 'fit']?: TrainingOptions[K] | undefined } & {
  /** As given to `--backbone`. */
  readonly backbone?: readonly string[] | undefined;
};

/**
 * Runs `work` with the resolved device and progress of feature extraction. Prints the device once the input has passed
 * its checks.
 * @param device one, or several: training computes a single run on the first of them
 * @param choice `threads`: within one operator; absent: one per physical core. `fit`: memory of a CUDA device
 */
export async function withCompute<T>(
  device: DeviceOption | readonly DeviceOption[],
  stop: AbortSignal,
  { threads, precision, fit, backbone }: ComputeSettings,
  work: (compute: ComputeOptions) => Promise<T>,
): Promise<T> {
  const devices = [device].flat().map((name) => resolveDevice(name)) as [Device, ...Device[]];
  await requireDevices(devices);
  let announced = false;
  const warnOnce = onlyOnce(warn);
  const features = featureProgress();
  try {
    return await work({
      device: devices[0],
      ...(devices.length > 1 && { devices }),
      ...(threads !== undefined && { threads }),
      ...(precision !== undefined && { precision }),
      ...(backbone !== undefined && { overrides: backboneOverrides(backbone) }),
      ...(typeof fit === 'number' && { memoryBytes: fit }),
      cacheDir: cacheFolder(),
      stop,
      onNote: onlyOnce(note),
      onWarning: warnOnce,
      onBegin: () => {
        if (!announced) note(`computing on ${devices.map(deviceName).join(', ')}`);
        announced = true;
      },
      onFeatures: features.update,
      onAudioNotes: warnOnce,
    });
  } finally {
    features.finish();
  }
}

/** Prints each text only once, even if several folds or seeds report it. */
function onlyOnce(say: (text: string) => void): (text: string) => void {
  const said = new Set<string>();
  return (text) => {
    if (!said.has(text)) say(text);
    said.add(text);
  };
}

/** Progress of cache look-ups and encodings, each timed separately. */
function featureProgress() {
  let looking: Progress | undefined;
  let encoding: { readonly progress: Progress; begun: boolean } | undefined;
  const finish = (): void => {
    looking?.finish();
    if (encoding?.begun) encoding.progress.finish();
    looking = undefined;
    encoding = undefined;
  };
  return {
    update({ stage, done, total }: FeatureProgress): void {
      if (stage === 'check') {
        looking ??= startProgress({ label: 'looking up features', unit: 'clips' });
        looking.update(done, total);
        if (done < total) return;
        finish();
        // The first clips are reported once the encoder is loaded: that time counts as encoding.
        encoding = {
          progress: startProgress({ label: 'encoding audio', unit: 'clips' }),
          begun: false,
        };
      } else if (encoding !== undefined) {
        encoding.begun = true;
        encoding.progress.update(done, total);
        if (done === total) finish();
      }
    },
    finish,
  };
}

/** Warns if a checkpoint belongs to an unfinished run. */
export function warnUnfinished(folder: RunFolder, metadata: RunMetadata): void {
  const text = unfinishedWarning(folder, metadata);
  if (text !== undefined) warn(text);
}

/** Scores on the device that options name; Ctrl-C stops after the current utterances. */
export async function experimentContext({
  device,
  devices,
  threads,
  precision,
  backbone,
  ...resampling
}: ComputeChoice & ResamplingOptions): Promise<ExperimentContext> {
  return {
    resampling: resamplingOf(resampling),
    versions: await recordedVersions(),
    withCompute: (work) =>
      withInterrupts('finishing the current utterances', (stop) =>
        withCompute(devices ?? device, stop, { threads, precision, backbone }, work),
      ),
    onNote: note,
    onWarning: warn,
    onWork: (label, unit) => {
      let progress: Progress | undefined;
      return {
        update(done, total) {
          progress ??= startProgress({ label, unit });
          progress.update(done, total);
        },
        finish: () => progress?.finish(),
      };
    },
  };
}
