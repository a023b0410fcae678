/**
 * @file Tokenizers in the Hugging Face format; the only module that imports @huggingface/tokenizers. Also handles the
 * space that some tokenizers put before a text (Llama 2's SentencePiece, some byte-level ones), which is left out where
 * a text continues another.
 */

import { join } from 'node:path';
import { Tokenizer } from '@huggingface/tokenizers';
import { errorMessage, InputError, oneLine, pathExists, quoted, readJson } from '../../base/index.js';
import { checkTokenizerJson } from './tokenizer-check.js';

/** A tokenizer for user text. */
export interface TextTokenizer {
  /**
   * Token ids of a text. The text is data: a special token's name in it ("<|im_end|>", "</s>") is read as plain
   * characters; to insert a special token, use `tokenId`. With `specialTokens` (the default) the tokenizer adds its own
   * around the text, such as RoBERTa's <s> and </s>. `behind` says what the text continues, for tokenizers that put a
   * space before a text.
   */
  encode(text: string, options?: { specialTokens?: boolean; behind?: Preceding }): number[];
  /** The text of token ids, including special tokens by name. */
  decode(ids: readonly number[]): string;
  /** The id of a token by its exact content, special or not. */
  tokenId(token: string): number | undefined;
  /** The id of an added token: one that the original library matches anywhere in a text. */
  addedTokenId(token: string): number | undefined;
  /** Whether an id is that of a special token, which is no part of a text. */
  isSpecial(id: number): boolean;
  /** One more than the largest id. The model's embedding may have more rows. */
  readonly vocabSize: number;
  /** The padding token, if the tokenizer has one. */
  readonly padId: number | undefined;
  /** The end-of-sequence token, if the tokenizer has one. */
  readonly eosId: number | undefined;
  /** Where the tokenizer was loaded from, for messages. */
  readonly source: string;
}

/**
 * Loads tokenizer.json and the optional tokenizer_config.json of a model's folder.
 * @throws InputError when a file is missing, broken, or of a kind that the tokenizers library does not support
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

/** Makes a tokenizer from the contents of the two files. @throws InputError naming `source` when they are invalid */
export function createTokenizer(tokenizerJson: unknown, config: unknown, source: string): TextTokenizer {
  if (!isObject(tokenizerJson)) throw new InputError(`tokenizer ${source} is not a JSON object`);
  if (!isObject(config)) throw new InputError(`the tokenizer config of ${source} is not a JSON object`);
  const { tokenizer, addedIds } = construct(tokenizerJson, config, source);
  const specialIds = new Set(
    ((tokenizerJson.added_tokens ?? []) as readonly { readonly id: number; readonly special?: boolean }[])
      .filter(({ special }) => special === true)
      .map(({ id }) => id),
  );
  const nameOfAddedId = new Map([...addedIds].map(([content, id]) => [id, content]));
  const tokenId = (token: string): number | undefined => addedIds.get(token) ?? tokenizer.token_to_id(token);
  const variants = new Map<Preceding, LibraryTokenizer>();
  const variant = (preceding: Preceding): LibraryTokenizer => {
    const made = variants.get(preceding) ?? variantOf(tokenizer, tokenizerJson, config, preceding);
    variants.set(preceding, made);
    return made;
  };
  const unknownId = tokenizer.model.unk_token_id;
  const namedId = (token: unknown): number | undefined => {
    const content = isObject(token) ? token.content : token;
    return typeof content === 'string' ? tokenId(content) : undefined;
  };
  return {
    encode(text, { specialTokens = true, behind } = {}) {
      return tokensOf(behind === undefined ? tokenizer : variant(behind), text, specialTokens, source).map(
        (token) => {
          const id = tokenId(token) ?? unknownId;
          if (isId(id)) return id;
          throw new InputError(`tokenizer ${source} has no id for the token ${quoted(token)}`);
        },
      );
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
    addedTokenId: (token) => addedIds.get(token),
    isSpecial: (id) => specialIds.has(id),
    vocabSize: Math.max(tokenizer.model.vocab.length, addedIds.size && 1 + greatest(addedIds.values())),
    // RoBERTa's published config names no tokens, but its vocabulary has this one.
    padId: namedId(config.pad_token) ?? tokenId('<pad>'),
    eosId: namedId(config.eos_token),
    source,
  };
}

/** The used part of the library's class; its own declarations do not resolve in Node's module mode. */
interface LibraryTokenizer {
  tokenize(text: string, options: { add_special_tokens: boolean }): string[];
  decode(ids: number[], options: { clean_up_tokenization_spaces: boolean }): string;
  token_to_id(token: string): number | undefined;
  model: { vocab: readonly string[]; unk_token_id?: number };
}

/** The pieces of a text that ByteLevel encodes separately, if it splits at all (GPT-2, RoBERTa). */
const BYTE_LEVEL_PATTERN =
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/**
 * ByteLevel as two steps, the first being a Split. The library's own ByteLevel splits by JavaScript's white space, and
 * its Split by Unicode's, like the original; they differ in U+FEFF (a byte-order mark) and U+0085. With a prefix space
 * it stays one step, since otherwise a space would go before each piece.
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

/** The tokenizer for texts that continue something; the same one if that makes no difference. */
function variantOf(
  tokenizer: LibraryTokenizer,
  tokenizerJson: Record<string, unknown>,
  config: Record<string, unknown>,
  preceding: Preceding,
): LibraryTokenizer {
  const { normalizer, pre_tokenizer } = tokenizerJson;
  const own = JSON.stringify([normalizer ?? null, pre_tokenizer ?? null]);
  const adapted = withoutPrefixSpace(tokenizerJson, preceding);
  if (JSON.stringify([adapted.normalizer, adapted.pre_tokenizer]) === own) return tokenizer;
  return new Tokenizer(libraryParts(adapted), config);
}

/** The parts of a tokenizer.json that the library is given. */
function libraryParts(tokenizerJson: Record<string, unknown>): Record<string, unknown> {
  return { ...tokenizerJson, pre_tokenizer: splitByUnicode(tokenizerJson.pre_tokenizer), added_tokens: [] };
}

/**
 * The library matches added tokens by name anywhere in a text. It is given none, so that a text cannot spell one; their
 * ids are kept separately.
 */
function construct(
  tokenizerJson: Record<string, unknown>,
  config: Record<string, unknown>,
  source: string,
): { tokenizer: LibraryTokenizer; addedIds: Map<string, number> } {
  try {
    checkTokenizerJson(tokenizerJson);
    const added = (tokenizerJson.added_tokens ?? []) as { readonly content: string; readonly id: number }[];
    const addedIds = new Map(added.map(({ content, id }) => [content, id]));
    const tokenizer: LibraryTokenizer = new Tokenizer(libraryParts(tokenizerJson), config);
    // Many problems only show up in use.
    const ids = tokensOf(tokenizer, PROBE, true, source).flatMap(
      (token) => tokenizer.token_to_id(token) ?? [],
    );
    if (ids.length > 0) tokenizer.decode(ids, { clean_up_tokenization_spaces: false });
    return { tokenizer, addedIds };
  } catch (error) {
    if (error instanceof InputError) throw error;
    throw new InputError(oneLine(`tokenizer ${source} cannot be read: ${errorMessage(error)}`));
  }
}

/** Letters with and without case, a digit, marks, spaces, a line break and a character beyond 16 bits. */
const PROBE = 'It is fine, Ändern: 1\n 高兴 \u{1f600}';

/** @throws InputError if the tokenizer cannot be used */
function tokensOf(
  tokenizer: LibraryTokenizer,
  text: string,
  specialTokens: boolean,
  source: string,
): readonly string[] {
  let tokens: unknown;
  let why = 'it gives no list of tokens';
  try {
    tokens = tokenizer.tokenize(text, { add_special_tokens: specialTokens });
  } catch (error) {
    why = errorMessage(error);
  }
  if (Array.isArray(tokens)) return tokens;
  throw new InputError(oneLine(`tokenizer ${source} cannot tokenize ${quoted(text)}: ${why}`));
}

function greatest(ids: Iterable<number>): number {
  let most = 0;
  for (const id of ids) most = Math.max(most, id);
  return most;
}

function isId(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** What a text continues: a token that was inserted by id, or other text. */
export type Preceding = 'token' | 'text';

/**
 * The normalizer and pre-tokenizer of a tokenizer.json for a text that continues something, as in the original library:
 * after a token the space is omitted only if it belongs to the first part of a text, after text always.
 */
export function withoutPrefixSpace(
  tokenizerJson: Readonly<Record<string, unknown>>,
  preceding: Preceding,
): Record<string, unknown> {
  return {
    ...tokenizerJson,
    normalizer: adapted(tokenizerJson.normalizer, preceding) ?? null,
    pre_tokenizer: adapted(tokenizerJson.pre_tokenizer, preceding) ?? null,
  };
}

/** undefined for a step that is dropped. */
function adapted(step: unknown, preceding: Preceding): unknown {
  if (!isStep(step)) return step;
  const isText = preceding === 'text';
  if (step.type === 'Prepend') return isText ? undefined : step;
  if (step.type === 'ByteLevel') return isText ? { ...step, add_prefix_space: false } : step;
  if (step.type === 'Metaspace') {
    const isLeftOut = isText || step.prepend_scheme === 'first';
    return isLeftOut ? { ...step, add_prefix_space: false, prepend_scheme: 'never' } : step;
  }
  const inner = (steps: unknown): unknown =>
    Array.isArray(steps)
      ? steps.map((each) => adapted(each, preceding)).filter((each) => each !== undefined)
      : steps;
  if (step.type !== 'Sequence') return step;
  return {
    ...step,
    ...(step.normalizers !== undefined && { normalizers: inner(step.normalizers) }),
    ...(step.pretokenizers !== undefined && { pretokenizers: inner(step.pretokenizers) }),
  };
}

function isStep(step: unknown): step is Readonly<Record<string, unknown>> {
  return typeof step === 'object' && step !== null && !Array.isArray(step);
}
