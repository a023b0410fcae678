/** @file Finds a checkpoint's folder: a local path, or a model id in the Hugging Face cache. Nothing is downloaded. */

import { readdir, readFile, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { InputError } from '../../base/index.js';

const WHAT_TO_GIVE = 'give the path of a folder that holds config.json and model.safetensors';

/**
 * The absolute folder of `nameOrPath`: an existing folder, else a model id such as "Qwen/Qwen2.5-7B-Instruct" whose
 * snapshot is in the Hugging Face cache ($HF_HUB_CACHE, $HF_HOME/hub or ~/.cache/huggingface/hub).
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
  const model = join(hubCacheFolder(), `models--${nameOrPath.replace('/', '--')}`);
  const snapshots = await readdir(join(model, 'snapshots')).catch(() => undefined);
  if (!snapshots) {
    throw new InputError(
      `checkpoint "${nameOrPath}" not found: no folder ${path}, and no ${model} in the Hugging Face cache; ${WHAT_TO_GIVE}`,
    );
  }
  const main = await readFile(join(model, 'refs', 'main'), 'utf8').then(
    (text) => text.trim(),
    () => undefined,
  );
  const revision = main ?? (snapshots.length === 1 ? snapshots[0] : undefined);
  if (revision === undefined) {
    throw new InputError(
      `checkpoint "${nameOrPath}": ${model} has ${snapshots.length} snapshots and no refs/main; give the path of one of them`,
    );
  }
  if (!snapshots.includes(revision)) {
    throw new InputError(
      `checkpoint "${nameOrPath}": ${model} has no snapshot of revision "${revision}"; download it again or give a path`,
    );
  }
  return join(model, 'snapshots', revision);
}

/** The cache folder by the rules of the huggingface_hub library. */
function hubCacheFolder(): string {
  const { HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, HF_HOME, XDG_CACHE_HOME } = process.env;
  const cache = HF_HUB_CACHE || HUGGINGFACE_HUB_CACHE;
  if (cache) return expandHome(cache);
  if (HF_HOME) return join(expandHome(HF_HOME), 'hub');
  return join(XDG_CACHE_HOME ? expandHome(XDG_CACHE_HOME) : join(homedir(), '.cache'), 'huggingface', 'hub');
}

function expandHome(path: string): string {
  return resolve(path.replace(/^~(?=\/|$)/, homedir()));
}
