/**
 * @file What a stage's backbones are, to be recorded when a run begins and held to whenever it is opened, and what of
 * them its user should know.
 */

import { InputError } from '../base/index.js';
import {
  checkpointIdentity,
  declaredWeights,
  encoderKeys,
  FORMER_PREFIX,
  filesIdentity,
  findSpeechEncoder,
  formerGraph,
  hasFormer,
  languageModelGraph,
  type ModelIdentity,
  openCheckpoint,
  robertaKey,
  unreadWeights,
} from '../models/index.js';
import type { Recipe } from '../recipe/index.js';
import type { StageModel } from './experiment.js';
import { type BackboneIdentities, backboneDifferences, type RunFacts, type RunFolder } from './run/index.js';
import { formerConfig } from './stages.js';

export interface InspectedBackbones {
  readonly identities: BackboneIdentities;
  /** What is unusual about them, in words. */
  readonly warnings: readonly string[];
}

type InspectedModel = Pick<StageModel, 'recipe' | 'backbones' | 'stage' | 'needsAudio'>;

/** Looks at the backbones that a stage computes with. @throws InputError when one cannot be read */
export async function inspectBackbones(model: InspectedModel): Promise<InspectedBackbones> {
  const { recipe, backbones, stage, needsAudio } = model;
  const { configs, former, llm } = backbones;
  const encoder = needsAudio ? await inspectEncoder(recipe, configs.encoder) : undefined;
  const readsRoberta = stage.number === 1 || hasFormer(recipe);
  const identities = {
    ...(encoder && { encoder: encoder.identity }),
    ...(readsRoberta && { former: await checkpointIdentity(former.checkpoint, configs.former) }),
    ...(llm && { llm: await checkpointIdentity(llm.checkpoint, configs.llm!) }),
  };
  const warnings = [
    encoder?.warning,
    readsRoberta ? unreadWeights(former.checkpoint, 'roberta', robertaKeys(model)) : undefined,
    llm && unreadWeights(llm.checkpoint, 'qwen2', languageModelKeys(model)),
  ];
  return { identities, warnings: warnings.filter((warning) => warning !== undefined) };
}

async function inspectEncoder(
  { backbones: { encoder, encoder_onnx } }: Recipe,
  config: object,
): Promise<{ readonly identity: ModelIdentity; readonly warning: string | undefined }> {
  if (encoder_onnx !== null) {
    const { files } = await findSpeechEncoder(encoder, encoder_onnx);
    const graph = files.filter((file) => !file.endsWith('.json')); // configs are held by what is read of them
    return { identity: await filesIdentity(graph, config), warning: undefined };
  }
  const checkpoint = await openCheckpoint(encoder);
  const identity = await checkpointIdentity(checkpoint, config);
  return { identity, warning: unreadWeights(checkpoint, 'hubert', encoderKeys(checkpoint)) };
}

/** The weights that the Former starts from or keeps, by the keys that they are stored under. */
function robertaKeys({ recipe, backbones: { configs, former } }: InspectedModel): Set<string> {
  const { define } = formerGraph(formerConfig(recipe, configs.encoder, configs.former), 'both');
  const stored = declaredWeights(define).flatMap(({ key }) => {
    const source = robertaKey(key.slice(FORMER_PREFIX.length));
    return source === undefined ? [] : (former.checkpoint.weights.get(source)?.key ?? []);
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
