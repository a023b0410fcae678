/**
 * @file A trained stage as models of their own: the Former with what follows it, and the language model with its LoRA
 * merged. Their weights come from the run's checkpoint and from the backbones.
 */

import {
  type DecoderConfig,
  loraParameters,
  type MergedDtype,
  mergedTensors,
  outputMatrixRef,
  storedRows,
} from '../../backbones/index.js';
import { InputError } from '../../base/index.js';
import {
  type Checkpoint,
  readWeight,
  requireWeight,
  storedTensor,
  trainedTensor,
} from '../../checkpoints/index.js';
import type { StreamedTensor, Tensor } from '../../engine/tensor/index.js';
import { FORMER_PREFIX, type LoraConfig } from '../../nn/index.js';
import { wholeModel } from '../phase-graphs.js';
import type { PhaseGraphs, StandaloneModel } from '../system.js';
import type { EmoqBackbones } from './emoq-backbones.js';
import { LABEL_ROWS_KEY, type Stage2Config, stage2Models } from './stage2.js';

/** PEFT's names of the LoRA matrices, and of what they started from. */
const LORA_KEY = /\.lora_[AB](?:_start)?\.weight$/;

/** The keys of a checkpoint that belong to a LoRA. */
export function loraKeys({ weights }: Pick<Checkpoint, 'weights'>): string[] {
  return [...weights.keys()].filter((key) => LORA_KEY.test(key));
}

/**
 * All weights of a language model by key, with the LoRA of a run's checkpoint merged.
 * @throws InputError when the LoRA does not fit
 */
export async function mergedWeights(
  trained: Checkpoint,
  checkpoint: Checkpoint,
  config: DecoderConfig,
  lora: LoraConfig,
  mergedDtype: MergedDtype,
): Promise<Map<string, StreamedTensor>> {
  const refs = loraParameters(config, lora).map(({ key, shape }) => requireWeight(trained, key, shape));
  const held = loraKeys(trained);
  if (held.length !== refs.length) {
    const perWeight = lora.init === 'pissa' ? 4 : 2;
    throw new InputError(
      `the run adapts ${held.length / perWeight} weights, but in this model it would be ${refs.length / perWeight}`,
    );
  }
  const parameters = new Map<string, Tensor>();
  for (const ref of refs) parameters.set(ref.key, await readWeight(ref));
  const tensors = mergedTensors(checkpoint, parameters, lora, mergedDtype);
  return new Map(tensors.map((tensor) => [tensor.key, tensor]));
}

/** Weights of a stage outside of the language model: trained ones, and RoBERTa's that stay frozen. */
function ownWeight(
  { isTrainable }: Pick<PhaseGraphs, 'isTrainable'>,
  { former }: EmoqBackbones,
  trained: Checkpoint,
): StandaloneModel['weight'] {
  return (key, shape) =>
    isTrainable(key)
      ? trainedTensor(requireWeight(trained, key, shape))
      : storedTensor(requireWeight(former.checkpoint!, key.slice(FORMER_PREFIX.length), shape), key);
}

/** Stage 1 as one model: the Former and its head. */
export function stage1Standalone(
  graphs: PhaseGraphs,
  backbones: EmoqBackbones,
  trained: Checkpoint,
): readonly StandaloneModel[] {
  return [
    wholeModel(graphs, {
      name: 'emoq_former',
      description: 'EmoQ-Former and its head: speech features and text to probabilities of the labels',
      weight: ownWeight(graphs, backbones, trained),
    }),
  ];
}

/** Stage 2 as one or two models. @throws InputError when the LoRA does not fit */
export async function stage2Standalone(
  graphs: PhaseGraphs,
  config: Stage2Config,
  backbones: EmoqBackbones,
  trained: Checkpoint,
  mergedDtype: MergedDtype,
): Promise<readonly StandaloneModel[]> {
  const { llm, lora, labelTokenIds } = config;
  const checkpoint = backbones.llm.checkpoint!;
  const merged = await mergedWeights(trained, checkpoint, llm, lora, mergedDtype);
  const own = ownWeight(graphs, backbones, trained);
  const weight: StandaloneModel['weight'] = (key, shape) => {
    if (key === LABEL_ROWS_KEY) return storedRows(outputMatrixRef(checkpoint, llm), key, labelTokenIds);
    if (!/^model\./.test(key)) return own(key, shape);
    return { ...merged.get(requireWeight(checkpoint, key, shape).key)!, key };
  };
  return stage2Models(config).map((model) => ({ ...model, weight }));
}
