/** @file Which backbones are here, whole or in part: those that the recipes name, and published ones in the cache. */

import { join } from 'node:path';
import { errorMessage, formatBytes, pathExists } from '../../../base/index.js';
import { findCheckpointFolder, openCheckpoint } from '../../../models/checkpoint/index.js';
import {
  cachedBytes,
  type HubAccess,
  hubCacheFolder,
  openHub,
  publishedModels,
} from '../../../models/hub/index.js';
import { loadRecipe, type Recipe, shippedRecipeNames } from '../../../recipe/index.js';
import { type Check, checked } from './check.js';

type Part = keyof Pick<Recipe['backbones'], 'encoder' | 'former' | 'llm'>;
const PARTS: readonly Part[] = ['encoder', 'former', 'llm'];

/** Short names of `emoq pull`, by the id on the hub. */
const shortNames = new Map(Object.entries(publishedModels).map(([short, { id }]) => [id, short]));

/** Those of the recipes that come with emoq, each with what it is, then published ones that are in the cache. */
export async function backboneChecks(): Promise<Check[]> {
  const partOf = new Map<string, Part>();
  for (const dataset of await shippedRecipeNames()) {
    const { backbones } = await loadRecipe({ dataset });
    for (const part of PARTS) partOf.set(backbones[part], part);
  }
  const others = [...shortNames.keys()].filter((id) => !partOf.has(id));
  const cached = await Promise.all(others.map((id) => cachedBytes(id)));
  const found = others.filter((_, index) => cached[index] !== undefined);
  return [
    ...(await Promise.all([...partOf].map(([name, part]) => backboneCheck(name, part, false)))),
    ...(await Promise.all(found.map((id) => backboneCheck(id, undefined, false)))),
    await tokenCheck(),
  ];
}

/** The three of a recipe, all needed. */
export function recipeBackboneChecks({ backbones }: Recipe): Promise<Check[]> {
  return Promise.all(PARTS.map((part) => backboneCheck(backbones[part], part, true)));
}

/** @param part what the model is to be: text models need a tokenizer; undefined where it may be anything */
async function backboneCheck(name: string, part: Part | undefined, needed: boolean): Promise<Check> {
  const title = part === undefined ? 'model' : { encoder: 'encoder', former: 'Former', llm: 'LLM' }[part];
  const mend = mendOf(name);
  let folder: string | undefined;
  try {
    folder = await findCheckpointFolder(name);
    const { weights } = await openCheckpoint(folder);
    if ((part === 'former' || part === 'llm') && !(await pathExists(join(folder, 'tokenizer.json')))) {
      throw new Error(`${folder} has no tokenizer.json`);
    }
    const bytes = [...weights.values()].reduce((sum, { byteLength }) => sum + byteLength, 0);
    return checked(title, 'ok', `${name}: complete, ${formatBytes(bytes)} of weights`, {
      needed,
      facts: { name, state: 'complete', folder, weight_bytes: bytes },
    });
  } catch (error) {
    const partBytes = await cachedBytes(name);
    if (folder === undefined && partBytes === undefined) {
      const facts = { name, state: 'absent', folder: null };
      return checked(title, 'missing', `${name}: not here`, { needed, mend, facts });
    }
    const said = errorMessage(error);
    // Parts of files are no folder yet; snapshots among which none is chosen are told of as they are.
    const why = said.startsWith(`checkpoint "${name}" not found`)
      ? `${formatBytes(partBytes ?? 0)} are here`
      : said;
    return checked(title, needed ? 'missing' : 'warning', `${name}: not complete; ${why}`, {
      needed,
      mend,
      facts: { name, state: 'partial', folder: folder ?? null },
    });
  }
}

/** Toy backbones come with the toy corpus, ids from the hub; a folder of somebody's own is theirs to mend. */
function mendOf(name: string): string | null {
  if (/(?:^|\/)backbones\/(?:hubert|roberta|qwen2)$/.test(name)) return 'emoq prepare-toy';
  const short = shortNames.get(name);
  if (short !== undefined) return `emoq pull ${short}`;
  return /^[\w.-]+(?:\/[\w.-]+)?$/.test(name) ? `emoq pull ${name}` : null;
}

/** Says whether there is a token, never what it is. */
async function tokenCheck(): Promise<Check> {
  let token: HubAccess['token'];
  try {
    ({ token } = await openHub());
  } catch (error) {
    return checked('hub token', 'warning', errorMessage(error), {
      facts: { set: null, cache: hubCacheFolder() },
    });
  }
  const found = token === undefined ? 'not set; gated models alone need one' : `set by ${token.source}`;
  return checked('hub token', 'ok', found, { facts: { set: token !== undefined, cache: hubCacheFolder() } });
}
