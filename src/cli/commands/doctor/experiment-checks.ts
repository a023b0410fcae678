/** @file What one experiment needs: its corpus, its backbones, memory and disk for its stages. */

import { join } from 'node:path';
import { errorMessage, formatBytes, formatMemory, InputError } from '../../../base/index.js';
import type { Recipe } from '../../../recipe/index.js';
import {
  reviewPlan,
  type StageSize,
  sizeStage,
  stageNeeds,
  stagesOf,
  trainingStart,
} from '../../../train/index.js';
import { recipeBackboneChecks } from './backbone-checks.js';
import { type CheckResult, checked, type NamedExperiment } from './check-result.js';
import { memoryBudget } from './machine-checks.js';
import { freeDiskBytes, manifestCheck, preparationCommand } from './storage-checks.js';

export async function experimentChecks({ recipe, named, stage }: NamedExperiment): Promise<CheckResult[]> {
  const stages = stage === undefined ? stagesOf(recipe) : [stage];
  const needs = stages.map((number) => stageNeeds(recipe, number, trainingStart(recipe, number)));
  const corpus = await manifestCheck(recipe.manifest, true);
  const backbones = await recipeBackboneChecks(recipe, needs);
  const sizes: StageSize[] = [];
  const memory: CheckResult[] = [];
  const problem = await planProblem(recipe, stages);
  for (const number of problem === undefined ? stages : []) {
    try {
      const size = await sizeStage(recipe, number, foldOf(recipe));
      sizes.push(size);
      memory.push(await memoryCheck(number, size, { recipe, named, stage }));
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      const found = `cannot be sized: ${errorMessage(error)}`;
      memory.push(checked(`memory of stage ${number}`, 'missing', found, { needed: true }));
    }
  }
  const corpusProblem = sizes.find(({ corpusProblem }) => corpusProblem !== undefined)?.corpusProblem;
  return [
    // Problems that the manifest alone does not show: unknown labels, missing audio.
    corpus.status === 'missing' || corpusProblem === undefined
      ? corpus
      : { ...corpus, status: 'missing', found: corpusProblem, fix: preparationCommand(recipe.manifest) },
    ...backbones,
    ...(problem === undefined ? [] : [checked('recipe', 'missing', problem, { needed: true })]),
    ...memory,
    ...(sizes.length === 0 ? [] : [await diskCheck({ recipe, named, stage }, sizes)]),
  ];
}

/** Why training would refuse the recipe; undefined where it would not. */
async function planProblem(recipe: Recipe, stages: readonly (1 | 2)[]): Promise<string | undefined> {
  try {
    for (const stage of stages) await reviewPlan(recipe, stage, foldOf(recipe), join('runs', recipe.name));
    return undefined;
  } catch (error) {
    if (error instanceof InputError) return errorMessage(error);
    throw error;
  }
}

async function memoryCheck(
  stage: 1 | 2,
  { memory, trainable, step }: StageSize,
  experiment: NamedExperiment,
): Promise<CheckResult> {
  const name = `memory of stage ${stage}`;
  const { totalBytes, freeBytes } = await memoryBudget();
  const details = {
    estimated_bytes: memory.totalBytes,
    total_bytes: totalBytes,
    free_bytes: freeBytes,
    trainable,
  };
  const found = `training takes about ${formatMemory(memory.totalBytes)} at batches of ${step.batch.batch}`;
  if (memory.totalBytes > totalBytes) {
    const fix = await fittingCommand(stage, totalBytes, experiment);
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

/** A recipe with some keys changed, and the overrides that change them. */
interface Change {
  readonly recipe: Recipe;
  readonly overrides: readonly string[];
}

/** The command with which the stage fits, by the first change that is enough; null where none is enough. */
async function fittingCommand(
  stage: 1 | 2,
  totalBytes: number,
  { recipe, named }: NamedExperiment,
): Promise<string | null> {
  const kept: Change = { recipe, overrides: [] };
  const recomputed = withRecomputing(stage, kept);
  const changes = stage === 1 ? [recomputed] : [recomputed, withSmallModel(kept), withSmallModel(recomputed)];
  for (const { recipe: changed, overrides } of changes) {
    const { memory } = await sizeStage(changed, stage, foldOf(recipe));
    if (memory.totalBytes > totalBytes) continue;
    return [`emoq stage${stage} ${named}`, ...overrides.map((override) => `--set ${override}`)].join(' ');
  }
  return null;
}

/** Activation checkpointing and micro-batches: the same model in more time. */
function withRecomputing(stage: 1 | 2, { recipe, overrides }: Change): Change {
  const key = `stage${stage}` as const;
  const accumulate = Math.max(1, Math.ceil(recipe[key].batch_size / SMALL_MICRO_BATCH));
  return {
    recipe: { ...recipe, [key]: { ...recipe[key], activation_checkpointing: true, accumulate } },
    overrides: [...overrides, `${key}.activation_checkpointing=true`, `${key}.accumulate=${accumulate}`],
  };
}

function withSmallModel({ recipe, overrides }: Change): Change {
  return {
    recipe: { ...recipe, backbones: { ...recipe.backbones, llm: SMALL_MODEL } },
    overrides: [`backbones.llm=${SMALL_MODEL}`, ...overrides],
  };
}

/** The fold to size: all take about as much. */
function foldOf({ folds }: Recipe): number | undefined {
  return folds === 'session' ? 1 : undefined;
}

/**
 * A run keeps its checkpoint, parameters with both moments, and the last epochs' parameters. Each is written beside the
 * one that it replaces.
 */
async function diskCheck(
  { recipe, named, stage }: NamedExperiment,
  sizes: readonly StageSize[],
): Promise<CheckResult> {
  const parameterBytes = sizes.map(({ trainable }) => 4 * trainable);
  const kept = 1 + 3 + recipe.keep_checkpoints;
  const neededBytes =
    kept * parameterBytes.reduce((sum, bytes) => sum + bytes, 0) + 3 * Math.max(...parameterBytes);
  const freeBytes = await freeDiskBytes('runs');
  const details = { needed_bytes: neededBytes, free_bytes: freeBytes };
  const found = `${sizes.length === 1 ? 'a run' : 'the runs of both stages'}${recipe.folds === 'session' ? ' of one fold' : ''} ${sizes.length === 1 ? 'takes' : 'take'} about ${formatBytes(neededBytes)}`;
  if (neededBytes <= freeBytes)
    return checked('disk', 'ok', `${found}, of ${formatBytes(freeBytes)}`, { needed: true, details });
  const short = `${found}; ${formatBytes(freeBytes)} are free`;
  return checked('disk', 'missing', short, {
    needed: true,
    fix: `emoq stage${stage ?? 1} ${named} --run /a/larger/disk`,
    details,
  });
}
