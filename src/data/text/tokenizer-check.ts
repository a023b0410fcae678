/**
 * @file Validates a tokenizer.json before it goes to the tokenizers library, which checks nothing: invalid parts would
 * be dropped from texts silently, or make a command fail midway.
 */

import { quoted } from '../../base/index.js';

/** More than any model has rows. */
const MOST_IDS = 2 ** 24;

/** @throws Error, one line without the file's name, for invalid tokens, ids, merges or patterns */
export function checkTokenizerJson(json: Readonly<Record<string, unknown>>): void {
  const { model, added_tokens: added } = json;
  if (!isObject(model)) throw new Error('it has no model');
  for (const part of PARTS) {
    const value = json[part] ?? null;
    if (value !== null && !isObject(value))
      throw new Error(`${part} must be an object or null, not ${quoted(value)}`);
    checkPatterns(value, part);
  }
  if (added !== undefined && added !== null && !Array.isArray(added)) {
    throw new Error(`added_tokens must be a list, not ${quoted(added)}`);
  }
  for (const entry of added ?? []) checkAddedToken(entry);
  if (model.type === 'BPE' || Object.hasOwn(model, 'merges'))
    checkBpe(model, new Set(added?.map(({ content }) => content)));
}

/** The steps between a text and the model's tokens, and back. */
const PARTS = ['normalizer', 'pre_tokenizer', 'post_processor', 'decoder'];

function checkAddedToken(entry: unknown): void {
  const { content, id } = isObject(entry) ? entry : {};
  if (typeof content !== 'string' || content === '' || !isId(id)) {
    throw new Error(`added_tokens has an entry without content and id: ${quoted({ content, id })}`);
  }
}

/** Byte-pair encoding (Sennrich et al., 2016): every merge is of two tokens, and gives a third. */
function checkBpe(model: Readonly<Record<string, unknown>>, added: ReadonlySet<string>): void {
  const { vocab, merges } = model;
  if (!isObject(vocab)) throw new Error(`model.vocab must be tokens with their ids, not ${quoted(vocab)}`);
  const taken = new Set<unknown>();
  const tokens = new Set(Object.keys(vocab)); // looks up the joined tokens below several times as fast as an object
  for (const token of tokens) {
    const id = vocab[token];
    if (!isId(id)) throw new Error(`model.vocab has no id for ${quoted(token)}, but ${quoted(id)}`);
    if (taken.has(id))
      throw new Error(`model.vocab has the id ${id} twice, the second time for ${quoted(token)}`);
    taken.add(id);
  }
  const prefix = optionalText(model, 'continuing_subword_prefix');
  optionalText(model, 'end_of_word_suffix');
  const unknown = optionalText(model, 'unk_token');
  if (unknown !== '' && !tokens.has(unknown) && !added.has(unknown)) {
    throw new Error(`model.unk_token ${quoted(unknown)} is not in model.vocab`);
  }
  for (const key of ['byte_fallback', 'ignore_merges', 'fuse_unk']) {
    const value = model[key] ?? false;
    if (typeof value !== 'boolean')
      throw new Error(`model.${key} must be true or false, not ${quoted(value)}`);
  }
  if (!Array.isArray(merges)) throw new Error(`model.merges must be a list, not ${quoted(merges)}`);
  const areLists = Array.isArray(merges[0]);
  for (const [index, merge] of merges.entries()) {
    const pair: unknown = areLists ? merge : typeof merge === 'string' ? merge.split(' ') : undefined;
    if (!isPair(pair)) {
      throw new Error(`model.merges has at ${index + 1} no pair of tokens, but ${quoted(merge)}`);
    }
    const [left, right] = pair;
    const joined = left + (prefix !== '' && right.startsWith(prefix) ? right.slice(prefix.length) : right);
    if (tokens.has(left) && tokens.has(right) && tokens.has(joined)) continue;
    const absent = pair.find((token) => !tokens.has(token)) ?? joined;
    throw new Error(
      `model.merges has at ${index + 1} the token ${quoted(absent)}, which is not in model.vocab`,
    );
  }
}

function optionalText(model: Readonly<Record<string, unknown>>, key: string): string {
  const value = model[key] ?? '';
  if (typeof value !== 'string') throw new Error(`model.${key} must be a text or null, not ${quoted(value)}`);
  return value;
}

/** A pattern is a string or a regular expression, wherever it occurs. */
function checkPatterns(value: unknown, where: string): void {
  if (typeof value !== 'object' || value === null) return;
  for (const [key, inner] of Object.entries(value)) {
    const path = `${where}.${key}`;
    if (key !== 'pattern') checkPatterns(inner, path);
    else if (!isObject(inner) || ![inner.String, inner.Regex].some((text) => typeof text === 'string')) {
      throw new Error(`${path} must be a String or a Regex, not ${quoted(inner)}`);
    }
  }
}

function isPair(value: unknown): value is [string, string] {
  if (!Array.isArray(value) || value.length !== 2) return false;
  const [left, right] = value;
  return typeof left === 'string' && left !== '' && typeof right === 'string' && right !== '';
}

function isId(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) < MOST_IDS;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
