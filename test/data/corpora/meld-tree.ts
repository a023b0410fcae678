/** @file A small MELD release with one of each of its faults, and helpers for tests of its preparation. */

import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { parse, stringify } from 'yaml';
import { InputError, sha256Of } from '../../../src/base/index.js';
import { corpusMetadataPath } from '../../../src/data/corpora/corpus-metadata.js';
import { ffmpeg } from '../audio/ffmpeg-clips.js';
import { type MeldRow, MONO, meldClip, meldCsv, put, STEREO, SURROUND } from './raw-trees.js';

/** A row of a CSV. */
export const utt = (
  dialogue: number,
  utterance: number,
  emotion: string,
  more: Partial<MeldRow> = {},
): MeldRow => ({
  text: `Line ${dialogue}.${utterance}`,
  emotion,
  dialogue,
  utterance,
  ...more,
});

const ROWS = {
  train: [
    utt(0, 0, 'neutral', { text: 'It\u0092s \u0093fine\u0094\u0085 said\u00a0he' }), // codes as control characters
    utt(0, 1, 'joy', { start: '0:12:32,632', end: '0:12:32,632' }), // no length
    utt(1, 0, 'anger', { speaker: 'Monica' }), // the clip runs far past its half second
    utt(1, 1, 'fear'), // the clip is slightly longer, as usual
    utt(2, 0, 'sadness'), // a stub of a clip
    utt(125, 3, 'surprise'), // corrupt, a known fault
  ],
  dev: [utt(0, 0, 'disgust', { text: 'Caf\u00e9' }), utt(110, 7, 'neutral')], // the second has no clip, a known fault
  test: [utt(0, 0, 'joy'), utt(220, 0, 'disgust', { start: '00:01:44,270', end: '00:05:39,338' })],
} as const;

/** The real metadata with the counts of this tree. */
export function writeMetadata(path: string): void {
  const metadata = parse(readFileSync(corpusMetadataPath('meld'), 'utf8'));
  for (const split of ['train', 'dev', 'test'] as const) {
    metadata.counts.split[split] = {};
    for (const { emotion } of ROWS[split]) {
      metadata.counts.split[split][emotion] = (metadata.counts.split[split][emotion] ?? 0) + 1;
    }
  }
  put(path, stringify(metadata));
}

/** Every file of a folder, with the checksum of its content. */
export function snapshot(path: string): Record<string, string> {
  const names = readdirSync(path, { recursive: true }) as string[];
  return Object.fromEntries(
    names
      .sort()
      .filter((name) => statSync(join(path, name)).isFile())
      .map((name) => [name, sha256Of(readFileSync(join(path, name)))]),
  );
}

/** The one-line error that `work` is rejected with. */
export async function refusal(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(InputError);
  expect((error as Error).message).not.toContain('\n');
  return (error as Error).message;
}

/** Writes the release, unpacked. */
export function writeMeldTree(root: string): void {
  put(join(root, 'train_sent_emo.csv'), meldCsv(ROWS.train));
  // A copy whose bytes are still Windows-1252.
  put(join(root, 'dev_sent_emo.csv'), Buffer.from(meldCsv(ROWS.dev), 'latin1'));
  put(join(root, 'test_sent_emo.csv'), meldCsv(ROWS.test));
  meldClip(root, 'train_splits', 'dia0_utt0', SURROUND);
  meldClip(root, 'train_splits', 'dia0_utt1', { ...STEREO, durationSec: 0.7 });
  meldClip(root, 'train_splits', 'dia1_utt0', { ...MONO, durationSec: 3 });
  meldClip(root, 'train_splits', 'dia1_utt1', { ...MONO, durationSec: 0.7 });
  meldClip(root, 'train_splits', 'dia2_utt0', { ...MONO, durationSec: 0.05, video: false });
  put(
    join(root, 'train_splits', 'dia125_utt3.mp4'),
    readFileSync(join(root, 'train_splits', 'dia0_utt0.mp4')).subarray(0, 3000),
  );
  put(join(root, 'train_splits', '._dia0_utt0.mp4'), '\0\x05\x16\x07');
  meldClip(root, 'dev_splits_complete', 'dia0_utt0', MONO);
  meldClip(root, 'output_repeated_splits_test', 'dia0_utt0', STEREO);
  meldClip(root, 'output_repeated_splits_test', 'final_videos_testdia0_utt0', MONO);
  // The wrong annotation of 235 s: low for six seconds, high for the last four.
  const high = "aevalsrc=exprs='0.4*sin(2*PI*if(lt(t,6),200,900)*t)':s=48000:d=10";
  ffmpeg('-f', 'lavfi', '-i', high, join(root, 'output_repeated_splits_test', 'dia220_utt0.mp4'));
}
