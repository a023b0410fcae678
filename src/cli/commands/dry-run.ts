/** @file `--dry-run`: the resolved recipe on stdout, sizes of the stage on stderr. */

import { formatMemory } from '../../base/index.js';
import { dumpRecipe, type Recipe } from '../../recipe/index.js';
import { sizeStage } from '../../train/index.js';
import { note, printResult, warn } from '../output.js';
import type { StageOptions } from './stage.js';

export async function describeStage(stage: 1 | 2, recipe: Recipe, options: StageOptions): Promise<void> {
  const fold = options.fold ?? (options.folds === undefined ? undefined : 1);
  const size = await sizeStage(recipe, stage, fold);
  printResult(dumpRecipe(recipe));
  const { memory, steps, batch, microBatches, warning } = size;
  const rows =
    microBatches === 1 ? `batch ${batch.batch}` : `${microBatches} micro-batches of ${batch.batch}`;
  const shape = `${rows}, ${batch.frames} frames, ${batch.text} text tokens${stage === 2 ? `, prompt ${batch.prompt}` : ''}`;
  if (warning !== undefined) warn(warning);
  note(`parameters: ${count(size.trainable)} trained, ${count(size.frozen)} frozen`);
  note(
    `memory: about ${formatMemory(memory.totalBytes)} (${formatMemory(memory.stateBytes)} parameters and moments, ${formatMemory(memory.frozenBytes)} frozen weights in float32, ${formatMemory(memory.stepBytes)} one step at ${shape}, ${formatMemory(memory.processBytes)} Node and onnxruntime)`,
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
