/** @file How a chat is written for a language model: turns of tokens, which are placed by id, and of plain text. */

import { InputError } from '../../base/index.js';
import type { TextTokenizer } from './tokenizer.js';

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
