/**
 * @file The prompt of EmoQ (paper section 2.3): a chat in which the user part holds the speaker, the transcript and a
 * slot for the soft prompt, and the assistant part has begun with "Emotion:"; its built-in texts; and emotion words as
 * token ids, what the model is trained to answer and what prediction reads off (eqs. 7-9).
 */

import { InputError } from '../../base/index.js';
import type { Preceding, TextTokenizer } from './tokenizer.js';

/** A part of a chat that a template sets. */
export interface ChatPiece {
  /**
   * `text` is plain text; `token` is a token by its name, which the tokenizer must have; `mark`, such as [INST], is a token
   * where the tokenizer has added it as one, else the plain text that it is.
   */
  readonly kind: 'text' | 'token' | 'mark';
  readonly text: string;
}

/** A piece of plain text. */
export const plain = (text: string): ChatPiece => ({ kind: 'text', text });

/** What stands around the text of a turn. */
export interface ChatTurn {
  readonly before: readonly ChatPiece[];
  readonly after: readonly ChatPiece[];
}

/** How the turns of a model's chats begin and end. */
export interface ChatTemplate {
  /** Its name, and a model that has it, for messages. */
  readonly kind: string;
  readonly model: string;
  /** Before the first turn. */
  readonly begin: readonly ChatPiece[];
  readonly system: ChatTurn;
  readonly user: ChatTurn;
  /** Before the text of the assistant's turn. */
  readonly answer: readonly ChatPiece[];
  /** Name of the token that ends the assistant's turn. */
  readonly end: string;
  /** White space around the texts of turns is left out. */
  readonly trims: boolean;
}

/** @throws InputError when the tokenizer does not have a token of the template. */
export function turnTokenId(
  tokenizer: TextTokenizer,
  { kind, model }: Pick<ChatTemplate, 'kind' | 'model'>,
  token: string,
): number {
  const id = tokenizer.tokenId(token);
  if (id !== undefined) return id;
  throw new InputError(
    `tokenizer ${tokenizer.source} has no ${token} token; the prompt needs a ${kind} model such as ${model}`,
  );
}

/** The marks of a template that are plain text to a tokenizer, so that a text could spell them. */
export function plainMarks(tokenizer: TextTokenizer, chat: ChatTemplate): string[] {
  const { begin, system, user, answer } = chat;
  const pieces = [begin, system.before, system.after, user.before, user.after, answer].flat();
  const marks = pieces.flatMap((piece) => (piece.kind === 'mark' ? [piece.text] : []));
  return marks.filter((mark) => tokenizer.addedTokenId(mark) === undefined);
}

/** A text in which no mark is spelled any more: a space parts the first character of each from the rest. */
export function withoutMarks(text: string, marks: readonly string[]): string {
  return marks.reduce(
    (clean, mark) => clean.replaceAll(mark, () => `${mark.slice(0, 1)} ${mark.slice(1)}`),
    text,
  );
}

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
  const push = (id: number, next: Preceding): void => {
    flush();
    ids.push(id);
    behind = next;
  };
  for (const piece of pieces) {
    if (piece.kind === 'slot') {
      flush();
      audioPosition = ids.length;
      push(tokenizer.padId ?? tokenizer.eosId ?? 0, 'text'); // any id will do: its embedding is replaced
      text += AUDIO;
    } else if (piece.kind === 'token') {
      push(turnTokenId(tokenizer, chat, piece.text), 'token');
      text += piece.text;
    } else if (piece.kind === 'mark') {
      const id = tokenizer.addedTokenId(piece.text);
      if (id === undefined) pending += piece.text;
      else push(id, 'token');
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

const [SPEAKER, TRANSCRIPT, QUESTION] = [
  'Speaker: {speaker}',
  'Transcript: {transcript}',
  'Which emotion does the speaker express?',
];
/** Stands for the transcript line of an utterance that has none where others have one. */
const NO_TRANSCRIPT = 'Transcript: (none)';

/** The slot, by what is in it: Former over both inputs, Former over the voice alone, projected frames of the voice. */
const FUSION = "A learned representation that fuses the speaker's voice with the words: <AUDIO>";
const VOICE = "A learned representation of the speaker's voice: <AUDIO>";
const FRAMES = "The speaker's voice: <AUDIO>";

/** Our wording; the paper prints none. It is for the system of the paper, and utterances that have a transcript. */
export const DEFAULT_PROMPT: PromptTemplate = {
  system: [
    'You are an emotion recognition system. You are told what is known about one utterance of a conversation and decide which emotion its speaker expresses.',
    'Answer with exactly one of these words: {labels}.',
  ].join('\n'),
  user: [SPEAKER, TRANSCRIPT, FUSION, QUESTION].join('\n'),
  answer: 'Emotion:',
};

/** What the language model is given, as recipes say it. */
export interface PromptCase {
  readonly inputs: 'both' | 'audio' | 'text';
  /** `none`: frames of the voice are in the slot, and nothing has been fused. */
  readonly fusion: 'former' | 'none';
}

/** The built-in user part of a case. */
export interface UserPart {
  readonly user: string;
  /** Of an utterance without a transcript; absent where no transcript is shown at all. */
  readonly withoutText?: string;
}

/** The built-in user part: it speaks of a voice where there is one, and of words where there are some. */
export function builtInUserPart({ inputs, fusion }: PromptCase): UserPart {
  const part = (...lines: readonly string[]): string => [SPEAKER, ...lines, QUESTION].join('\n');
  const voice = fusion === 'none' ? FRAMES : VOICE;
  if (inputs === 'audio') return { user: part(voice) };
  if (inputs === 'text') return { user: part(TRANSCRIPT), withoutText: part(NO_TRANSCRIPT) };
  const fused = fusion === 'none' ? FRAMES : FUSION;
  return { user: part(TRANSCRIPT, fused), withoutText: part(NO_TRANSCRIPT, voice) };
}

/**
 * The token ids of each label word with a leading space, as it follows "Emotion:". Prediction compares the words by
 * their first tokens, so these must differ.
 * @throws InputError naming an empty word, or two words that begin with the same token.
 */
export function resolveLabelWords(tokenizer: TextTokenizer, words: readonly string[]): number[][] {
  const wordOfFirstId = new Map<number, string>();
  return words.map((word) => {
    if (word.trim() === '' || word !== word.trim()) {
      throw new InputError(`label word "${word}" is empty or has spaces around it`);
    }
    const ids = tokenizer.encode(` ${word}`, { specialTokens: false, behind: 'text' });
    const rival = wordOfFirstId.get(ids[0]!);
    if (rival !== undefined) {
      throw new InputError(
        `label words "${rival}" and "${word}" begin with the same token "${tokenizer.decode(ids.slice(0, 1))}" in ${tokenizer.source}; choose other words`,
      );
    }
    wordOfFirstId.set(ids[0]!, word);
    return ids;
  });
}

/** The answer that training asks for: the label word's tokens, then the end of the assistant's turn. */
export function answerIds(
  tokenizer: TextTokenizer,
  chat: ChatTemplate,
  wordIds: readonly number[],
): number[] {
  return [...wordIds, turnTokenId(tokenizer, chat, chat.end)];
}
