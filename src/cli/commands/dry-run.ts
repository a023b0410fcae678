/** @file `--dry-run`: the resolved recipe on stdout, sizes of the stage on stderr. */

import { dumpRecipe, type Recipe } from '../../recipe/index.js';
import { sizeStage } from '../../train/index.js';
import { note, printResult } from '../output.js';
import type { StageOptions } from './stage.js';

export async function describeStage(stage: 1 | 2, recipe: Recipe, options: StageOptions): Promise<void> {
  const fold = options.fold ?? (options.folds === undefined ? undefined : 1);
  const size = await sizeStage(recipe, stage, fold);
  printResult(dumpRecipe(recipe));
  const { memory, steps, batch } = size;
  const shape = `batch ${batch.batch}, ${batch.frames} frames, ${batch.text} text tokens${stage === 2 ? `, prompt ${batch.prompt}` : ''}`;
  note(`parameters: ${count(size.trainable)} trained, ${count(size.frozen)} frozen`);
  note(
    `memory: about ${gib(memory.totalBytes)} (${gib(memory.stateBytes)} parameters and moments, ${gib(memory.frozenBytes)} frozen weights in float32, ${gib(memory.stepBytes)} one step at ${shape}, ${gib(memory.processBytes)} Node and onnxruntime)`,
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

function gib(bytes: number): string {
  return bytes < 2 ** 30 ? `${(bytes / 2 ** 20).toFixed(0)} MiB` : `${(bytes / 2 ** 30).toFixed(1)} GiB`;
}
