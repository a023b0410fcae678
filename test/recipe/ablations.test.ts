/** @file The shipped ablations: the paper's rows, for MELD and applied to other datasets. */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { AblationTable } from '../../src/recipe/ablations.js';
import {
  ablationOutlines,
  dumpRecipe,
  loadAblation,
  loadRecipe,
  recipeDifferences,
} from '../../src/recipe/index.js';
import { requireEmoq } from '../../src/systems/emoq/settings.js';
import type { Recipe } from '../../src/systems/settings.js';
import { loadEmoq } from './emoq-recipe.js';

const folder = new URL('../../recipes/ablations/', import.meta.url);
/** The paper's rows; those of Qieemo are held by recipes.test.ts. */
const names = readdirSync(folder)
  .map((file) => file.replace('.yaml', ''))
  .filter((name) => !name.startsWith('qieemo-'));

/** The keys that a row changes in the full system. */
function changesOf(full: Recipe, row: Recipe): string[] {
  return recipeDifferences(dumpRecipe(full), dumpRecipe(row)).filter((line) => !/^(name|paper)\b/.test(line));
}

const changes: Record<AblationTable, string[][]> = {
  4: [
    ['inputs was "both", is "audio"', 'fusion was "former", is "none"'],
    ['inputs was "both", is "text"'],
    ['fusion was "former", is "none"'],
    [],
  ],
  5: [
    [
      'stage1.scl_weight was 1, is 0',
      'stage1.focal_gamma was 2, is 0',
      'stage1.focal_alpha was "inverse", is "effective"',
      'stage1.focal_alpha_beta was 0.999, is 0',
    ],
    ['stage1.scl_weight was 1, is 0'],
    ['stage1.focal_weight was 1, is 0', 'stage1.select was "SELECT", is "last"'],
    [],
  ],
  6: [['stage2.from_stage1 was true, is false'], []],
};
/** WA, UA and WF1 as the paper prints them. */
const figures: Record<AblationTable, number[][]> = {
  4: [
    [47.8, 26.3, 43.6],
    [63.7, 42.9, 60.0],
    [64.5, 45.3, 61.7],
    [67.6, 50.8, 66.5],
  ],
  5: [
    [62.3, 41.2, 58.2],
    [65.7, 49.4, 64.2],
    [64.0, 44.6, 60.8],
    [67.6, 50.8, 66.5],
  ],
  6: [
    [64.9, 50.6, 63.3],
    [67.6, 50.8, 66.5],
  ],
};

describe.each([4, 5, 6] as const)('table %i', (table) => {
  it.each(['meld7', 'toy4'])('of %s changes what the paper changed, and nothing else', async (dataset) => {
    const { rows, dataset: name } = await loadAblation(table, { dataset });
    const full = await loadEmoq({ dataset });
    expect(name).toBe(dataset);
    const expected = changes[table].map((row) =>
      row.map((line) => line.replace('SELECT', full.stage1.select)),
    );
    expect(rows.map(({ recipe }) => changesOf(full, recipe))).toEqual(expected);
    expect(rows.at(-1)!.recipe).toEqual(full);
    expect(new Set(rows.map(({ recipe }) => recipe.name)).size).toBe(rows.length);
    expect(rows.map(({ paper: { wa, ua, wf1 } }) => [wa, ua, wf1])).toEqual(figures[table]);
  });

  it('of MELD is the recipes that come with emoq; elsewhere the figures are not of the row', async () => {
    for (const { recipe } of (await loadAblation(table, { dataset: 'meld7' })).rows) {
      expect(await loadRecipe({ dataset: recipe.name })).toEqual(recipe);
    }
    const toy = await loadAblation(table, { dataset: 'toy4' });
    for (const { recipe } of toy.rows) {
      expect(recipe.name).toMatch(/^toy4/);
      expect(recipe.paper).toBeNull();
    }
  });

  it('takes overrides of other keys', async () => {
    const { rows } = await loadAblation(table, { dataset: 'toy4', overrides: ['stage2.epochs=2'] });
    for (const { recipe } of rows) expect(requireEmoq(recipe, 'it').stage2.epochs).toBe(2);
  });
});

describe('the outlines of the tables', () => {
  it("name the experiments that are the rows, with the paper's figures", async () => {
    for (const outline of await ablationOutlines('toy4')) {
      const { title, dataset, rows } = await loadAblation(outline.table, { dataset: 'toy4' });
      expect(outline).toEqual({
        table: outline.table,
        title,
        dataset,
        rows: rows.map(({ label, recipe: { name }, paper }) => ({ label, name, paper })),
      });
    }
  });

  it('are the same from a row as from the full system', async () => {
    const outlines = await ablationOutlines('toy4');
    expect(outlines.map(({ table }) => table)).toEqual([4, 5, 6]);
    expect(await ablationOutlines('toy4-without-stage1')).toEqual(outlines);
    expect(await ablationOutlines('toy4-audio')).toEqual(outlines);
  });
});

describe('a row', () => {
  it.each(['inputs=audio', 'stage1={epochs: 2}'])(
    'cannot be set to something else by %s',
    async (override) => {
      const table = override.startsWith('stage1') ? 5 : 4;
      const refused = loadAblation(table, { dataset: 'toy4', overrides: ['seed=2', override] });
      await expect(refused).rejects.toThrow(
        new RegExp(`^--set ${override}: the rows of table ${table} differ in .*; leave it out$`),
      );
    },
  );

  it.each(names)('%s says what it reproduces, how to launch it, and the figures to expect', async (name) => {
    const text = readFileSync(join(folder.pathname, `${name}.yaml`), 'utf8');
    const header = text.slice(0, text.indexOf('\n\n'));
    const { paper, stage2, fusion, inputs } = await loadEmoq({ dataset: name });
    const hasStage1 = fusion === 'former' && inputs === 'both' && stage2.from_stage1;
    for (const part of [
      `# ${name}: `,
      `table ${paper!.table}`,
      `emoq stage2 --dataset ${name}`,
      `emoq ablate --dataset meld7 --table ${paper!.table}`,
      `WA ${paper!.wa!.toFixed(1)}, UA ${paper!.ua!.toFixed(1)}, weighted F1 ${paper!.wf1!.toFixed(1)}`,
    ]) {
      expect(header).toContain(part);
    }
    expect(header.includes(`emoq stage1 --dataset ${name}`)).toBe(hasStage1);
  });
});
