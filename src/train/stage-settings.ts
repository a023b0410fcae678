/** @file A recipe's optimizer settings for a stage, and the training graph under them. */

import type { TrainingGraph } from '../engine/training/index.js';
import type { Recipe } from '../recipe/index.js';
import type { StepPlan } from './schedule.js';
import { type Stage, type StageParameters, stageTrainingGraph } from './stage.js';

/** The recipe's section for a stage. */
export function stageSettings(recipe: Recipe, stage: 1 | 2): Recipe['stage1'] | Recipe['stage2'] {
  return stage === 1 ? recipe.stage1 : recipe.stage2;
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
  return stageTrainingGraph(stage, parameters, optimizer, plan, settings.activation_checkpointing);
}
