/**
 * @file Checks which backbones are complete or partial: those of the shipped recipes, and published ones in the cache.
 */

import { stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { errorMessage, formatBytes, InputError, pathExists } from '../../../base/index.js';
import {
  cachedBytes,
  type HubAccess,
  hubCacheFolder,
  openHub,
  publishedModels,
} from '../../../checkpoints/hub/index.js';
import { findCheckpointFolder, openCheckpoint, readConfig, weightBytes } from '../../../checkpoints/index.js';
import { loadRecipe, shippedRecipeNames } from '../../../recipe/index.js';
import type { BackboneNeed, PhaseNeeds, Recipe } from '../../../systems/index.js';

import { type CheckResult, checked } from './check-result.js';

/** Key of a backbone in recipes. */
type Part = string;

/** Display names in checks. */
const TITLES: Readonly<Record<Part, string>> = { encoder: 'encoder', former: 'Former', llm: 'LLM' };

/** Short names in `emoq pull`, by hub id. */
const shortNames = new Map(Object.entries(publishedModels).map(([short, { id }]) => [id, short]));

/** Those of the shipped recipes, then published ones that are in the cache. */
export async function backboneChecks(): Promise<CheckResult[]> {
  const partOf = new Map<string, Part>();
  for (const dataset of await shippedRecipeNames()) {
    const { backbones } = await loadRecipe({ dataset });
    for (const [part, name] of Object.entries(backbones)) {
      if (name !== null && Object.hasOwn(TITLES, part)) partOf.set(name, part);
    }
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

/** Those of a recipe that some phase needs. */
export function recipeBackboneChecks(
  { backbones }: Recipe,
  needs: readonly PhaseNeeds[],
): Promise<CheckResult[]> {
  const { encoder, encoder_onnx: onnx } = backbones;
  const byKey = new Map<string, BackboneNeed>();
  for (const need of needs.flatMap((each) => each.backbones)) {
    const { weights = false, tokenizer = false } = byKey.get(need.key) ?? {};
    byKey.set(need.key, {
      ...need,
      weights: weights || need.weights,
      tokenizer: tokenizer || need.tokenizer,
    });
  }
  const names = backbones as Readonly<Record<string, string>>;
  return Promise.all([
    ...(!needs.some(({ audio }) => audio)
      ? []
      : onnx === null
        ? [backboneCheck(encoder ?? '', 'encoder', true)]
        : [exportedEncoderCheck(encoder, onnx)]),
    ...[...byKey.values()].map((need) => neededBackboneCheck(names[need.key]!, need)),
  ]);
}

/** Checks a backbone that a phase reads: whether it is present, and whether the phase accepts it. */
async function neededBackboneCheck(name: string, need: BackboneNeed): Promise<CheckResult> {
  const files = await backboneCheck(name, need.key, true, need);
  if (files.status !== 'ok') return files;
  try {
    await need.check?.();
    return files;
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    return { ...files, status: 'missing', found: errorMessage(error) };
  }
}

/** Checks an exported encoder as training reads it: interface, weights, input normalisation. */
async function exportedEncoderCheck(encoder: string | null, onnx: string): Promise<CheckResult> {
  const details = { name: onnx, folder: dirname(resolve(onnx)) };
  try {
    // Imported here because it loads onnxruntime, which the process of the common checks must not.
    const { encoderWidth, findSpeechEncoder } = await import('../../../backbones/index.js');
    const { files, warning } = await findSpeechEncoder(encoder, onnx);
    const { width } = await encoderWidth(encoder, onnx);
    const sizes = await Promise.all(files.map(async (file) => (await stat(file)).size));
    const bytes = sizes.reduce((sum, size) => sum + size, 0);
    const found = `${onnx}: features of width ${width}, ${formatBytes(bytes)}`;
    return checked('encoder', warning === undefined ? 'ok' : 'warning', warning ?? found, {
      needed: true,
      details: { ...details, state: 'complete', weight_bytes: bytes },
    });
  } catch (error) {
    const state = (await pathExists(onnx)) ? 'partial' : 'absent';
    return checked('encoder', 'missing', errorMessage(error), {
      needed: true,
      details: { ...details, state },
    });
  }
}

/** What a backbone needs besides its config. */
interface BackboneParts {
  readonly weights: boolean;
  readonly tokenizer: boolean;
}

/** @param part the model's role in a recipe: text models need a tokenizer; undefined if not known */
async function backboneCheck(
  name: string,
  part: Part | undefined,
  needed: boolean,
  wanted: BackboneParts = { weights: true, tokenizer: part === 'former' || part === 'llm' },
): Promise<CheckResult> {
  const title = part === undefined ? 'model' : (TITLES[part] ?? part);
  const fix = fixOf(name);
  let folder: string | undefined;
  try {
    folder = await findCheckpointFolder(name);
    if (!wanted.weights) await readConfig(folder);
    const bytes = wanted.weights ? weightBytes(await openCheckpoint(folder)) : 0;
    if (wanted.tokenizer && !(await pathExists(join(folder, 'tokenizer.json')))) {
      throw new Error(`${folder} has no tokenizer.json`);
    }
    const found = wanted.weights
      ? `complete, ${formatBytes(bytes)} of weights`
      : 'config present, no weights needed';
    return checked(title, 'ok', `${name}: ${found}`, {
      needed,
      details: { name, state: 'complete', folder, weight_bytes: bytes },
    });
  } catch (error) {
    const partBytes = await cachedBytes(name);
    if (folder === undefined && partBytes === undefined) {
      const details = { name, state: 'absent', folder: null };
      return checked(title, 'missing', `${name}: not found`, { needed, fix, details });
    }
    const said = errorMessage(error);
    // Partial downloads have no snapshot folder yet; if there are snapshots, the error says what is wrong.
    const why = said.startsWith(`checkpoint "${name}" not found`)
      ? `${formatBytes(partBytes ?? 0)} present`
      : said;
    return checked(title, needed ? 'missing' : 'warning', `${name}: not complete; ${why}`, {
      needed,
      fix,
      details: { name, state: 'partial', folder: folder ?? null },
    });
  }
}

/** Toy backbones come with the toy corpus, hub ids from the hub; other folders have no command. */
function fixOf(name: string): string | null {
  if (/(?:^|\/)backbones\/(?:hubert|roberta|qwen2)$/.test(name)) return 'emoq prepare-toy';
  const short = shortNames.get(name);
  if (short !== undefined) return `emoq pull ${short}`;
  return /^[\w.-]+(?:\/[\w.-]+)?$/.test(name) ? `emoq pull ${name}` : null;
}

/** Reports whether there is a token, never its value. */
async function tokenCheck(): Promise<CheckResult> {
  let token: HubAccess['token'];
  try {
    ({ token } = await openHub());
  } catch (error) {
    return checked('hub token', 'warning', errorMessage(error), {
      details: { set: null, cache: hubCacheFolder() },
    });
  }
  const found = token === undefined ? 'not set; only gated models need one' : `set by ${token.source}`;
  return checked('hub token', 'ok', found, {
    details: { set: token !== undefined, cache: hubCacheFolder() },
  });
}
