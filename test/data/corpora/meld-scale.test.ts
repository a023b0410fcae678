/**
 * @file A MELD release of real size and layout: the real annotations, 13,706 clips, and every known fault.
 *
 * Real: the three CSVs (from EMOQ_REAL_DATA), folders, names, faults, and 90 clips that ffmpeg decodes (H.264 with AAC,
 * 5.1 and stereo). Not real: the other clips are 0.15 s of 16 kHz WAV under an .mp4 name, which is read without ffmpeg,
 * since decoding 13,706 clips would take minutes; and the CSV's times are those of longer clips.
 */

import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodeWav } from '../../../src/data/audio/index.js';
import { corpusMetadataPath, readCorpusMetadata } from '../../../src/data/corpora/corpus-metadata.js';
import {
  type PreparationSummary,
  prepareMeld,
  readManifest,
  selectUtterances,
} from '../../../src/data/corpora/index.js';
import { readMeldAnnotations } from '../../../src/data/corpora/meld.js';
import { writeTone } from '../audio/ffmpeg-clips.js';
import { snapshot } from './meld-tree.js';
import { STEREO, SURROUND } from './raw-trees.js';

const FOLDERS = { train: 'train_splits', dev: 'dev_splits_complete', test: 'output_repeated_splits_test' };
const realData = process.env.EMOQ_REAL_DATA;
if (!realData) console.log('EMOQ_REAL_DATA is not set: prepare-meld is not tried at true scale');

const folder = mkdtempSync(join(tmpdir(), 'emoq-meld-scale-'));
const root = join(folder, 'MELD.Raw');
const out = join(folder, 'meld');
afterAll(() => rmSync(folder, { recursive: true }));

/** Lengths that differ from the annotation. */
const OVERLONG = { test_dia38_utt4: 305, test_dia220_utt0: 235, train_dia309_utt0: 41 };
const STUBS = 14;
const FINAL_VIDEOS = 132;
const REAL_CLIPS = 90;

const tone = (durationSec: number): Buffer => {
  const sample = (_: unknown, i: number): number => 0.3 * Math.sin(i / 12);
  return encodeWav(Float32Array.from({ length: Math.round(durationSec * 16_000) }, sample), 16_000);
};

/** Names of the release's clips by split, from the annotations. */
async function clipNames(): Promise<Record<string, string[]>> {
  const { labels } = await readCorpusMetadata(corpusMetadataPath('meld'));
  const names: Record<string, string[]> = {};
  for (const split of Object.keys(FOLDERS)) {
    const rows = await readMeldAnnotations(join(root, `${split}_sent_emo.csv`), labels);
    names[split] = rows.map(({ dialogue, utterance }) => `dia${dialogue}_utt${utterance}`);
  }
  return names;
}

async function writeRelease(): Promise<void> {
  mkdirSync(root);
  writeTone(join(folder, 'surround.mp4'), SURROUND);
  writeTone(join(folder, 'stereo.mp4'), STEREO);
  writeFileSync(join(folder, 'short.wav'), tone(0.15));
  writeFileSync(join(folder, 'stub.wav'), tone(0.04));
  for (const split of Object.keys(FOLDERS)) {
    copyFileSync(join(realData!, 'meld', `${split}_sent_emo.csv`), join(root, `${split}_sent_emo.csv`));
  }
  // As in the release, modification times are whole seconds, since archives keep no more.
  for (const name of ['surround.mp4', 'stereo.mp4', 'short.wav', 'stub.wav'])
    utimesSync(join(folder, name), 1e9, 1e9);
  let written = 0;
  for (const [split, names] of Object.entries(await clipNames())) {
    const clips = join(root, FOLDERS[split as keyof typeof FOLDERS]);
    mkdirSync(clips);
    const at = (name: string): string => join(clips, `${name}.mp4`);
    for (const [index, name] of names.entries()) {
      const id = `${split}_${name}`;
      const overlong = OVERLONG[id as keyof typeof OVERLONG];
      if (id === 'dev_dia110_utt7') continue;
      if (id === 'train_dia125_utt3') {
        writeFileSync(at(name), readFileSync(join(folder, 'surround.mp4')).subarray(0, 3000));
      } else if (overlong !== undefined) writeFileSync(at(name), tone(overlong));
      else if (index % 150 === 7 && written++ < REAL_CLIPS) {
        linkSync(join(folder, written % 3 ? 'surround.mp4' : 'stereo.mp4'), at(name));
      } else if (split === 'train' && index >= 100 && index < 100 + STUBS)
        linkSync(join(folder, 'stub.wav'), at(name));
      else linkSync(join(folder, 'short.wav'), at(name));
    }
    writeFileSync(at('._dia0_utt0'), '\0\x05\x16\x07');
    if (split === 'test') {
      for (const name of names.slice(0, FINAL_VIDEOS))
        writeFileSync(at(`final_videos_test${name}`), 'not this one');
    }
  }
}

describe.skipIf(!realData)('a MELD release of true size and shape, faults and all', () => {
  let summary: PreparationSummary;
  beforeAll(async () => {
    await writeRelease();
    summary = await prepareMeld({ root, out });
  });

  it('has the counts that emoq knows, by split and by label, less the two clips that are known', async () => {
    expect(summary).toMatchObject({ kept: 13_706, converted: 13_707, differences: [], silent: [] });
    expect(summary.counts.split).toEqual({
      train: { neutral: 4709, joy: 1743, surprise: 1205, anger: 1109, sadness: 683, disgust: 271, fear: 268 },
      dev: { neutral: 469, joy: 163, surprise: 150, anger: 153, sadness: 111, disgust: 22, fear: 40 },
      test: { neutral: 1256, joy: 402, surprise: 281, anger: 345, sadness: 208, disgust: 68, fear: 50 },
    });
    expect(summary.skipped).toEqual([
      {
        id: 'train_dia125_utt3',
        reason: expect.stringMatching(/^corrupt clip, as known: dia125_utt3\.mp4 is /),
      },
      { id: 'dev_dia110_utt7', reason: 'no clip in the release, as known' },
    ]);
  });

  it('has 8,245, 897 and 2,211 utterances of four classes, less the same two, which are neutral', async () => {
    const manifest = await readManifest(summary.manifestPath);
    const metadata = await readCorpusMetadata(corpusMetadataPath('meld'));
    const { utterances } = selectUtterances(manifest, { labels: metadata.views.meld4!.labels });
    const count = (name: string): number => utterances.filter(({ split }) => split === name).length;
    expect([count('train'), count('dev'), count('test')]).toEqual([8245 - 1, 897 - 1, 2211]);
  });

  it('cuts what runs past its annotation and pads the stubs', async () => {
    expect(Object.fromEntries(summary.cut.map(({ id, reason }) => [id, reason]))).toEqual({
      train_dia309_utt0: '41 s, kept the first 10 s',
      test_dia38_utt4: '305 s, kept the first 4.94 s',
      test_dia220_utt0: '235 s, kept the last 4 s',
    });
    expect(summary.padded).toHaveLength(STUBS);
    expect(summary.padded[0]!.reason).toBe('0.04 s, silence added up to 0.1 s');
  });

  it('run again does nothing, quickly', async () => {
    const again = await prepareMeld({ root, out });
    expect(again).toMatchObject({ kept: 13_706, converted: 0, alreadyDone: true });
  });

  it('packed meanwhile, is recognised clip by clip: nothing is converted again, and no byte changes', async () => {
    const packed = join(folder, 'packed');
    mkdirSync(packed);
    for (const [split, name] of Object.entries(FOLDERS)) {
      copyFileSync(join(root, `${split}_sent_emo.csv`), join(packed, `${split}_sent_emo.csv`));
      const options = ['--hard-dereference', '--use-compress-program=gzip -1'];
      execFileSync('tar', ['-c', ...options, '-f', join(packed, `${split}.tar.gz`), '-C', root, name]);
    }
    const { 'preparation.jsonl': _before, ...before } = snapshot(out);
    const again = await prepareMeld({ root: packed, out });
    const { 'preparation.jsonl': _after, ...after } = snapshot(out);
    expect(after).toEqual(before);
    // All except the few whose files were written just now.
    expect(again).toMatchObject({ kept: 13_706, converted: 4 });
  });
});
