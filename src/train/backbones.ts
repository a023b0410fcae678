/** @file A recipe's backbones, opened as far as a stage reads them: configs, weights and tokenizers. */

import {
  encoderWidth,
  type OpenedDecoder,
  openDecoder,
  openTextEncoder,
  readTextEncoderConfig,
  type TextEncoder,
} from '../backbones/index.js';
import { findCheckpointFolder, requireWeight, type WeightRef } from '../checkpoints/index.js';
import { loadTokenizer, type TextTokenizer } from '../data/text/index.js';
import type { Graph } from '../engine/onnx/index.js';
import { checkpointWeights, FORMER_PREFIX, type Weights } from '../nn/index.js';
import type { Recipe } from '../recipe/index.js';
import type { StageNeeds } from './stage-needs.js';
import type { BackboneConfigs } from './stages.js';

/** The text encoder's part, of which a stage may read the one or the other. */
export interface FormerBackbone extends Partial<Pick<TextEncoder, 'checkpoint' | 'family'>> {
  readonly tokenizer: TextTokenizer | undefined;
}

export interface Backbones {
  readonly configs: BackboneConfigs;
  readonly former: FormerBackbone;
  readonly llm: OpenedDecoder | undefined;
  /** What was decided about them where a config and its weights disagree, for the user. */
  readonly notes: readonly string[];
  /** Frozen weights of a stage, in place in the checkpoints' files. */
  readonly frozen: (graph: Graph) => Weights;
}

/** Opens what a stage needs, and nothing else. @throws InputError naming the backbone that is missing or broken */
export async function openBackbones({ backbones, lora }: Recipe, needs: StageNeeds): Promise<Backbones> {
  const { encoder, encoder_onnx: onnx } = backbones;
  const audioWidth = needs.audio ? (await encoderWidth(encoder, onnx)).width : 0;
  const former = await openFormer(backbones.former, needs);
  const llm = needs.llm ? await openDecoder(backbones.llm, lora.targets) : undefined;
  const lookup = (key: string, shape: readonly number[]): WeightRef => {
    if (!key.startsWith(FORMER_PREFIX)) return requireWeight(llm!.checkpoint, key, shape);
    return requireWeight(former.checkpoint!, key.slice(FORMER_PREFIX.length), shape);
  };
  return {
    configs: { audioWidth, former: former.config, llm: llm?.config },
    former,
    llm,
    notes: llm?.note === undefined ? [] : [llm.note],
    frozen: (graph) => checkpointWeights(graph, lookup),
  };
}

async function openFormer(
  nameOrPath: string,
  { former, formerWeights, text }: StageNeeds,
): Promise<FormerBackbone & { readonly config: BackboneConfigs['former'] }> {
  if (!former) return { tokenizer: undefined, config: undefined };
  const encoder = formerWeights
    ? await openTextEncoder(nameOrPath)
    : { config: await readTextEncoderConfig(nameOrPath) };
  const tokenizer = text ? await loadTokenizer(await findCheckpointFolder(nameOrPath)) : undefined;
  return { ...encoder, tokenizer };
}
