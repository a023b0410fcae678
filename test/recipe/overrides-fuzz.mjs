/**
 * @file Loads recipes with wrong, odd or nested overrides, and damaged recipe files. Each must give an InputError with a
 * line for each mistake, or a recipe that its dump reproduces.
 *
 *     node overrides-fuzz.mjs OVERRIDES FILES SEED FOLDER
 */

import { strict as assert } from 'node:assert';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { dumpRecipe, loadRecipe } from '../../dist/recipe/index.js';
import { recipeKeys } from '../../dist/recipe/schema.js';
import { damagedYaml, nonsenseText, oddYaml, peakMiB } from '../fuzz/mutations.mjs';
import { outcomeOfLines, repeat, report } from '../fuzz/trials.mjs';

const [overrides, files, seed] = process.argv.slice(2, 5).map(Number);
const folder = process.argv[5];
const path = join(folder, 'odd.yaml');
const again = join(folder, 'again.yaml');
const toy4 = await loadRecipe({ dataset: 'toy4' });
const given = { seed, where: `files in ${folder}` };

const KEYS = recipeKeys().map(({ path: key }) => key);
const ODD_KEYS = [
  '',
  '.',
  'a',
  'stage1',
  'stage1.',
  '.epochs',
  '__proto__',
  '__proto__.seed',
  'constructor.name',
];
const MORE_KEYS = [
  'labels.0',
  'stage1.epochs.deep',
  'x'.repeat(3000),
  'a\nb',
  'base',
  'label_map.happy',
  ' seed ',
];
const VALUES = [
  '1',
  '2',
  '0.5',
  'true',
  'null',
  'wa',
  'share',
  '[happy, sad]',
  '{happy: sad}',
  'none',
  '""',
  '3.0',
];

/** The recipe's value of a key without an override. */
const recipeValue = (key) => key.split('.').reduce((section, name) => section?.[name], toy4);

function override(random) {
  const key = random.pick(random.uniform() < 0.8 ? KEYS : [...ODD_KEYS, ...MORE_KEYS]);
  const value = random.pick([
    () => JSON.stringify(recipeValue(key) ?? 1),
    () => JSON.stringify(recipeValue(key) ?? 1),
    () => random.pick(VALUES),
    () => nonsenseText(random),
    () => oddYaml(random),
  ])();
  return random.uniform() < 0.97 ? `${key}=${value}` : random.pick([key, value, `=${value}`, '']);
}

/** Checks that a recipe's dump reproduces it. */
async function checkRecipe(recipe) {
  const dump = dumpRecipe(recipe);
  writeFileSync(again, dump);
  assert.deepEqual(await loadRecipe({ path: again }), recipe);
}

async function loadOverridden(random) {
  const texts = Array.from({ length: 1 + random.integer(2) }, () => override(random));
  const recipe = await outcomeOfLines(() => loadRecipe({ dataset: 'toy4', overrides: texts })).catch(
    (error) => {
      throw new Error(`--set ${JSON.stringify(texts).slice(0, 500)}: ${error.message}`, { cause: error });
    },
  );
  if (recipe === undefined) return false;
  await checkRecipe(recipe);
  return true;
}

const RECIPES = ['toy4', 'iemocap4', 'ablations/meld7-focal'].map((name) =>
  readFileSync(new URL(`../../recipes/${name}.yaml`, import.meta.url), 'utf8'),
);

async function loadDamaged(random) {
  writeFileSync(path, damagedYaml(random.pick(RECIPES), random));
  const recipe = await outcomeOfLines(() => loadRecipe({ path }));
  if (recipe === undefined) return false;
  await checkRecipe(recipe);
  return true;
}

const baselineMiB = peakMiB();
report(baselineMiB, {
  overrides: await repeat(overrides, 'overrides', given, loadOverridden),
  files: await repeat(files, 'files', given, loadDamaged),
});
