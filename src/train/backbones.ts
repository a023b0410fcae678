/** @file A recipe's three backbones, opened: configs, weights and tokenizers. */

import { join } from 'node:path';
import { loadTokenizer, type TextTokenizer } from '../data/text/index.js';
import type { Graph } from '../engine/onnx/index.js';
import {
  type Checkpoint,
  checkpointWeights,
  chooseHead,
  FORMER_PREFIX,
  findCheckpointFolder,
  openCheckpoint,
  parseQwen2Config,
  parseRobertaConfig,
  readHubertConfig,
  requireWeight,
  type WeightRef,
  type Weights,
  weightsUnder,
} from '../models/index.js';
import type { Recipe } from '../recipe/index.js';
import type { BackboneConfigs } from './stages.js';

/** RoBERTa's part: its weights without key prefix, and its tokenizer. */
export interface FormerBackbone {
  readonly checkpoint: Checkpoint;
  readonly tokenizer: TextTokenizer;
}

export interface Backbones {
  readonly configs: BackboneConfigs;
  readonly former: FormerBackbone;
  /** Absent for stage 1, which has no language model. */
  readonly llm: FormerBackbone | undefined;
  /** What was decided about them where a config and its weights disagree, for the user. */
  readonly notes: readonly string[];
  /** Frozen weights of a stage, in place in the checkpoints' files. */
  readonly frozen: (graph: Graph) => Weights;
}

/** Opens what a stage needs. @throws InputError naming the backbone that is missing or broken */
export async function openBackbones(recipe: Recipe, stage: 1 | 2): Promise<Backbones> {
  const { backbones } = recipe;
  const encoder = await readHubertConfig(backbones.encoder);
  const former = weightsUnder(await openCheckpoint(backbones.former), ['roberta.', '']);
  const formerConfig = parseRobertaConfig(former.config, join(former.dir, 'config.json'));
  const formerTokenizer = await loadTokenizer(former.dir);
  const llmFolder = stage === 2 ? await findCheckpointFolder(backbones.llm) : undefined;
  const llm = llmFolder === undefined ? undefined : await openCheckpoint(llmFolder);
  const llmTokenizer = llmFolder === undefined ? undefined : await loadTokenizer(llmFolder);
  const head = llm && (await chooseHead(llm, parseQwen2Config(llm.config, join(llm.dir, 'config.json'))));
  const lookup = (key: string, shape: readonly number[]): WeightRef => {
    if (key.startsWith(FORMER_PREFIX)) return requireWeight(former, key.slice(FORMER_PREFIX.length), shape);
    return requireWeight(llm!, key, shape);
  };
  return {
    configs: {
      encoder,
      former: formerConfig,
      llm: head?.config,
    },
    former: { checkpoint: former, tokenizer: formerTokenizer },
    llm: llm && llmTokenizer && { checkpoint: llm, tokenizer: llmTokenizer },
    notes: head?.note === undefined ? [] : [head.note],
    frozen: (graph) => checkpointWeights(graph, lookup),
  };
}
