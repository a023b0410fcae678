/** @file A decoder language model of any family, opened: config, tokenizer, chat template and weights. */

import { join } from 'node:path';
import { type Checkpoint, findCheckpointFolder, openCheckpoint } from '../../checkpoints/index.js';
import { type ChatTemplate, loadTokenizer, type TextTokenizer } from '../../data/text/index.js';
import type { DecoderConfig } from './decoder-config.js';
import { decoderFamilyOf, parseDecoderConfig, readDecoderConfig } from './decoder-families.js';
import { checkLoraTargets } from './decoder-lora.js';
import { chooseHead } from './language-head.js';

/** What can be known of a language model before its weights are there. */
export interface DecoderText {
  readonly config: DecoderConfig;
  readonly tokenizer: TextTokenizer;
  /** How its chats are written. */
  readonly chat: ChatTemplate;
}

export interface OpenedDecoder extends DecoderText {
  readonly checkpoint: Checkpoint;
  /** What was decided where its config and its weights disagree, for the user. */
  readonly note: string | undefined;
}

/**
 * Reads all but the weights of a folder, or of a model id in the Hugging Face cache.
 * @param loraTargets projections that are to be adapted
 * @throws InputError when something is missing, broken or of no family, or the family lacks a target
 */
export async function readDecoder(nameOrPath: string, loraTargets: readonly string[]): Promise<DecoderText> {
  const dir = await findCheckpointFolder(nameOrPath);
  const tokenizer = await loadTokenizer(dir);
  const config = await readDecoderConfig(dir);
  checkLoraTargets(config, loraTargets);
  return { config, tokenizer, chat: await decoderFamilyOf(config).chatTemplate(dir) };
}

/** Opens a folder, or a model id in the Hugging Face cache, with its weights. @throws InputError as {@link readDecoder} */
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
