import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { InputError } from '../../../src/base/index.js';
import { corpusMetadataPath, readCorpusMetadata } from '../../../src/data/corpora/corpus-metadata.js';
import {
  type Manifest,
  type PreparationSummary,
  partitionUtterances,
  prepareIemocap,
  readManifest,
  selectUtterances,
} from '../../../src/data/corpora/index.js';
import { corpusViewOf, loadRecipe } from '../../../src/recipe/index.js';
import { LETTERED_DIALOGS, writeIemocapRelease } from './iemocap-release.js';

const folder = mkdtempSync(join(tmpdir(), 'emoq-iemocap-scale-'));
const root = join(folder, 'IEMOCAP_full_release');
const out = join(folder, 'iemocap');
afterAll(() => rmSync(folder, { recursive: true }));

/** Utterances of a view by session; for four classes, the table printed in papers. */
const VIEWS: readonly [recipe: string, labels: number, bySession: readonly number[], total: number][] = [
  ['iemocap4', 4, [1085, 1023, 1151, 1031, 1241], 5531],
  ['iemocap4-improvised', 4, [521, 530, 627, 534, 731], 2943],
  ['iemocap5', 5, [1365, 1348, 1533, 1512, 1622], 7380],
  ['iemocap5-excited', 5, [1085, 1023, 1151, 1031, 1241], 5531],
  ['iemocap6', 6, [1365, 1348, 1533, 1512, 1622], 7380],
];
const FOUR_CLASSES: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  1: { neutral: 384, angry: 229, sad: 194, happy: 278 },
  2: { neutral: 362, angry: 137, sad: 197, happy: 327 },
  3: { neutral: 320, angry: 240, sad: 305, happy: 286 },
  4: { neutral: 258, angry: 327, sad: 143, happy: 303 },
  5: { neutral: 384, angry: 170, sad: 245, happy: 442 },
};

describe('a release of true size and shape, faults and all', () => {
  let tags: number;
  let summary: PreparationSummary;
  let manifest: Manifest;
  beforeAll(async () => {
    tags = writeIemocapRelease(root).tags;
    summary = await prepareIemocap({ root, out });
    manifest = await readManifest(summary.manifestPath);
  });

  const view = async (dataset: string, ...overrides: string[]) =>
    selectUtterances(manifest, corpusViewOf(await loadRecipe({ dataset, overrides })));

  it('has the counts that emoq knows, by label and by session: 10,039 utterances of ten speakers', () => {
    expect(summary).toMatchObject({ kept: 10_039, converted: 10_039, skipped: [], differences: [] });
    expect(manifest.info.counts.total).toEqual({
      undecided: 2507,
      frustrated: 1849,
      neutral: 1708,
      angry: 1103,
      sad: 1084,
      excited: 1041,
      happy: 595,
      surprised: 107,
      fearful: 40,
      other: 3,
      disgusted: 2,
    });
    const sessions = Object.values(manifest.info.counts.session!).map((counts) =>
      Object.values(counts).reduce((sum, count) => sum + count, 0),
    );
    expect(sessions).toEqual([1819, 1811, 2136, 2103, 2170]);
    expect(new Set(manifest.utterances.map(({ speaker }) => speaker)).size).toBe(10);
  });

  it('takes the speaker from the last part of the id, where the place of the letter varies', () => {
    const dialogOf = (id: string): string => id.replace(/_[FM]\d+$/, '');
    const lettered = manifest.utterances.filter(({ id }) => /\d[ab]$/.test(dialogOf(id)));
    expect(new Set(lettered.map(({ id }) => dialogOf(id))).size).toBe(LETTERED_DIALOGS);
    for (const { id, speaker, gender } of manifest.utterances) {
      expect([speaker, gender]).toEqual([`${id.slice(0, 5)}${gender}`, id.split('_').at(-1)![0]]);
    }
    // The dialog's marker wearer is the other person about half the time.
    expect(manifest.utterances.filter(({ id, gender }) => id[5] !== gender).length).toBeGreaterThan(4000);
  });

  it.each(VIEWS)('gives %s its %i classes and five folds', async (dataset, classes, bySession, total) => {
    const { utterances } = await view(dataset);
    expect(utterances.length).toBe(total);
    expect(new Set(utterances.map(({ label }) => label)).size).toBe(classes);
    for (const [index, count] of bySession.entries()) {
      const { train, dev, test } = partitionUtterances(utterances, {
        fold: index + 1,
        validation: 'speaker',
      });
      expect(test.length).toBe(count);
      expect(train.length + dev.length).toBe(total - count);
      expect(new Set(dev.map(({ speaker }) => speaker)).size).toBe(1);
      const heard = new Set([...train, ...dev].map(({ speaker }) => speaker));
      expect(test.filter(({ speaker }) => heard.has(speaker))).toEqual([]);
    }
  });

  it('validates on another speaker in every fold, and trains on every speaker in some fold', async () => {
    const { utterances } = await view('iemocap4');
    const names = new Set(utterances.map(({ speaker }) => speaker));
    for (const seed of [1, 2, 3]) {
      const parts = [1, 2, 3, 4, 5].map((fold) =>
        partitionUtterances(utterances, { fold, validation: 'speaker', seed }),
      );
      expect(new Set(parts.map(({ dev }) => dev[0]!.speaker)).size).toBe(5);
      const trained = parts.flatMap(({ train }) => train.map(({ speaker }) => speaker));
      expect(new Set(trained)).toEqual(names);
    }
    const whole = await loadRecipe({ dataset: 'iemocap4-lastepoch' });
    expect(whole).toMatchObject({
      validation: 'none',
      stage1: { select: 'last' },
      stage2: { select: 'last' },
    });
    const iemocap4 = await loadRecipe({ dataset: 'iemocap4' });
    expect({ ...whole, name: '', validation: '', stage1: '', stage2: '' }).toEqual({
      ...iemocap4,
      ...{ name: '', validation: '', stage1: '', stage2: '' },
    });
    for (const fold of [1, 5]) {
      const { train, dev } = partitionUtterances(utterances, { fold, validation: 'none' });
      expect([new Set(train.map(({ speaker }) => speaker)).size, dev.length]).toEqual([8, 0]);
    }
  });

  it('has the four-class table of the literature in every fold, and its metadata agrees for every view', async () => {
    const { utterances } = await view('iemocap4');
    for (const [session, counts] of Object.entries(FOUR_CLASSES)) {
      const { test } = partitionUtterances(utterances, { fold: Number(session) });
      const found = Object.keys(counts).map((label) => test.filter((u) => u.label === label).length);
      expect(found).toEqual(Object.values(counts));
    }
    const { views } = await readCorpusMetadata(corpusMetadataPath('iemocap'));
    expect(Object.keys(views)).toEqual(VIEWS.map(([name]) => name));
    for (const [name, , bySession] of VIEWS) {
      const { labels, label_map, id_pattern } = await loadRecipe({ dataset: name });
      const listed = views[name]!;
      expect(Object.values(listed.counts)).toEqual(bySession);
      expect([listed.labels, listed.label_map ?? {}, listed.id_pattern ?? null]).toEqual([
        labels,
        label_map,
        id_pattern,
      ]);
    }
  });

  it('keeps the tags of transcripts, and leaves them out where a recipe says so', async () => {
    const tagged = (texts: { text: string }[]): number =>
      texts.filter(({ text }) => /\[\w+\]/.test(text)).length;
    const all =
      'labels=[neutral,angry,sad,happy,excited,frustrated,surprised,fearful,disgusted,other,undecided]';
    expect(tags).toBe(271);
    expect(tagged(manifest.utterances)).toBe(tags);
    expect(tagged((await view('iemocap6', all)).utterances)).toBe(tags);
    const clean = (await view('iemocap6', all, 'strip_tags=true')).utterances;
    expect([clean.length, tagged(clean)]).toEqual([10_039, 0]);
    expect(clean.every(({ text }) => text.endsWith('.') && !text.includes('  '))).toBe(true);
    expect(tagged(manifest.utterances)).toBe(tags);
  });

  it('with a label lost, a code changed and a dialog gone, is refused with every difference, or recorded', async () => {
    const evaluation = join(root, 'Session4', 'dialog', 'EmoEvaluation');
    const path = join(evaluation, 'Ses04F_impro01.txt');
    const text = readFileSync(path, 'utf8');
    const code = /\t(neu|ang|sad|fru|exc)\t/.exec(text)![1]!;
    writeFileSync(path, text.replace(`\t${code}\t`, '\tdis\t'));
    rmSync(join(evaluation, 'Ses04M_script01_1.txt'));
    const error = await prepareIemocap({ root, out }).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(InputError);
    expect((error as Error).message).toMatch(
      /disgusted 3 instead of 2; .*session 4: neutral \d+ instead of 258/,
    );
    const { differences, kept } = await prepareIemocap({ root, out, allowIncomplete: true });
    expect(kept).toBeLessThan(10_039 - 30);
    expect(differences).toContain('session 4: disgusted 1 instead of 0');
    expect((await readManifest(join(out, 'manifest.csv'))).info.notes.differences).toEqual(differences);
  });
});
