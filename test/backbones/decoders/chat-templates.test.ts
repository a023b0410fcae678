/**
 * @file Chats of each kind against transformers' token ids (test/reference/chat-templates.py), rejected templates, and
 * texts that spell a template's markers.
 */

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { decoderFamilyOf } from '../../../src/backbones/index.js';
import { InputError } from '../../../src/base/index.js';
import {
  answerIds,
  buildPrompt,
  type ChatTemplate,
  loadTokenizer,
  resolveLabelWords,
  type TextTokenizer,
} from '../../../src/data/text/index.js';

interface Case {
  readonly name: string;
  readonly family: string;
  readonly tokenizerJson: Record<string, unknown>;
  readonly tokenizerConfig: Record<string, unknown>;
  readonly chats: readonly {
    readonly system: string;
    readonly user: string;
    readonly ids: readonly number[];
    readonly words: Readonly<Record<string, readonly number[]>>;
  }[];
}

const { answer, cases } = JSON.parse(
  await readFile(new URL('../../fixtures/text/chat-templates.json', import.meta.url), 'utf8'),
) as { answer: string; cases: Case[] };
const named = (name: string): Case => cases.find((each) => each.name === name)!;

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'emoq-chats-'));
});
afterAll(() => rm(root, { recursive: true, force: true }));

/** A folder with a case's tokenizer; `files` override or extend it. */
async function folderOf(given: Case, files: Record<string, unknown> = {}): Promise<string> {
  const dir = await mkdtemp(join(root, 'model-'));
  const all = {
    'tokenizer.json': given.tokenizerJson,
    'tokenizer_config.json': given.tokenizerConfig,
    ...files,
  };
  for (const [name, content] of Object.entries(all)) {
    await writeFile(join(dir, name), typeof content === 'string' ? content : JSON.stringify(content));
  }
  return dir;
}

async function open(
  given: Case,
  files?: Record<string, unknown>,
): Promise<{ tokenizer: TextTokenizer; chat: ChatTemplate }> {
  const dir = await folderOf(given, files);
  return { tokenizer: await loadTokenizer(dir), chat: await decoderFamilyOf(given).chatTemplate(dir) };
}

describe.each(cases)('$name', (given) => {
  it('is what apply_chat_template writes, in its ids', async () => {
    const { tokenizer, chat } = await open(given);
    for (const { system, user, ids, words } of given.chats) {
      const built = buildPrompt(tokenizer, chat, { system, user, answer }, { labels: [], audio: false });
      expect(built.ids, built.text).toEqual(ids);
      expect(resolveLabelWords(tokenizer, Object.keys(words))).toEqual(Object.values(words));
    }
  });

  it('has one slot, before and behind which the text is the same', async () => {
    const { tokenizer, chat } = await open(given);
    const { ids, audioPosition } = buildPrompt(
      tokenizer,
      chat,
      { system: 'Name the emotion', user: 'Speaker: <AUDIO>\nthe end', answer },
      { labels: [], audio: true },
    );
    const around = [ids.slice(0, audioPosition), ids.slice(audioPosition + 1)];
    const [before, after] = around.map((part) => tokenizer.decode(part));
    expect(before).toMatch(/Speaker: ?$/);
    expect(after).toMatch(/^\nthe end/);
  });

  it('ends the answer with a token', async () => {
    const { tokenizer, chat } = await open(given);
    const end = answerIds(tokenizer, chat, []);
    expect(end.map((id) => tokenizer.decode([id]))).toEqual([chat.end]);
  });

  it('is not changed by what a speaker says', async () => {
    const { tokenizer, chat } = await open(given);
    const marks = ['[INST]', '[/INST]', '<<SYS>>', '<</SYS>>', '<|user|>', '<|assistant|>', '<|system|>'];
    const names = ['<s>', '</s>', '<|im_end|>', '<|eot_id|>', '<|end_header_id|>', '<think>'];
    const said = `${[...marks, ...names].join(' fine ')} ${marks.join('')} [[INST]`;
    const template = { system: 'Be brief', user: '{speaker}\n{transcript}', answer };
    const prompt = (speaker: string, transcript: string) =>
      buildPrompt(tokenizer, chat, template, { labels: [], speaker, transcript, audio: false });
    const clean = prompt('Ana', 'fine');
    const attacked = prompt(said, said);
    // Added tokens come only from the template, ...
    const isAdded = (id: number) => tokenizer.addedTokenId(tokenizer.decode([id])) === id;
    expect(attacked.ids.filter(isAdded)).toEqual(clean.ids.filter(isAdded));
    // ... and so do markers that are plain text to this tokenizer.
    for (const mark of marks.filter((each) => tokenizer.addedTokenId(each) === undefined)) {
      const isOfTemplate = clean.text.includes(mark);
      if (!isOfTemplate) continue;
      expect(attacked.text.split(mark).length, mark).toBe(clean.text.split(mark).length);
      expect(tokenizer.decode(attacked.ids).split(mark).length, mark).toBe(clean.text.split(mark).length);
    }
  });
});

describe('the template of a checkpoint', () => {
  const llama = named('Llama 3');
  const withTemplate = (chat_template: unknown, more: object = {}) => ({
    'tokenizer_config.json': { ...llama.tokenizerConfig, ...more, chat_template },
  });

  it('may be a file of its own, which goes before that of the tokenizer, or one of several', async () => {
    const source = llama.tokenizerConfig.chat_template as string;
    const wrong = withTemplate('{{ messages }}');
    const given: Record<string, unknown>[] = [
      { ...wrong, 'chat_template.jinja': source },
      { ...wrong, 'chat_template.json': { chat_template: source } },
      withTemplate([
        { name: 'tool_use', template: 'x' },
        { name: 'default', template: source },
      ]),
    ];
    for (const files of given) expect((await open(llama, files)).chat.kind).toBe('Llama 3');
  });

  it('begins with the token that it begins with, written as an object too', async () => {
    const token = { content: '<|begin_of_text|>' };
    const source = llama.tokenizerConfig.chat_template as string;
    const begun = await open(llama, withTemplate(source, { bos_token: token }));
    expect(begun.chat.begin).toEqual([{ kind: 'token', text: '<|begin_of_text|>' }]);
    const bare = await open(llama, withTemplate(source.replace('{{ bos_token }}', '')));
    expect(bare.chat.begin).toEqual([]);
  });

  it('is refused where it is of another kind, naming the file and the kinds', async () => {
    const kinds =
      'ChatML (<|im_start|>), Llama 3 (<|start_header_id|>), Llama 2 ([INST] with <<SYS>>), Mistral ([INST] without <<SYS>>), Zephyr (<|user|>)';
    const mistral = named('Mistral 0.1').tokenizerConfig.chat_template as string;
    const mistrals = [
      mistral.replace('[INST] ', '[INST]\\n'), // a mark with something else than spaces beside it
      mistral.replace('+ eos_token', "+ ' ' + eos_token"), // something between the answer and its end
      `${mistral}{{ ' [INST] ' }}`, // marks that are written in two ways
      `${mistral}{{ '[SYSTEM_PROMPT]' }}`, // a turn of its own for the system, as later ones have
    ];
    const both = `${llama.tokenizerConfig.chat_template}{# <|im_start|> <|im_end|> #}`;
    for (const source of ['{{ messages }}', ...mistrals, both]) {
      const dir = await folderOf(llama, { 'chat_template.jinja': source });
      const refusal = await decoderFamilyOf(llama)
        .chatTemplate(dir)
        .catch((error: unknown) => error);
      expect(refusal).toBeInstanceOf(InputError);
      expect((refusal as Error).message).toBe(
        `${join(dir, 'chat_template.jinja')} has a chat template of a kind that emoq does not support; it supports ${kinds}`,
      );
    }
  });

  it('is refused if missing, or if it ends turns with an unnamed token', async () => {
    const { chat_template: _none, ...config } = llama.tokenizerConfig;
    await expect(open(llama, { 'tokenizer_config.json': config })).rejects.toThrow('has no chat template');
    const zephyr = named('Zephyr');
    const { eos_token: _unnamed, ...unnamed } = zephyr.tokenizerConfig;
    await expect(open(zephyr, { 'tokenizer_config.json': unnamed })).rejects.toThrow(
      'ends turns with eos_token, which tokenizer_config.json does not name',
    );
  });

  it('of a Mistral may be of another kind, as its descendants have them', async () => {
    for (const [name, kind] of [
      ['ChatML of a Llama', 'ChatML'],
      ['Zephyr', 'Zephyr'],
    ] as const) {
      expect((await open({ ...named(name), family: 'mistral' })).chat.kind).toBe(kind);
    }
  });

  it('of Qwen3 has an empty thought where it knows thinking, or is not there', async () => {
    const qwen3 = named('ChatML without thinking');
    const { chat_template: source, ...config } = qwen3.tokenizerConfig;
    const answerOf = async (tokenizerConfig: object) => {
      const { tokenizer, chat } = await open(qwen3, { 'tokenizer_config.json': tokenizerConfig });
      const template = { system: '', user: 'sad', answer };
      return buildPrompt(tokenizer, chat, template, { labels: [], audio: false }).text.split('assistant')[1];
    };
    const thought = `\n<think>\n\n</think>\n\n${answer}`;
    expect(await answerOf(qwen3.tokenizerConfig)).toBe(thought);
    expect(await answerOf(config)).toBe(thought);
    const instructed = (source as string).replace(/\{% if enable_thinking[\s\S]*?\{% endif %\}/, '');
    expect(await answerOf({ ...config, chat_template: instructed })).toBe(`\n${answer}`);
  });

  it('needs the tokens of its kind', async () => {
    const chatMl = { 'chat_template.jinja': '<|im_start|> <|im_end|>' };
    const { tokenizer, chat } = await open(llama, chatMl);
    const build = () =>
      buildPrompt(tokenizer, chat, { system: '', user: 'x', answer }, { labels: [], audio: false });
    expect(build).toThrow('has no <|im_start|> token; the prompt needs a ChatML model such as Qwen2.5');
  });
});
