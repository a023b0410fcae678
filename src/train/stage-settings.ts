/** @file A recipe's optimizer settings for a stage, and the training graph under them. */

import { InputError } from '../base/index.js';
import type { TrainingGraph } from '../engine/training/index.js';
import type { Recipe } from '../recipe/index.js';
import { type BatchSplit, evenSplit, pairedSplit } from './batches.js';
import type { StepPlan } from './schedule.js';
import { type Stage, type StageParameters, stageTrainingGraph } from './stage.js';

/** The recipe's section for a stage. */
export function stageSettings(recipe: Recipe, stage: 1 | 2): Recipe['stage1'] | Recipe['stage2'] {
  return stage === 1 ? recipe.stage1 : recipe.stage2;
}

/** The most utterances that go through the models at once: the batch, or a micro-batch of it. */
export function microBatchSize({
  batch_size,
  accumulate,
}: Pick<Recipe['stage1'], 'batch_size' | 'accumulate'>): number {
  return Math.ceil(batch_size / accumulate);
}

/** How a step's batch is cut into micro-batches; undefined where it goes through the models whole. */
export function batchSplit(
  settings: Pick<Recipe['stage1'], 'batch_size' | 'accumulate' | 'batches'>,
): BatchSplit | undefined {
  const size = microBatchSize(settings);
  if (size === settings.batch_size) return undefined;
  return settings.batches === 'balanced' ? pairedSplit(size) : evenSplit(size);
}

/**
 * What gradient accumulation changes in a stage beside memory and time, in one line; undefined where it changes nothing.
 * @throws InputError where it would leave the contrastive loss nothing to compare
 */
export function accumulationWarning({ stage1 }: Recipe, stage: 1 | 2): string | undefined {
  const { accumulate, batch_size, scl_weight } = stage1;
  if (stage === 2 || scl_weight === 0 || batchSplit(stage1) === undefined) return undefined;
  const size = microBatchSize(stage1);
  if (size === 1)
    throw new InputError(
      `stage1.accumulate ${accumulate} leaves one utterance in a micro-batch of batch_size ${batch_size}, and the contrastive loss compares utterances; choose a smaller one, or scl_weight 0`,
    );
  return `stage1.accumulate ${accumulate}: the contrastive loss compares the ${size} utterances of a micro-batch, not the ${batch_size} of the batch`;
}

/** The training graph of a stage under its recipe's optimizer settings. */
export function buildTraining(
  {
    recipe,
    stage,
    parameters,
  }: { readonly recipe: Recipe; readonly stage: Stage; readonly parameters: StageParameters },
  plan: Pick<StepPlan, 'warmupSteps' | 'totalSteps'>,
): TrainingGraph {
  const settings = stageSettings(recipe, stage.number);
  const optimizer = {
    beta1: settings.adam_beta1,
    beta2: settings.adam_beta2,
    epsilon: settings.adam_eps,
    weightDecay: settings.weight_decay,
    clipNorm: settings.grad_clip,
  };
  return stageTrainingGraph(stage, parameters, optimizer, plan, {
    recompute: settings.activation_checkpointing,
    accumulate: batchSplit(settings) !== undefined,
  });
}
