/** @file Whether the stage-1 run that stage 2 starts from was of this recipe, as far as both stages read it. */

import { InputError } from '../base/index.js';
import { type ChangedKey, changedKeys, dumpRecipe, type Recipe } from '../recipe/index.js';
import { type RunFolder, readFacts, runRecipe } from './run/index.js';

/** Keys and sections that stage 1 does not read; the manifest goes by its content. */
const NOT_OF_STAGE1 = [
  ...['name', 'manifest', 'label_words', 'keep_checkpoints'],
  ...['backbones.llm', 'projector', 'lora', 'prompt', 'stage2', 'paper'],
];
/** What stage 1 was trained by, and stage 2 does not read. */
const OF_STAGE1_ALONE = ['stage1'];

/**
 * Compares the recipe of stage 2 with that of a finished stage-1 run.
 * @param manifestSha256 of stage 2's manifest; undefined where there is none yet
 * @returns what is to know of keys that stage 1 alone reads; undefined where they agree
 * @throws InputError with every key that differs and matters for both, and how to set it
 */
export async function checkStage1Recipe(
  recipe: Recipe,
  stage1: RunFolder,
  manifestSha256: string | undefined,
): Promise<string | undefined> {
  // Read as a recipe: a key that was not there when an earlier version trained it has its default.
  const trained = dumpRecipe(await runRecipe(stage1));
  const changed = changedKeys(trained, dumpRecipe(recipe)).filter(({ key }) => !isIn(NOT_OF_STAGE1, key));
  const [own, shared] = [
    changed.filter(({ key }) => isIn(OF_STAGE1_ALONE, key)),
    changed.filter(({ key }) => !isIn(OF_STAGE1_ALONE, key)),
  ];
  const manifest = await manifestDifference(recipe, stage1, manifestSha256);
  const differences = [...shared.map(differenceText), ...(manifest === undefined ? [] : [manifest.text])];
  if (differences.length > 0) {
    const settings = [...shared.flatMap(settingOf), ...(manifest?.setting ?? [])];
    const sameAsThere = settings.length === 0 ? '' : `add ${settings.join(' ')}, or `;
    throw new InputError(
      `stage 2 starts from the run in ${stage1.dir}, whose recipe differs: ${differences.join('; ')}; ${sameAsThere}train stage 1 anew with this recipe, in another --run folder`,
    );
  }
  if (own.length === 0) return undefined;
  return `stage 2 starts from the run in ${stage1.dir}, which was trained with other settings: ${own.map(differenceText).join('; ')}`;
}

function isIn(names: readonly string[], key: string): boolean {
  return names.some((name) => key === name || key.startsWith(`${name}.`));
}

function differenceText({ key, before = 'absent', after = 'absent' }: ChangedKey): string {
  return `${key} is ${before} there and ${after} here`;
}

/** As a shell takes it; a key that stage 1 had not cannot be taken away by an override. */
function settingOf({ key, before }: ChangedKey): string[] {
  if (before === undefined) return [];
  const setting = `${key}=${before}`;
  return [`--set ${/^[\w.=/-]+$/.test(setting) ? setting : `'${setting.replaceAll("'", `'\\''`)}'`}`];
}

/** The same manifest may have been named by another path. */
async function manifestDifference(
  recipe: Recipe,
  stage1: RunFolder,
  sha256: string | undefined,
): Promise<{ readonly text: string; readonly setting: string[] } | undefined> {
  const facts = await readFacts(stage1);
  if (facts === undefined || sha256 === undefined || facts.manifest.sha256 === sha256) return undefined;
  const { path } = facts.manifest;
  if (path === recipe.manifest) return { text: `${path} has changed since`, setting: [] };
  return {
    text: `manifest is ${path} there and ${recipe.manifest} here`,
    setting: [`--manifest ${path}`],
  };
}
