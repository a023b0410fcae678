/** @file What commands that compute share: the device, the feature cache, progress of the encoder, versions to record. */

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { deviceName, onnxruntimeVersion, resolveDevice } from '../../engine/runtime/index.js';
import type { ComputeOptions } from '../../train/index.js';
import type { DeviceOption } from '../options.js';
import { note } from '../output.js';
import { startProgress } from '../progress.js';
import { emoqVersion } from '../version.js';

/** Root of the feature cache, below the working directory unless EMOQ_CACHE names another folder. */
function cacheFolder(): string {
  return process.env.EMOQ_CACHE ?? '.cache/features';
}

/** Runs `work` with the resolved device and progress of feature extraction; says on stderr which device it is. */
export async function withCompute<T>(
  device: DeviceOption,
  stop: AbortSignal,
  work: (compute: ComputeOptions) => Promise<T>,
): Promise<T> {
  const resolved = resolveDevice(device);
  note(`computing on ${deviceName(resolved)}`);
  const progress = { check: startProgress({ label: 'features', unit: 'clips' }) };
  let encoding: ReturnType<typeof startProgress> | undefined;
  try {
    return await work({
      device: resolved,
      cacheDir: cacheFolder(),
      stop,
      onFeatures: ({ stage, done, total }) => {
        if (stage === 'check') progress.check.update(done, total);
        else {
          encoding ??= startProgress({ label: 'encoding with HuBERT', unit: 'clips' });
          encoding.update(done, total);
          if (done === total) encoding.finish();
        }
      },
    });
  } finally {
    progress.check.finish();
  }
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
