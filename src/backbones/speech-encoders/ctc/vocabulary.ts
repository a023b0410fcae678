/**
 * @file The symbols of a CTC head, from the files of a Wav2Vec2CTCTokenizer: vocab.json, tokenizer_config.json,
 * special_tokens_map.json and added_tokens.json.
 */

import { join } from 'node:path';
import { z } from 'zod';
import { InputError, pathExists, quoted, readJson } from '../../../base/index.js';
import { parseFields } from '../../backbone-family.js';
import { noRecogniser } from './head.js';

/** What the ids of a CTC head stand for. */
export interface CtcVocabulary {
  /** Symbols by id, [size of the head]: letters, the word delimiter, the blank, and special tokens by their names. */
  readonly symbols: readonly string[];
  /** The symbol of the blank: the padding token. */
  readonly blank: string;
  /** The symbol between words. */
  readonly delimiter: string;
  /** What it is in a text: usually a space. */
  readonly space: string;
  /** The text is made lower case. */
  readonly lowerCase: boolean;
  /** Spaces before punctuation and contractions are taken out of the text. */
  readonly cleanUp: boolean;
}

const ids = z.record(z.string(), z.int().min(0));

/** A token by its content, or with its properties. */
const token = z.union([z.string(), z.object({ content: z.string() }).transform(({ content }) => content)]);

const specialTokens = z.object({
  bos_token: token.nullish(),
  eos_token: token.nullish(),
  unk_token: token.nullish(),
  pad_token: token.nullish(),
});

const settings = specialTokens.extend({
  tokenizer_class: z.string().nullish(),
  word_delimiter_token: token.nullish(),
  replace_word_delimiter_char: z.string().nullish(),
  do_lower_case: z.boolean().nullish(),
  clean_up_tokenization_spaces: z.boolean().nullish(),
  added_tokens_decoder: z.record(z.string(), z.object({ content: z.string() })).nullish(),
});

/** Tokenizers of characters; Wav2Vec2Tokenizer is the older name. */
const CLASSES = ['Wav2Vec2CTCTokenizer', 'Wav2Vec2Tokenizer'];

/**
 * Reads the vocabulary of a recogniser's folder.
 * @param size symbols of its head; an id without a symbol decodes as the unknown one, as in transformers
 * @throws InputError when vocab.json is missing, nested (one for each language) or of another head, when the blank is
 *   not in it, and for tokenizers of other units than characters
 */
export async function readCtcVocabulary(dir: string, size: number): Promise<CtcVocabulary> {
  const path = join(dir, 'vocab.json');
  if (!(await pathExists(path))) throw noRecogniser(dir, 'vocab.json');
  const entries = vocabularyEntries(await readJson(path, 'vocabulary'), path);
  const read = async (name: string): Promise<unknown> => {
    const file = join(dir, name);
    return (await pathExists(file)) ? readJson(file, name) : {};
  };
  const own = parseFields(settings, await read('tokenizer_config.json'), join(dir, 'tokenizer_config.json'));
  const special = parseFields(
    specialTokens,
    await read('special_tokens_map.json'),
    join(dir, 'special_tokens_map.json'),
  );
  const added = parseFields(ids, await read('added_tokens.json'), join(dir, 'added_tokens.json'));
  if (own.tokenizer_class && !CLASSES.includes(own.tokenizer_class)) {
    throw new InputError(
      `${join(dir, 'tokenizer_config.json')} is of a ${own.tokenizer_class}; only recognisers of characters (Wav2Vec2CTCTokenizer) are supported`,
    );
  }
  const largest = Math.max(...Object.values(entries));
  if (largest >= size) {
    throw new InputError(
      `${path} has id ${largest}, but the CTC head of its config.json has ${size} symbols (vocab_size); put the files of one model into one folder`,
    );
  }
  const blank = own.pad_token ?? special.pad_token ?? '<pad>';
  if (entries[blank] === undefined) {
    throw new InputError(
      `${path} does not have the blank of CTC, which is the pad_token ${quoted(blank)} of tokenizer_config.json`,
    );
  }
  const unknown = own.unk_token ?? special.unk_token ?? '<unk>';
  const known = new Map<number, string>();
  for (const [symbol, id] of Object.entries(added)) known.set(id, symbol);
  for (const [id, { content }] of Object.entries(own.added_tokens_decoder ?? {}))
    known.set(Number(id), content);
  for (const [symbol, id] of Object.entries(entries)) known.set(id, symbol);
  const isNew = (symbol: string): boolean => ![...known.values()].includes(symbol);
  // The tokenizer gives special tokens that no file has the next ids.
  for (const symbol of [
    own.bos_token ?? special.bos_token ?? '<s>',
    own.eos_token ?? special.eos_token ?? '</s>',
    unknown,
  ]) {
    if (isNew(symbol)) known.set(known.size, symbol);
  }
  const symbols = Array.from({ length: size }, (_, id) => known.get(id) ?? unknown);
  return {
    ...{ symbols, blank },
    delimiter: own.word_delimiter_token ?? '|',
    space: own.replace_word_delimiter_char ?? ' ',
    lowerCase: own.do_lower_case ?? false,
    cleanUp: own.clean_up_tokenization_spaces ?? false,
  };
}

function vocabularyEntries(raw: unknown, path: string): Readonly<Record<string, number>> {
  const isNested =
    typeof raw === 'object' && raw !== null && Object.values(raw).some((value) => typeof value === 'object');
  if (isNested) {
    throw new InputError(
      `${path} has a vocabulary for each of several languages; only recognisers with one vocabulary are supported`,
    );
  }
  const parsed = ids.safeParse(raw);
  if (parsed.success && Object.keys(parsed.data).length > 0) return parsed.data;
  throw new InputError(`${path} is damaged: it must give each symbol an id, a whole number from 0`);
}
