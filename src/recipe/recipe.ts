/**
 * @file Loads a recipe: combines YAML, overrides and defaults into one validated object, reporting all mistakes at
 * once.
 */

import { errorMessage, InputError, oneLine } from '../base/index.js';
import type { CorpusView, Folding } from '../data/corpora/index.js';
import type { Recipe } from '../systems/index.js';
import { DEFAULT_SYSTEM, type RecipeProblem, systemKinds, systemNamed, turnsOf } from '../systems/index.js';
import { problemLine, ruleProblems, schemaProblems } from './problems.js';
import { schemaOf } from './schema.js';
import {
  defaultManifest,
  findDataset,
  nameOfManifest,
  type RecipeOrigin,
  readRecipeSource,
  recipeNameOf,
} from './source.js';

/**
 * What to load. Exactly one of `dataset`, `path` and `manifest` is required; `manifest` can also be combined with the
 * others.
 */
export interface LoadRecipeOptions {
  /** Name of a recipe or of a prepared corpus. */
  readonly dataset?: string | undefined;
  /** Recipe file. */
  readonly path?: string | undefined;
  /** Manifest that replaces the recipe's own; alone, it gets a recipe of defaults. */
  readonly manifest?: string | undefined;
  /** `key=value` from `--set`: dotted keys, YAML values; the last value of a key wins. */
  readonly overrides?: readonly string[];
  /** Replaces the recipe's own `base`: a recipe by name or file. */
  readonly base?: string | undefined;
}

/**
 * Loads and validates a recipe. If missing, `name`, `manifest` and `labels` default to the file name, data/<name> and
 * the labels in the manifest.
 * @throws InputError with one line for each mistake: file:line:column or the --set, the key, what is wrong.
 */
export async function loadRecipe(options: LoadRecipeOptions): Promise<Recipe> {
  const origin = await originOf(options);
  const file = origin.kind === 'file' ? origin.file : undefined;
  const problems: string[] = [];
  const report = (problem: string): void => {
    problems.push(oneLine(problem));
  };
  const source = await readRecipeSource(file, options.overrides ?? [], report, options.base);
  const { values } = source;
  const manifestPosition = source.positionOf(['manifest']);
  if (options.manifest !== undefined && manifestPosition.isOverride && values.manifest !== options.manifest) {
    report(`${manifestPosition.text}: --manifest names ${options.manifest}; give one of the two`);
  }
  if (problems.length > 0) throw new InputError(problems.join('\n'));

  values.name ??= origin.kind === 'file' ? recipeNameOf(origin.file) : origin.name;
  if (origin.kind === 'manifest') values.manifest ??= origin.manifest;
  else if (options.manifest !== undefined) values.manifest = options.manifest;
  values.manifest ??= defaultManifest(String(values.name));

  const findings: RecipeProblem[] = [];
  const manifestOnly = origin.kind === 'manifest';
  if ((values.labels === undefined || manifestOnly) && typeof values.manifest === 'string') {
    try {
      const { labels, hasValidation } = await surveyManifest(values.manifest, values.label_map);
      values.labels ??= labels;
      if (manifestOnly) values.validation ??= hasValidation ? 'split' : 'share';
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      findings.push({ path: ['labels'], what: `are not given and cannot be read: ${errorMessage(error)}` });
    }
  }
  const system = systemNamed(values.system ?? DEFAULT_SYSTEM);
  if (system === undefined) {
    findings.push({
      path: ['system'],
      what: `must be one of ${systemKinds.join(', ')}, not ${JSON.stringify(values.system)}`,
    });
  }
  const parsed = schemaOf(values.system).safeParse(values);
  if (system !== undefined) {
    findings.push(...schemaProblems(parsed.error?.issues ?? [], values));
    findings.push(...ruleProblems(values), ...(await system.problems(values)));
  }
  if (parsed.success && findings.length === 0) return parsed.data;
  // The first problem of a key explains any later ones.
  const keys = findings.map(({ path }) => path.join('.'));
  const first = findings
    .filter((_, i) => keys.indexOf(keys[i]!) === i)
    .map((finding) => ({ ...finding, position: source.positionOf(finding.path) }))
    .sort((a, b) => a.position.order - b.position.order);
  throw new InputError(first.map(problemLine).join('\n'));
}

async function originOf({ dataset, path, manifest }: LoadRecipeOptions): Promise<RecipeOrigin> {
  if (dataset !== undefined && path !== undefined) {
    throw new InputError('give either a dataset name or a recipe file, not both');
  }
  if (path !== undefined) return { kind: 'file', file: path };
  if (dataset !== undefined) {
    const origin = await findDataset(dataset);
    return origin.kind === 'manifest' ? { ...origin, manifest: manifest ?? origin.manifest } : origin;
  }
  if (manifest !== undefined) return { kind: 'manifest', name: nameOfManifest(manifest), manifest };
  throw new InputError('say what to work on: --dataset NAME, --manifest FILE or --recipe FILE');
}

/** The labels that occur in a manifest after `labelMap`, sorted, and whether it has a validation split. */
async function surveyManifest(
  path: string,
  labelMap: unknown,
): Promise<{ labels: string[]; hasValidation: boolean }> {
  const { readManifest } = await import('../data/corpora/index.js');
  const { utterances } = await readManifest(path);
  const mapped = (label: string): string => {
    const to =
      typeof labelMap === 'object' ? (labelMap as Record<string, unknown> | null)?.[label] : undefined;
    return typeof to === 'string' ? to : label;
  };
  return {
    labels: [...new Set(utterances.map(({ label }) => mapped(label)).filter((label) => label !== ''))].sort(),
    hasValidation:
      utterances.every(({ split }) => split === '') || utterances.some(({ split }) => split === 'dev'),
  };
}

/** The recipe's selection from a prepared corpus, for `selectUtterances`. */
export function corpusViewOf(recipe: Recipe): CorpusView {
  return {
    labels: recipe.labels,
    labelMap: recipe.label_map,
    idPattern: recipe.id_pattern ?? undefined,
    stripTags: recipe.strip_tags,
    text: recipe.text,
    history: turnsOf(recipe),
  };
}

/** What the recipe's folds hold out, for `partitionUtterances`; undefined if it has none. */
export function foldingOf({ folds, split_seed }: Pick<Recipe, 'folds' | 'split_seed'>): Folding | undefined {
  return folds === 'none' ? undefined : { rule: folds, seed: split_seed ?? 0 };
}
