import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, it } from 'vitest';
import { prepareMeld } from '../../../src/data/corpora/index.js';
import { writeTone } from '../audio/ffmpeg-clips.js';
import { killAndCompare } from './killing.js';
import { utt } from './meld-tree.js';
import { meldCsv, put, STEREO, SURROUND, toneWav } from './raw-trees.js';

const folder = mkdtempSync(join(tmpdir(), 'emoq meld killed '));
const unpacked = join(folder, 'MELD.Raw');
const packed = join(folder, 'packed');
afterAll(() => rmSync(folder, { recursive: true }));

const FOLDERS = { train: 'train_splits', dev: 'dev_splits_complete', test: 'output_repeated_splits_test' };
/** For each of the forms below. */
const KILLS = 9;
const CLIPS = { train: 28, dev: 6, test: 6 };

beforeAll(() => {
  mkdirSync(packed);
  writeTone(join(folder, 'surround.mp4'), SURROUND);
  writeTone(join(folder, 'stereo.mp4'), STEREO);
  put(join(folder, 'native.mp4'), toneWav(440, 0.4)); // read without ffmpeg, so instantly
  for (const [split, name] of Object.entries(FOLDERS)) {
    const rows = Array.from({ length: CLIPS[split as keyof typeof CLIPS] }, (_, i) => utt(i, 0, 'joy'));
    for (const root of [unpacked, packed]) put(join(root, `${split}_sent_emo.csv`), meldCsv(rows));
    mkdirSync(join(unpacked, name));
    for (const [index, { dialogue }] of rows.entries()) {
      const kind = ['surround', 'native', 'stereo', 'native'][index % 4];
      copyFileSync(join(folder, `${kind}.mp4`), join(unpacked, name, `dia${dialogue}_utt0.mp4`));
    }
    execFileSync('tar', ['-czf', join(packed, `${split}.tar.gz`), '-C', unpacked, name]);
  }
});

describe('prepare-meld killed at random moments goes on, and ends with the bytes of an undisturbed run', () => {
  it.each([
    ['folders', { root: unpacked }],
    ['archives', { root: packed }],
    ['folders to FLAC', { root: unpacked, format: 'flac' }],
  ] as const)('from %s', async (name, where) => {
    const options = { ...where, allowIncomplete: true };
    await killAndCompare(prepareMeld, options, folder, name, KILLS);
  });
});
