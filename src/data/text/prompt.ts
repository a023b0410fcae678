/**
 * @file The prompt of EmoQ (paper section 2.3): a chat whose user turn contains the speaker, the transcript and a slot
 * for the soft prompt, and whose assistant turn begins with "Emotion:". Also its built-in texts, and label words as
 * token ids, for training and prediction (eqs. 7-9).
 */

import { InputError } from '../../base/index.js';
import type { Preceding, TextTokenizer } from './tokenizer.js';
import { flat } from './white-space.js';

/** A fixed part of a chat template. */
export interface ChatPiece {
  /**
   * `text` is plain text; `token` is a token that the tokenizer must have; `mark`, such as [INST], is a token if the
   * tokenizer has it as an added token, otherwise plain text.
   */
  readonly kind: 'text' | 'token' | 'mark';
  readonly text: string;
}

/** A piece of plain text. */
export const plain = (text: string): ChatPiece => ({ kind: 'text', text });

/** What surrounds the text of a turn. */
export interface ChatTurn {
  readonly before: readonly ChatPiece[];
  readonly after: readonly ChatPiece[];
}

/** How the turns of a model's chats begin and end. */
export interface ChatTemplate {
  /** Its name, and a model that uses it, for messages. */
  readonly kind: string;
  readonly model: string;
  /** Before the first turn. */
  readonly begin: readonly ChatPiece[];
  readonly system: ChatTurn;
  readonly user: ChatTurn;
  /** Before the text of the assistant's turn. */
  readonly answer: readonly ChatPiece[];
  /** The token that ends the assistant's turn. */
  readonly end: string;
  /** Trims white space around the texts of turns. */
  readonly trims: boolean;
}

/** @throws InputError when the tokenizer does not have a token of the template */
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

/** The template's markers that are plain text to a tokenizer, so that user text could spell them. */
export function plainMarks(tokenizer: TextTokenizer, chat: ChatTemplate): string[] {
  const { begin, system, user, answer } = chat;
  const pieces = [begin, system.before, system.after, user.before, user.after, answer].flat();
  const marks = pieces.flatMap((piece) => (piece.kind === 'mark' ? [piece.text] : []));
  return marks.filter((mark) => tokenizer.addedTokenId(mark) === undefined);
}

/** A text in which markers are broken up, by a space after the first character of each. */
export function withoutMarks(text: string, marks: readonly string[]): string {
  return marks.reduce(
    (clean, mark) => clean.replaceAll(mark, () => `${mark.slice(0, 1)} ${mark.slice(1)}`),
    text,
  );
}

/**
 * Plain text with placeholders: {labels} in `system` and `user`; {speaker}, {gender}, {transcript}, {history} (at most
 * once) and <AUDIO> (once, or without audio at most once) in `user`. {history} becomes a line for each earlier turn,
 * each after a line break, so that what precedes it is their heading. A line of `user` is left out when its values are
 * absent. An empty `system` leaves out the system turn.
 */
export interface PromptTemplate {
  system: string;
  user: string;
  /** How the assistant's turn begins; the label word follows after a space. */
  answer: string;
}

/** Values for a prompt. Blank speakers, genders and transcripts count as absent. */
export interface PromptValues {
  labels: readonly string[];
  speaker?: string | undefined;
  /** As given in a corpus: `F`, `male`. */
  gender?: string | undefined;
  transcript?: string | undefined;
  /** Earlier turns, a line each, oldest first. */
  history?: readonly string[] | undefined;
  /** Whether the prompt has the slot for the soft prompt. */
  audio: boolean;
}

/** A tokenized prompt, without the answer. */
export interface Prompt {
  ids: number[];
  /** Index in `ids` of the token whose embedding the soft prompt replaces; -1 without audio. */
  audioPosition: number;
  /** Human-readable prompt, with <AUDIO> for the slot. */
  text: string;
}

const AUDIO = '<AUDIO>';
/** The placeholder of earlier turns. */
export const HISTORY_SLOT = '{history}';
const PLACEHOLDER = /\{[A-Za-z_]+\}/g;
const ANY_SLOT = /\{[A-Za-z_]+\}|<AUDIO>/g;

type Piece = ChatPiece | { readonly kind: 'slot' };
const SLOT: Piece = { kind: 'slot' };

/**
 * Fills and tokenizes a prompt.
 *
 * Values cannot change the prompt's structure: placeholders are found only in the template and filled once, turn tokens
 * and the audio slot are inserted by id, and all text is tokenized as plain characters, so that "<|im_end|>" or
 * "<AUDIO>" in a transcript remains plain text. Where a marker of the chat is itself plain text, such as [INST], a
 * space breaks it up in the values. White space in values, including line breaks, becomes single spaces.
 *
 * @param chat how the model's turns begin and end
 * @throws InputError when the template is invalid (see `checkPromptTemplate`) or the tokenizer does not have a token of
 *   the chat
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
    ['{history}', (values.history ?? []).map((line) => `\n${flat(line)}`).join('')],
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

/** `F` and `female` as "female", `M` and `male` as "male", case-insensitive; any other word unchanged. */
export function genderWord(gender: string | undefined): string {
  const word = flat(gender);
  return { f: 'female', female: 'female', m: 'male', male: 'male' }[word.toLowerCase()] ?? word;
}

/**
 * @param audio whether the model gets audio; without it <AUDIO> may be missing
 * @throws InputError naming the part: an unknown {placeholder}, a placeholder in the wrong part, <AUDIO> missing from
 *   the user part, <AUDIO> or {history} repeated, or on one line with an optional value
 */
export function checkPromptTemplate({ system, user, answer }: PromptTemplate, audio = true): void {
  const allowed = {
    system: ['{labels}'],
    user: ['{labels}', '{speaker}', '{gender}', '{transcript}', HISTORY_SLOT, AUDIO],
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
  const histories = user.split(HISTORY_SLOT).length - 1;
  if (histories > 1)
    throw new InputError(
      `the prompt's user part has ${HISTORY_SLOT} ${histories} times; it may have it once`,
    );
  // A line is dropped if any of its values is absent; this one would take the soft prompt, or the transcript, with it.
  for (const [whole, others] of [
    [AUDIO, /\{(?:speaker|gender|transcript|history)\}/],
    [HISTORY_SLOT, /\{(?:speaker|gender|transcript)\}/],
  ] as const) {
    const line = user.split('\n').find((each) => each.includes(whole));
    const shared = line?.match(others)?.[0];
    if (shared === undefined) continue;
    throw new InputError(
      `the prompt's user part has ${whole} and ${shared} on one line, which is left out where either is absent; give ${whole} a line of its own`,
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
  let pending = ''; // adjacent texts are tokenized together
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

/** Most of a prompt is repeated in the next one, so the latest token ids are cached. */
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

const [HISTORY, SPEAKER, TRANSCRIPT, QUESTION] = [
  `What was said before, oldest first:${HISTORY_SLOT}`,
  'Speaker: {speaker}',
  'Transcript: {transcript}',
  'Which emotion does the speaker express?',
];
/** Replaces the transcript line of an utterance without one, in a corpus of utterances that have one. */
const NO_TRANSCRIPT = 'Transcript: (none)';

/** Describes the slot by its content: Former over both inputs, Former over audio only, projected audio frames. */
const FUSION = "A learned representation that fuses the speaker's voice with the words: <AUDIO>";
const VOICE = "A learned representation of the speaker's voice: <AUDIO>";
const FRAMES = "The speaker's voice: <AUDIO>";

/**
 * Our wording; the paper does not give any. For the paper's system, and utterances with a transcript. What is the same
 * for all utterances comes first, since prediction computes a constant beginning once.
 */
export const DEFAULT_PROMPT: PromptTemplate = {
  system: [
    'You are an emotion recognition system. You are told what is known about one utterance of a conversation and decide which emotion its speaker expresses.',
    'Answer with exactly one of these words: {labels}.',
  ].join('\n'),
  user: [QUESTION, FUSION, SPEAKER, TRANSCRIPT].join('\n'),
  answer: 'Emotion:',
};

/** The language model's inputs, with the names used in recipes. */
export interface PromptCase {
  readonly inputs: 'both' | 'audio' | 'text';
  /** `none`: the slot contains audio frames, without fusion. */
  readonly fusion: 'former' | 'none';
  /** Whether the model gets earlier turns of the dialogue too; not with inputs: audio. */
  readonly hasHistory?: boolean;
}

/** The built-in user part of a case. */
export interface UserPart {
  readonly user: string;
  /** For an utterance without a transcript; absent if transcripts are never shown. */
  readonly withoutText?: string;
}

/** The built-in user part, which mentions the voice, the words and earlier turns only if the model gets them. */
export function builtInUserPart({ inputs, fusion, hasHistory = false }: PromptCase): UserPart {
  const told = hasHistory ? [HISTORY, SPEAKER] : [SPEAKER];
  const part = (...lines: readonly string[]): string => [QUESTION, ...lines].join('\n');
  const voice = fusion === 'none' ? FRAMES : VOICE;
  if (inputs === 'audio') return { user: part(voice, SPEAKER) };
  if (inputs === 'text') {
    return { user: part(...told, TRANSCRIPT), withoutText: part(...told, NO_TRANSCRIPT) };
  }
  const fused = fusion === 'none' ? FRAMES : FUSION;
  return { user: part(fused, ...told, TRANSCRIPT), withoutText: part(voice, ...told, NO_TRANSCRIPT) };
}

/**
 * The token ids of each label word with a leading space, as it follows "Emotion:". Prediction compares the words by
 * their first tokens, so these must differ.
 * @throws InputError naming an empty word, or two words that begin with the same token
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

/** The target answer for training: the label word's tokens, then the end of the assistant's turn. */
export function answerIds(
  tokenizer: TextTokenizer,
  chat: ChatTemplate,
  wordIds: readonly number[],
): number[] {
  return [...wordIds, turnTokenId(tokenizer, chat, chat.end)];
}
