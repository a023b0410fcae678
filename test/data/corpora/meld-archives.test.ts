/** @file MELD with packed splits: read as a stream, with the same result as the unpacked release. */

import { execFileSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { InterruptedError } from '../../../src/base/index.js';
import { prepareMeld, readManifest } from '../../../src/data/corpora/index.js';
import { refusal, snapshot, writeMeldTree, writeMetadata } from './meld-tree.js';
import { MONO, meldClip, put, toneWav } from './raw-trees.js';

const folder = mkdtempSync(join(tmpdir(), "emoq packed 'é' "));
const root = join(folder, 'MELD.Raw');
const packed = join(folder, 'packed');
const metadataPath = join(folder, 'meld.yaml');
afterAll(() => rmSync(folder, { recursive: true }));

const FOLDERS = { train: 'train_splits', dev: 'dev_splits_complete', test: 'output_repeated_splits_test' };

/** Clips that are 16 kHz WAVs under their .mp4 names, and their lengths. */
const QUICK = {
  'train_splits/dia0_utt1': 0.7,
  'train_splits/dia1_utt0': 3,
  'train_splits/dia1_utt1': 0.7,
  'train_splits/dia2_utt0': 0.05,
  'output_repeated_splits_test/dia0_utt0': 0.5,
  'output_repeated_splits_test/dia220_utt0': 10,
};

/** Packs files of a folder with tar itself. */
function pack(archive: string, from: string, names: readonly string[], ...options: string[]): void {
  execFileSync('tar', ['-czf', archive, '-C', from, ...options, ...names]);
}

/** A release of archives beside its CSVs. */
function packRelease(target: string): void {
  mkdirSync(target);
  for (const [split, name] of Object.entries(FOLDERS)) {
    cpSync(join(root, `${split}_sent_emo.csv`), join(target, `${split}_sent_emo.csv`));
    pack(join(target, `${split}.tar.gz`), root, [name]);
    utimesSync(join(target, `${split}.tar.gz`), 1e9, 1e9); // copies keep whole seconds exactly
  }
}

/** A modified copy of the packed release. */
function changed(name: string, change: (root: string) => void): string {
  const copy = join(folder, name);
  cpSync(packed, copy, { recursive: true, preserveTimestamps: true });
  change(copy);
  return copy;
}

const prepare = (from: string, out: string, more = {}) =>
  prepareMeld({ root: from, out: join(folder, out), metadataPath, ...more });

/** Everything except the journal, which records where a clip came from. */
function prepared(out: string): Record<string, string> {
  const { 'preparation.jsonl': _journal, ...files } = snapshot(join(folder, out));
  return files;
}

beforeAll(async () => {
  writeMetadata(metadataPath);
  writeMeldTree(root);
  // Most of them are of the kind that is read without ffmpeg, to save time.
  for (const [name, durationSec] of Object.entries(QUICK))
    put(join(root, `${name}.mp4`), toneWav(440, durationSec));
  // As in the release, modification times are whole seconds, since archives keep no more.
  for (const name of readdirSync(root, { recursive: true }) as string[])
    utimesSync(join(root, name), 1e9, 1e9);
  packRelease(packed);
  await prepare(root, 'unpacked');
});

describe('prepare-meld from archives', () => {
  it('gives the bytes that the folders give, clips and manifest', async () => {
    const summary = await prepare(packed, 'from-archives');
    expect(summary).toMatchObject({ kept: 8, converted: 9, differences: [], alreadyDone: false });
    expect(prepared('from-archives')).toEqual(prepared('unpacked'));
  });

  it('run again does not read them, not even to see that they are damaged', async () => {
    const copy = changed('unread', (path) => {
      for (const split of Object.keys(FOLDERS)) {
        const archive = join(path, `${split}.tar.gz`);
        const { size, atime, mtime } = statSync(archive);
        writeFileSync(archive, Buffer.alloc(size, 'x'));
        utimesSync(archive, atime, mtime);
      }
    });
    cpSync(join(folder, 'from-archives'), join(folder, 'again'), { recursive: true });
    const before = snapshot(join(folder, 'again'));
    expect(await prepare(copy, 'again')).toMatchObject({ kept: 8, converted: 0, alreadyDone: true });
    expect(snapshot(join(folder, 'again'))).toEqual(before);
  });

  it('and from folders after that, or archives after folders: nothing is converted twice', async () => {
    expect(await prepare(root, 'from-archives')).toMatchObject({ converted: 0, alreadyDone: true });
    expect(await prepare(packed, 'from-archives')).toMatchObject({ converted: 0, alreadyDone: true });
  });

  it('takes entries in any order, under any folder, and nothing that is not a plain file of a safe name', async () => {
    const odd = changed('odd', (path) => {
      const stage = join(folder, 'stage');
      mkdirSync(join(stage, 'a', 'b'), { recursive: true });
      const clips = readdirSync(join(root, 'train_splits')).filter((name) => !name.startsWith('._'));
      for (const name of clips) cpSync(join(root, 'train_splits', name), join(stage, 'a', 'b', name));
      // Decoys come first: names that leave the folder, absolute names, links, folders, a stub.
      put(join(stage, 'decoy', 'dia0_utt0.mp4'), 'not a video');
      put(join(stage, 'decoy', '._dia0_utt1.mp4'), '\0\x05\x16\x07');
      mkdirSync(join(stage, 'folder', 'dia1_utt0.mp4'), { recursive: true });
      execFileSync('ln', ['-s', '/etc/passwd', join(stage, 'decoy', 'dia1_utt1.mp4')]);
      const plain = join(folder, 'odd.tar');
      const tar = (...args: string[]): void =>
        void execFileSync('tar', ['-f', plain, '-P', '-C', stage, ...args]);
      tar('-c', '--transform', 's,^decoy,../../up,', 'decoy');
      tar('-r', '--transform', `s,^decoy,${folder}/absolute,`, 'decoy');
      tar('-r', 'folder');
      tar('-r', ...clips.reverse().map((name) => `a/b/${name}`));
      writeFileSync(join(path, 'train.tar.gz'), gzipSync(readFileSync(plain)));
    });
    expect(await prepare(odd, 'odd-out')).toMatchObject({ kept: 8, differences: [] });
    expect(prepared('odd-out')).toEqual(prepared('unpacked'));
    expect(existsSync(join(folder, 'absolute'))).toBe(false);
    expect(existsSync(join(folder, '..', 'up'))).toBe(false);
  });

  it('takes one split from its folder and another from its archive; of both the folder', async () => {
    const mixed = changed('mixed', (path) => {
      cpSync(join(root, 'dev_splits_complete'), join(path, 'dev_splits_complete'), {
        recursive: true,
        preserveTimestamps: true,
      });
      writeFileSync(join(path, 'dev.tar.gz'), 'not looked at');
    });
    expect(await prepare(mixed, 'mixed-out')).toMatchObject({ kept: 8, differences: [] });
    expect(prepared('mixed-out')).toEqual(prepared('unpacked'));
  });

  it('takes the annotations out of an archive that has them, once', async () => {
    const inside = changed('inside', (path) => {
      rmSync(join(path, 'train_sent_emo.csv'));
      pack(join(path, 'train.tar.gz'), root, ['train_splits', 'train_sent_emo.csv']);
    });
    expect(await prepare(inside, 'inside-out')).toMatchObject({ kept: 8, differences: [] });
    const { 'train_sent_emo.csv': copy, ...files } = prepared('inside-out');
    expect(copy).toBe(snapshot(root)['train_sent_emo.csv']);
    expect(files).toEqual(prepared('unpacked'));
    expect(await prepare(inside, 'inside-out')).toMatchObject({ alreadyDone: true });
  });

  it('prefers the final videos of the test split where that is asked for, as folders do', async () => {
    const finals = { finalVideos: true, allowIncomplete: true };
    await prepare(root, 'final-unpacked', finals);
    await prepare(packed, 'final-packed', finals);
    expect(prepared('final-packed')).toEqual(prepared('final-unpacked'));
    const clip = 'audio/test/test_dia0_utt0.wav';
    expect(prepared('final-packed')[clip]).not.toBe(prepared('unpacked')[clip]);
    expect({ ...prepared('final-packed'), [clip]: '' }).toMatchObject({
      'audio/test/test_dia220_utt0.wav': prepared('unpacked')['audio/test/test_dia220_utt0.wav'],
    });
    const { info } = await readManifest(join(folder, 'final-packed', 'manifest.csv'));
    expect(info.notes.rules).toContain(
      'the final_videos_* clips of the test split are preferred to the plain ones',
    );
    // Without the option the plain clip comes back, and only it is made again.
    expect(await prepare(packed, 'final-packed')).toMatchObject({ converted: 1 });
    expect(prepared('final-packed')).toEqual(prepared('unpacked'));
  });

  it('reports what an archive does not have, as folders do', async () => {
    const lacking = changed('lacking', (path) => {
      pack(join(path, 'train.tar.gz'), root, ['train_splits'], '--exclude=dia0_utt1.mp4');
    });
    expect(await refusal(prepare(lacking, 'lacking-out'))).toMatch(
      /is not as expected: train_dia0_utt1 has no clip\. Complete it/,
    );
    const unpacked = join(folder, 'lacking-unpacked');
    cpSync(root, unpacked, { recursive: true, preserveTimestamps: true });
    rmSync(join(unpacked, 'train_splits', 'dia0_utt1.mp4'));
    await prepare(unpacked, 'lacking-folder', { allowIncomplete: true });
    expect(await prepare(lacking, 'lacking-out', { allowIncomplete: true })).toMatchObject({
      kept: 7,
      converted: 0,
      differences: ['train_dia0_utt1 has no clip'],
    });
    expect(prepared('lacking-out')).toEqual(prepared('lacking-folder'));
    expect(await prepare(lacking, 'lacking-out', { allowIncomplete: true })).toMatchObject({
      alreadyDone: true,
    });
  });

  it('stopped in the middle goes on and ends with the same bytes', async () => {
    const stop = new AbortController();
    const work = prepare(packed, 'stopped', {
      jobs: 1,
      signal: stop.signal,
      onProgress: (done: number) => done === 7 && stop.abort(),
    });
    await expect(work).rejects.toThrow(InterruptedError);
    expect(readdirSync(join(folder, 'stopped')).sort()).toEqual(['audio', 'preparation.jsonl']);
    const { converted } = await prepare(packed, 'stopped');
    expect(converted).toBeLessThan(9);
    expect(converted).toBeGreaterThan(0);
    expect(prepared('stopped')).toEqual(prepared('unpacked'));
  });
});

describe('an archive that is damaged or cut off', () => {
  const cases: [string, RegExp, (bytes: Buffer) => Buffer][] = [
    ['cut off', /Unexpected end of data/, (bytes) => bytes.subarray(0, Math.floor(0.6 * bytes.length))],
    [
      'cut off before it was packed',
      /Unexpected end of data/,
      (bytes) => gzipSync(gunzipSync(bytes).subarray(0, -20_000)),
    ],
    ['not an archive', /incorrect header check/, () => Buffer.from('<html>404 Not Found</html>')],
    ['empty', /unexpected end of file|Unexpected end of data|is empty/, () => Buffer.alloc(0)],
    [
      'damaged inside',
      /invalid|incorrect|too many/, // the position of the damage depends on the order in which tar found the files
      (bytes) => Buffer.concat([bytes.subarray(0, 9000), Buffer.alloc(200, 0xff), bytes.subarray(9200)]),
    ],
    [
      'packed, but no tar',
      /Invalid tar header|Unexpected end of data/,
      () => gzipSync(Buffer.alloc(4096, 'words ')),
    ],
  ];
  it.each(cases)(
    '%s: one line says so; what came before stays, and a whole one completes it',
    async (what, why, damage) => {
      const name = `damaged ${what}`;
      let whole = '';
      const copy = changed(name, (path) => {
        const archive = join(path, 'train.tar.gz');
        whole = `${archive}.whole`;
        renameSync(archive, whole);
        writeFileSync(archive, damage(readFileSync(whole)));
      });
      const out = `${name} out`;
      const message = await refusal(prepare(copy, out));
      expect(message).toMatch(
        /is not as expected: train\.tar\.gz is damaged or not whole: .* after \d+ files\./,
      );
      expect(message).toMatch(why);
      expect(readdirSync(join(folder, out))).not.toContain('manifest.csv');
      // The other splits are complete; so are the clips before the damage.
      const before = prepared(out);
      expect(before).toMatchObject({
        'audio/dev/dev_dia0_utt0.wav': prepared('unpacked')['audio/dev/dev_dia0_utt0.wav'],
      });
      for (const [path, hash] of Object.entries(before)) expect(prepared('unpacked')[path]).toBe(hash);

      const { differences, skipped } = await prepare(copy, out, { allowIncomplete: true });
      expect(differences).toEqual([expect.stringMatching(/^train\.tar\.gz is damaged or not whole: /)]);
      expect(skipped.filter(({ reason }) => reason === 'clip missing').length).toBeGreaterThan(0);

      renameSync(whole, join(copy, 'train.tar.gz'));
      const made = Object.keys(before).filter((path) => path.endsWith('.wav')).length;
      if (what.startsWith('cut off')) expect(made).toBeGreaterThan(3); // dev and test have three
      expect((await prepare(copy, out)).converted).toBeLessThanOrEqual(9 - made);
      expect(prepared(out)).toEqual(prepared('unpacked'));
    },
  );

  it('a clip that is corrupt within a whole archive fails alone', async () => {
    const stage = join(folder, 'corrupt-stage');
    cpSync(join(root, 'dev_splits_complete'), join(stage, 'dev_splits_complete'), { recursive: true });
    meldClip(stage, 'dev_splits_complete', 'dia110_utt7', MONO); // the one that is missing from the release, repaired
    put(join(stage, 'dev_splits_complete', 'dia0_utt0.mp4'), 'no video');
    const copy = changed('corrupt', (path) => pack(join(path, 'dev.tar.gz'), stage, ['dev_splits_complete']));
    expect(await refusal(prepare(copy, 'corrupt-out'))).toMatch(
      /is not as expected: dev_dia0_utt0: dia0_utt0\.mp4 (?:cannot be decoded|is truncated or not a video file)/,
    );
    expect(await prepare(copy, 'corrupt-out', { allowIncomplete: true })).toMatchObject({
      kept: 8,
      converted: 0,
    });
  });
});
