/** @file Which backbones are here, whole or in part: those that the recipes name, and published ones in the cache. */

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
import {
  findCheckpointFolder,
  openCheckpoint,
  readConfig,
  type WeightRef,
} from '../../../checkpoints/index.js';
import { loadRecipe, type Recipe, shippedRecipeNames } from '../../../recipe/index.js';
import type { StageNeeds } from '../../../train/index.js';
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
    for (const part of PARTS) {
      const name = backbones[part];
      if (name !== null) partOf.set(name, part);
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

/** Those of a recipe that some stage needs. */
export function recipeBackboneChecks(
  { backbones, lora }: Recipe,
  needs: readonly StageNeeds[],
): Promise<Check[]> {
  const { encoder, encoder_onnx: onnx, former, llm } = backbones;
  const isNeeded = (part: keyof StageNeeds): boolean => needs.some((stage) => stage[part]);
  return Promise.all([
    ...(!isNeeded('audio')
      ? []
      : onnx === null
        ? [backboneCheck(encoder ?? '', 'encoder', true)]
        : [exportedEncoderCheck(encoder, onnx)]),
    ...(isNeeded('former')
      ? [
          backboneCheck(former, 'former', true, {
            weights: isNeeded('formerWeights'),
            tokenizer: isNeeded('text'),
          }),
        ]
      : []),
    ...(isNeeded('llm') ? [languageModelCheck(llm, lora.targets)] : []),
  ]);
}

/** An exported encoder, read as training will: its interface, its weights, how it is fed. */
async function exportedEncoderCheck(encoder: string | null, onnx: string): Promise<Check> {
  const facts = { name: onnx, folder: dirname(resolve(onnx)) };
  try {
    // Loads onnxruntime, which the processes of the other checks do without.
    const { encoderWidth, findSpeechEncoder } = await import('../../../backbones/index.js');
    const { files, warning } = await findSpeechEncoder(encoder, onnx);
    const { width } = await encoderWidth(encoder, onnx);
    const sizes = await Promise.all(files.map(async (file) => (await stat(file)).size));
    const bytes = sizes.reduce((sum, size) => sum + size, 0);
    const found = `${onnx}: features of width ${width}, ${formatBytes(bytes)}`;
    return checked('encoder', warning === undefined ? 'ok' : 'warning', warning ?? found, {
      needed: true,
      facts: { ...facts, state: 'complete', weight_bytes: bytes },
    });
  } catch (error) {
    const state = (await pathExists(onnx)) ? 'partial' : 'absent';
    return checked('encoder', 'missing', errorMessage(error), { needed: true, facts: { ...facts, state } });
  }
}

/** A language model that is there, read as training will: its family, its chat template, what LoRA is to adapt. */
async function languageModelCheck(name: string, loraTargets: readonly string[]): Promise<Check> {
  const files = await backboneCheck(name, 'llm', true);
  if (files.status !== 'ok') return files;
  try {
    const { readDecoder } = await import('../../../backbones/index.js');
    await readDecoder(name, loraTargets);
    return files;
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    return { ...files, status: 'missing', found: errorMessage(error) };
  }
}

/** What of a backbone must be there beside its config. */
interface BackboneParts {
  readonly weights: boolean;
  readonly tokenizer: boolean;
}

/** @param part what the model is to be: text models need a tokenizer; undefined where it may be anything */
async function backboneCheck(
  name: string,
  part: Part | undefined,
  needed: boolean,
  wanted: BackboneParts = { weights: true, tokenizer: part === 'former' || part === 'llm' },
): Promise<Check> {
  const title = part === undefined ? 'model' : { encoder: 'encoder', former: 'Former', llm: 'LLM' }[part];
  const mend = mendOf(name);
  let folder: string | undefined;
  try {
    folder = await findCheckpointFolder(name);
    if (!wanted.weights) await readConfig(folder);
    const weights = wanted.weights ? (await openCheckpoint(folder)).weights : new Map<string, WeightRef>();
    if (wanted.tokenizer && !(await pathExists(join(folder, 'tokenizer.json')))) {
      throw new Error(`${folder} has no tokenizer.json`);
    }
    const bytes = [...weights.values()].reduce((sum, { byteLength }) => sum + byteLength, 0);
    const found = wanted.weights
      ? `complete, ${formatBytes(bytes)} of weights`
      : 'config here, no weights needed';
    return checked(title, 'ok', `${name}: ${found}`, {
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
