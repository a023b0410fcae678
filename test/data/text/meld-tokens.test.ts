/** @file Every utterance of MELD, tokenized as in training, against the Python tokenizers library, by hash. */

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { chatMl } from '../../../src/backbones/decoders/chat-kinds.js';
import { sha256Of } from '../../../src/base/index.js';
import { type MeldAnnotation, readMeldAnnotations } from '../../../src/data/corpora/meld.js';
import {
  buildPrompt,
  DEFAULT_PROMPT,
  loadTokenizer,
  type PromptTemplate,
  resolveLabelWords,
  type TextTokenizer,
} from '../../../src/data/text/index.js';

const KINDS = ['transcript', 'prompt', 'roberta'] as const;
type Kind = (typeof KINDS)[number];

/** Made by test/reference/tokens-of-meld.py, which describes the hash. */
interface Fixture {
  labels: string[];
  template: PromptTemplate;
  chunk: number;
  specialTokens: Record<string, number>;
  words: Record<string, number[]>;
  splits: Record<
    string,
    { utterances: number; tokens: Record<Kind, number>; chunks: Record<Kind, string[]> }
  >;
}

const fixtures = fileURLToPath(new URL('../../fixtures/text/', import.meta.url));
const realData = process.env.EMOQ_REAL_DATA;
if (!realData) console.log('skipped: the tokens of MELD (EMOQ_REAL_DATA is not set)');

let fixture: Fixture;
beforeAll(async () => {
  fixture = JSON.parse(await readFile(join(fixtures, 'meld-tokens.json'), 'utf8'));
});

describe.skipIf(!realData)("MELD with Qwen2.5's tokenizer", () => {
  let qwen: TextTokenizer;
  let roberta: TextTokenizer;
  beforeAll(async () => {
    qwen = await loadTokenizer(join(realData!, 'qwen2.5-tokenizer'));
    roberta = await loadTokenizer(join(fixtures, 'roberta'));
  });

  it('has the special tokens and the emotion words of the Python library', () => {
    for (const [token, id] of Object.entries(fixture.specialTokens)) {
      expect(qwen.tokenId(token), token).toBe(id);
      expect(qwen.decode([id])).toBe(token);
    }
    expect(resolveLabelWords(qwen, fixture.labels)).toEqual(
      fixture.labels.map((word) => fixture.words[word]),
    );
  });

  it.each(['train', 'dev', 'test'])('has its ids in every transcript and prompt of %s', async (split) => {
    expect(fixture.template, 'the wording has changed: make the fixture again').toEqual(DEFAULT_PROMPT);
    const expected = fixture.splits[split]!;
    const utterances = await readMeldAnnotations(
      join(realData!, 'meld', `${split}_sent_emo.csv`),
      fixture.labels,
    );
    expect(utterances.length).toBe(expected.utterances);
    const idsOf: Record<Kind, (utterance: MeldAnnotation) => number[]> = {
      transcript: ({ text }) => counted(qwen.encode(text)),
      roberta: ({ text }) => counted(roberta.encode(text)),
      prompt({ text, speaker }) {
        const values = { labels: fixture.labels, speaker, transcript: text, audio: true };
        const { ids, audioPosition } = buildPrompt(qwen, chatMl, DEFAULT_PROMPT, values);
        expect(ids[audioPosition]).toBe(qwen.padId);
        return [ids.length, audioPosition, ...ids];
      },
    };
    for (const kind of KINDS) {
      const records = utterances.map(idsOf[kind]);
      const total = records.reduce((sum, [length]) => sum + length!, 0);
      const digests = expected.chunks[kind].map((_, index) => {
        const chunk = records.slice(index * fixture.chunk, (index + 1) * fixture.chunk);
        return sha256Of(new Uint8Array(Int32Array.from(chunk.flat()).buffer)).slice(0, 16);
      });
      const wrong = digests.flatMap((digest, index) =>
        digest === expected.chunks[kind][index] ? [] : [index * fixture.chunk],
      );
      expect(wrong, `${kind}: utterances of ${split} from these on`).toEqual([]);
      expect(total).toBe(expected.tokens[kind]);
    }
  });
});

function counted(ids: readonly number[]): number[] {
  return [ids.length, ...ids];
}
