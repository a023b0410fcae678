/** @file Texts of a whole Whisper in the commands that recognise speech (test/reference/whisper_decoder.py). */

import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hubertFixtures, readReferences } from '../backbones/speech-encoders/encoding.js';
import { writeWav } from '../data/audio/wav-writer.js';
import { csvRows, makeWorkspace } from './workspace.js';

const work = makeWorkspace('whisper-recognition');
afterAll(() => work.remove());

const fixtures = new URL('../fixtures/whisper-decoder/', import.meta.url).pathname;

interface Said {
  readonly texts: string[];
}
const reference = JSON.parse(readFileSync(join(fixtures, 'multilingual/reference.json'), 'utf8')) as Said & {
  readonly forced: Said;
};
/** The third text is the longest that the model writes, and has no token that ends it. */
const CUT = 'recognition: the text reached the longest that the recogniser writes, and is cut there';
const notes = (file: string) => csvRows(work, file).map(({ note }) => note);
const trimmed = ({ texts }: Said): string[] => texts.map((text) => text.trim());

beforeAll(async () => {
  await work.smallRun('good');
  for (const name of ['multilingual', 'english']) {
    cpSync(join(fixtures, name), work.path(name), { recursive: true });
  }
  const { values } = await readReferences(hubertFixtures);
  for (const clip of [0, 1, 2]) {
    const form = { encoding: 'float', bits: 32, channels: 1 } as const;
    work.file(`clips/${clip}.wav`, writeWav(values(`clip.${clip}`), form));
  }
}, 60_000);

describe('emoq transcribe with a Whisper', () => {
  const transcribe = (out: string, model: string, ...more: string[]): string[] => {
    return ['transcribe', 'clips', '-o', out, '--model', model, ...more];
  };

  it('writes the texts of transformers, and how likely they are', async () => {
    await work.done(...transcribe('heard.jsonl', 'multilingual'));
    const rows = work
      .read('heard.jsonl')
      .toString()
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { text: string; confidence: number });
    expect(rows.map(({ text }) => text)).toEqual(trimmed(reference));
    for (const { confidence } of rows) {
      expect(confidence).toBeGreaterThan(0);
      expect(confidence).toBeLessThan(1);
    }
  });

  it('takes the language that is said', async () => {
    await work.done(...transcribe('german.csv', 'multilingual', '--language', 'de'));
    expect(csvRows(work, 'german.csv').map(({ text }) => text)).toEqual(trimmed(reference.forced));
    expect(await work.refused(...transcribe('x.csv', 'multilingual', '--language', 'klingon'))).toContain(
      'the model does not have "klingon"; it has de, en, fr',
    );
    expect(await work.refused(...transcribe('x.csv', 'english', '--language', 'en'))).toContain(
      'the model has one language',
    );
  });

  it('says where a text is cut', async () => {
    const { stderr } = await work.done(...transcribe('cut.csv', 'multilingual'));
    expect(notes('cut.csv')).toEqual(['', '', CUT]);
    expect(stderr).toMatch(
      /1 with a recognised text that is cut \(first recording 3\); see the column "note"/,
    );
  });

  it('has no times and no beam, and is no file to write to', async () => {
    expect(await work.refused(...transcribe('x.csv', 'english', '--words'))).toContain(
      '--words: english is a Whisper',
    );
    expect(await work.refused(...transcribe('x.csv', 'english', '--beam', '2'))).toContain(
      '--beam 2: english is a Whisper',
    );
    for (const file of ['tokenizer.json', 'generation_config.json', 'model.safetensors']) {
      const args = transcribe(`english/${file}`, 'english', '--format', 'csv');
      expect(await work.refused(...args)).toContain('of the recogniser itself');
    }
  });

  it('does not join shards of different languages', async () => {
    const shard = (part: number, language: string): string[] => [
      ...transcribe(`part-${part}.csv`, 'multilingual', '--language', language),
      ...['--shard', `${part}/2`],
    ];
    const parts = ['merge', 'part-1.csv', 'part-2.csv', '-o', 'joined.csv'];
    await work.done(...shard(1, 'de'));
    await work.done(...shard(2, 'fr'));
    expect(await work.refused(...parts)).toContain('--language de (now fr)');
    await work.done(...shard(2, 'german'));
    await work.done(...parts);
    expect(csvRows(work, 'joined.csv').map(({ text }) => text)).toEqual(trimmed(reference.forced));
  });

  it('says so where weights are no numbers', async () => {
    cpSync(work.path('english'), work.path('damaged'), { recursive: true });
    const path = work.path('damaged/model.safetensors');
    const bytes = readFileSync(path);
    const header = Number(bytes.readBigUInt64LE(0));
    const { 'model.decoder.layer_norm.bias': bias } = JSON.parse(bytes.toString('utf8', 8, 8 + header));
    bytes.writeUInt16LE(0x7e00, 8 + header + bias.data_offsets[0]); // NaN in float16
    writeFileSync(path, bytes);
    const { code } = await work.run(...transcribe('damaged.csv', 'damaged'));
    expect(code).toBe(1);
    for (const { text, error } of csvRows(work, 'damaged.csv')) {
      expect(text).toBe('');
      expect(error).toBe('the recogniser gave values that are not numbers; are its weights intact?');
    }
  });
});

describe('emoq predict with a Whisper', () => {
  it('reads what it heard, in the language that is said', async () => {
    const predict = (out: string, ...more: string[]): string[] => {
      return ['predict', 'clips', '-o', out, '--run', 'good', ...more];
    };
    const model = ['--transcribe', 'multilingual'];
    await work.done(...predict('heard-emotions.csv', ...model));
    await work.done(...predict('german-emotions.csv', ...model, '--language', 'de'));
    const texts = (file: string) => csvRows(work, file).map(({ recognised }) => recognised);
    expect(texts('heard-emotions.csv')).toEqual(trimmed(reference));
    expect(notes('heard-emotions.csv').map((note) => note!.includes(CUT))).toEqual([false, false, true]);
    expect(texts('german-emotions.csv')).toEqual(trimmed(reference.forced));
    expect(await work.refused(...predict('x.csv', '--language', 'de'))).toContain(
      '--language de is for a recogniser, but none is named; name one with --transcribe',
    );
  });
});

describe('a corpus prepared with a Whisper', () => {
  it('has its texts, and says in which language they were heard', async () => {
    work.file(
      'clips.csv',
      'path,text,label,speaker,split\nclips/0.wav,a,happy,x,train\nclips/1.wav,b,sad,y,train\nclips/2.wav,c,happy,z,test\n',
    );
    const prepare = (...more: string[]): string[] => [
      ...['prepare-csv', 'clips.csv', '--name', 'clips', '--out', 'heard'],
      ...['--transcribe', 'multilingual', ...more],
    ];
    const recogniser = () => {
      return (
        JSON.parse(work.read('heard/manifest.json').toString()) as { recogniser: Record<string, unknown> }
      ).recogniser;
    };
    const warning =
      /warning: 1 recognised text reached the longest that the recogniser writes, where it stops/;
    expect((await work.done(...prepare())).stderr).toMatch(warning);
    // Also where nothing is recognised anew.
    expect((await work.done(...prepare())).stderr).toMatch(warning);
    const before = recogniser();
    expect(before).toMatchObject({ name: 'multilingual', beam: 1 });
    expect(before.language).toBeUndefined();
    const journal = work.read('heard/recognition.jsonl').toString();
    await work.done(...prepare('--language', 'german'));
    expect(recogniser()).toEqual({ ...before, language: 'de' });
    expect(work.read('heard/recognition.jsonl').toString()).not.toBe(journal);
    expect(
      await work.refused('prepare-csv', 'clips.csv', '--name', 'c', '--out', 'c', '--language', 'de'),
    ).toContain('--language de is for a recogniser, but none is named');
  });
});
