/** @file The paper's ablation tables: the recipes of their rows, for MELD and for other datasets. */

import { resolve } from 'node:path';
import { InputError } from '../base/index.js';
import type { Recipe } from '../systems/index.js';
import { type LoadRecipeOptions, loadRecipe } from './recipe.js';
import { findDataset } from './source.js';

/** Ablation tables of the paper, each on MELD's seven classes. */
export type AblationTable = 4 | 5 | 6;

interface TableDefinition {
  /** What varies between the rows. */
  readonly title: string;
  /** Recipe keys that the rows set. */
  readonly keys: readonly string[];
  /** In the paper's order. `variant` names the recipe ablations/meld7-<variant>.yaml; the full system has none. */
  readonly rows: readonly { readonly label: string; readonly variant?: string }[];
}

const definitions: Readonly<Record<AblationTable, TableDefinition>> = {
  4: {
    title: 'inputs, and the EmoQ-Former',
    keys: ['inputs', 'fusion'],
    rows: [
      { label: 'audio only, without Former', variant: 'audio' },
      { label: 'text only', variant: 'text' },
      { label: 'both, without Former', variant: 'without-former' },
      { label: 'both, with Former' },
    ],
  },
  5: {
    title: 'losses of stage 1',
    keys: ['scl_weight', 'focal_weight', 'focal_gamma', 'focal_alpha', 'focal_alpha_beta'].map(
      (key) => `stage1.${key}`,
    ),
    rows: [
      { label: 'neither', variant: 'neither' },
      { label: 'focal loss', variant: 'focal' },
      { label: 'contrastive loss', variant: 'scl' },
      { label: 'both' },
    ],
  },
  6: {
    title: 'stage 1',
    keys: ['stage2.from_stage1'],
    rows: [{ label: 'without stage 1', variant: 'without-stage1' }, { label: 'with stage 1' }],
  },
};

/** The dataset of the paper's ablations. */
const PAPER_DATASET = 'meld7';

/** A row of a table, ready to train. */
export interface AblationRow {
  readonly label: string;
  /** Named `<dataset>-<variant>`, or like the dataset for the full system. */
  readonly recipe: Recipe;
  /** The paper's row, always on MELD's seven classes. */
  readonly paper: NonNullable<Recipe['paper']>;
}

export interface Ablation {
  readonly table: AblationTable;
  readonly title: string;
  /** Name of the dataset's recipe. */
  readonly dataset: string;
  readonly rows: readonly AblationRow[];
}

/**
 * The rows of a table on a dataset. Each applies the table recipe's changes to meld7 to the dataset's recipe.
 * @throws InputError for a recipe that cannot be loaded, or an override of a key that the rows vary
 */
export async function loadAblation(table: AblationTable, options: LoadRecipeOptions): Promise<Ablation> {
  const { title, keys, rows } = definitions[table];
  const overrides = options.overrides ?? [];
  const clash = overrides.find((text) => {
    const path = text.split('=', 1)[0]!.trim();
    return keys.some((key) => key === path || key.startsWith(`${path}.`));
  });
  if (clash !== undefined) {
    throw new InputError(
      `--set ${clash}: the rows of table ${table} differ in ${keys.join(', ')}; leave it out`,
    );
  }
  const base = await baseOf(options);
  const full = await loadRecipe(options);
  return {
    table,
    title,
    dataset: full.name,
    rows: await Promise.all(
      rows.map(async ({ label, variant }): Promise<AblationRow> => {
        const paper = await publishedFigures(variant);
        if (variant === undefined) return { label, recipe: full, paper };
        const recipe = await loadRecipe({
          dataset: variantName(PAPER_DATASET, variant),
          base,
          manifest: options.manifest,
          overrides,
        });
        const ofPaper = full.name === PAPER_DATASET;
        return {
          label,
          recipe: { ...recipe, name: variantName(full.name, variant), paper: ofPaper ? recipe.paper : null },
          paper,
        };
      }),
    ),
  };
}

/** The rows of a table as experiment names, without recipes. */
export interface AblationOutline {
  readonly table: AblationTable;
  readonly title: string;
  readonly dataset: string;
  readonly rows: readonly {
    readonly label: string;
    /** Name of the row's experiment and of its folder in `runs`. */
    readonly name: string;
    readonly paper: AblationRow['paper'];
  }[];
}

/** All tables of the dataset that an experiment belongs to, as the full system or as a row. */
export async function ablationOutlines(experiment: string): Promise<AblationOutline[]> {
  const tables = Object.entries(definitions) as unknown as [AblationTable, TableDefinition][];
  const variants = tables.flatMap(([, { rows }]) => rows.flatMap(({ variant }) => variant ?? []));
  const own = variants.find((variant) => experiment.endsWith(variantName('', variant)));
  const dataset = own === undefined ? experiment : experiment.slice(0, -variantName('', own).length);
  return Promise.all(
    tables.map(async ([table, { title, rows }]) => ({
      table: Number(table) as AblationTable, // keys of objects are strings
      title,
      dataset,
      rows: await Promise.all(
        rows.map(async ({ label, variant }) => ({
          label,
          name: variantName(dataset, variant),
          paper: await publishedFigures(variant),
        })),
      ),
    })),
  );
}

function variantName(dataset: string, variant: string | undefined): string {
  return variant === undefined ? dataset : `${dataset}-${variant}`;
}

async function publishedFigures(variant: string | undefined): Promise<AblationRow['paper']> {
  const { paper } = await loadRecipe({ dataset: variantName(PAPER_DATASET, variant) });
  return paper!;
}

/** The recipe file that the rows build on. */
async function baseOf({ dataset, path }: LoadRecipeOptions): Promise<string> {
  if (path !== undefined) return resolve(path);
  if (dataset === undefined) {
    throw new InputError('say which dataset to train on: --dataset NAME or --recipe FILE');
  }
  const origin = await findDataset(dataset);
  if (origin.kind === 'file') return resolve(origin.file);
  throw new InputError(
    `an ablation starts from a recipe, and ${dataset} is a corpus without one; write its recipe (emoq stage2 --dataset ${dataset} --dry-run > ${dataset}.yaml)`,
  );
}
