/** @file The kinds of chat templates that emoq supports, and detection of the kind from a checkpoint's template. */

import { join } from 'node:path';
import { InputError, pathExists, readJson, readTextFile } from '../../base/index.js';
import type { ChatPiece, ChatTemplate, ChatTurn } from '../../data/text/index.js';

const text = (value: string): ChatPiece => ({ kind: 'text', text: value });
const token = (name: string): ChatPiece => ({ kind: 'token', text: name });
const mark = (name: string): ChatPiece => ({ kind: 'mark', text: name });

/** <|im_start|>role, line feed, content, <|im_end|>, line feed: OpenAI's ChatML, as used by Qwen2. */
export const chatMl: ChatTemplate = {
  kind: 'ChatML',
  model: 'Qwen2.5',
  begin: [],
  system: chatMlTurn('system'),
  user: chatMlTurn('user'),
  answer: chatMlTurn('assistant').before,
  end: '<|im_end|>',
  trims: false,
};

function chatMlTurn(role: string): ChatTurn {
  return {
    before: [token('<|im_start|>'), text(`${role}\n`)],
    after: [token('<|im_end|>'), text('\n')],
  };
}

/** The tokens that templates refer to as `bos_token` and `eos_token`. */
interface SpecialNames {
  readonly bos: string | undefined;
  readonly eos: string | undefined;
}

/** The chat template of a checkpoint. */
export interface FoundTemplate extends SpecialNames {
  /** Jinja. */
  readonly source: string;
  /** The file that holds it. */
  readonly path: string;
}

/** A kind of template. */
interface ChatKind {
  /** Its name in error messages. */
  readonly title: string;
  /** Patterns that all templates of this kind contain, and no others do. */
  readonly signs: readonly RegExp[];
  /** Whether turns end with the template's `eos_token`. */
  readonly endsWithEos: boolean;
  /** undefined for a template that writes its turns in no way of the kind. */
  readonly make: (begin: readonly ChatPiece[], end: string, source: string) => ChatTemplate | undefined;
}

const kinds: readonly ChatKind[] = [
  {
    title: 'ChatML (<|im_start|>)',
    signs: [/<\|im_start\|>/, /<\|im_end\|>/],
    endsWithEos: false,
    make: (begin) => ({ ...chatMl, begin }),
  },
  {
    title: 'Llama 3 (<|start_header_id|>)',
    signs: [/<\|start_header_id\|>/, /<\|end_header_id\|>/, /<\|eot_id\|>/],
    endsWithEos: false,
    make: llama3Chat,
  },
  {
    title: 'Llama 2 ([INST] with <<SYS>>)',
    signs: [/\[INST\]/, /\[\/INST\]/, /<<SYS>>/, /<<\/SYS>>/],
    endsWithEos: true,
    make: llama2Chat,
  },
  {
    title: 'Mistral ([INST] without <<SYS>>)',
    signs: [/\[INST\]/, /\[\/INST\]/, /^(?![\s\S]*(?:<<SYS>>|\[SYSTEM_PROMPT\]))/],
    endsWithEos: true,
    make: mistralChat,
  },
  {
    title: 'Zephyr (<|user|>)',
    signs: [/<\|user\|>(?:\n|\\n)/, /<\|assistant\|>/, /\beos_token\b/],
    endsWithEos: true,
    make: zephyrChat,
  },
];

/**
 * Llama 3 (Grattafiori et al., 2024). The templates of Llama 3.1 and later put dates before the system message, which
 * would change the prompt every day; they are left out.
 */
function llama3Chat(begin: readonly ChatPiece[]): ChatTemplate {
  const header = (role: string): ChatPiece[] => [
    token('<|start_header_id|>'),
    text(role),
    token('<|end_header_id|>'),
    text('\n\n'),
  ];
  const after = [token('<|eot_id|>')];
  return {
    kind: 'Llama 3',
    model: 'Llama-3.2-1B-Instruct',
    begin,
    system: { before: header('system'), after },
    user: { before: header('user'), after },
    answer: header('assistant'),
    end: '<|eot_id|>',
    trims: true,
  };
}

/** Llama 2 (Touvron et al., 2023): the system message is inside the first user turn. Its markers are plain text. */
function llama2Chat(begin: readonly ChatPiece[], end: string): ChatTemplate {
  return {
    kind: 'Llama 2',
    model: 'Llama-2-7b-chat',
    begin: [...begin, mark('[INST]'), text(' ')],
    system: { before: [mark('<<SYS>>'), text('\n')], after: [text('\n'), mark('<</SYS>>'), text('\n\n')] },
    user: { before: [], after: [text(' '), mark('[/INST]')] },
    answer: [text(' ')],
    end,
    trims: true,
  };
}

/**
 * Mistral (Jiang et al., 2023). The system text precedes the user's, separated by a blank line, as in the templates that
 * support one; the oldest do not. The spaces around the markers differ between versions and are read from the template.
 */
function mistralChat(begin: readonly ChatPiece[], end: string, source: string): ChatTemplate | undefined {
  const [open, close] = ['[INST]', '[/INST]'].map((name) => spacesAround(source, name));
  const answer = spaceBeforeAnswer(source);
  if (open === undefined || close === undefined || answer === undefined) return undefined;
  const spaces = (value: string): ChatPiece[] => (value === '' ? [] : [text(value)]);
  return {
    kind: 'Mistral',
    model: 'Mistral-7B-Instruct-v0.3',
    begin: [...begin, ...spaces(open.before), mark('[INST]'), ...spaces(open.after)],
    system: { before: [], after: [text('\n\n')] },
    user: { before: [], after: [...spaces(close.before), mark('[/INST]')] },
    answer: spaces(close.after + answer),
    end,
    trims: false,
  };
}

/** The spaces around a marker in a template's strings; undefined if they differ, or if a string holds more than it. */
function spacesAround(source: string, name: string): { before: string; after: string } | undefined {
  const strings = [...source.matchAll(/(["'])( *)(\[\/?INST\])( *)\1/g)].filter((found) => found[3] === name);
  const forms = new Set(strings.map(([string]) => string.slice(1, -1)));
  const [, , before = '', , after = ''] = strings[0] ?? [];
  return forms.size === 1 && strings.length === source.split(name).length - 1 ? { before, after } : undefined;
}

/** The spaces before an answer that `eos_token` follows directly; undefined if the template has no or several forms. */
function spaceBeforeAnswer(source: string): string | undefined {
  const turn = /(?:(["'])( *)\1 *\+ *)?message\[(["'])content\3\](?: *\| *trim)? *\+ *eos_token/g;
  const forms = new Set([...source.matchAll(turn)].map(([, , spaces = '']) => spaces));
  return forms.size === 1 ? [...forms][0] : undefined;
}

/** Zephyr (Tunstall et al., 2023) and TinyLlama: plain-text markers, turns that end with a token. */
function zephyrChat(begin: readonly ChatPiece[], end: string): ChatTemplate {
  const turn = (role: string): ChatTurn => ({
    before: [mark(`<|${role}|>`), text('\n')],
    after: [token(end), text('\n')],
  });
  return {
    kind: 'Zephyr',
    model: 'TinyLlama-1.1B-Chat',
    begin,
    system: turn('system'),
    user: turn('user'),
    answer: turn('assistant').before,
    end,
    trims: false,
  };
}

/**
 * The chat format of a checkpoint, from its template.
 * @throws InputError if there is no template, or one of another kind
 */
export async function readChatTemplate(dir: string): Promise<ChatTemplate> {
  const found = await findChatTemplate(dir);
  if (found !== undefined) return chatOf(found);
  throw new InputError(
    `${dir} has no chat template (${PLACES}); take a model tuned for chat, or add the template of one of these kinds: ${kindTitles()}`,
  );
}

/** @throws InputError for a template of an unsupported kind */
export function chatOf({ source, path, bos, eos }: FoundTemplate): ChatTemplate {
  const [kind, ...others] = kinds.filter(({ signs }) => signs.every((sign) => sign.test(source)));
  const begins = bos !== undefined && (/\bbos_token\b/.test(source) || source.includes(bos));
  const chat = kind?.make(begins ? [token(bos)] : [], eos ?? '', source);
  if (kind === undefined || chat === undefined || others.length > 0) {
    throw new InputError(
      `${path} has a chat template of a kind that emoq does not support; it supports ${kindTitles()}`,
    );
  }
  if (kind.endsWithEos && eos === undefined) {
    throw new InputError(
      `the chat template of ${path} ends turns with eos_token, which tokenizer_config.json does not name`,
    );
  }
  return chat;
}

function kindTitles(): string {
  return kinds.map(({ title }) => title).join(', ');
}

const TOKENIZER_CONFIG = 'tokenizer_config.json';
const TEMPLATE_FILES = ['chat_template.jinja', 'chat_template.json'];
const PLACES = [...TEMPLATE_FILES, `chat_template in ${TOKENIZER_CONFIG}`].join(', ');

/** The template of a folder; a separate file takes precedence over the tokenizer's config, as in transformers. */
export async function findChatTemplate(dir: string): Promise<FoundTemplate | undefined> {
  const config = await readObject(join(dir, TOKENIZER_CONFIG), 'tokenizer config');
  const names: SpecialNames = { bos: nameOf(config.bos_token), eos: nameOf(config.eos_token) };
  for (const path of TEMPLATE_FILES.map((file) => join(dir, file))) {
    if (!(await pathExists(path))) continue;
    const source = path.endsWith('.jinja')
      ? await readTextFile(path, 'chat template')
      : defaultTemplate((await readObject(path, 'chat template')).chat_template);
    if (source !== undefined) return { source, path, ...names };
  }
  const source = defaultTemplate(config.chat_template);
  return source === undefined ? undefined : { source, path: join(dir, TOKENIZER_CONFIG), ...names };
}

async function readObject(path: string, what: string): Promise<Record<string, unknown>> {
  const value = (await pathExists(path)) ? await readJson(path, what) : {};
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  throw new InputError(`${what} ${path} is not a JSON object`);
}

/** A template, or the one named "default" in a list of several. */
function defaultTemplate(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  if (!Array.isArray(value)) return undefined;
  const named = value.find((each) => each?.name === 'default')?.template;
  return typeof named === 'string' ? named : undefined;
}

/** A special token is given as its text, or as an object that contains it. */
function nameOf(special: unknown): string | undefined {
  const name =
    typeof special === 'object' && special !== null
      ? (special as { readonly content?: unknown }).content
      : special;
  return typeof name === 'string' && name !== '' ? name : undefined;
}
