/**
 * @file Finds the trained run that a folder refers to and opens its metadata, recipe and weights. For inference, it
 * combines backbones and checkpoint into one graph of constants.
 */

import { readdir } from 'node:fs/promises';
import { totalmem } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { InputError, pathExists } from '../base/index.js';
import { type Checkpoint, openWeightsFile, requireWeight } from '../checkpoints/index.js';
import { checkCudaKernels, type Graph, serializeInPlace } from '../engine/onnx/index.js';
import type { Device } from '../engine/runtime/index.js';
import { dtypeInfo, elementCount } from '../engine/tensor/index.js';
import { checkpointWeights, type Precision, type Weights } from '../nn/index.js';
import { shippedRecipeNames } from '../recipe/index.js';
import {
  type Example,
  encoderOf,
  type FeatureSource,
  isScored,
  type Phase,
  phaseInferenceGraph,
  phasesOfSystems,
  type Recipe,
  resolvePrecision,
  systemOf,
  titleOf,
} from '../systems/index.js';
import {
  type ComputeOptions,
  countFolds,
  devicesAlike,
  type EncoderPool,
  encoderPool,
  type FailedInference,
  type Inference,
  type InferenceOptions,
  promptedInference,
  recordedPrompt,
  requireSameBackbones,
  sessionEvaluator,
} from '../training/index.js';
import {
  phaseFolder,
  type RunFolder,
  type RunMetadata,
  readMetadata,
  runFolder,
  runRecipe,
  verifyCheckpoint,
} from '../training/runs/index.js';
import { findMovedBackbones } from './backbone-search.js';
import { INFERENCE_BATCH, inferenceBatches, inTurns, openEvaluators, turnsOn } from './device-sessions.js';
import { reviewInferenceMemory } from './inference-memory.js';

export interface TrainedRun {
  readonly folder: RunFolder;
  readonly metadata: RunMetadata;
  readonly recipe: Recipe;
  /** The trained weights by their own keys: `former.*`, `head.*` or `projector.*`, and LoRA's. */
  readonly trained: Checkpoint;
  /** SHA-256 of the checkpoint file. */
  readonly checkpointSha256: string;
  /** Keys of backbones that were not found. */
  readonly missing: readonly string[];
}

export interface RunOpening {
  readonly onNote?: ((text: string) => void) | undefined;
  readonly onWarning?: ((text: string) => void) | undefined;
  /** Changes to its recipe, such as `backbones.llm=DIR` where a backbone is elsewhere now. */
  readonly overrides?: readonly string[] | undefined;
  /** Whether it may be of a phase that gives no probabilities of the labels. */
  readonly unscored?: boolean;
}

/**
 * Opens a run's files.
 * @throws InputError when it is not a run, has no checkpoint yet, or a damaged one
 */
export async function openTrainedRun(
  folder: RunFolder,
  { onWarning, onNote, overrides, unscored = false }: RunOpening = {},
): Promise<TrainedRun> {
  const metadata = await readMetadata(folder);
  if (metadata === undefined) throw new InputError(`${folder.dir} holds no run (no run.json)`);
  if (!(await pathExists(folder.checkpoint))) {
    throw new InputError(`the run in ${folder.dir} has no checkpoint yet; let ${metadata.phase} finish`);
  }
  const { recipe, missing } = await openableRecipe(folder, { overrides, onNote });
  if (!unscored && !isScored(recipe, metadata.phase)) {
    const scored = systemOf(recipe)
      .phases(recipe)
      .filter((phase) => isScored(recipe, phase));
    throw new InputError(
      `the run in ${folder.dir} is of phase ${metadata.phase}, which knows no labels; name its run of ${scored.join(' or ')}`,
    );
  }
  const { sha256, warning } = await verifyCheckpoint(folder, metadata);
  if (warning !== undefined) onWarning?.(warning);
  const trained = await openWeightsFile(folder.checkpoint);
  return { folder, metadata, recipe, trained, checkpointSha256: sha256, missing };
}

/** The recipe of a run, with its backbones where they are now. */
async function openableRecipe(
  folder: RunFolder,
  { overrides = [], onNote }: Pick<RunOpening, 'overrides' | 'onNote'>,
): Promise<{ recipe: Recipe; missing: readonly string[] }> {
  const recipe = await runRecipe(folder, overrides);
  const moved = await findMovedBackbones(recipe, folder.dir);
  const found = moved.filter(({ to }) => to !== undefined);
  for (const { key, from, to } of found) {
    onNote?.(`backbone ${key} of ${folder.dir} is not in ${from}; taking ${to}`);
  }
  const missing = moved.filter(({ to }) => to === undefined).map(({ key }) => key);
  if (found.length === 0) return { recipe, missing };
  const now = [...overrides, ...found.map(({ key, to }) => `backbones.${key}=${to}`)];
  return { recipe: await runRecipe(folder, now), missing };
}

/** Adds to an error what to do about a backbone that was moved away. */
function withAdvice(missing: readonly string[]): (error: unknown) => never {
  return (error) => {
    const [key] = missing;
    if (!(error instanceof InputError) || key === undefined) throw error;
    const what = key === 'encoder_onnx' ? 'FILE' : 'FOLDER';
    throw new InputError(`${error.message}; if it was moved, say where it is: --backbone ${key}=${what}`);
  };
}

/** A warning if the weights are those of an unfinished run; undefined if it is finished. */
export function unfinishedWarning({ dir }: RunFolder, { status }: RunMetadata): string | undefined {
  return status === 'finished' ? undefined : `the run in ${dir} is not finished; using its best epoch so far`;
}

/** Folder of one seed's runs, within the experiment's. */
export function seedFolder(root: string, seed: number): string {
  return join(root, `seed-${seed}`);
}

/** The folders of single seeds' runs, in the order of the seeds. */
export async function seedFolders(dir: string): Promise<{ seed: number; dir: string }[]> {
  const found = await numberedFolders(dir, 'seed');
  return found.map(({ number, dir: own }) => ({ seed: number, dir: own }));
}

/** The started runs of single folds of a phase, in the order of the folds. */
export async function foldRuns(root: string, phase: string): Promise<{ fold: number; folder: RunFolder }[]> {
  const found = await numberedFolders(phaseFolder(root, phase, undefined).dir, 'fold');
  const runs = found.map(({ number, dir }) => ({ fold: number, folder: runFolder(dir) }));
  const begun = await Promise.all(runs.map(({ folder }) => pathExists(folder.metadata)));
  return runs.filter((_, index) => begun[index]);
}

/** Folders such as seed-3, by number. */
async function numberedFolders(dir: string, what: string): Promise<{ number: number; dir: string }[]> {
  const names = await readdir(dir).catch((): string[] => []);
  return names
    .flatMap((name) => {
      const number = name.startsWith(`${what}-`) ? name.slice(what.length + 1) : '';
      return /^\d+$/.test(number) ? [{ number: Number(number), dir: join(dir, name) }] : [];
    })
    .sort((a, b) => a.number - b.number);
}

/**
 * Finds the run that a folder refers to: the run itself, or a phase's run in an experiment's folder, by default the
 * last phase.
 * @throws InputError when there is no run, or none of the requested phase and fold
 */
export async function findRun(dir: string, phase?: string, fold?: number): Promise<RunFolder> {
  const own = runFolder(dir);
  if (await pathExists(own.metadata)) {
    if (fold === undefined) return own;
    throw new InputError(
      `${dir} is a single run; for its folds, name the folder around stage1 and stage2 with --run`,
    );
  }
  const wanted = phase === undefined ? phasesOfSystems.flatMap((phases) => phases.toReversed()) : [phase];
  for (const name of wanted) {
    const candidate = phaseFolder(dir, name, fold);
    if (await pathExists(candidate.metadata)) return candidate;
    if (fold === undefined) {
      const [first] = await foldRuns(dir, name);
      if (first === undefined) continue;
      throw new InputError(
        `${candidate.dir} holds the folds of a cross-validation; score all of them with eval --folds ${await foldsOf(first.folder)}, or name one with --run, such as ${first.folder.dir}`,
      );
    }
    if (await pathExists(phaseFolder(dir, name, undefined).metadata)) {
      throw new InputError(`the run in ${dirname(candidate.dir)} has no folds; leave out the fold`);
    }
  }
  const [seed] = await seedFolders(dir);
  if (seed !== undefined) {
    const withFolds = fold === undefined && (await foldRuns(seed.dir, wanted[0]!)).length > 0;
    throw new InputError(
      `${dir} holds the runs of several seeds; score them with eval --seeds all${withFolds ? ' and --folds' : ''}, or name one with --run, such as ${seed.dir}`,
    );
  }
  const looked = wanted.map((name) => phaseFolder(dir, name, fold).dir).join(' or ');
  const training = `emoq train ${await recipeOption(dir)}${fold === undefined ? '' : ` --fold ${fold}`}`;
  throw new InputError(
    `no run in ${looked}; train first with "${training}", or name another folder with --run`,
  );
}

/**
 * The phases of the system with runs in an experiment's folder, or in those of its seeds; of the default system if there
 * are none.
 */
export async function phasesIn(root: string): Promise<readonly string[]> {
  const dirs = [root, ...(await seedFolders(root)).map(({ dir }) => dir)];
  for (const phases of phasesOfSystems) {
    const paths = dirs.flatMap((dir) => phases.map((phase) => join(dir, phase)));
    if ((await Promise.all(paths.map(pathExists))).includes(true)) return phases;
  }
  return phasesOfSystems[0]!;
}

/** The last of these phases. */
export async function finalPhaseIn(root: string): Promise<string> {
  return (await phasesIn(root)).at(-1)!;
}

/** @throws InputError, beginning with `whose`, for a phase that a recipe does not have */
export function refuseMissingPhase(recipe: Recipe, phase: string | undefined, whose: string): void {
  if (phase === undefined) return;
  const system = systemOf(recipe);
  const why = Object.hasOwn(system.phaseTitles, phase)
    ? system.missingPhase(recipe, phase)?.why
    : `is of system ${system.kind}, which has no ${titleOf(phase)}`;
  if (why !== undefined) throw new InputError(`${whose} ${why}; leave out --${titleOf(phase)}`);
}

/** Number of folds in the cross-validation of a run, if its corpus can still tell. */
async function foldsOf(folder: RunFolder): Promise<string> {
  try {
    return String(await countFolds(await runRecipe(folder)));
  } catch (error) {
    if (error instanceof InputError) return 'K';
    throw error;
  }
}

/** The option that names the recipe of an experiment's folder, which is `runs/<name>` without `--run`. */
async function recipeOption(dir: string): Promise<string> {
  const name = basename(dir);
  const run = dir === join('runs', name) ? '' : ` --run ${dir}`;
  return `${(await shippedRecipeNames()).includes(name) ? `--dataset ${name}` : '--recipe FILE'}${run}`;
}

/** A model ready for inference, whatever it was opened from. */
export interface OpenedModel {
  readonly recipe: Recipe;
  readonly phase: Phase;
  /** How many batches are computed at a time. */
  readonly devices: number;
  /** The encoder of the audio that it reads, on the same devices; the caller closes it. */
  openEncoder(): Promise<EncoderPool>;
  infer(
    examples: readonly Example[],
    features: FeatureSource,
    control?: Pick<InferenceOptions, 'onProgress' | 'stop'>,
  ): Promise<(Inference | FailedInference)[]>;
  close(): Promise<void>;
}

/** The model of a run. */
export interface TrainedModel extends OpenedModel {
  readonly folder: RunFolder;
  readonly metadata: RunMetadata;
}

/** Opens the phase of a run over its backbones. @throws InputError when these are missing or have changed */
export async function openTrainedPhase(
  { folder, metadata, recipe, missing }: TrainedRun,
  { onNote, onWarning }: Pick<RunOpening, 'onNote' | 'onWarning'>,
): Promise<Phase> {
  const open = async () => {
    const phase = await systemOf(recipe).open(recipe, metadata.phase, {
      weights: 'present',
      start: 'checkpoint',
      prompt: recordedPrompt(folder, metadata),
    });
    return { phase, ...(await phase.inspectBackbones()) };
  };
  const { phase, identities, warnings } = await open().catch(withAdvice(missing));
  requireSameBackbones(folder, metadata, identities);
  for (const text of phase.notes) onNote?.(text);
  for (const text of warnings) onWarning?.(text);
  return phase;
}

/** Opens a run. @throws InputError when it has no checkpoint yet, or its backbones are missing or have changed */
export async function openTrainedModel(folder: RunFolder, compute: ComputeOptions): Promise<TrainedModel> {
  const run = await openTrainedRun(folder, compute);
  const { metadata, recipe, trained } = run;
  const phase = await openTrainedPhase(run, compute);
  const weights = (graph: Graph): Weights =>
    checkpointWeights(graph, (key, shape) => requireWeight(trained, key, shape));
  const { precision: choice = 'auto' } = compute;
  const precisionOn = (device: Device): Precision => resolvePrecision(choice, device, phase.languageModel);
  const precision = precisionOn(compute.device);
  const devices = devicesAlike(compute, precisionOn, 'judging utterances');
  const graph = phaseInferenceGraph(phase, phase.parameters, weights, precision);
  if (devices.some(({ kind }) => kind === 'cuda')) checkCudaKernels(graph);
  const memory = devices.map((device) =>
    reviewInferenceMemory({
      ...{ recipe, phase, precision, device, batchSize: INFERENCE_BATCH },
      graphIn: (of) => (of === precision ? graph : phaseInferenceGraph(phase, phase.parameters, weights, of)),
    }),
  );
  for (const { warning } of memory) {
    const tight = await warning();
    if (tight !== undefined) compute.onWarning?.(tight);
  }
  const { model: bytes, weightsFolder } = serializeInPlace(graph);
  compute.onBegin?.();
  const turns = turnsOn(compute);
  const { evaluators, close } = await openEvaluators(devices, compute.threads, turns, async (worker, on) => {
    const { rethrow } = memory[devices.indexOf(on.device)]!;
    const keepConstantExpressions = on.device.kind === 'cpu' && isTooLargeInFloat32(phase);
    const session = await worker
      .open(bytes, { ...on, weightsFolder, keepConstantExpressions })
      .catch(rethrow);
    const evaluator = sessionEvaluator(session);
    return { ...evaluator, run: (batches) => evaluator.run(batches).catch(rethrow) };
  });
  const inferExamples = promptedInference(evaluators, phase);
  const batching = inferenceBatches(phase, compute.device);
  return {
    ...{ folder, metadata, recipe, phase, devices: devices.length, close },
    async openEncoder() {
      const source = await encoderOf(recipe);
      if (source.warning !== undefined) compute.onWarning?.(source.warning);
      return inTurns(encoderPool(source, compute), turns);
    },
    infer: (examples, features, control) =>
      inferExamples(examples, {
        ...{ features: phase.features(features), batching },
        ...control,
      }),
  };
}

/** Weights that would exceed this share of the machine's memory in float32 stay in 16 bits. */
const FLOAT32_SHARE = 0.5;

/**
 * Whether to cast the backbones' 16-bit weights layer by layer in each run instead of once. Decided by total rather
 * than free memory, because the two ways differ in the last bit.
 */
function isTooLargeInFloat32({ checkpoints }: Phase): boolean {
  const stored = checkpoints
    .flatMap(({ weights }) => [...weights.values()])
    .filter(({ dtype }) => dtypeInfo[dtype].bytes === 2);
  const float32Bytes = stored.reduce((sum, { shape }) => sum + 4 * elementCount(shape), 0);
  const constrained = process.constrainedMemory();
  const memoryBytes = constrained > 0 ? Math.min(constrained, totalmem()) : totalmem();
  return float32Bytes > FLOAT32_SHARE * memoryBytes;
}
