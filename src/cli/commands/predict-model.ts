/** @file The model that `emoq predict` is asked to use: that of a run or of a bundle. */

import { join } from 'node:path';
import { InputError, isSameFile, sha256OfFile } from '../../base/index.js';
import type { OpenedModel } from '../../inference/index.js';
import type { Recipe } from '../../systems/index.js';
import type { ComputeOptions } from '../../training/index.js';
import { backboneOverrides } from '../command-definition.js';

/** A model that is named, but not opened yet. */
export interface NamedModel {
  readonly recipe: Recipe;
  /** The most earlier turns of its dialogue that a row is judged with. */
  readonly turns: number;
  /** What tells it from others. */
  readonly identity: Readonly<Record<string, string>>;
  /** Its own files, which are no outputs, and what each is. */
  readonly files: readonly { readonly path: string; readonly what: string }[];
  open(compute: ComputeOptions): Promise<OpenedModel>;
}

export interface ModelChoice {
  readonly run?: string;
  readonly bundle?: string;
  readonly backbone?: readonly string[];
}

/** @throws InputError when none is named, or what is named is no run or bundle */
export async function namedModel({ run, bundle, backbone }: ModelChoice): Promise<NamedModel> {
  if (bundle !== undefined) return bundleModel(bundle);
  if (run !== undefined) return runModel(run, backbone);
  throw new InputError('say which model predicts: --run FOLDER or --bundle FOLDER');
}

async function runModel(dir: string, backbone: ModelChoice['backbone']): Promise<NamedModel> {
  const { findRun, openTrainedModel } = await import('../../inference/index.js');
  const { readMetadata, runFiles, runRecipe } = await import('../../training/runs/index.js');
  const { warnUnfinished } = await import('./experiment-options.js');
  const folder = await findRun(dir);
  const metadata = await readMetadata(folder);
  const manifest = metadata?.manifest.path;
  return {
    recipe: await runRecipe(folder, backboneOverrides(backbone)),
    turns: metadata?.prompt?.history ?? 0,
    identity: {
      checkpoint_sha256: metadata?.checkpoint?.sha256 ?? (await sha256OfFile(folder.checkpoint)),
    },
    files: [
      ...runFiles(folder).map((path) => ({ path, what: `${path}, of the run itself` })),
      ...(manifest === undefined ? [] : [{ path: manifest, what: 'the manifest of the run' }]),
    ],
    async open(compute) {
      const trained = await openTrainedModel(folder, compute);
      warnUnfinished(folder, trained.metadata);
      return trained;
    },
  };
}

async function bundleModel(dir: string): Promise<NamedModel> {
  const { bundleIdentity, bundleRecipe, openBundleModel, readBundleDescription } = await import(
    '../../inference/index.js'
  );
  const description = await readBundleDescription(dir);
  const names = ['bundle.json', ...Object.keys(description.files)];
  return {
    recipe: await bundleRecipe(dir, description),
    turns: description.prompt?.history ?? 0,
    identity: { bundle_sha256: await bundleIdentity(dir) },
    files: names.map((name) => ({ path: join(dir, name), what: `${name}, of the bundle itself` })),
    open: (compute) => openBundleModel(dir, compute),
  };
}

/** @throws InputError if the output is a file of the model itself, or the manifest it was trained on */
export async function refuseModelFiles(output: string, { files }: NamedModel): Promise<void> {
  if (output === '-') return;
  for (const { path, what } of files) {
    if (!(await isSameFile(path, output))) continue;
    throw new InputError(`output ${output} is ${what}; name another file with -o`);
  }
}
