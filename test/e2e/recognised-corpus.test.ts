/** @file Corpora with recognised texts: written beside the given ones, chosen by a recipe, refused where they are missing. */

import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeToyRecogniser } from '../../src/data/toy-backbones/index.js';
import { csvRows, fileDigests, makeWorkspace } from './workspace.js';

const work = makeWorkspace('recognised');
afterAll(() => work.remove());

interface Info {
  readonly sha256: string;
  readonly recogniser?: { name: string; weights_sha256?: string; beam?: number };
}
const infoOf = (folder: string): Info => JSON.parse(work.read(`${folder}/manifest.json`).toString()) as Info;

const prepare = (out: string, ...more: string[]): string[] => {
  return ['prepare-csv', 'clips.csv', '--name', 'clips', '--out', out, ...more];
};

beforeAll(async () => {
  await work.smallRun('good');
  await writeToyRecogniser(work.path('rec'), 1);
  const rows = csvRows(work, 'toy/manifest.csv').map(
    ({ id, path, text, label, speaker, split }) => `${id},toy/${path},"${text}",${label},${speaker},${split}`,
  );
  work.file('clips.csv', `id,path,text,label,speaker,split\n${rows.join('\n')}\n`);
  await work.done(...prepare('plain'));
  await work.done(...prepare('heard', '--transcribe', 'rec'));
}, 60_000);

describe('a corpus prepared with a recogniser', () => {
  it('has its texts beside the given ones, and says whose they are', async () => {
    const [plain, heard] = [csvRows(work, 'plain/manifest.csv'), csvRows(work, 'heard/manifest.csv')];
    expect(heard.map(({ recognised: _, ...row }) => row)).toEqual(plain);
    await work.done('transcribe', 'plain/manifest.csv', '-o', 'texts.csv', '--model', 'rec');
    expect(heard.map(({ recognised }) => recognised)).toEqual(
      csvRows(work, 'texts.csv').map(({ recognised }) => recognised),
    );
    expect(new Set(heard.map(({ recognised }) => recognised)).size).toBeGreaterThan(5);
    expect(infoOf('plain').recogniser).toBeUndefined();
    expect(infoOf('heard').recogniser).toMatchObject({
      ...{ name: 'rec', beam: 1, weights_sha256: expect.stringMatching(/^[0-9a-f]{64}$/) as string },
    });
  });

  it('is recognised once, and goes on where it was stopped', async () => {
    const before = fileDigests(work, 'heard');
    const again = await work.done(...prepare('heard', '--transcribe', 'rec'));
    expect(again.stderr).toContain('already prepared');
    expect(fileDigests(work, 'heard')).toEqual(before);
    // A text in the journal is taken, and a line that was cut off is not.
    await work.done(...prepare('stopped'));
    const lines = readFileSync(work.path('heard/recognition.jsonl'), 'utf8').split('\n');
    const [head, first, second] = lines as [string, string, string];
    const marked = JSON.stringify({ ...(JSON.parse(first) as object), text: 'from the journal' });
    writeFileSync(work.path('stopped/recognition.jsonl'), `${head}\n${marked}\n`);
    appendFileSync(work.path('stopped/recognition.jsonl'), second.slice(0, 40));
    await work.done(...prepare('stopped', '--transcribe', 'rec'));
    const texts = csvRows(work, 'stopped/manifest.csv').map(({ recognised }) => recognised!);
    const whole = csvRows(work, 'heard/manifest.csv').map(({ recognised }) => recognised!);
    expect(texts.filter((text) => text === 'from the journal')).toHaveLength(1);
    expect(texts.filter((text, index) => text !== whole[index])).toEqual(['from the journal']);
    // Another recogniser recognises anew.
    await writeToyRecogniser(work.path('other'), 2);
    await work.done(...prepare('stopped', '--transcribe', 'other'));
    expect(work.read('stopped/recognition.jsonl').toString()).not.toContain('from the journal');
  });

  it('may have the texts of a table, such as transcribe writes', async () => {
    await work.done('transcribe', 'clips.csv', '-o', 'heard.csv', '--model', 'rec');
    await work.done('prepare-csv', 'heard.csv', '--name', 'table', '--out', 'table');
    expect(csvRows(work, 'table/manifest.csv').map(({ text, recognised }) => [text, recognised])).toEqual(
      csvRows(work, 'heard/manifest.csv').map(({ text, recognised }) => [text, recognised]),
    );
    expect(infoOf('table').recogniser).toEqual({ name: 'the column "recognised" of the table' });
  });

  it('is refused without audio, and with a model that is no recogniser', async () => {
    work.file('words.csv', 'text,label\nhello,happy\nno,sad\n');
    expect(
      await work.refused(
        'prepare-csv',
        'words.csv',
        '--name',
        'words',
        '--out',
        'words',
        '--transcribe',
        'rec',
      ),
    ).toContain('there is no audio to recognise');
    expect(await work.refused(...prepare('x', '--transcribe', 'toy/backbones/hubert'))).toContain(
      'it is not a speech recogniser',
    );
  });

  it('is counted as any other', async () => {
    const stats = async (folder: string): Promise<Record<string, unknown>> => {
      const { stdout } = await work.done('stats', '--manifest', `${folder}/manifest.csv`, '--json');
      const {
        manifest: _,
        manifest_sha256: __,
        name: ___,
        ...rest
      } = JSON.parse(stdout) as Record<string, unknown>;
      return rest;
    };
    expect(await stats('heard')).toEqual(await stats('plain'));
    await work.done(
      'stats',
      '--recipe',
      'small.yaml',
      '--set',
      'manifest=heard/manifest.csv',
      '--set',
      'text=recognised',
    );
  });
});

describe('text: recognised in a recipe', () => {
  const heard = ['--recipe', 'small.yaml', '--set', 'manifest=heard/manifest.csv'];

  it('makes a model read what was recognised, in training and in evaluation', async () => {
    // The same corpus, whose given texts are the recognised ones.
    const [header] = work.read('heard/manifest.csv').toString().split('\n');
    const rows = csvRows(work, 'heard/manifest.csv').map(
      ({ id, path, recognised, label, speaker, gender, session, split, duration_sec }) =>
        [id, path, recognised, label, speaker, gender, session, split, duration_sec].join(','),
    );
    work.file('heard/swapped.csv', `${header!.replace(/,recognised$/, '')}\n${rows.join('\n')}\n`);
    await work.done('stage1', ...heard, '--set', 'text=recognised', '--run', 'own');
    await work.done(
      'stage1',
      '--recipe',
      'small.yaml',
      '--set',
      'manifest=heard/swapped.csv',
      '--run',
      'swapped',
    );
    await work.done('stage1', ...heard, '--run', 'given');
    const metrics = (run: string): string => work.read(`${run}/stage1/metrics.jsonl`).toString();
    expect(metrics('own')).toBe(metrics('swapped'));
    expect(metrics('own')).not.toBe(metrics('given'));
    const metadata = JSON.parse(work.read('own/stage1/run.json').toString()) as { manifest: Info };
    expect(metadata.manifest.recogniser?.name).toBe('rec');
    const other = JSON.parse(work.read('given/stage1/run.json').toString()) as { manifest: Info };
    expect(other.manifest.recogniser).toBeUndefined();
    const { stdout } = await work.done('eval', '--run', 'own/stage1', '--noise', '10');
    expect(stdout).toContain('the words are what was recognised in the clips without noise, at every ratio.');
    await work.done('eval', '--run', 'swapped/stage1');
    expect(work.read('own/stage1/predictions.csv').equals(work.read('swapped/stage1/predictions.csv'))).toBe(
      true,
    );
  });

  it('is refused for a manifest without the column', async () => {
    const args = ['stage1', '--recipe', 'small.yaml', '--set', 'manifest=plain/manifest.csv', '--run', 'x'];
    expect(await work.refused(...args, '--set', 'text=recognised')).toContain(
      'plain/manifest.csv has no column "recognised", which text: recognised reads; prepare the corpus again with --transcribe MODEL',
    );
    expect(await work.refused(...args, '--set', 'text=heard')).toContain('text');
  });
});
