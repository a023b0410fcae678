/** @file `emoq prepare-toy`: a corpus and matching backbones. */

import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest';
import { chatMl } from '../../src/backbones/decoders/chat-kinds.js';
import { prepareToy, prepareToyCommand } from '../../src/cli/commands/prepare-toy-command.js';
import { planToyCorpus } from '../../src/data/corpora/toy/toy-corpus.js';
import { buildPrompt, DEFAULT_PROMPT, loadTokenizer, resolveLabelWords } from '../../src/data/text/index.js';

const scratch = mkdtempSync(join(tmpdir(), 'emoq-prepare-toy-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));
afterEach(() => vi.restoreAllMocks());

const LABELS = ['neutral', 'happy', 'angry', 'sad'];

function captured(stream: 'stdout' | 'stderr'): () => string {
  const write = vi.spyOn(process[stream], 'write').mockReturnValue(true);
  return () => write.mock.calls.map(([chunk]) => String(chunk)).join('');
}

describe('prepare-toy', () => {
  it('writes manifest, audio and three backbones, and prints counts and the manifest', async () => {
    const [stdout, stderr] = [captured('stdout'), captured('stderr')];
    const out = join(scratch, 'toy4');
    await prepareToyCommand.run({ out, seed: 0, speakers: 5, utterances: 8 });
    expect(readdirSync(out).sort()).toEqual(['audio', 'backbones', 'manifest.csv', 'manifest.json']);
    expect(readdirSync(join(out, 'backbones')).sort()).toEqual(['hubert', 'qwen2', 'recogniser', 'roberta']);
    expect(stdout()).toMatch(/^total +10 +10 +10 +10 +40$/m);
    expect(stdout()).toContain(`40 utterances of 5 speakers, 1 min`);
    expect(stdout().trimEnd().endsWith(join(out, 'manifest.csv'))).toBe(true);
    expect(stderr()).toContain(join(out, 'backbones'));
  });

  it('gives the tokenizers every word of the corpus and the prompt, so that a prompt stays short', async () => {
    const { backbones } = await prepareToy({
      out: join(scratch, 'toy4'),
      speakers: 5,
      utterancesPerSpeaker: 8,
    });
    const roberta = await loadTokenizer(join(backbones, 'roberta'));
    const qwen2 = await loadTokenizer(join(backbones, 'qwen2'));
    expect(resolveLabelWords(qwen2, LABELS).map((ids) => ids.length)).toEqual([1, 1, 1, 1]);
    const { utterances } = planToyCorpus({ seed: 9, speakers: 20, utterancesPerSpeaker: 32, spoken: false });
    for (const { text, speaker } of utterances) {
      const pieces = text.match(/[A-Za-z]+|[.,]/g)!;
      expect(roberta.encode(text), text).toHaveLength(pieces.length + 2); // <s> and </s>
      expect(qwen2.encode(text), text).toHaveLength(pieces.length);
      const values = { labels: LABELS, speaker: speaker.id, transcript: text, audio: true };
      expect(buildPrompt(qwen2, chatMl, DEFAULT_PROMPT, values).ids.length).toBeLessThan(128);
    }
  });

  it('leaves nothing behind when an option is wrong', async () => {
    const out = join(scratch, 'wrong');
    await expect(prepareToy({ out, utterancesPerSpeaker: 6 })).rejects.toThrow(/^--utterances 6: /);
    await expect(prepareToy({ out, speakers: 12, raw: 'iemocap' })).rejects.toThrow(/^--speakers 12: /);
    expect(existsSync(out)).toBe(false);
    writeFileSync(out, 'a file');
    await expect(prepareToy({ out })).rejects.toThrow(/ is a file; give a folder$/);
  });
});
