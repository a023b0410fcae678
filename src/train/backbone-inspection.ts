/**
 * @file What a stage's backbones are, to be recorded when a run begins and held to whenever it is opened, and what of
 * them its user should know.
 */

import {
  decoderFamilyOf,
  encoderFamilyOf,
  encoderKeys,
  languageModelGraph,
  recordedConfig,
} from '../backbones/index.js';
import { InputError } from '../base/index.js';
import {
  type Checkpoint,
  checkpointIdentity,
  configIdentity,
  filesIdentity,
  type ModelIdentity,
  openCheckpoint,
  unreadWeights,
} from '../checkpoints/index.js';
import { declaredWeights, FORMER_PREFIX, formerGraph, type RobertaConfig, robertaKey } from '../nn/index.js';
import type { Recipe } from '../recipe/index.js';
import type { StageModel } from './experiment.js';
import { encoderOf } from './features.js';
import { type BackboneIdentities, backboneDifferences, type RunFacts, type RunFolder } from './run/index.js';
import { formerConfig } from './stages.js';

export interface InspectedBackbones {
  readonly identities: BackboneIdentities;
  /** What is unusual about them, in words. */
  readonly warnings: readonly string[];
}

type InspectedModel = Pick<StageModel, 'recipe' | 'backbones' | 'needsAudio'>;

/** Looks at the backbones that a stage computes with. @throws InputError when one cannot be read */
export async function inspectBackbones(model: InspectedModel): Promise<InspectedBackbones> {
  const { recipe, backbones, needsAudio } = model;
  const { configs, former, llm } = backbones;
  const encoder = needsAudio ? await inspectEncoder(recipe) : undefined;
  const identities = {
    ...(encoder && { encoder: encoder.identity }),
    ...(configs.former && { former: await formerIdentity(former.checkpoint, configs.former) }),
    ...(llm && { llm: await checkpointIdentity(llm.checkpoint, recordedConfig(configs.llm!)) }),
  };
  const warnings = [
    encoder?.warning,
    former.checkpoint &&
      unreadWeights(former.checkpoint, former.family!, robertaKeys(model, former.checkpoint)),
    llm && unreadWeights(llm.checkpoint, decoderFamilyOf(configs.llm!), languageModelKeys(model)),
  ];
  return { identities, warnings: warnings.filter((warning) => warning !== undefined) };
}

/** A Former's weights may all be those of the run itself; RoBERTa's config is then all that is read of it. */
function formerIdentity(
  checkpoint: Checkpoint | undefined,
  config: RobertaConfig,
): ModelIdentity | Promise<ModelIdentity> {
  return checkpoint === undefined ? configIdentity(config) : checkpointIdentity(checkpoint, config);
}

async function inspectEncoder(
  recipe: Recipe,
): Promise<{ readonly identity: ModelIdentity; readonly warning: string | undefined }> {
  const { encoder, encoder_onnx } = recipe.backbones;
  const { files, config } = await encoderOf(recipe);
  if (encoder_onnx !== null) {
    const graph = files.filter((file) => !file.endsWith('.json')); // configs are held by what is read of them
    return { identity: await filesIdentity(graph, config), warning: undefined };
  }
  const checkpoint = await openCheckpoint(encoder!);
  const identity = await checkpointIdentity(checkpoint, config);
  return {
    identity,
    warning: unreadWeights(checkpoint, encoderFamilyOf(checkpoint), encoderKeys(checkpoint)),
  };
}

/** The weights that the Former starts from or keeps, by the keys that they are stored under. */
function robertaKeys(
  { recipe, backbones: { configs } }: InspectedModel,
  { weights }: Checkpoint,
): Set<string> {
  const encoder = { hiddenSize: configs.audioWidth };
  const { define } = formerGraph(formerConfig(recipe, encoder, configs.former!), 'both');
  const stored = declaredWeights(define).flatMap(({ key }) => {
    const source = robertaKey(key.slice(FORMER_PREFIX.length));
    return source === undefined ? [] : (weights.get(source)?.key ?? []);
  });
  return new Set(stored);
}

function languageModelKeys({ backbones: { configs } }: InspectedModel): Set<string> {
  const { define } = languageModelGraph(configs.llm!, 'input_ids');
  return new Set(declaredWeights(define).map(({ key }) => key));
}

/** @throws InputError where a backbone is another than the run was trained with */
export function requireSameBackbones(
  { dir }: RunFolder,
  { backbones }: RunFacts,
  now: BackboneIdentities,
): void {
  const differences = backboneDifferences(backbones, now);
  if (differences.length === 0) return;
  throw new InputError(
    `the run in ${dir} was trained with other backbones than are there now: ${differences.join('; ')}; put those back, or train again`,
  );
}
