import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { InterruptedError } from '../../../src/base/index.js';
import { decodeAudio } from '../../../src/data/audio/index.js';
import {
  corpusMetadataPath,
  countDifferences,
  readCorpusMetadata,
} from '../../../src/data/corpora/corpus-metadata.js';
import {
  prepareMeld,
  readManifest,
  selectUtterances,
  type Utterance,
} from '../../../src/data/corpora/index.js';
import { readMeldAnnotations } from '../../../src/data/corpora/meld.js';
import { amplitudeAt, ffprobeSec } from '../audio/ffmpeg-clips.js';
import { refusal, snapshot, utt, writeMeldTree, writeMetadata } from './meld-tree.js';
import { MELD_HEADER, MONO, meldClip, meldCsv, put } from './raw-trees.js';

const folder = mkdtempSync(join(tmpdir(), 'emoq-meld-'));
const root = join(folder, 'MELD.Raw');
const metadataPath = join(folder, 'meld.yaml');
afterAll(() => rmSync(folder, { recursive: true }));

const options = (out: string) => ({ root, out: join(folder, out), metadataPath });

beforeAll(() => {
  writeMetadata(metadataPath);
  writeMeldTree(root);
});

describe('prepare-meld', () => {
  it('prepares a raw tree: ids, labels, speakers, repaired text, 16 kHz mono clips', async () => {
    const seen: number[] = [];
    const summary = await prepareMeld({
      ...options('a'),
      onProgress: (done, total) => seen.push(done / total),
    });
    const manifest = await readManifest(summary.manifestPath);
    expect(manifest.utterances.map(({ id }) => id)).toEqual([
      'train_dia0_utt0',
      'train_dia0_utt1',
      'train_dia1_utt0',
      'train_dia1_utt1',
      'train_dia2_utt0',
      'dev_dia0_utt0',
      'test_dia0_utt0',
      'test_dia220_utt0',
    ]);
    const [first, , third] = manifest.utterances as [Utterance, Utterance, Utterance];
    expect(first).toMatchObject({
      path: join(folder, 'a', 'audio', 'train', 'train_dia0_utt0.wav'),
      text: 'It’s “fine”… said he',
      label: 'neutral',
      speaker: 'Chandler',
      gender: '',
      session: '',
      split: 'train',
    });
    expect(third).toMatchObject({ speaker: 'Monica', label: 'anger' });
    expect(manifest.utterances[5]).toMatchObject({ text: 'Café', split: 'dev' });
    for (const { path, durationSec } of manifest.utterances) {
      expect(ffprobeSec(path)).toBeCloseTo(durationSec, 5);
    }
    expect(amplitudeAt((await decodeAudio(first.path)).samples, 500)).toBeGreaterThan(0.35); // the centre of 5.1
    expect(summary).toMatchObject({ kept: 8, converted: 9, alreadyDone: false, differences: [] });
    expect(summary.counts.split).toEqual({
      dev: { disgust: 1 },
      test: { disgust: 1, joy: 1 },
      train: { anger: 1, fear: 1, joy: 1, neutral: 1, sadness: 1 },
    });
    expect(seen.at(-1)).toBe(1);
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
  });

  it('cuts what runs far past its annotation, pads stubs, leaves the known bad out, and says so', async () => {
    const { info, utterances } = await readManifest(join(folder, 'a', 'manifest.csv'));
    const lengths = Object.fromEntries(utterances.map(({ id, durationSec }) => [id, durationSec]));
    expect(lengths.train_dia1_utt0).toBe(0.5);
    expect(lengths.train_dia2_utt0).toBe(0.1);
    expect(lengths.test_dia220_utt0).toBe(4);
    expect(lengths.train_dia0_utt1).toBeGreaterThan(0.69); // an annotation without length cuts nothing
    expect(lengths.train_dia1_utt1).toBeGreaterThan(0.69);
    expect(info.notes.cut.map(({ id }) => id)).toEqual(['train_dia1_utt0', 'test_dia220_utt0']);
    expect(info.notes.cut[0]!.reason).toMatch(/^3(\.0\d+)? s, kept the first 0\.5 s$/);
    expect(info.notes.cut[1]!.reason).toMatch(/^10(\.\d+)? s, kept the last 4 s$/);
    const kept = (await decodeAudio(utterances.at(-1)!.path)).samples;
    expect(amplitudeAt(kept, 900)).toBeGreaterThan(0.35);
    expect(info.notes.padded).toEqual([
      { id: 'train_dia2_utt0', reason: expect.stringMatching(/^0\.0\d+ s, silence added up to 0\.1 s$/) },
    ]);
    expect(info.notes.skipped).toEqual([
      {
        id: 'train_dia125_utt3',
        reason: expect.stringMatching(/^corrupt clip, as known: dia125_utt3\.mp4 /),
      },
      { id: 'dev_dia110_utt7', reason: 'no clip in the release, as known' },
    ]);
    expect(info.notes.rules).toEqual([
      'clips are 16 kHz mono 16-bit WAV: the centre channel of surround sound, the mean of other channels',
      'of channels that cancel each other the loudest is taken; float samples beyond full scale are divided by the integer range that they lie in, or by their peak',
      'a clip under 0.1 s is kept, with silence after it up to 0.1 s',
      'a clip over 1.5 times its annotation and 1 s more is cut to it, and none is longer than 30 s',
      'the final_videos_* clips of the test split are ignored',
    ]);
  });

  it('keeps beside the manifest which episode a dialogue is of, and reads one of an earlier version without', async () => {
    const path = join(folder, 'a', 'manifest.json');
    const { info, sha256 } = await readManifest(join(folder, 'a', 'manifest.csv'));
    expect(info.episodes).toMatchObject({ train_dia0: 's08e21', dev_dia0: 's08e21', test_dia220: 's08e21' });
    const text = readFileSync(path, 'utf8');
    const { episodes: _, ...earlier } = JSON.parse(text);
    writeFileSync(path, JSON.stringify(earlier));
    expect((await readManifest(join(folder, 'a', 'manifest.csv'))).info.episodes).toBeUndefined();
    // Preparing again adds them, and leaves the manifest, which runs are checked against, unchanged.
    expect(await prepareMeld(options('a'))).toMatchObject({ converted: 0, alreadyDone: false });
    expect(readFileSync(path, 'utf8')).toBe(text);
    expect((await readManifest(join(folder, 'a', 'manifest.csv'))).sha256).toBe(sha256);
  });

  it('run again does nothing; a lost clip alone is made again, to the same bytes', async () => {
    const before = snapshot(join(folder, 'a'));
    expect(await prepareMeld(options('a'))).toMatchObject({ kept: 8, converted: 0, alreadyDone: true });
    rmSync(join(folder, 'a', 'audio', 'train', 'train_dia0_utt0.wav'));
    writeFileSync(join(folder, 'a', 'audio', 'dev', 'dev_dia0_utt0.wav'), 'not whole');
    expect(await prepareMeld(options('a'))).toMatchObject({ kept: 8, converted: 2, alreadyDone: false });
    expect(snapshot(join(folder, 'a'))).toEqual(before);
  });

  it('stopped in the middle goes on and ends with the same bytes', async () => {
    const stop = new AbortController();
    const work = prepareMeld({
      ...options('b'),
      jobs: 2,
      signal: stop.signal,
      onProgress: (done) => done === 3 && stop.abort(),
    });
    await expect(work).rejects.toThrow(InterruptedError);
    await expect(work).rejects.toThrow(
      /stopped with [345] of 9 clips ready in .*; run the same command again/,
    );
    expect(readdirSync(join(folder, 'b'))).not.toContain('manifest.csv');
    // Other leftovers of a kill: half a journal line, and a temporary file.
    writeFileSync(join(folder, 'b', 'preparation.jsonl'), '{"id":"train_di', { flag: 'a' });
    writeFileSync(join(folder, 'b', 'audio', 'train', 'x.wav.123-0a1b2c3d.tmp'), 'half');
    const { converted } = await prepareMeld(options('b'));
    expect(converted).toBeLessThanOrEqual(6);
    expect(snapshot(join(folder, 'b'))).toEqual(snapshot(join(folder, 'a')));
  });

  it('makes a clip again when its source changed', async () => {
    const copy = join(folder, 'changed');
    cpSync(root, copy, { recursive: true, preserveTimestamps: true });
    const prepare = () => prepareMeld({ ...options('c'), root: copy });
    await prepare();
    meldClip(copy, 'train_splits', 'dia125_utt3', MONO); // repaired by the user
    expect(await prepare()).toMatchObject({ converted: 1, kept: 9 });
  });
});

describe('prepare-meld refuses a tree that is not as expected', () => {
  const broken = (change: (root: string) => void): string => {
    const copy = mkdtempSync(join(folder, 'broken-'));
    cpSync(root, copy, { recursive: true });
    change(copy);
    return copy;
  };

  it('listing the counts that differ, before any clip is made', async () => {
    const message = await refusal(prepareMeld({ root, out: join(folder, 'd') }));
    expect(message).toMatch(
      /is not as expected: split train: neutral 1 instead of 4710; split train: joy 1 instead of 1743; /,
    );
    expect(message).toMatch(/; and \d+ more\. Complete it, or pass --allow-incomplete/);
    expect(readdirSync(folder)).not.toContain('d');
  });

  it('a missing clip, or goes on and writes it into the manifest', async () => {
    const copy = broken((path) => rmSync(join(path, 'train_splits', 'dia0_utt1.mp4')));
    const missing = { ...options('e'), root: copy };
    expect(await refusal(prepareMeld(missing))).toMatch(/is not as expected: train_dia0_utt1 has no clip\./);
    const { differences, skipped, kept } = await prepareMeld({ ...missing, allowIncomplete: true });
    expect(differences).toEqual(['train_dia0_utt1 has no clip']);
    expect(skipped).toContainEqual({ id: 'train_dia0_utt1', reason: 'clip missing' });
    expect(kept).toBe(7);
    expect((await readManifest(join(folder, 'e', 'manifest.csv'))).info.notes.differences).toEqual(
      differences,
    );
  });

  it('a clip that is corrupt and not known to be', async () => {
    const copy = broken((path) =>
      put(join(path, 'output_repeated_splits_test', 'dia0_utt0.mp4'), 'no video'),
    );
    const corrupt = { ...options('f'), root: copy };
    expect(await refusal(prepareMeld(corrupt))).toMatch(
      /is not as expected: test_dia0_utt0: dia0_utt0\.mp4 /,
    );
    expect(readdirSync(join(folder, 'f'))).not.toContain('manifest.csv');
    expect(await prepareMeld({ ...corrupt, allowIncomplete: true })).toMatchObject({ kept: 7, converted: 0 });
  });

  it('a split without its CSV or its clips', async () => {
    const copy = broken((path) => {
      rmSync(join(path, 'dev_sent_emo.csv'));
      rmSync(join(path, 'output_repeated_splits_test'), { recursive: true });
    });
    expect(await refusal(prepareMeld({ ...options('g'), root: copy }))).toMatch(
      /dev_sent_emo\.csv is missing; folder output_repeated_splits_test is missing/,
    );
    expect(await refusal(prepareMeld({ ...options('g'), root: join(copy, 'train_sent_emo.csv') }))).toMatch(
      /train_sent_emo\.csv is a file: --root must be the folder that it unpacks to \(tar -xzf MELD\.Raw\.tar\.gz/,
    );
    expect(await refusal(prepareMeld({ ...options('g'), root: folder }))).toMatch(
      /--root must be the unpacked folder MELD\.Raw/,
    );
    expect(await refusal(prepareMeld({ ...options('g'), root: join(folder, 'nowhere') }))).toMatch(
      /holds none of train_sent_emo\.csv/,
    );
  });

  it('a file in the place of the folder, or another corpus in it', async () => {
    put(join(folder, 'file'), 'x');
    expect(await refusal(prepareMeld(options('file')))).toMatch(/file is a file; --out must be a folder/);
    put(join(folder, 'h', 'manifest.json'), '{"format":"emoq-manifest","name":"iemocap"}');
    expect(await refusal(prepareMeld(options('h')))).toMatch(
      /already holds the corpus "iemocap"; choose another folder with --out/,
    );
  });
});

describe('MELD annotations', () => {
  const labels = ['neutral', 'joy'];
  const read = async (text: string) => {
    put(join(folder, 'x.csv'), text);
    return readMeldAnnotations(join(folder, 'x.csv'), labels);
  };

  it('have lengths to the millisecond, and none where the times are equal or swapped', async () => {
    const rows = [
      utt(0, 0, 'joy', { start: '0:01:59,990', end: '00:02:01,001' }),
      utt(0, 1, 'joy', { start: '00:00:05,000', end: '00:00:05,000' }),
      utt(0, 2, 'joy', { start: '00:00:05,000', end: '00:00:04,000' }),
    ];
    expect((await read(meldCsv(rows))).map(({ annotatedSec }) => annotatedSec)).toEqual([1.011, 0, 0]);
  });

  it.each([
    [
      'an unknown emotion',
      meldCsv([utt(0, 0, 'glee')]),
      /x\.csv, line 2, column Emotion: "glee" is not one of neutral, joy/,
    ],
    [
      'a bad time',
      meldCsv([utt(0, 0, 'joy', { end: '1:2' })]),
      /line 2, column EndTime: "1:2" is not a time like/,
    ],
    [
      'a bad id',
      meldCsv([utt(0, 0, 'joy'), utt(0, 1.5, 'joy')]),
      /line 3, column Utterance_ID: "1\.5" is not a whole number/,
    ],
    ['a doubled id', meldCsv([utt(0, 0, 'joy'), utt(0, 0, 'joy')]), /line 3: dia0_utt0 is on line 2 already/],
    [
      'a missing column',
      meldCsv([utt(0, 0, 'joy')]).replace('Emotion', 'Feeling'),
      /line 1: missing column "Emotion"/,
    ],
    ['no rows', `${MELD_HEADER}\r\n`, /has a header but no records/],
  ])('refuse %s with file and line', async (_, text, message) => {
    expect(await refusal(read(text))).toMatch(message);
  });
});

const realData = process.env.EMOQ_REAL_DATA;
if (!realData) console.log('EMOQ_REAL_DATA is not set: the real MELD annotations are not tested');

describe.skipIf(!realData)('the real MELD annotations', () => {
  it('have the counts of the metadata, for seven labels and for four', async () => {
    const metadata = await readCorpusMetadata(corpusMetadataPath('meld'));
    const utterances: Utterance[] = [];
    for (const split of ['train', 'dev', 'test']) {
      const rows = await readMeldAnnotations(
        join(realData!, 'meld', `${split}_sent_emo.csv`),
        metadata.labels,
      );
      for (const { dialogue, utterance, emotion, text, speaker } of rows) {
        const id = `${split}_dia${dialogue}_utt${utterance}`;
        utterances.push({
          id,
          path: '',
          text,
          label: emotion,
          speaker,
          gender: '',
          session: '',
          split,
          durationSec: 0,
        });
      }
      expect(rows.length).toBe(metadata.views.meld7!.counts[split]);
    }
    expect(countDifferences(metadata, utterances)).toEqual([]);
    expect(utterances.filter(({ text }) => /[\u0080-\u00a0]/.test(text))).toEqual([]);
    const four = new Set(metadata.views.meld4!.labels);
    for (const [split, count] of Object.entries(metadata.views.meld4!.counts)) {
      expect(utterances.filter((u) => u.split === split && four.has(u.label)).length).toBe(count);
    }
    const sessions = { utterances, csvPath: 'x', lineOf: new Map(), info: {} } as never;
    expect(selectUtterances(sessions, { labels: metadata.views.meld4!.labels }).utterances.length).toBe(
      8245 + 897 + 2211,
    );
  });

  it('are cut as the metadata says, and only if a clip runs far past them', async () => {
    const metadata = await readCorpusMetadata(corpusMetadataPath('meld'));
    const longest: Record<string, number> = {};
    for (const split of ['train', 'dev', 'test']) {
      const rows = await readMeldAnnotations(
        join(realData!, 'meld', `${split}_sent_emo.csv`),
        metadata.labels,
      );
      for (const { dialogue, utterance, annotatedSec } of rows) {
        if (annotatedSec > 30) longest[`${split}_dia${dialogue}_utt${utterance}`] = annotatedSec;
      }
    }
    expect(longest).toEqual(
      Object.fromEntries(metadata.wrong_annotations!.map(({ id, annotated_sec }) => [id, annotated_sec])),
    );
  });
});
