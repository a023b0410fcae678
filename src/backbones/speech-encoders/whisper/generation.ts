/**
 * @file The rules of decoding with a Whisper checkpoint, from generation_config.json or an older config.json: the tokens
 * that begin a text, those that must not be in it, and where it ends. As WhisperForConditionalGeneration.generate of
 * transformers reads them for greedy decoding without timestamps.
 */

import { join } from 'node:path';
import { z } from 'zod';
import { InputError, pathExists, quoted, readJson } from '../../../base/index.js';
import { only, parseFields, type RawConfig } from '../../backbone-family.js';
import type { DecodingTable } from './token-decoder.js';
import type { WhisperDecoderConfig } from './token-decoder-config.js';

/** A token that the model chooses among those of the languages. */
const DETECTED = 'language';

export interface DecodingRules {
  /** The tokens before the text. */
  readonly start: readonly (number | typeof DETECTED)[];
  /** By their names, `<|de|>`; empty for a model of one language. */
  readonly languages: Readonly<Record<string, number>>;
  /** Tokens that are never said, and those that no text begins with. */
  readonly suppressed: readonly number[];
  readonly suppressedFirst: readonly number[];
  readonly ends: readonly number[];
  /** Tokens of the longest text, the start included. */
  readonly maxTokens: number;
  /** The code of the language that the model is told, `de`; undefined if it is detected, or the model has one. */
  readonly language: string | undefined;
  /** What the files say, whatever language the user names: JSON. */
  readonly settings: unknown;
}

const id = z.int().min(0);
const byName = z.record(z.string(), id);

const fields = z.object({
  decoder_start_token_id: id.nullish(),
  eos_token_id: z.union([id.transform((one) => [one]), z.array(id).min(1)]).nullish(),
  forced_decoder_ids: z.array(z.tuple([z.int(), id.nullable()])).nullish(),
  lang_to_id: byName.nullish(),
  task_to_id: byName.nullish(),
  no_timestamps_token_id: id.nullish(),
  is_multilingual: z.boolean().nullish(),
  suppress_tokens: z.array(id).nullish(),
  begin_suppress_tokens: z.array(id).nullish(),
  max_length: z.int().positive().nullish(),
  max_new_tokens: z.int().positive().nullish(),
  language: z.string().nullish(),
  // Others would change what is said.
  task: only('transcribe', null).optional(),
  repetition_penalty: only(1, null).optional(),
  no_repeat_ngram_size: only(0, null).optional(),
});

/** What config.json completes. */
const olderFields = fields.pick({
  decoder_start_token_id: true,
  eos_token_id: true,
  forced_decoder_ids: true,
});

type Fields = z.infer<typeof fields>;

/**
 * Reads generation_config.json, or config.json where there is none.
 * @param language as the user named it
 * @throws InputError naming the file, for what is not supported, ids outside of the vocabulary, and a language that the
 *   model does not have
 */
export async function readDecodingRules(
  dir: string,
  raw: RawConfig,
  config: WhisperDecoderConfig,
  language: string | undefined,
): Promise<DecodingRules> {
  const configPath = join(dir, 'config.json');
  const path = join(dir, 'generation_config.json');
  if (!(await pathExists(path))) {
    return rulesOf(parseFields(fields, raw, configPath), configPath, config, language);
  }
  const own = parseFields(fields, await readJson(path, 'generation config'), path);
  const older = parseFields(olderFields, raw, configPath);
  const completed = {
    ...own,
    decoder_start_token_id: own.decoder_start_token_id ?? older.decoder_start_token_id,
    eos_token_id: own.eos_token_id ?? older.eos_token_id,
    forced_decoder_ids: own.forced_decoder_ids ?? older.forced_decoder_ids,
  };
  return rulesOf(completed, path, config, language);
}

function rulesOf(
  own: Fields,
  path: string,
  { vocabSize, maxTargetPositions }: WhisperDecoderConfig,
  language: string | undefined,
): DecodingRules {
  const { decoder_start_token_id: first, eos_token_id: ends, max_length, max_new_tokens } = own;
  if (first == null || ends == null) {
    throw new InputError(
      `model config ${path} has no ${first == null ? 'decoder_start_token_id' : 'eos_token_id'}; fetch generation_config.json of the model`,
    );
  }
  const languages = own.is_multilingual === false ? {} : (own.lang_to_id ?? {});
  const named = language ?? own.language ?? undefined;
  const what = language === undefined ? `language ${named} in ${path}` : `--language ${language}`;
  const code = named === undefined ? undefined : languageCode(named, what, languages, path);
  const start = startOf(own, first, languages, code, path);
  const [suppressed, suppressedFirst] = [own.suppress_tokens ?? [], own.begin_suppress_tokens ?? []];
  const fixed = start.filter((token) => token !== DETECTED);
  const outside = [
    ...[...fixed, ...ends, ...suppressed, ...suppressedFirst, ...Object.values(languages)],
  ].find((token) => token >= vocabSize);
  if (outside !== undefined) {
    throw new InputError(
      `model config ${path} names token ${outside}, but the model has ${vocabSize} (vocab_size of config.json); put the files of one model into one folder`,
    );
  }
  // As in transformers, where max_length is for the text alone, with this limit.
  const longest =
    max_new_tokens != null
      ? start.length + max_new_tokens
      : (max_length ?? maxTargetPositions) + Math.min(Math.floor(maxTargetPositions / 2) - 1, start.length);
  const maxTokens = Math.min(longest, maxTargetPositions);
  if (maxTokens <= start.length) {
    throw new InputError(
      `model config ${path}: texts of ${maxTokens} tokens (max_length, max_target_positions) have no room after the ${start.length} that they begin with`,
    );
  }
  return { start, languages, suppressed, suppressedFirst, ends, maxTokens, language: code, settings: own };
}

/** The tokens before a text: what begins it, its language, the task, and that there are no timestamps. */
function startOf(
  { forced_decoder_ids, task, task_to_id, no_timestamps_token_id }: Fields,
  first: number,
  languages: Readonly<Record<string, number>>,
  language: string | undefined,
  path: string,
): DecodingRules['start'] {
  const hasLanguages = Object.keys(languages).length > 0;
  // Ids by place are how older files say it; a language or a task says it anew.
  const forced = (language === undefined && task == null && forced_decoder_ids) || [];
  const isInOrder = forced.every(([place], index) => place === index + 1);
  if (!isInOrder) {
    throw new InputError(
      `model config ${path}: forced_decoder_ids must be for places 1, 2, 3 and so on of the text`,
    );
  }
  const start: (number | typeof DETECTED | null)[] = [first, ...forced.map(([, token]) => token)];
  if (language !== undefined) start[1] = languages[`<|${language}|>`]!;
  else if (hasLanguages && start[1] == null) start[1] = DETECTED;
  const transcribe = task_to_id?.transcribe;
  const hasTask = Object.values(task_to_id ?? {}).some((token) => start.includes(token));
  if ((task != null || language !== undefined) && transcribe !== undefined && !hasTask)
    start.push(transcribe);
  if (no_timestamps_token_id != null && start.at(-1) !== no_timestamps_token_id) {
    start.push(no_timestamps_token_id);
  }
  if (start.includes(null)) {
    throw new InputError(
      `model config ${path} leaves the language open and names none (lang_to_id); fetch generation_config.json of the model`,
    );
  }
  if (task_to_id?.translate !== undefined && start.includes(task_to_id.translate)) {
    throw new InputError(
      `model config ${path} asks for translations into English (forced_decoder_ids), not for what was said; name a language with --language, or set its forced_decoder_ids to those of the task transcribe`,
    );
  }
  return start as DecodingRules['start'];
}

/** The code of a language that was named by its code or in English. @throws InputError if the model does not have it */
function languageCode(
  name: string,
  what: string,
  languages: Readonly<Record<string, number>>,
  path: string,
): string {
  const codes = Object.keys(languages).map((token) => token.replace(/^<\|(.*)\|>$/, '$1'));
  if (codes.length === 0) {
    throw new InputError(
      `${what}: the model has one language (no lang_to_id in ${path}); leave ${what.split(' ')[0]} out`,
    );
  }
  const wanted = name.toLowerCase().replace(/^<\|(.*)\|>$/, '$1');
  const english = new Intl.DisplayNames(['en'], { type: 'language', fallback: 'none' });
  const found = codes.find(
    (code) => code === wanted || (/^[a-z]{2,3}$/.test(code) && english.of(code)?.toLowerCase() === wanted),
  );
  if (found !== undefined) return found;
  throw new InputError(`${what}: the model does not have ${quoted(name)}; it has ${codes.join(', ')}`);
}

/** What a model with a vocabulary of this size may say, step by step. */
export function decodingTable(
  { start, languages, suppressed, suppressedFirst, ends, maxTokens }: DecodingRules,
  vocabSize: number,
): DecodingTable {
  const [first, ...forced] = start;
  const only = (tokens: readonly number[]): Float32Array => {
    const row = new Float32Array(vocabSize).fill(Number.NEGATIVE_INFINITY);
    for (const token of tokens) row[token] = 0;
    return row;
  };
  const without = (tokens: readonly number[]): Float32Array => {
    const row = new Float32Array(vocabSize);
    for (const token of tokens) row[token] = Number.NEGATIVE_INFINITY;
    return row;
  };
  const rows = [
    ...forced.map((token) => only(token === DETECTED ? Object.values(languages) : [token])),
    without([...suppressed, ...suppressedFirst]),
    without(suppressed),
  ];
  const biases = new Float32Array(rows.length * vocabSize);
  for (const [index, row] of rows.entries()) biases.set(row, index * vocabSize);
  return { first: first as number, biases, ends, maxTokens };
}
