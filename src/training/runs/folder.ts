/** @file The folder of a run: paths of its files, and its recipe. */

import { join } from 'node:path';
import { errorMessage, InputError, readTextFile } from '../../base/index.js';
import { loadRecipe, parseDumped } from '../../recipe/index.js';
import type { Recipe } from '../../systems/index.js';

/** Paths inside a run folder. */
export interface RunFolder {
  readonly dir: string;
  readonly recipe: string;
  readonly metadata: string;
  readonly checkpoint: string;
  readonly state: string;
  readonly metrics: string;
  readonly metricsTable: string;
  /** TensorBoard's event file. */
  readonly events: string;
  /** When the run was trained, and how fast. */
  readonly timings: string;
  /** Folder with the last epochs' checkpoints. */
  readonly checkpoints: string;
  readonly predictions: string;
  readonly results: string;
  /** Figures under noise, see `noisePredictions`. */
  readonly noise: string;
  readonly trainingModel: string;
  readonly evaluationModel: string;
}

export function runFolder(dir: string): RunFolder {
  return {
    dir,
    recipe: join(dir, 'recipe.yaml'),
    metadata: join(dir, 'run.json'),
    checkpoint: join(dir, 'checkpoint.safetensors'),
    state: join(dir, 'training_state.safetensors'),
    metrics: join(dir, 'metrics.jsonl'),
    metricsTable: join(dir, 'metrics.csv'),
    events: join(dir, 'tensorboard', 'events.out.tfevents.0.emoq'),
    timings: join(dir, 'timings.jsonl'),
    checkpoints: join(dir, 'checkpoints'),
    predictions: join(dir, 'predictions.csv'),
    results: join(dir, 'results.json'),
    noise: join(dir, 'noise.json'),
    trainingModel: join(dir, 'artifacts', 'training_model.onnx'),
    evaluationModel: join(dir, 'artifacts', 'eval_model.onnx'),
  };
}

/** Predictions of the test set at a level of noise. */
export function noisePredictions({ dir }: Pick<RunFolder, 'dir'>, snrDb: number): string {
  return join(dir, 'noise', `${snrDb}dB.csv`);
}

/**
 * Every file that training and evaluation write into a run's folder, except the checkpoints of single epochs and
 * predictions under noise.
 */
export function runFiles(folder: RunFolder): string[] {
  const { dir: _dir, checkpoints: _checkpoints, ...files } = folder;
  return Object.values(files);
}

/** Folder of a phase within its experiment: `<root>/stage1[/fold-N]`. */
export function phaseFolder(root: string, phase: string, fold: number | undefined): RunFolder {
  return runFolder(join(root, phase, ...(fold === undefined ? [] : [`fold-${fold}`])));
}

type RecipeFile = Pick<RunFolder, 'recipe'>;

/** The text of recipe.yaml. @throws InputError when it is missing, damaged or cut off */
export async function runRecipeText({ recipe: path }: RecipeFile): Promise<string> {
  const text = await readTextFile(path, 'recipe');
  try {
    parseDumped(text);
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    throw new InputError(
      `recipe ${path} ${errorMessage(error)}; restore a good copy, or delete the run and train again`,
    );
  }
  return text;
}

/**
 * The recipe of a run. A file cut off at the end of a line would parse as a valid recipe with other settings, so it is
 * rejected.
 * @param overrides as given to `--set`
 * @throws InputError as {@link runRecipeText}, or when it is not a valid recipe in this version
 */
export async function runRecipe(folder: RecipeFile, overrides: readonly string[] = []): Promise<Recipe> {
  await runRecipeText(folder);
  return loadRecipe({ path: folder.recipe, overrides });
}
