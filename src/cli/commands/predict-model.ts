/** @file The models that `emoq predict` is asked to use: those of runs, or that of a bundle. */

import { join, resolve } from 'node:path';
import { InputError, isSameFile, sha256OfFile } from '../../base/index.js';
import type { Judges, NamedRecipe, OpenedModel } from '../../inference/index.js';
import type { Recipe } from '../../systems/index.js';
import type { ComputeOptions } from '../../training/index.js';
import { backboneOverrides } from '../command-definition.js';

/** A model that is named, but not opened yet. */
interface NamedModel {
  /** As in messages. */
  readonly name: string;
  readonly recipe: Recipe;
  /** What tells it from others. */
  readonly identity: Readonly<Record<string, string>>;
  /** Its own files, which are no outputs, and what each is. */
  readonly files: readonly { readonly path: string; readonly what: string }[];
  open(compute: ComputeOptions): Promise<OpenedModel>;
}

/** One model, or several that answer with the mean of their probabilities. */
export interface NamedModels extends Pick<NamedModel, 'identity' | 'files'> {
  readonly members: readonly NamedRecipe[];
  open(compute: ComputeOptions): Promise<{ readonly models: Judges; readonly close: () => Promise<void> }>;
}

export interface ModelChoice {
  readonly run?: readonly string[];
  readonly bundle?: string;
  readonly backbone?: readonly string[];
}

/** @throws InputError when none is named, one is named twice, or what is named is no run or bundle */
export async function namedModels({ run = [], bundle, backbone }: ModelChoice): Promise<NamedModels> {
  const members: NamedModel[] = [];
  if (bundle !== undefined) members.push(await bundleModel(bundle));
  else for (const dir of run) members.push(await runModel(dir, backbone));
  const [first, ...others] = members;
  if (first === undefined) throw new InputError('say which model predicts: --run FOLDER or --bundle FOLDER');
  refuseTwice(members);
  return {
    members,
    identity: others.length === 0 ? first.identity : identityOfAll(members),
    files: members.flatMap(({ files }) => files),
    async open(compute) {
      const models: OpenedModel[] = [];
      const close = async (): Promise<void> => {
        for (const model of models) await model.close();
      };
      try {
        for (const member of members) models.push(await member.open(compute));
      } catch (error) {
        await close();
        throw error;
      }
      return { models: models as [OpenedModel, ...OpenedModel[]], close };
    },
  };
}

/** @throws InputError for a run that is named twice, and would count twice */
function refuseTwice(members: readonly NamedModel[]): void {
  const folders = members.map(({ name }) => resolve(name));
  const twice = members.find((_, index) => folders.indexOf(folders[index]!) < index)?.name;
  if (twice !== undefined)
    throw new InputError(`--run names ${twice} twice; each counts once, so name it once`);
}

/** The keys of each member with its place, since the order decides the last digit of a mean. */
function identityOfAll(members: readonly NamedModel[]): Record<string, string> {
  return Object.fromEntries(
    members.flatMap(({ identity }, index) =>
      Object.entries(identity).map(([key, value]) => [`${key}_${index + 1}`, value]),
    ),
  );
}

async function runModel(dir: string, backbone: ModelChoice['backbone']): Promise<NamedModel> {
  const { findRun, openTrainedModel } = await import('../../inference/index.js');
  const { readMetadata, runFiles, runRecipe } = await import('../../training/runs/index.js');
  const { warnUnfinished } = await import('./experiment-options.js');
  const folder = await findRun(dir);
  const metadata = await readMetadata(folder);
  const manifest = metadata?.manifest.path;
  return {
    name: folder.dir,
    recipe: await runRecipe(folder, backboneOverrides(backbone)),
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
    name: dir,
    recipe: await bundleRecipe(dir, description),
    identity: { bundle_sha256: await bundleIdentity(dir) },
    files: names.map((name) => ({ path: join(dir, name), what: `${name}, of the bundle itself` })),
    open: (compute) => openBundleModel(dir, compute),
  };
}

/** @throws InputError if the output is a file of the model itself, or the manifest it was trained on */
export async function refuseModelFiles(output: string, { files }: NamedModels): Promise<void> {
  if (output === '-') return;
  for (const { path, what } of files) {
    if (!(await isSameFile(path, output))) continue;
    throw new InputError(`output ${output} is ${what}; name another file with -o`);
  }
}
