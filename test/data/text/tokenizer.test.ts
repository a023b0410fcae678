/** @file Tokenizers against the Python tokenizers library: toy tokenizers and Qwen2.5's real one. */

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { InputError, sha256Of } from '../../../src/base/index.js';
import {
  buildByteLevelTokenizer,
  loadTokenizer,
  resolveLabelWords,
  type TextTokenizer,
} from '../../../src/data/text/index.js';
import { createTokenizer } from '../../../src/data/text/tokenizer.js';

interface Fixture {
  words: string[];
  specialTokens: string[];
  texts: string[];
  literal: string[];
  /** Unit and number of repeats. */
  longTexts: [string, number][];
  ids: Record<
    'qwen2' | 'roberta' | 'trainedRoberta' | 'realQwen2',
    {
      vocabSize: number;
      texts: number[][];
      literal: number[][];
      long: { count: number; sha256: string }[];
    }
  >;
}

const fixtureFolder = fileURLToPath(new URL('../../fixtures/text/', import.meta.url));

const realData = process.env.EMOQ_REAL_DATA;
if (!realData) console.log('skipped: the real Qwen2.5 tokenizer (EMOQ_REAL_DATA is not set)');

let folder: string;
let fixture: Fixture;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'emoq-tokenizer-'));
  fixture = JSON.parse(await readFile(join(fixtureFolder, 'tokenizers.json'), 'utf8'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

function expectSameIds(tokenizer: TextTokenizer, kind: keyof Fixture['ids']): void {
  const { vocabSize, texts, literal, long } = fixture.ids[kind];
  expect(tokenizer.vocabSize).toBe(vocabSize);
  fixture.texts.forEach((text, i) => {
    expect(tokenizer.encode(text), text).toEqual(texts[i]);
  });
  fixture.literal.forEach((text, i) => {
    expect(tokenizer.encode(text), text).toEqual(literal[i]);
  });
  fixture.longTexts.forEach(([unit, times], i) => {
    const ids = tokenizer.encode(unit.repeat(times));
    const sha256 = sha256Of(new Uint8Array(Int32Array.from(ids).buffer)).slice(0, 16);
    expect({ count: ids.length, sha256 }, unit).toEqual(long[i]);
  });
}

describe.each(['qwen2', 'roberta'] as const)('a toy tokenizer of kind %s', (kind) => {
  const toy = () => {
    const options = { words: fixture.words, specialTokens: fixture.specialTokens, kind };
    const { tokenizerJson, tokenizerConfig } = buildByteLevelTokenizer(options);
    return createTokenizer(tokenizerJson, tokenizerConfig, kind);
  };

  it('gives the ids of the Python library, also for names of special tokens', () => {
    expectSameIds(toy(), kind);
  });

  it('has one token for each word, with a leading space and without', () => {
    const tokenizer = toy();
    const ids = fixture.words.flatMap((word) =>
      [` ${word}`, word].map((text) => {
        const [id, ...rest] = tokenizer.encode(text, { specialTokens: false });
        expect(rest, text).toEqual([]);
        return id;
      }),
    );
    expect(new Set(ids).size).toBe(2 * fixture.words.length);
  });

  it('decodes what it encodes, any bytes, and names special tokens', () => {
    const tokenizer = toy();
    for (const text of [...fixture.texts, ...fixture.literal]) {
      const ids = tokenizer.encode(text, { specialTokens: false });
      expect(tokenizer.decode(ids)).toBe(kind === 'qwen2' ? text.normalize('NFC') : text);
    }
    const extra = tokenizer.tokenId('<extra>')!;
    expect(tokenizer.decode([extra, ...tokenizer.encode(' é', { specialTokens: false }), extra])).toBe(
      '<extra> é<extra>',
    );
    expect(tokenizer.decode([])).toBe('');
  });

  it('is the same each time and loads from its two files', async () => {
    const options = { words: fixture.words, kind };
    const made = buildByteLevelTokenizer(options);
    expect(JSON.stringify(buildByteLevelTokenizer(options))).toBe(JSON.stringify(made));
    await writeFile(join(folder, 'tokenizer.json'), JSON.stringify(made.tokenizerJson));
    await writeFile(join(folder, 'tokenizer_config.json'), JSON.stringify(made.tokenizerConfig));
    const tokenizer = await loadTokenizer(folder);
    expect(tokenizer.encode(' happy', { specialTokens: false })).toEqual(
      toy().encode(' happy', { specialTokens: false }),
    );
    expect(tokenizer.source).toBe(join(folder, 'tokenizer.json'));
  });

  it('refuses words that the pre-tokenizer would cut', () => {
    for (const word of ["don't", 'two words', '', 'x2']) {
      expect(() => buildByteLevelTokenizer({ words: [word], kind })).toThrow(RangeError);
    }
  });
});

describe('a RoBERTa tokenizer that the Python library trained and saved', () => {
  it('gives its ids, where merges cross white space that JavaScript and Unicode see differently', async () => {
    expectSameIds(await loadTokenizer(join(fixtureFolder, 'roberta')), 'trainedRoberta');
  });
});

describe('half of a surrogate pair', () => {
  it('is U+FFFD, as where the text is written to a file', () => {
    const { tokenizerJson, tokenizerConfig } = buildByteLevelTokenizer({ words: ['happy'], kind: 'qwen2' });
    const tokenizer = createTokenizer(tokenizerJson, tokenizerConfig, 'toy');
    for (const text of ['\ud83d', 'a\ude00 b', '\ude00\ud83d', ' \ud83d happy']) {
      const ids = tokenizer.encode(text);
      expect(ids).toEqual(tokenizer.encode(text.replace(/[\ud800-\udfff]/g, '\ufffd')));
      expect(tokenizer.decode(ids)).toBe(Buffer.from(text).toString());
    }
  });
});

describe('special tokens', () => {
  it('of RoBERTa have its ids and stand around a text', () => {
    const { tokenizerJson, tokenizerConfig } = buildByteLevelTokenizer({ words: ['happy'], kind: 'roberta' });
    const tokenizer = createTokenizer(tokenizerJson, tokenizerConfig, 'toy');
    expect(['<s>', '<pad>', '</s>', '<unk>', '<mask>'].map(tokenizer.tokenId)).toEqual([0, 1, 2, 3, 4]);
    const happy = tokenizer.tokenId('happy')!;
    expect(tokenizer.encode('happy')).toEqual([0, happy, 2]);
    expect(tokenizer.encode('happy', { specialTokens: false })).toEqual([happy]);
    expect([tokenizer.padId, tokenizer.eosId]).toEqual([1, 2]);
    // RoBERTa's published config names no tokens.
    expect(createTokenizer(tokenizerJson, {}, 'toy').padId).toBe(1);
  });

  it('of Qwen2 follow the vocabulary', () => {
    const { tokenizerJson, tokenizerConfig } = buildByteLevelTokenizer({ words: ['happy'], kind: 'qwen2' });
    const tokenizer = createTokenizer(tokenizerJson, tokenizerConfig, 'toy');
    const end = tokenizer.vocabSize;
    expect(['<|endoftext|>', '<|im_start|>', '<|im_end|>'].map(tokenizer.tokenId)).toEqual([
      end - 3,
      end - 2,
      end - 1,
    ]);
    expect([tokenizer.padId, tokenizer.eosId]).toEqual([end - 3, end - 1]);
    expect(tokenizer.tokenId('!')).toBe(0);
    expect(tokenizer.tokenId('absent')).toBeUndefined();
    expect([end - 4, end - 3, end - 1, end].map(tokenizer.isSpecial)).toEqual([false, true, true, false]);
  });
});

describe('a broken tokenizer folder', () => {
  const good = buildByteLevelTokenizer({ words: ['happy'], kind: 'qwen2' });
  const { model, pre_tokenizer: preTokenizer } = good.tokenizerJson as {
    model: { vocab: Record<string, number>; merges: string[] };
    pre_tokenizer: { pretokenizers: object[] };
  };
  const withModel = (changes: object): object => ({ ...good.tokenizerJson, model: { ...model, ...changes } });
  const withId = (id: unknown): object => withModel({ vocab: { ...model.vocab, a: id } });
  const withSplit = (changes: object): object => ({
    ...good.tokenizerJson,
    pre_tokenizer: {
      ...preTokenizer,
      pretokenizers: [{ ...preTokenizer.pretokenizers[0], ...changes }, preTokenizer.pretokenizers[1]],
    },
  });
  const cases: [string, unknown, unknown, string][] = [
    ['has a text for an id', withId('64'), {}, 'model.vocab has no id for "a", but "64"'],
    ['has an id below 0', withId(-1), {}, 'model.vocab has no id for "a", but -1'],
    ['has an id beyond integers', withId(2 ** 64), {}, 'model.vocab has no id for "a"'],
    ['has an id twice', withId(model.vocab.b), {}, 'model.vocab has the id'],
    ['has no vocabulary', withModel({ vocab: null }), {}, 'model.vocab must be tokens with their ids'],
    [
      'has a list for a vocabulary',
      withModel({ vocab: ['a'] }),
      {},
      'model.vocab must be tokens with their ids',
    ],
    ['has no merges', withModel({ merges: undefined }), {}, 'model.merges must be a list, not nothing'],
    [
      'has a merge of one',
      withModel({ merges: ['a'] }),
      {},
      'model.merges has at 1 no pair of tokens, but "a"',
    ],
    ['has a merge of three', withModel({ merges: ['h a p'] }), {}, 'no pair of tokens, but "h a p"'],
    [
      'has merges of two kinds',
      withModel({ merges: [...model.merges, ['h', 'a']] }),
      {},
      'no pair of tokens',
    ],
    [
      'has a merge of what it lacks',
      withModel({ merges: ['h zz'] }),
      {},
      'at 1 the token "zz", which is not in',
    ],
    [
      'has a merge to what it lacks',
      withModel({ merges: ['z h'] }),
      {},
      'at 1 the token "zh", which is not in',
    ],
    [
      'has an unknown token that it lacks',
      withModel({ unk_token: '<unk>' }),
      {},
      'model.unk_token "<unk>" is not in',
    ],
    [
      'has a number for a suffix',
      withModel({ end_of_word_suffix: 3 }),
      {},
      'model.end_of_word_suffix must be a text',
    ],
    [
      'has a text for a truth value',
      withModel({ ignore_merges: 'yes' }),
      {},
      'model.ignore_merges must be true or',
    ],
    [
      'has nothing to split by',
      withSplit({ pattern: { What: '' } }),
      {},
      'pattern must be a String or a Regex',
    ],
    ['has a number to split by', withSplit({ pattern: 3 }), {}, 'pattern must be a String or a Regex'],
    ['splits in no known way', withSplit({ behavior: 3 }), {}, 'cannot tokenize'],
    [
      'has a list for a normalizer',
      { ...good.tokenizerJson, normalizer: [] },
      {},
      'normalizer must be an object',
    ],
    [
      'nests without end',
      `{"model":${'['.repeat(1e5)}${']'.repeat(1e5)}}`,
      {},
      'nests more than 200 levels deep',
    ],
    ['is cut short', '{"model":', {}, 'tokenizer.json is not valid JSON'],
    ['is a list', [], {}, 'is not a JSON object'],
    ['is another JSON file', { model_type: 'qwen2' }, {}, 'cannot be read'],
    ['has no model', { ...good.tokenizerJson, model: {} }, {}, 'cannot be read'],
    [
      'has a pattern that is none',
      { ...good.tokenizerJson, pre_tokenizer: { type: 'What' } },
      {},
      'cannot be read',
    ],
    [
      'has nameless tokens',
      { ...good.tokenizerJson, added_tokens: [{ id: 1 }] },
      {},
      'without content and id',
    ],
    ['has a count for tokens', { ...good.tokenizerJson, added_tokens: 3 }, {}, 'cannot be read'],
    ['has a config that is a list', good.tokenizerJson, [], 'config of'],
    ['has a config that is cut short', good.tokenizerJson, '{', 'tokenizer_config.json is not valid JSON'],
  ];
  it.each(cases)('that %s gives one line naming it', async (_name, tokenizerJson, config, message) => {
    const text = (value: unknown) => (typeof value === 'string' ? value : JSON.stringify(value));
    await writeFile(join(folder, 'tokenizer.json'), text(tokenizerJson));
    await writeFile(join(folder, 'tokenizer_config.json'), text(config));
    const error = await loadTokenizer(folder).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(InputError);
    expect((error as Error).message).toContain(folder);
    expect((error as Error).message).toContain(message);
    expect((error as Error).message).not.toContain('\n');
  });

  it('that is empty says which files make a tokenizer', async () => {
    await expect(loadTokenizer(join(folder, 'nowhere'))).rejects.toThrow(
      `${join(folder, 'nowhere')} has no tokenizer.json; a tokenizer is read from`,
    );
  });
});

describe.skipIf(!realData)('the real Qwen2.5 tokenizer', () => {
  it('gives the ids of the Python library, and one token for each emotion word', async () => {
    const tokenizer = await loadTokenizer(join(realData!, 'qwen2.5-tokenizer'));
    expectSameIds(tokenizer, 'realQwen2');
    const words = [
      'neutral',
      'angry',
      'anger',
      'sad',
      'sadness',
      'happy',
      'joy',
      'surprise',
      'disgust',
      'fear',
    ];
    expect(resolveLabelWords(tokenizer, words)).toEqual(
      [20628, 18514, 19234, 12421, 50878, 6247, 15888, 12761, 67062, 8679].map((id) => [id]),
    );
    expect(tokenizer.encode('<AUDIO>').length).toBe(3);
    expect([tokenizer.padId, tokenizer.eosId]).toEqual([151643, 151645]);
  });
});
