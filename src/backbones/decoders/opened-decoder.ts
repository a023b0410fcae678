/** @file Opens a decoder language model of any family: config, tokenizer, chat template and weights. */

import { join } from 'node:path';
import { type Checkpoint, findCheckpointFolder, openCheckpoint } from '../../checkpoints/index.js';
import { type ChatTemplate, loadTokenizer, type TextTokenizer } from '../../data/text/index.js';
import type { DecoderConfig } from './decoder-config.js';
import { decoderFamilyOf, parseDecoderConfig, readDecoderConfig } from './decoder-families.js';
import { checkLoraTargets } from './decoder-lora.js';
import { chooseHead } from './language-head.js';

/** Everything about a language model except its weights. */
export interface DecoderText {
  readonly config: DecoderConfig;
  readonly tokenizer: TextTokenizer;
  /** Its chat format. */
  readonly chat: ChatTemplate;
}

export interface OpenedDecoder extends DecoderText {
  readonly checkpoint: Checkpoint;
  /** A note for the user if its config and weights disagree about the head. */
  readonly note: string | undefined;
}

/**
 * Reads everything except the weights from a folder, or from a model id in the Hugging Face cache.
 * @param loraTargets projections to be adapted
 * @throws InputError when something is missing, broken or unsupported, or the family does not have a target
 */
export async function readDecoder(nameOrPath: string, loraTargets: readonly string[]): Promise<DecoderText> {
  const dir = await findCheckpointFolder(nameOrPath);
  const tokenizer = await loadTokenizer(dir);
  const config = await readDecoderConfig(dir);
  checkLoraTargets(config, loraTargets);
  return { config, tokenizer, chat: await decoderFamilyOf(config).chatTemplate(dir) };
}

/**
 * Opens a folder, or a model id in the Hugging Face cache, with its weights. @throws InputError as {@link readDecoder}
 */
export async function openDecoder(
  nameOrPath: string,
  loraTargets: readonly string[],
): Promise<OpenedDecoder> {
  const dir = await findCheckpointFolder(nameOrPath);
  const checkpoint = await openCheckpoint(dir);
  const tokenizer = await loadTokenizer(dir);
  const configured = parseDecoderConfig(checkpoint.config, join(dir, 'config.json'));
  checkLoraTargets(configured, loraTargets);
  const chat = await decoderFamilyOf(configured).chatTemplate(dir);
  return { checkpoint, tokenizer, chat, ...(await chooseHead(checkpoint, configured)) };
}
