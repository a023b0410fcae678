/** @file Checks what an experiment needs: its corpus, its backbones, and memory and disk space for its stages. */

import { join } from 'node:path';
import { errorMessage, formatBytes, formatMemory, InputError } from '../../../base/index.js';
import { type Recipe, requirePhase, systemOf, titleOf, trainingStart } from '../../../systems/index.js';
import {
  type PhaseSize,
  recordingsIn,
  reviewPlan,
  sizePhase,
  soundFolders,
} from '../../../training/index.js';
import { recipeBackboneChecks } from './backbone-checks.js';
import { type CheckResult, checked, type NamedExperiment } from './check-result.js';
import { memoryBudget } from './machine-checks.js';
import { freeDiskBytes, manifestCheck, preparationCommand } from './storage-checks.js';

export async function experimentChecks(experiment: NamedExperiment): Promise<CheckResult[]> {
  const { recipe, phase } = experiment;
  const system = systemOf(recipe);
  const phases = phase === undefined ? system.phases(recipe) : [phase];
  for (const each of phases) requirePhase(recipe, each);
  const needs = phases.map((each) => system.needs(recipe, each, trainingStart(recipe, each)));
  const corpus = await manifestCheck(recipe.manifest, true);
  const backbones = await recipeBackboneChecks(recipe, needs);
  const sizes: PhaseSize[] = [];
  const memory: CheckResult[] = [];
  const problem = await planProblem(recipe, phases);
  for (const each of problem === undefined ? phases : []) {
    try {
      const size = await sizePhase(recipe, each, foldOf(recipe));
      sizes.push(size);
      memory.push(await memoryCheck(each, size, experiment));
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      const found = `cannot be sized: ${errorMessage(error)}`;
      memory.push(checked(`memory of ${titleOf(each)}`, 'missing', found, { needed: true }));
    }
  }
  const corpusProblem = sizes.find(({ corpusProblem }) => corpusProblem !== undefined)?.corpusProblem;
  return [
    // Problems that the manifest alone does not show: unknown labels, missing audio.
    corpus.status === 'missing' || corpusProblem === undefined
      ? corpus
      : {
          ...corpus,
          status: 'missing',
          found: corpusProblem,
          fix: await preparationCommand(recipe.manifest),
        },
    ...backbones,
    ...(needs.some(({ audio }) => audio) ? await recordingChecks(recipe) : []),
    ...(problem === undefined ? [] : [checked('recipe', 'missing', problem, { needed: true })]),
    ...memory,
    ...(sizes.length === 0 ? [] : [await diskCheck(experiment, sizes)]),
  ];
}

/** The folders of recordings that variants of training clips are made from; they are listed, not read. */
async function recordingChecks(recipe: Recipe): Promise<CheckResult[]> {
  return Promise.all(
    soundFolders(recipe).map(async ([key, folder]) => {
      try {
        const recordings = (await recordingsIn(folder)).length;
        const found = `${folder}: ${recordings} ${recordings === 1 ? 'recording' : 'recordings'}`;
        return checked(key, 'ok', found, { needed: true, details: { folder, recordings } });
      } catch (error) {
        if (!(error instanceof InputError)) throw error;
        return checked(key, 'missing', errorMessage(error), { needed: true, details: { folder } });
      }
    }),
  );
}

/** Why training would reject the recipe; undefined if it would not. */
async function planProblem(recipe: Recipe, phases: readonly string[]): Promise<string | undefined> {
  try {
    const [fold, root] = [foldOf(recipe), join('runs', recipe.name)];
    for (const phase of phases) await reviewPlan({ recipe, phase, fold, root });
    return undefined;
  } catch (error) {
    if (error instanceof InputError) return errorMessage(error);
    throw error;
  }
}

async function memoryCheck(
  phase: string,
  { memory, trainable, step }: PhaseSize,
  experiment: NamedExperiment,
): Promise<CheckResult> {
  const name = `memory of ${titleOf(phase)}`;
  const { totalBytes, freeBytes } = await memoryBudget();
  const details = {
    estimated_bytes: memory.totalBytes,
    total_bytes: totalBytes,
    free_bytes: freeBytes,
    trainable,
  };
  const found = `training takes about ${formatMemory(memory.totalBytes)} at batches of ${step.batch.batch}`;
  if (memory.totalBytes > totalBytes) {
    const fix = await fittingCommand(phase, totalBytes, experiment);
    const all = `${found}; there are ${formatMemory(totalBytes)}`;
    return checked(name, 'missing', all, { needed: true, fix, details });
  }
  if (memory.totalBytes > freeBytes) {
    const now = `${found}; ${formatMemory(freeBytes)} are free now`;
    return checked(name, 'warning', now, { needed: true, fix: 'ps aux --sort=-rss | head', details });
  }
  return checked(name, 'ok', `${found}, of ${formatMemory(totalBytes)}`, { needed: true, details });
}

const SMALL_MODEL = 'Qwen/Qwen2.5-0.5B-Instruct';
const SMALL_MICRO_BATCH = 2;

/** Some recipe keys, and the overrides that set them. */
interface Change {
  readonly recipe: Recipe;
  readonly overrides: readonly string[];
}

/** The command with which the phase fits, using the first sufficient change; null if none is sufficient. */
async function fittingCommand(
  phase: string,
  totalBytes: number,
  { recipe, named }: NamedExperiment,
): Promise<string | null> {
  const kept: Change = { recipe, overrides: [] };
  const recomputed = withRecomputing(phase, kept);
  const start = trainingStart(recipe, phase);
  const hasLlm = systemOf(recipe)
    .needs(recipe, phase, start)
    .backbones.some(({ key }) => key === 'llm');
  const changes = hasLlm ? [recomputed, withSmallModel(kept), withSmallModel(recomputed)] : [recomputed];
  for (const { recipe: changed, overrides } of changes) {
    const { memory } = await sizePhase(changed, phase, foldOf(recipe));
    if (memory.totalBytes > totalBytes) continue;
    return [`emoq ${phase} ${named}`, ...overrides.map((override) => `--set ${override}`)].join(' ');
  }
  return null;
}

/** Activation checkpointing and micro-batches: the same model, with longer training. */
function withRecomputing(phase: string, { recipe, overrides }: Change): Change {
  const settings = systemOf(recipe).settings(recipe, phase);
  const accumulate = Math.max(1, Math.ceil(settings.batch_size / SMALL_MICRO_BATCH));
  return {
    recipe: { ...recipe, [phase]: { ...settings, activation_checkpointing: true, accumulate } } as Recipe,
    overrides: [...overrides, `${phase}.activation_checkpointing=true`, `${phase}.accumulate=${accumulate}`],
  };
}

function withSmallModel({ recipe, overrides }: Change): Change {
  return {
    recipe: { ...recipe, backbones: { ...recipe.backbones, llm: SMALL_MODEL } as Recipe['backbones'] },
    overrides: [`backbones.llm=${SMALL_MODEL}`, ...overrides],
  };
}

/** The fold to size; all need about the same. */
function foldOf({ folds }: Recipe): number | undefined {
  return folds === 'none' ? undefined : 1;
}

/**
 * A run keeps its checkpoint, parameters with both moments, and the last epochs' parameters. Each new file is written
 * before the old one is deleted.
 */
async function diskCheck(
  { recipe, named, phase }: NamedExperiment,
  sizes: readonly PhaseSize[],
): Promise<CheckResult> {
  const parameterBytes = sizes.map(({ trainable }) => 4 * trainable);
  const kept = 1 + 3 + recipe.keep_checkpoints;
  const neededBytes =
    kept * parameterBytes.reduce((sum, bytes) => sum + bytes, 0) + 3 * Math.max(...parameterBytes);
  const freeBytes = await freeDiskBytes('runs');
  const details = { needed_bytes: neededBytes, free_bytes: freeBytes };
  const found = `${sizes.length === 1 ? 'a run' : 'the runs of both stages'}${recipe.folds === 'none' ? '' : ' of one fold'} ${sizes.length === 1 ? 'takes' : 'take'} about ${formatBytes(neededBytes)}`;
  if (neededBytes <= freeBytes)
    return checked('disk', 'ok', `${found}, of ${formatBytes(freeBytes)}`, { needed: true, details });
  const short = `${found}; ${formatBytes(freeBytes)} are free`;
  return checked('disk', 'missing', short, {
    needed: true,
    fix: `emoq ${phase ?? Object.keys(systemOf(recipe).phaseTitles)[0]} ${named} --run /a/larger/disk`,
    details,
  });
}
