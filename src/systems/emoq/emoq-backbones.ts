/** @file Opens the backbones that a stage of an EmoQ recipe reads, or describes them without their weights. */

import {
  checkLoraTargets,
  chooseHead,
  type DecoderConfig,
  decoderFamilyOf,
  languageModelGraph,
  type OpenedDecoder,
  openDecoder,
  openTextEncoder,
  parseDecoderConfig,
  parseTextEncoderConfig,
  readDecoder,
  readDecoderConfig,
  readTextEncoderConfig,
  recordedConfig,
  type TextEncoder,
} from '../../backbones/index.js';
import { InputError } from '../../base/index.js';
import {
  type Checkpoint,
  checkpointIdentity,
  configIdentity,
  findCheckpointFolder,
  openCheckpoint,
  requireWeight,
  unreadWeights,
  type WeightRef,
} from '../../checkpoints/index.js';
import { loadTokenizer, type TextTokenizer } from '../../data/text/index.js';
import type { Graph } from '../../engine/onnx/index.js';
import { type DType, dtypeInfo, elementCount, isFloating } from '../../engine/tensor/index.js';
import {
  checkpointWeights,
  declaredWeights,
  FORMER_PREFIX,
  formerGraph,
  type Precision,
  robertaKey,
  type Weights,
} from '../../nn/index.js';
import { NO_AUDIO } from '../encoder-layers.js';
import { configOrPublished, describeEncoder, inspectEncoder } from '../speech-features.js';
import type { InspectedBackbones } from '../system.js';
import type { BackboneConfigs, StageNeeds } from './needs.js';
import type { EmoqRecipe } from './settings.js';
import { formerConfig } from './settings.js';

/** RoBERTa for a Former: its weights and its tokenizer. A stage may read only one of them. */
export interface FormerBackbone extends Partial<Omit<TextEncoder, 'config'>> {
  readonly tokenizer: TextTokenizer | undefined;
}

/** A language model: opened, or only what can be read without its weights. */
export type DecoderBackbone = Partial<Pick<OpenedDecoder, 'checkpoint' | 'tokenizer' | 'chat'>>;

/** The backbones of a stage. */
export interface EmoqBackbones {
  readonly configs: BackboneConfigs;
  /** RoBERTa; its weights have no key prefix. */
  readonly former: FormerBackbone;
  readonly llm: DecoderBackbone;
  /** For the user: how conflicts between a config and its weights were resolved. */
  readonly notes: readonly string[];
  /** Warnings about the encoder when weights are not opened. */
  readonly warnings: readonly string[];
  /** Frozen weights of a stage: read in place from the checkpoint files, or shapes only. */
  readonly frozen: (graph: Graph, precision: Precision) => Weights;
}

/** Opens what a stage needs and nothing else. @throws InputError naming the backbone that is missing or broken */
export async function openBackbones(recipe: EmoqRecipe, needs: StageNeeds): Promise<EmoqBackbones> {
  const { backbones, lora } = recipe;
  const audio = needs.audio ? await describeEncoder(recipe, { mayBeAbsent: false }) : NO_AUDIO;
  const former = await openFormer(backbones.former, needs);
  const llm = needs.llm ? await openDecoder(backbones.llm, lora.targets) : undefined;
  const lookup = (key: string, shape: readonly number[]): WeightRef => {
    if (!key.startsWith(FORMER_PREFIX)) return requireWeight(llm!.checkpoint, key, shape);
    return requireWeight(former.checkpoint!, key.slice(FORMER_PREFIX.length), shape);
  };
  return {
    configs: { audio, former: former.config, llm: llm?.config },
    former,
    llm: llm ?? {},
    notes: llm?.note === undefined ? [] : [llm.note],
    warnings: [],
    frozen: (graph, precision) => checkpointWeights(graph, lookup, precisionByKey(precision)),
  };
}

/** The Former is float32 throughout. */
function precisionByKey(precision: Precision): (key: string) => Precision {
  return (key) => (key.startsWith(FORMER_PREFIX) ? 'float32' : precision);
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

/**
 * Describes what a stage needs without its weights: local configs if present, else the published ones; tokenizers only
 * if all of them are present.
 * @throws InputError for a config that is broken or unknown, and for an exported encoder that is missing
 */
export async function describeBackbones(recipe: EmoqRecipe, needs: StageNeeds): Promise<EmoqBackbones> {
  const { former, llm } = recipe.backbones;
  const audio = needs.audio ? await describeEncoder(recipe, { mayBeAbsent: true }) : NO_AUDIO;
  const configs = {
    audio,
    former: needs.former
      ? await configOrPublished(former, readTextEncoderConfig, parseTextEncoderConfig)
      : undefined,
    llm: needs.llm ? await configOrPublished(llm, readLanguageModelConfig, parseDecoderConfig) : undefined,
  };
  if (configs.llm) checkLoraTargets(configs.llm, recipe.lora.targets);
  const stored = needs.llm ? await presentCheckpoint(llm) : undefined;
  const languageModelDtype = storedType(stored);
  const load = async (name: string) => loadTokenizer(await findCheckpointFolder(name));
  const [tokenizer, decoder] = await Promise.all([
    needs.text ? load(former) : undefined,
    needs.llm ? readDecoder(llm, recipe.lora.targets) : undefined,
  ]).catch((error: unknown) => {
    if (error instanceof InputError) return [undefined, undefined];
    throw error;
  });
  const absent = (key: string, shape: readonly number[]): WeightRef => {
    const present = key.startsWith(FORMER_PREFIX) ? undefined : stored?.weights.get(key);
    if (present?.shape.join() === shape.join()) return present;
    const dtype = key.startsWith(FORMER_PREFIX) ? 'float32' : languageModelDtype;
    const byteLength = dtypeInfo[dtype].bytes * elementCount(shape);
    return { key, shape, dtype, path: '/unweighted.safetensors', offset: 0, byteLength };
  };
  return {
    configs,
    former: { tokenizer },
    llm: { ...(decoder && { tokenizer: decoder.tokenizer, chat: decoder.chat }) },
    notes: [],
    warnings: audio?.warning === undefined ? [] : [audio.warning],
    frozen: (graph, precision) => checkpointWeights(graph, absent, precisionByKey(precision)),
  };
}

/** Reads the config of a language model, with the output head of its weights if these are present too. */
async function readLanguageModelConfig(name: string): Promise<DecoderConfig> {
  const config = await readDecoderConfig(name);
  const checkpoint = await presentCheckpoint(name);
  return checkpoint === undefined ? config : (await chooseHead(checkpoint, config)).config;
}

/** A checkpoint if its weights are there: its config may be present before them. */
async function presentCheckpoint(name: string): Promise<Checkpoint | undefined> {
  return openCheckpoint(name).catch(() => undefined);
}

/** The dtype of a language model's weights: that of the checkpoint, or bfloat16 as published. */
function storedType(checkpoint: Checkpoint | undefined): DType {
  const [first] = [...(checkpoint?.weights.values() ?? [])].filter(({ dtype }) => isFloating(dtype));
  return first?.dtype ?? 'bfloat16';
}

/** Checks the backbones that a stage computes with. @throws InputError when one cannot be read */
export async function inspectBackbones(
  recipe: EmoqRecipe,
  needs: StageNeeds,
  { configs, former, llm }: EmoqBackbones,
): Promise<InspectedBackbones> {
  const encoder = needs.audio ? await inspectEncoder(recipe) : undefined;
  const identities = {
    ...(encoder && { encoder: encoder.identity }),
    // If all weights of the Former come from the run itself, only RoBERTa's config is read.
    ...(configs.former && {
      former: await (former.checkpoint === undefined
        ? configIdentity(configs.former)
        : checkpointIdentity(former.checkpoint, configs.former)),
    }),
    ...(llm.checkpoint && { llm: await checkpointIdentity(llm.checkpoint, recordedConfig(configs.llm!)) }),
  };
  const warnings = [
    encoder?.warning,
    former.checkpoint &&
      unreadWeights(former.checkpoint, former.family!, robertaKeys(recipe, configs, former.checkpoint)),
    llm.checkpoint &&
      unreadWeights(llm.checkpoint, decoderFamilyOf(configs.llm!), languageModelKeys(configs.llm!)),
  ];
  return { identities, warnings: warnings.filter((warning) => warning !== undefined) };
}

/** The weights that the Former starts from or keeps, by their stored keys. */
function robertaKeys(
  recipe: EmoqRecipe,
  { audio, former }: BackboneConfigs,
  { weights }: Checkpoint,
): Set<string> {
  // Layers that the recipe leaves out are not unknown weights.
  const whole = { ...recipe, former: { ...recipe.former, layers: 'all' as const } };
  const { define } = formerGraph(formerConfig(whole, { hiddenSize: audio.width }, former!), 'both');
  const stored = declaredWeights(define).flatMap(({ key }) => {
    const source = robertaKey(key.slice(FORMER_PREFIX.length));
    return source === undefined ? [] : (weights.get(source)?.key ?? []);
  });
  return new Set(stored);
}

function languageModelKeys(config: DecoderConfig): Set<string> {
  const { define } = languageModelGraph(config, 'input_ids');
  return new Set(declaredWeights(define).map(({ key }) => key));
}
