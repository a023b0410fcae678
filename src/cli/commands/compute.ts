/** @file What commands that compute share: the device, the feature cache, progress of the encoder, versions to record. */

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { FeatureProgress } from '../../data/features/index.js';
import { deviceName, onnxruntimeVersion, resolveDevice } from '../../engine/runtime/index.js';
import { unfinishedWarning } from '../../inference/index.js';
import type { ComputeOptions } from '../../train/index.js';
import type { RunFacts, RunFolder } from '../../train/run/index.js';
import { cacheFolder, type DeviceOption } from '../options.js';
import { note, warn } from '../output.js';
import { type Progress, startProgress } from '../progress.js';
import { emoqVersion } from '../version.js';

/**
 * Runs `work` with the resolved device and progress of feature extraction. Which device it is stands on stderr once
 * the input has passed its checks.
 * @param threads inside one operator; absent: one for each physical core
 */
export async function withCompute<T>(
  device: DeviceOption,
  stop: AbortSignal,
  work: (compute: ComputeOptions) => Promise<T>,
  threads?: number,
): Promise<T> {
  const resolved = resolveDevice(device);
  let announced = false;
  const warnOnce = onlyOnce(warn);
  const features = featureProgress();
  try {
    return await work({
      device: resolved,
      ...(threads !== undefined && { threads }),
      cacheDir: cacheFolder(),
      stop,
      onNote: onlyOnce(note),
      onWarning: warnOnce,
      onBegin: () => {
        if (!announced) note(`computing on ${deviceName(resolved)}`);
        announced = true;
      },
      onFeatures: features.update,
      onAudioNotes: warnOnce,
    });
  } finally {
    features.finish();
  }
}

/** Says each text once, however many folds or seeds it is true of. */
function onlyOnce(say: (text: string) => void): (text: string) => void {
  const said = new Set<string>();
  return (text) => {
    if (!said.has(text)) say(text);
    said.add(text);
  };
}

/** Progress of one look-up and one encoding after another, each over its own time. */
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
        // The first clips are told of late, behind the loading of the encoder: that time is encoding's too.
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

/** Says where a checkpoint is that of a run under way. */
export function warnUnfinished(folder: RunFolder, facts: RunFacts): void {
  const text = unfinishedWarning(folder, facts);
  if (text !== undefined) warn(text);
}

/** Versions of everything that a result depends on. `revision` is emoq's git commit where it runs from a checkout. */
export async function recordedVersions(): Promise<Record<string, string>> {
  const revision = await gitRevision();
  return {
    emoq: emoqVersion(),
    ...(revision && { revision }),
    node: process.versions.node,
    onnxruntime: onnxruntimeVersion(),
    platform: `${process.platform}-${process.arch}`,
  };
}

async function gitRevision(): Promise<string | undefined> {
  const cwd = fileURLToPath(new URL('../../../', import.meta.url));
  try {
    const { stdout } = await promisify(execFile)('git', ['rev-parse', 'HEAD'], { cwd });
    return stdout.trim();
  } catch {
    return undefined;
  }
}
