/** @file Tokenizers in the Hugging Face format; the only file that touches @huggingface/tokenizers. */

import { join } from 'node:path';
import { Tokenizer } from '@huggingface/tokenizers';
import { errorMessage, InputError, pathExists, readJson } from '../../base/index.js';

/** A tokenizer for texts that people wrote. */
export interface TextTokenizer {
  /**
   * Token ids of a text. The text is data: a special token's name in it ("<|im_end|>", "</s>") is read as the plain
   * characters that it is; to place a special token, use `tokenId`. With `specialTokens` (the default) the tokenizer
   * puts its own around the text, as RoBERTa's does with <s> and </s>.
   */
  encode(text: string, options?: { specialTokens?: boolean }): number[];
  /** The text of token ids, special tokens included by name. */
  decode(ids: readonly number[]): string;
  /** The id of a token by its exact content, special or not. */
  tokenId(token: string): number | undefined;
  /** One more than the greatest id. The model's embedding may have more rows. */
  readonly vocabSize: number;
  /** The padding token, where the tokenizer names one. */
  readonly padId: number | undefined;
  /** The end-of-sequence token, where the tokenizer names one. */
  readonly eosId: number | undefined;
  /** What the tokenizer was made from, for messages. */
  readonly source: string;
}

/**
 * Loads tokenizer.json and tokenizer_config.json (which may be absent) of a model's folder.
 * @throws InputError when a file is missing, broken, or of a kind that the tokenizers library does not know.
 */
export async function loadTokenizer(dir: string): Promise<TextTokenizer> {
  const path = join(dir, 'tokenizer.json');
  if (!(await pathExists(path))) {
    throw new InputError(
      `${dir} has no tokenizer.json; a tokenizer is read from tokenizer.json and tokenizer_config.json`,
    );
  }
  const configPath = join(dir, 'tokenizer_config.json');
  const tokenizerJson = await readJson(path, 'tokenizer');
  const config = (await pathExists(configPath)) ? await readJson(configPath, 'tokenizer config') : {};
  return createTokenizer(tokenizerJson, config, path);
}

/** A tokenizer from the two files' contents. @throws InputError naming `source` when they make none. */
export function createTokenizer(tokenizerJson: unknown, config: unknown, source: string): TextTokenizer {
  if (!isObject(tokenizerJson)) throw new InputError(`tokenizer ${source} is not a JSON object`);
  if (!isObject(config)) throw new InputError(`the tokenizer config of ${source} is not a JSON object`);
  const { tokenizer, addedIds } = construct(tokenizerJson, config, source);
  const nameOfAddedId = new Map([...addedIds].map(([content, id]) => [id, content]));
  const tokenId = (token: string): number | undefined => addedIds.get(token) ?? tokenizer.token_to_id(token);
  const unknownId = tokenizer.model.unk_token_id;
  const namedId = (token: unknown): number | undefined => {
    const content = isObject(token) ? token.content : token;
    return typeof content === 'string' ? tokenId(content) : undefined;
  };
  return {
    encode(text, { specialTokens = true } = {}) {
      return tokenizer.tokenize(text, { add_special_tokens: specialTokens }).map((token) => {
        const id = tokenId(token) ?? unknownId;
        if (id === undefined) throw new InputError(`tokenizer ${source} has no id for the token "${token}"`);
        return id;
      });
    },
    decode(ids) {
      let text = '';
      let run: number[] = [];
      const flush = (): void => {
        if (run.length > 0) text += tokenizer.decode(run, { clean_up_tokenization_spaces: false });
        run = [];
      };
      for (const id of ids) {
        const name = nameOfAddedId.get(id);
        if (name === undefined) {
          run.push(id);
        } else {
          flush();
          text += name;
        }
      }
      flush();
      return text;
    },
    tokenId,
    vocabSize: Math.max(tokenizer.model.vocab.length, ...[...addedIds.values()].map((id) => id + 1)),
    // The published config of RoBERTa names no tokens, but its vocabulary has this one.
    padId: namedId(config.pad_token) ?? tokenId('<pad>'),
    eosId: namedId(config.eos_token),
    source,
  };
}

/** What is used of the library's class; its own declarations do not resolve in Node's module mode. */
interface LibraryTokenizer {
  tokenize(text: string, options: { add_special_tokens: boolean }): string[];
  decode(ids: number[], options: { clean_up_tokenization_spaces: boolean }): string;
  token_to_id(token: string): number | undefined;
  model: { vocab: readonly string[]; unk_token_id?: number };
}

/** Which pieces of a text ByteLevel encodes apart, where it splits at all (GPT-2, RoBERTa). */
const BYTE_LEVEL_PATTERN =
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/**
 * ByteLevel as two steps, of which the first is a Split. The library's own ByteLevel splits by JavaScript's white
 * space, its Split by Unicode's, as the original does; they differ in U+FEFF (a byte-order mark) and U+0085. With a
 * prefix space it stays one step: a space would go before each piece.
 */
function splitByUnicode(preTokenizer: unknown): unknown {
  if (!isObject(preTokenizer) || preTokenizer.type !== 'ByteLevel') return preTokenizer;
  if (preTokenizer.use_regex === false || preTokenizer.add_prefix_space !== false) return preTokenizer;
  const split = {
    type: 'Split',
    pattern: { Regex: BYTE_LEVEL_PATTERN },
    behavior: 'Isolated',
    invert: false,
  };
  return { type: 'Sequence', pretokenizers: [split, { ...preTokenizer, use_regex: false }] };
}

/**
 * The library finds added tokens by name anywhere in a text. It is given none, so that a text cannot spell one; their
 * ids are kept beside it.
 */
function construct(
  tokenizerJson: Record<string, unknown>,
  config: Record<string, unknown>,
  source: string,
): { tokenizer: LibraryTokenizer; addedIds: Map<string, number> } {
  try {
    const addedIds = new Map<string, number>();
    for (const { content, id } of (tokenizerJson.added_tokens ?? []) as Record<string, unknown>[]) {
      if (typeof content !== 'string' || !Number.isSafeInteger(id) || (id as number) < 0) {
        throw new Error(
          `added_tokens has an entry without content and id: ${JSON.stringify({ content, id })}`,
        );
      }
      addedIds.set(content, id as number);
    }
    const preTokenizer = splitByUnicode(tokenizerJson.pre_tokenizer);
    const parts = { ...tokenizerJson, pre_tokenizer: preTokenizer, added_tokens: [] };
    return { tokenizer: new Tokenizer(parts, config), addedIds };
  } catch (error) {
    throw new InputError(`tokenizer ${source} cannot be read: ${errorMessage(error).replace(/\s+/g, ' ')}`);
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
