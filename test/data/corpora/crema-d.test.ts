/** @file CREMA-D in miniature, of tones: the plan of names and genders, what is refused, the whole command. */

import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { InputError, InterruptedError } from '../../../src/base/index.js';
import { corpusMetadataPath, readCorpusMetadata } from '../../../src/data/corpora/corpus-metadata.js';
import {
  partitionUtterances,
  prepareDescribed,
  readManifest,
  selectUtterances,
} from '../../../src/data/corpora/index.js';
import { loadRecipe } from '../../../src/recipe/index.js';
import { emoqHere } from '../../cli/in-process.js';
import { put, toneWav } from './raw-trees.js';

const folder = mkdtempSync(join(tmpdir(), 'emoq-crema-d-'));
const root = join(folder, 'CREMA-D');
const metadataPath = join(folder, 'crema-d.yaml');
afterAll(() => rmSync(folder, { recursive: true }));

const ACTORS = ['1001', '1002', '1003', '1076', '1091'];
const NAMES = 'IEO_ANG_LO IEO_HAP_HI IEO_NEU_XX DFA_DIS_XX WSI_FEA_XX MTI_SAD_XX IEO_SAD_MD'.split(' ');
/** The known bad clip is among them. */
const CLIPS = ACTORS.length * NAMES.length;
const BAD = join('AudioWAV', '1076_MTI_SAD_XX.wav');
const DEMOGRAPHICS = 'VideoDemographics.csv';
const POINTER = `version https://git-lfs.github.com/spec/v1\noid sha256:${'0'.repeat(64)}\nsize 82260\n`;

/** Writes a small release; what it has besides the clips, and what a Mac adds, is there too. */
function writeRelease(path: string): string {
  for (const [index, actor] of ACTORS.entries()) {
    for (const name of NAMES) {
      put(join(path, 'AudioWAV', `${actor}_${name}.wav`), toneWav(200 + 30 * index, 0.3));
    }
  }
  put(join(path, BAD), toneWav(0, 0.3));
  put(join(path, 'AudioWAV', '.DS_Store'), 'Bud1');
  put(join(path, 'AudioMP3', '1001_IEO_ANG_LO.mp3'), POINTER);
  const rows = ACTORS.map((actor, index) => `${actor},51,"${['Male', 'Female'][index % 2]}","Unknown",""`);
  put(join(path, DEMOGRAPHICS), ['"ActorID","Age","Sex","Race","Ethnicity"', ...rows, ''].join('\n'));
  return path;
}

const changed = (change: (path: string) => void): string => {
  const path = writeRelease(mkdtempSync(join(folder, 'odd-')));
  change(path);
  return path;
};

beforeAll(() => {
  writeRelease(root);
  const facts = parse(readFileSync(corpusMetadataPath('crema-d'), 'utf8'));
  const n = ACTORS.length;
  facts.counts.total = { neutral: n, angry: n, sad: 2 * n, happy: n, fearful: n, disgusted: n };
  put(metadataPath, stringify(facts));
});

const options = (out: string, path = root) => ({ root: path, out: join(folder, out), metadataPath });

async function refusal(work: Promise<unknown>): Promise<string> {
  const error = await work.catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(InputError);
  expect((error as Error).message).not.toContain('\n');
  return (error as Error).message;
}

describe('prepare-crema-d', () => {
  it('reads actor, sentence and emotion from the names, and the gender from the demographics', async () => {
    const summary = await prepareDescribed(options('a'));
    const { utterances } = await readManifest(summary.manifestPath);
    expect(
      utterances
        .slice(0, 7)
        .map(({ id, text, label, speaker, gender }) => [id, text, label, speaker, gender]),
    ).toEqual([
      ['1001_DFA_DIS_XX', "Don't forget a jacket", 'disgusted', '1001', 'M'],
      ['1001_IEO_ANG_LO', "It's eleven o'clock", 'angry', '1001', 'M'],
      ['1001_IEO_HAP_HI', "It's eleven o'clock", 'happy', '1001', 'M'],
      ['1001_IEO_NEU_XX', "It's eleven o'clock", 'neutral', '1001', 'M'],
      ['1001_IEO_SAD_MD', "It's eleven o'clock", 'sad', '1001', 'M'],
      ['1001_MTI_SAD_XX', 'Maybe tomorrow it will be cold', 'sad', '1001', 'M'],
      ['1001_WSI_FEA_XX', "We'll stop in a couple of minutes", 'fearful', '1001', 'M'],
    ]);
    expect(utterances.find(({ speaker }) => speaker === '1002')!.gender).toBe('F');
    expect(utterances.every(({ session, split }) => session === '' && split === '')).toBe(true);
    expect(utterances[0]).toMatchObject({
      path: join(folder, 'a', 'audio', '1001', '1001_DFA_DIS_XX.wav'),
      durationSec: 0.3,
    });
    expect(summary).toMatchObject({ kept: CLIPS - 1, silent: [], differences: [] });
    expect(summary.skipped).toEqual([{ id: '1076_MTI_SAD_XX', reason: 'no sound, as known' }]);
    expect(await prepareDescribed(options('a'))).toMatchObject({
      converted: 0,
      alreadyDone: true,
    });
  });

  it('is divided by its recipe, whatever the seed of the run: every actor in one part', async () => {
    const { labels, split_seed: seed, folds } = await loadRecipe({ dataset: 'crema-d' });
    expect([folds, seed]).toEqual(['none', 1]);
    expect(labels).toEqual((await readCorpusMetadata(corpusMetadataPath('crema-d'))).labels);
    const manifest = await readManifest(join(folder, 'a', 'manifest.csv'));
    const { utterances, dropped } = selectUtterances(manifest, { labels });
    expect(dropped).toEqual({});
    const { train, dev, test } = partitionUtterances(utterances, { seed: seed! });
    const speakers = [train, dev, test].map((part) => new Set(part.map(({ speaker }) => speaker)).size);
    expect(speakers).toEqual([3, 1, 1]);
    expect(train.length + dev.length + test.length).toBe(CLIPS - 1);
  });

  it('takes a release without the bad clip for a whole one', async () => {
    const path = changed((copy) => rmSync(join(copy, BAD)));
    expect(await prepareDescribed(options('without', path))).toMatchObject({
      kept: CLIPS - 1,
      differences: [],
    });
  });

  it('goes on where it was interrupted, and ends with the same manifest', async () => {
    const stop = new AbortController();
    const interrupted = prepareDescribed({
      ...options('b'),
      jobs: 1,
      signal: stop.signal,
      onProgress: (done) => done > 0 && stop.abort(new InterruptedError('stopped')),
    });
    await expect(interrupted).rejects.toThrow(InterruptedError);
    const { converted } = await prepareDescribed(options('b'));
    expect(converted).toBeGreaterThan(0);
    expect(converted).toBeLessThan(CLIPS - 1);
    const [once, twice] = ['a', 'b'].map((out) => readFileSync(join(folder, out, 'manifest.csv'), 'utf8'));
    expect(twice).toBe(once);
  });
});

describe('a release that differs is refused in one line, or prepared with the difference recorded', () => {
  const demographics = (copy: string, change: (text: string) => string): void =>
    put(join(copy, DEMOGRAPHICS), change(readFileSync(join(copy, DEMOGRAPHICS), 'utf8')));
  const add = (copy: string, name: string): void => put(join(copy, 'AudioWAV', name), toneWav(300, 0.3));
  const cases: [string, (copy: string) => void, string, number][] = [
    [
      'a clip that is missing',
      (copy) => rmSync(join(copy, 'AudioWAV', '1002_IEO_HAP_HI.wav')),
      'happy 4 instead of 5',
      CLIPS - 2,
    ],
    ['a clip too many', (copy) => add(copy, '1002_TSI_HAP_XX.wav'), 'happy 6 instead of 5', CLIPS],
    [
      'a file that is not a clip',
      (copy) => add(copy, 'notes.txt'),
      'AudioWAV/notes.txt is not named like a clip (1001_DFA_ANG_XX.wav); remove it from the folder',
      CLIPS - 1,
    ],
    [
      'a level that there is not, as one name of early releases had it',
      (copy) => add(copy, '1040_ITH_SAD_X.wav'),
      'AudioWAV/1040_ITH_SAD_X.wav: level X is not one of LO, MD, HI, XX; restore its name in the release',
      CLIPS - 1,
    ],
    [
      'an emotion that there is not',
      (copy) => add(copy, '1001_TSI_JOY_XX.wav'),
      'AudioWAV/1001_TSI_JOY_XX.wav: emotion JOY is not one of ANG, DIS, FEA, HAP, NEU, SAD; restore its name',
      CLIPS - 1,
    ],
    [
      'a sentence that there is not',
      (copy) => add(copy, '1001_ABC_SAD_XX.wav'),
      'AudioWAV/1001_ABC_SAD_XX.wav: sentence ABC is not one of IEO, TIE, IOM, IWW, TAI, MTI, IWL, ITH, DFA, ITS, TSI, WSI',
      CLIPS - 1,
    ],
    [
      'an actor that there is not',
      (copy) => add(copy, '1092_TSI_SAD_XX.wav'),
      'AudioWAV/1092_TSI_SAD_XX.wav: actor 1092 is not one of 1001 to 1091; restore its name',
      CLIPS - 1,
    ],
    [
      'no demographics',
      (copy) => rmSync(join(copy, DEMOGRAPHICS)),
      'VideoDemographics.csv is missing, so the gender is unknown; get it from the release',
      CLIPS - 1,
    ],
    [
      'demographics without some actors',
      (copy) => demographics(copy, (text) => text.replace(/^(?:1002|1091),.*\n/gm, '')),
      'VideoDemographics.csv has no line for ActorID 1002, 1091, so the gender is unknown; get it from the release',
      CLIPS - 1,
    ],
    [
      'clips that Git LFS has not fetched',
      (copy) => put(join(copy, 'AudioWAV', '1003_DFA_DIS_XX.wav'), POINTER),
      `1 of ${CLIPS} files in AudioWAV are Git LFS pointers, not audio (one is 1003_DFA_DIS_XX.wav): run git lfs pull in the clone`,
      CLIPS - 2,
    ],
    [
      'a clip that is broken',
      (copy) => put(join(copy, 'AudioWAV', '1003_DFA_DIS_XX.wav'), 'RIFF'),
      '1003_DFA_DIS_XX: ',
      CLIPS - 2,
    ],
  ];
  it.each(cases)('%s', async (_, change, difference, kept) => {
    const settings = options(mkdtempSync(join(folder, 'out-')), changed(change));
    const message = await refusal(prepareDescribed(settings));
    expect(message).toContain(` is not as expected: ${difference}`);
    expect(message).toContain('--allow-incomplete');
    const summary = await prepareDescribed({ ...settings, allowIncomplete: true });
    expect(summary.kept).toBe(kept);
    const { notes } = (await readManifest(summary.manifestPath)).info;
    expect(notes.differences).toEqual(summary.differences);
    expect(notes.differences).toHaveLength(1);
    expect(notes.differences[0]).toContain(difference);
  });

  it('and the genders that are not known are empty', async () => {
    const path = changed((copy) => rmSync(join(copy, DEMOGRAPHICS)));
    const { manifestPath } = await prepareDescribed({
      ...options('e', path),
      allowIncomplete: true,
    });
    const { utterances } = await readManifest(manifestPath);
    expect(new Set(utterances.map(({ gender }) => gender))).toEqual(new Set(['']));
  });
});

describe('what cannot be understood is refused whatever is allowed', () => {
  const cases: [string, (copy: string) => void, RegExp][] = [
    [
      'a folder without clips',
      (copy) => rmSync(join(copy, 'AudioWAV'), { recursive: true }),
      /odd-\w+ has no folder AudioWAV: --root must be the folder CREMA-D/,
    ],
    [
      'a folder of other clips',
      (copy) => {
        rmSync(join(copy, 'AudioWAV'), { recursive: true });
        put(join(copy, 'AudioWAV', '03-01-01-01-01-01-01.wav'), toneWav(300, 0.3));
      },
      /AudioWAV has no clip with a name like 1001_DFA_ANG_XX\.wav/,
    ],
    [
      'a clone without anything from Git LFS',
      (copy) => {
        for (const actor of ACTORS) {
          for (const name of NAMES) put(join(copy, 'AudioWAV', `${actor}_${name}.wav`), POINTER);
        }
      },
      /not one clip can be used/,
    ],
    [
      'another sex than two',
      (copy) => put(join(copy, DEMOGRAPHICS), 'ActorID,Age,Sex\n1001,51,Male\n1002,21,female?\n'),
      /VideoDemographics\.csv, line 3: column Sex: "female\?" is not Female or Male/,
    ],
    [
      'an actor twice',
      (copy) => put(join(copy, DEMOGRAPHICS), 'ActorID,Sex\n1001,Male\n1001,Female\n'),
      /VideoDemographics\.csv, line 3: ActorID 1001 already has a line/,
    ],
    [
      'a column that is missing',
      (copy) => put(join(copy, DEMOGRAPHICS), 'ActorID,Gender\n1001,Male\n'),
      /VideoDemographics\.csv, line 1: missing column "Sex"/,
    ],
  ];
  it.each(cases)('%s', async (_, change, message) => {
    const settings = options(mkdtempSync(join(folder, 'out-')), changed(change));
    expect(await refusal(prepareDescribed({ ...settings, allowIncomplete: true }))).toMatch(message);
  });
});

describe('the facts of CREMA-D', () => {
  it('agree with each other: 7,442 clips, a label for each code', async () => {
    const { counts, labels, utterance } = await readCorpusMetadata(corpusMetadataPath('crema-d'));
    expect(Object.values(counts.total!).reduce((a, b) => a + b, 0)).toBe(7442);
    expect(Object.keys(counts.total!).sort()).toEqual([...labels].sort());
    expect(Object.values(utterance!.label.codes!).sort()).toEqual([...labels].sort());
  });
});

describe('emoq prepare-crema-d', () => {
  it('refuses a part of the release, or writes data/crema-d, which the recipe names', async () => {
    const cwd = join(folder, 'work');
    mkdirSync(cwd);
    const prepare = ['prepare-crema-d', '--root', '../CREMA-D'];
    const refused = await emoqHere(prepare, cwd);
    expect(refused).toMatchObject({ code: 2, stdout: '' });
    expect(refused.stderr).toContain(
      'is not as expected: neutral 5 instead of 1087; angry 5 instead of 1271;',
    );
    const { code, stdout, stderr } = await emoqHere([...prepare, '--allow-incomplete'], cwd);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^\d+ utterances, .*: .*data\/crema-d\/manifest\.csv$/m);
    expect(stderr).toContain('left out: 1076_MTI_SAD_XX: no sound, as known\n');
    const stats = await emoqHere(['stats', '--dataset', 'crema-d'], cwd);
    expect(stats).toMatchObject({ code: 0 });
    expect(stats.stdout).toContain('disgusted');
  });
});
