/** @file The files beside a checkpoint's weights. */

import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { copyFileAtomic } from '../../base/index.js';
import { isCompanion } from '../../checkpoints/hub/index.js';
import { findCheckpointFolder } from '../../checkpoints/index.js';

/** Tells of the original, and not of what is made from it. */
export const MODEL_CARD = 'README.md';

/** Copies configs, tokenizer and licence of a backbone. */
export async function copyCompanions(nameOrPath: string, to: string): Promise<void> {
  const from = await findCheckpointFolder(nameOrPath);
  await mkdir(to, { recursive: true });
  const names = (await readdir(from)).filter((name) => isCompanion(name) && name !== MODEL_CARD);
  for (const name of names) await copyFileAtomic(join(from, name), join(to, name));
}
