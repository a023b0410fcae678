/** @file `--dry-run`: the resolved recipe on stdout, sizes of the stage on stderr. */

import { formatMemory } from '../../base/index.js';
import { dumpRecipe } from '../../recipe/index.js';
import type { Recipe } from '../../systems/index.js';
import { reviewPlan, sizePhase, stepText } from '../../training/index.js';
import { note, printResult, warn } from '../terminal-output.js';
import { experimentFolder } from './training.js';
import type { TrainingOptions } from './training-options.js';

export async function describePhase(phase: string, recipe: Recipe, options: TrainingOptions): Promise<void> {
  const fold = options.fold ?? (options.folds === undefined ? undefined : 1);
  const size = await sizePhase(recipe, phase, fold);
  const ahead = await reviewPlan({ recipe, phase, fold, root: experimentFolder(recipe, options.run) });
  printResult(dumpRecipe(recipe));
  const { memory, steps, step, epochs, warnings } = size;
  const which =
    epochs === undefined
      ? 'clips of 5 s'
      : `the largest step of ${epochs === 1 ? 'epoch 1' : `epochs 1 to ${epochs}`}`;
  for (const warning of warnings) warn(warning);
  if (ahead !== undefined) note(ahead);
  note(`parameters: ${count(size.trainable)} trained, ${count(size.frozen)} frozen`);
  note(
    `memory: about ${formatMemory(memory.totalBytes)} (${formatMemory(memory.stateBytes)} parameters and moments, ${formatMemory(memory.frozenBytes)} frozen weights in float32, ${formatMemory(memory.stepBytes)} one step at ${stepText(step)}: ${which}, ${formatMemory(memory.processBytes)} Node and onnxruntime)`,
  );
  note(`graph: ${count(size.nodes)} nodes in a step, built in ${size.buildSec.toFixed(1)} s`);
  note(
    steps === undefined
      ? `steps: not known, ${size.corpusProblem}`
      : `steps: ${count(steps.perEpoch)} per epoch, ${count(steps.total)} in all, ${count(steps.utterances)} training utterances`,
  );
}

function count(value: number): string {
  return value.toLocaleString('en');
}
