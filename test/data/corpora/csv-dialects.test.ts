/**
 * @file Corpora from tables written by pandas and by hand: dialects, split names, spellings, files, no audio at all.
 */

import { mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { InputError } from '../../../src/base/index.js';
import {
  checkAudioFiles,
  groupStatistics,
  partitionUtterances,
  prepareCsv,
  readManifest,
  requireAudio,
  selectUtterances,
} from '../../../src/data/corpora/index.js';
import { spellingWarnings } from '../../../src/data/corpora/label-map.js';
import { findLeakage } from '../../../src/data/corpora/leakage.js';
import { put, toneWav } from './raw-trees.js';

const folder = mkdtempSync(join(tmpdir(), 'emoq-dialects-'));
afterAll(() => rmSync(folder, { recursive: true }));
const fixtures = fileURLToPath(new URL('../../fixtures/pandas/', import.meta.url));

let count = 0;
function csv(text: string | Uint8Array): string {
  const path = join(folder, `list${++count}.csv`);
  put(path, text);
  return path;
}
const options = (file: string) => ({ file, name: 'mine', out: join(folder, `out${count}`) });

async function refusal(work: Promise<unknown>): Promise<string> {
  const error = await work.catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(InputError);
  expect((error as Error).message).not.toContain('\n');
  return (error as Error).message;
}

beforeAll(() => {
  put(join(folder, 'clips', 'one.wav'), toneWav(200, 63));
  put(join(folder, 'clips', 'zwei, "drei".wav'), toneWav(300, 0.5));
  put(join(folder, 'clips', 'fünf;x.wav'.normalize('NFD')), toneWav(400, 0.25));
});

describe('a corpus that pandas wrote', () => {
  it.each([
    ['plain.csv'],
    ['index.csv'],
    ['index-twice.csv'],
    ['semicolon.csv'],
    ['tab.tsv'],
    ['utf-16.csv'],
    ['utf-8-sig.csv'],
    ['seconds.csv'],
    ['seconds-comma.csv'],
  ])('as %s is read as it was meant', async (name) => {
    const file = csv(readFileSync(join(fixtures, name)));
    const { manifestPath, remarks, warnings } = await prepareCsv(options(file));
    const { utterances } = await readManifest(manifestPath);
    expect(
      utterances.map(({ label, text, speaker, split, durationSec }) => [
        label,
        text,
        speaker,
        split,
        durationSec,
      ]),
    ).toEqual([
      ['happy', 'Yes, it is; indeed.', 'ann', 'train', 1.5],
      ['sad', '', 'ann', 'train', 60.75],
      ['happy', 'Grüße\taus "Köln"', 'bob', 'dev', 0.5],
      ['sad', 'two\nlines', 'cyd', 'test', 0.25],
    ]);
    expect(remarks).toEqual([
      'split names are read as "training" as train, "Validation" as dev, "testing" as test',
    ]);
    expect(warnings).toEqual([]);
  });
});

describe('names of splits', () => {
  const splitsOf = async (...names: string[]): Promise<string[]> => {
    const rows = names.map((name, index) => `clips/one.wav,a,${name},u${index}`);
    const { utterances } = await readManifest(csv(`path,label,split,id\n${rows.join('\n')}\n`));
    return utterances.map(({ split }) => split);
  };

  it('are read whatever their capitals', async () => {
    const dev = ['val', 'VALID', 'Validation', 'eval', 'development', 'dev'];
    expect(await splitsOf('training', 'Train', ...dev, 'Testing', 'TEST')).toEqual([
      ...['train', 'train'],
      ...dev.map(() => 'dev'),
      ...['test', 'test'],
    ]);
  });

  it('take eval for the test set where another one validates', async () => {
    expect(await splitsOf('train', 'dev', 'eval')).toEqual(['train', 'dev', 'test']);
    expect(await splitsOf('train', 'eval', 'test')).toEqual(['train', 'dev', 'test']);
    expect(await splitsOf('train', 'eval')).toEqual(['train', 'dev']);
  });

  it('that are none of them are refused by prepare-csv', async () => {
    const file = csv('path,label,split\nclips/one.wav,a,holdout\n');
    expect(await refusal(prepareCsv(options(file)))).toMatch(
      /line 2: split "holdout" is not one of train, dev or test/,
    );
  });
});

describe('labels that look or mean the same', () => {
  const table = (rows: readonly string[]): string =>
    csv(`path,label,speaker,split,id\n${rows.map((row, at) => `clips/one.wav,${row},u${at}`).join('\n')}\n`);
  const rows = [
    ...['happy,ann,train', 'happy,ann,train', 'Happy,ann,train', 'hap\u200bpy,Ann,test', '0,bob,train'],
    ...['0.0,bob,train', 'sad,cyd,test'],
  ];

  it('are reported, with counts, and speakers too', async () => {
    const { warnings, counts } = await prepareCsv(options(table(rows)));
    expect(warnings).toEqual([
      'labels that look or mean the same are different classes: "happy" (2) and "Happy" (1) and "hap\\u200bpy" (1); "0" (1) and "0.0" (1); --normalize-labels merges them',
      'speakers whose names look or mean the same count as different people, who may be in training and test both: "ann" (3) and "Ann" (1); give each one name',
    ]);
    expect(Object.keys(counts.total)).toHaveLength(6);
    const { utterances } = await readManifest(join(folder, `out${count}`, 'manifest.csv'));
    expect(spellingWarnings(utterances, 'do it')).toHaveLength(2);
  });

  it('are merged where asked, and that is recorded', async () => {
    const { warnings, counts, remarks, manifestPath } = await prepareCsv({
      ...options(table(rows)),
      normalizeLabels: true,
    });
    expect(counts.total).toEqual({ 0: 2, happy: 4, sad: 1 });
    expect(warnings.join()).not.toContain('labels');
    const merged = [
      { from: 'Happy', to: 'happy', utterances: 1 },
      { from: 'hap\u200bpy', to: 'happy', utterances: 1 },
      { from: '0.0', to: '0', utterances: 1 },
    ];
    expect((await readManifest(manifestPath)).info.merged_labels).toEqual(merged);
    expect(remarks).toContain('label "Happy" (1) merged into "happy"');
    const plain = await prepareCsv(options(table(['happy,ann,train', 'sad,bob,test'])));
    expect(readFileSync(plain.manifestPath.replace('.csv', '.json'), 'utf8')).not.toContain('merged');
  });

  it('are mapped by any of their spellings, and to one', async () => {
    const labelMap = { Happy: 'joy', 0: 'Joy' };
    const { counts } = await prepareCsv({ ...options(table(rows)), normalizeLabels: true, labelMap });
    expect(counts.total).toEqual({ joy: 6, sad: 1 });
    expect(await refusal(prepareCsv({ ...options(table(rows.slice(4))), labelMap: { SAD: 'x' } }))).toMatch(
      /no row has the label "SAD" \("sad" differs only in spelling\)/,
    );
  });

  it('are reported if a recipe leaves some out, or has both', async () => {
    const manifest = await readManifest(table(rows));
    expect(selectUtterances(manifest, { labels: ['happy', 'SAD', 'sad'] }).warnings).toEqual([
      'labels are left out that differ only in spelling from labels of the recipe: "Happy" (1) for "happy"; "hap\\u200bpy" (1) for "happy"; add them to label_map',
      'labels of the recipe look or mean the same and are different classes: "SAD" and "sad"; map them to one with label_map',
    ]);
    expect(selectUtterances(manifest, { labels: ['sad'] }).warnings).toEqual([]);
  });
});

describe('a value that is missing', () => {
  it.each([
    [
      'a label',
      'clips/one.wav,NaN',
      /line 2: label "NaN" stands for a missing value; give a label or leave the row out/,
    ],
    ['a label that shows nothing', 'clips/one.wav,\u200b', /line 2: column "label" is empty/],
    ['a path', '<NA>,sad', /line 2: column "path" is empty/],
    ['a nested label', `clips/one.wav,"['sad']"`, /line 2: column "label" holds .* a list or an object/],
    ['a nested path', `"{'path': 'clips/one.wav', 'bytes': None}",sad`, /line 2: column "path" holds /],
  ])('as %s is refused', async (_, row, message) => {
    const file = csv(`path,label\n${row}\n`);
    expect(await refusal(prepareCsv(options(file)))).toMatch(message);
    expect(await refusal(readManifest(file))).toMatch(
      message.source.startsWith('line 2: label') ? /missing value/ : message,
    );
  });

  it('is a label if a map says so, and never a speaker', async () => {
    const file = csv(
      'path,label,speaker,split,id\nclips/one.wav,None,nan,train,a\nclips/one.wav,sad,NULL,test,b\n',
    );
    const { counts, manifestPath } = await prepareCsv({ ...options(file), labelMap: { None: 'neutral' } });
    expect(counts.total).toEqual({ neutral: 1, sad: 1 });
    expect((await readManifest(manifestPath)).utterances.map(({ speaker }) => speaker)).toEqual(['', '']);
  });
});

describe('names of every object as labels', () => {
  it('are labels like any other', async () => {
    const labels = ['constructor', '__proto__', 'toString', 'sad'];
    const file = csv(
      `path,label,speaker,split\n${labels.map((label, at) => `clips/${at === 0 ? 'one' : `c${at}`}.wav,${label},s${at},${at === 3 ? 'test' : 'train'}`).join('\n')}\n`,
    );
    for (const at of [1, 2, 3]) put(join(folder, 'clips', `c${at}.wav`), toneWav(300 + at, 0.2));
    const { manifestPath } = await prepareCsv(options(file));
    const manifest = await readManifest(manifestPath);
    expect(selectUtterances(manifest, { labels }).utterances.map(({ label }) => label)).toEqual(labels);
    const { dropped } = selectUtterances(manifest, { labels: ['sad'] });
    expect(Object.entries(dropped)).toEqual([
      ['constructor', 1],
      ['__proto__', 1],
      ['toString', 1],
    ]);
  });
});

describe('recordings', () => {
  it('are found with either slash and in either composition, folders too, and others are named', async () => {
    const nfd = 'Ge\u0301/e\u0301.wav';
    put(join(folder, nfd), toneWav(250, 0.2));
    put(join(folder, 'B', 'Two.WAV'), toneWav(260, 0.2));
    const found = csv(
      `path,label,split\n${nfd.normalize('NFC').replace('/', '\\')},a,train\nB/Two.WAV,b,test\n`,
    );
    expect(await prepareCsv(options(found))).toMatchObject({ kept: 2 });
    const { utterances } = await readManifest(found);
    expect(utterances.map(({ path }) => path)).toEqual([join(folder, nfd), join(folder, 'B/Two.WAV')]);
    await checkAudioFiles(await readManifest(found));
    const near = csv('path,label\nb/two.wav,a\nhttps://example.org/a.wav,a\nB,a\n');
    expect(await refusal(prepareCsv(options(near)))).toMatch(
      /line 2: .*b\/two\.wav does not exist; there is .*B\/Two\.WAV, which is spelt a little differently; line 3: https:\/\/example\.org\/a\.wav is a URL; download it.*; line 4: .*B is a folder/,
    );
  });

  it('are refused if a manifest gives parts of them: they were not cut', async () => {
    const parts = csv('path,label,id,start,end\nclips/one.wav,a,x,0,1\nclips/one.wav,b,y,1,2\n');
    expect(await refusal(readManifest(parts))).toMatch(
      /line 3: clips\/one\.wav is on line 2 already with another start or end/,
    );
  });
});

describe('a corpus of transcripts only', () => {
  const rows = ['Hello there.,joy,ann', '"Go, away!",anger,bob', 'No.,anger,cyd', 'Yes.,joy,dan'];
  const textTable = (): string => csv(`text,label,speaker\n${rows.join('\n')}\n`);

  it('is prepared, read, checked, divided and described without audio', async () => {
    const summary = await prepareCsv(options(textTable()));
    expect(summary).toMatchObject({ kept: 4, converted: 0, durationSec: 0 });
    expect(summary.warnings).toEqual([
      'the table has no column "path", so the corpus has only transcripts, for experiments with inputs: text',
    ]);
    const manifest = await readManifest(summary.manifestPath);
    expect(
      manifest.utterances.map(({ id, path, text, durationSec }) => [id, path, text, durationSec]),
    ).toEqual([
      ['1', '', 'Hello there.', 0],
      ['2', '', 'Go, away!', 0],
      ['3', '', 'No.', 0],
      ['4', '', 'Yes.', 0],
    ]);
    expect(readFileSync(summary.manifestPath, 'utf8')).toContain('1,,Hello there.,joy,ann,,,');
    expect(manifest.info.notes.rules).toEqual(['there is no audio']);
    await checkAudioFiles(manifest);
    expect(groupStatistics(manifest.utterances)).toMatchObject({ durationSec: 0, lengthSec: undefined });
    const leakage = await findLeakage(manifest.utterances);
    expect(leakage.audio).toEqual({ compared: 0, missing: 0 });
    expect(leakage.pairs.every(({ audio }) => audio.count === 0)).toBe(true);
    const { train, dev, test } = partitionUtterances(manifest.utterances);
    expect([train.length, dev.length, test.length]).toEqual([2, 1, 1]);
    expect(() => requireAudio(manifest, manifest.utterances, 'add it')).toThrow(
      /manifest\.csv, line 2: utterance 1 has no audio: the corpus has only transcripts; add it$/,
    );
    expect(await prepareCsv(options(join(folder, `list${count}.csv`)))).toMatchObject({ alreadyDone: true });
  });

  it('may have ids and an empty column of paths, and be a hand-written manifest', async () => {
    const file = csv(`id,path,text,label\nx,,Hello,joy\ny,NaN,Bye,sad\n`);
    const { utterances } = await readManifest(file);
    expect(utterances.map(({ id, path }) => [id, path])).toEqual([
      ['x', ''],
      ['y', ''],
    ]);
    const summary = await prepareCsv({ ...options(file), devShare: 0 });
    expect(summary.warnings[0]).toContain('the table has no paths');
    const plain = await readManifest(csv('text,label\nHello,joy\nBye,sad\n'));
    expect(plain.utterances.map(({ id }) => id)).toEqual(['1', '2']);
  });

  it.each([
    ['an empty transcript', 'text,label\nHello,joy\n,sad\n', /line 3: column "text" is empty/],
    [
      'times',
      'text,label,start\nHello,joy,1.5\n',
      /line 2: start is given, and there is no recording to cut; add a column "path"/,
    ],
    [
      'no transcripts at all',
      'label,speaker\njoy,ann\n',
      /line 1: missing column "path"; it has label, speaker/,
    ],
    [
      'paths under another name',
      'text,label,audio\nHello,joy,a\n',
      /missing column "path"; it has text, label, audio; rename "audio" to "path"/,
    ],
    [
      'paths under some name',
      'text,label,aufnahme\nHello,joy,a.wav\nBye,sad,b.wav\n',
      /line 1: missing column "path"; it has text, label, aufnahme/,
    ],
    [
      'some paths and not others',
      'path,text,label\nclips/one.wav,Hello,joy\n,Bye,sad\n',
      /line 3: column "path" is empty/,
    ],
  ])('is refused with %s', async (_, text, message) => {
    expect(await refusal(prepareCsv(options(csv(text))))).toMatch(message);
  });
});

describe('manifest.json', () => {
  it.each([
    [
      'a key twice',
      (json: string) => json.replace('"name": "mine"', '"name": "mine", "name": "x"'),
      /key "name" appears twice/,
    ],
    [
      'a label twice',
      (json: string) => json.replace('"joy": 2', '"joy": 2, "j\\u006fy": 3'),
      /key "joy" appears twice/,
    ],
    [
      'a list for a number',
      (json: string) => json.replace('"utterances": 4', '"utterances": [4]'),
      /key utterances: /,
    ],
    [
      'a word for counts',
      (json: string) => json.replace(/"total": \{[^}]*\}/, '"total": "many"'),
      /key counts\.total: /,
    ],
    ['a broken end', (json: string) => json.slice(0, -20), /is not valid JSON/],
  ])('with %s is refused in one line', async (_, damage, message) => {
    const { manifestPath } = await prepareCsv(
      options(csv('text,label,speaker\na,joy,a\nb,joy,b\nc,sad,c\nd,sad,d\n')),
    );
    const path = manifestPath.replace('.csv', '.json');
    const before = readFileSync(path, 'utf8');
    const after = damage(before);
    expect(after).not.toBe(before);
    put(path, after);
    expect(await refusal(readManifest(manifestPath))).toMatch(message);
    renameSync(path, `${path}.old`);
  });
});
