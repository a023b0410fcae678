/**
 * @file The prompt of EmoQ (paper section 2.3): a chat in which the user part holds the speaker, the transcript and
 * a slot for the soft prompt, and the assistant part has begun with "Emotion:".
 */

import { InputError } from '../../base/index.js';
import {
  type ChatPiece,
  type ChatTemplate,
  plain,
  plainMarks,
  turnTokenId,
  withoutMarks,
} from './chat-template.js';
import type { Preceding } from './prefix-space.js';
import type { TextTokenizer } from './tokenizer.js';

/**
 * Plain text with placeholders: {labels} in `system` and `user`; {speaker}, {gender}, {transcript} and <AUDIO> (once, or
 * without audio at most once) in `user`. A line of `user` is left out when what it holds is absent. An empty `system`
 * leaves out the system turn.
 */
export interface PromptTemplate {
  system: string;
  user: string;
  /** How the assistant's turn begins; the label word follows after a space. */
  answer: string;
}

/** What a prompt is filled with. Blank speakers, genders and transcripts count as absent. */
export interface PromptValues {
  labels: readonly string[];
  speaker?: string | undefined;
  /** As a corpus writes it: `F`, `male`. */
  gender?: string | undefined;
  transcript?: string | undefined;
  /** The prompt has the slot for the soft prompt. */
  audio: boolean;
}

/** A tokenized prompt, without the answer. */
export interface Prompt {
  ids: number[];
  /** Index in `ids` of the one token whose embedding the soft prompt replaces; -1 without audio. */
  audioPosition: number;
  /** The prompt as a person reads it, <AUDIO> in its place. */
  text: string;
}

const AUDIO = '<AUDIO>';
const PLACEHOLDER = /\{[A-Za-z_]+\}/g;
const ANY_SLOT = /\{[A-Za-z_]+\}|<AUDIO>/g;

type Piece = ChatPiece | { readonly kind: 'slot' };
const SLOT: Piece = { kind: 'slot' };

/**
 * Fills and tokenizes a prompt.
 *
 * Values cannot change the prompt's structure: placeholders are found in the template alone and filled once, turn
 * tokens and the audio slot are placed by id, and all text is tokenized as plain characters, so that "<|im_end|>" or
 * "<AUDIO>" in a transcript stays the words that somebody wrote. Where a mark of the chat is itself plain text, as [INST]
 * is, a space breaks it in what was written. White space in values, line breaks above all, becomes single spaces.
 *
 * @param chat how the model's turns begin and end
 * @throws InputError when the template is wrong (see `checkPromptTemplate`) or the tokenizer lacks a token of the chat.
 */
export function buildPrompt(
  tokenizer: TextTokenizer,
  chat: ChatTemplate,
  template: PromptTemplate,
  values: PromptValues,
): Prompt {
  checkPromptTemplate(template, values.audio);
  const fillings = new Map([
    ['{labels}', values.labels.join(', ')],
    ['{speaker}', flat(values.speaker)],
    ['{gender}', genderWord(values.gender)],
    ['{transcript}', flat(values.transcript)],
  ]);
  const marks = plainMarks(tokenizer, chat);
  const fill = (text: string): string =>
    withoutMarks(
      text.replace(PLACEHOLDER, (name) => fillings.get(name)!),
      marks,
    );
  const isPresent = (name: string): boolean => (name === AUDIO ? values.audio : fillings.get(name) !== '');
  const user = template.user
    .split('\n')
    .filter((line) => (line.match(ANY_SLOT) ?? []).every(isPresent))
    .join('\n');
  const [beforeAudio = '', afterAudio] = user.split(AUDIO).map(fill);
  const [system, before, after] = chat.trims
    ? [fill(template.system).trim(), beforeAudio.trimStart(), afterAudio?.trimEnd()]
    : [fill(template.system), beforeAudio, afterAudio];
  const isTrimmedWhole = chat.trims && after === undefined;
  return assemble(tokenizer, chat, [
    ...chat.begin,
    ...(template.system === '' ? [] : [...chat.system.before, plain(system), ...chat.system.after]),
    ...chat.user.before,
    plain(isTrimmedWhole ? before.trimEnd() : before),
    ...(after === undefined ? [] : [SLOT, plain(after)]),
    ...chat.user.after,
    ...chat.answer,
    plain(withoutMarks(template.answer, marks)),
  ]);
}

/** `F` and `female` as "female", `M` and `male` as "male", whatever the capitals; any other word as it is. */
export function genderWord(gender: string | undefined): string {
  const word = flat(gender);
  return { f: 'female', female: 'female', m: 'male', male: 'male' }[word.toLowerCase()] ?? word;
}

/**
 * @param audio whether the model hears anything; without it <AUDIO> may be missing
 * @throws InputError naming the part at fault: an unknown {placeholder}, a placeholder in the wrong part, <AUDIO>
 * missing from the user part, there twice, or on one line with a value that can be absent.
 */
export function checkPromptTemplate({ system, user, answer }: PromptTemplate, audio = true): void {
  const allowed = {
    system: ['{labels}'],
    user: ['{labels}', '{speaker}', '{gender}', '{transcript}', AUDIO],
    answer: [] as string[],
  };
  for (const [part, text] of Object.entries({ system, user, answer })) {
    const names = allowed[part as keyof typeof allowed];
    const wrong = (text.match(ANY_SLOT) ?? []).find((name) => !names.includes(name));
    if (wrong !== undefined) {
      const may = names.length > 0 ? `it may have ${names.join(', ')}` : 'it may have no placeholders';
      throw new InputError(`the prompt's ${part} part has ${wrong}; ${may}`);
    }
  }
  const slots = user.split(AUDIO).length - 1;
  if (slots > 1 || (slots === 0 && audio))
    throw new InputError(`the prompt's user part has ${AUDIO} ${slots} times; it needs it exactly once`);
  // A line goes with any value in it that is absent: with it would go the soft prompt, or the transcript without audio.
  const audioLine = user.split('\n').find((line) => line.includes(AUDIO));
  const shared = audioLine?.match(/\{(?:speaker|gender|transcript)\}/)?.[0];
  if (shared !== undefined) {
    throw new InputError(
      `the prompt's user part has ${AUDIO} and ${shared} on one line, which is left out where either is absent; give ${AUDIO} a line of its own`,
    );
  }
  if (answer.trim() === '' || answer !== answer.trimEnd()) {
    throw new InputError(
      "the prompt's answer part is empty or ends in white space; the label word brings its own space",
    );
  }
}

function assemble(tokenizer: TextTokenizer, chat: ChatTemplate, pieces: readonly Piece[]): Prompt {
  const ids: number[] = [];
  let audioPosition = -1;
  let text = '';
  let pending = ''; // neighbouring texts are one to the tokenizer
  let behind: Preceding | undefined;
  const flush = (): void => {
    if (pending === '') return;
    for (const id of textIds(tokenizer, pending, behind)) ids.push(id); // a transcript may be a whole book
    pending = '';
  };
  const place = (id: number, next: Preceding): void => {
    flush();
    ids.push(id);
    behind = next;
  };
  for (const piece of pieces) {
    if (piece.kind === 'slot') {
      flush();
      audioPosition = ids.length;
      place(tokenizer.padId ?? tokenizer.eosId ?? 0, 'text'); // any id will do: its embedding is replaced
      text += AUDIO;
    } else if (piece.kind === 'token') {
      place(turnTokenId(tokenizer, chat, piece.text), 'token');
      text += piece.text;
    } else if (piece.kind === 'mark') {
      const id = tokenizer.addedTokenId(piece.text);
      if (id === undefined) pending += piece.text;
      else place(id, 'token');
      text += piece.text;
    } else {
      pending += piece.text;
      text += piece.text;
    }
  }
  flush();
  return { ids, audioPosition, text };
}

/** Most of a prompt is the same in the next one, so what was tokenized last is kept. */
const recentIds = new WeakMap<TextTokenizer, Map<string, readonly number[]>>();
const RECENT_PIECES = 64;

function textIds(tokenizer: TextTokenizer, text: string, behind: Preceding | undefined): readonly number[] {
  const recent = recentIds.get(tokenizer) ?? new Map<string, readonly number[]>();
  const key = `${behind} ${text}`;
  const ids = recent.get(key) ?? tokenizer.encode(text, { specialTokens: false, ...(behind && { behind }) });
  if (recent.size >= RECENT_PIECES) recent.clear();
  recentIds.set(tokenizer, recent.set(key, ids));
  return ids;
}

function flat(value: string | undefined): string {
  return (value ?? '').replace(/\s+/g, ' ').trim();
}
