/** @file Finds a checkpoint's folder: a local path, or a model id in the Hugging Face cache. Nothing is downloaded. */

import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { InputError } from '../../base/index.js';
import { findSnapshot, hubCacheFolder, modelCache, publishedModel } from '../hub/index.js';

const WHAT_TO_GIVE =
  'give the path of a folder that holds config.json and model.safetensors or pytorch_model.bin';

/**
 * The absolute folder of `nameOrPath`: an existing folder, else a model id such as "Qwen/Qwen2.5-7B-Instruct", or a
 * short name of `emoq pull`, whose snapshot is in the Hugging Face cache ($HF_HUB_CACHE, $HF_HOME/hub or
 * ~/.cache/huggingface/hub).
 * @throws InputError that says what was looked for and where.
 */
export async function findCheckpointFolder(nameOrPath: string): Promise<string> {
  if (nameOrPath === '') throw new InputError(`the name of a checkpoint is empty; ${WHAT_TO_GIVE}`);
  const path = resolve(nameOrPath);
  const found = await stat(path).catch(() => undefined);
  if (found?.isDirectory()) return path;
  if (found) throw new InputError(`checkpoint ${path} is a file, not a folder; ${WHAT_TO_GIVE}`);
  // Names of one or two parts are model ids; everything else can only have been meant as a path.
  if (!/^[A-Za-z0-9][\w.-]*(\/[A-Za-z0-9][\w.-]*)?$/.test(nameOrPath)) {
    throw new InputError(`checkpoint folder ${path} does not exist; ${WHAT_TO_GIVE}`);
  }
  const published = publishedModel(nameOrPath);
  const snapshot = (await findSnapshot(nameOrPath)) ?? (published && (await findSnapshot(published.id)));
  if (snapshot !== undefined) return snapshot;
  const { dir } = modelCache(hubCacheFolder(), published?.id ?? nameOrPath);
  const canBePulled = published !== undefined || nameOrPath.includes('/');
  const what = canBePulled ? `fetch it with emoq pull ${nameOrPath}, or ${WHAT_TO_GIVE}` : WHAT_TO_GIVE;
  throw new InputError(
    `checkpoint "${nameOrPath}" not found: no folder ${path}, and no ${dir} in the Hugging Face cache; ${what}`,
  );
}
