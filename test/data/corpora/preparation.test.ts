/** @file Behaviour shared by all preparations: formats, one run at a time, silence, unreadable files, a full disk. */

import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { claimLock, InputError } from '../../../src/base/index.js';
import { decodeAudio, encodeWav } from '../../../src/data/audio/index.js';
import { type PreparationSummary, readManifest } from '../../../src/data/corpora/index.js';
import type { PreparationOptions } from '../../../src/data/corpora/preparation.js';
import { type CorpusPlan, prepareCorpus } from '../../../src/data/corpora/preparation.js';
import { writeTone } from '../audio/ffmpeg-clips.js';
import { refusal, snapshot } from './meld-tree.js';
import { put, STEREO, toneWav } from './raw-trees.js';

const folder = mkdtempSync(join(tmpdir(), 'emoq preparation '));
const raw = join(folder, 'raw');
afterAll(() => rmSync(folder, { recursive: true }));

/** A corpus of the given files, each an utterance. */
function planOf(names: readonly string[]): CorpusPlan {
  return {
    name: 'small',
    source: 'made here',
    root: raw,
    planned: names.map((name) => {
      const id = name.replace(/\.\w+$/, '');
      return {
        utterance: { id, text: '', label: 'joy', speaker: '', gender: '', session: '', split: 'train' },
        clip: { id, source: join(raw, name), target: `audio/${id}.wav` },
      };
    }),
    skipped: [],
    differences: [],
    knownBad: new Map(),
  };
}

const prepare = (names: readonly string[], out: string, more: Partial<PreparationOptions> = {}) =>
  prepareCorpus(planOf(names), { out: join(folder, out), jobs: 2, ...more });

const CLIPS = ['tone.wav', 'clip.mp4', 'other.mp4', 'stub.wav'];

beforeAll(() => {
  put(join(raw, 'tone.wav'), toneWav(440, 0.5));
  put(join(raw, 'stub.wav'), toneWav(440, 0.03));
  put(join(raw, 'silent.wav'), encodeWav(new Float32Array(4000), 16_000));
  // Half a step up and down: silence after a decoder's rounding.
  put(
    join(raw, 'hum.wav'),
    encodeWav(
      Float32Array.from({ length: 4000 }, (_, i) => (i % 2 ? 1 : -1) / 32_768),
      16_000,
    ),
  );
  put(
    join(raw, 'quiet.wav'),
    encodeWav(
      Float32Array.from({ length: 4000 }, (_, i) => (i % 2 ? 2 : -2) / 32_768),
      16_000,
    ),
  );
  writeTone(join(raw, 'clip.mp4'), STEREO);
  copyFileSync(join(raw, 'clip.mp4'), join(raw, 'other.mp4'));
});

describe('--format flac', () => {
  let wav: PreparationSummary;
  let flac: PreparationSummary;
  beforeAll(async () => {
    wav = await prepare(CLIPS, 'wav');
    flac = await prepare(CLIPS, 'flac', { format: 'flac' });
  });

  it('stores the same samples under names that the manifest follows', async () => {
    const wavs = (await readManifest(wav.manifestPath)).utterances;
    const flacs = (await readManifest(flac.manifestPath)).utterances;
    expect(flacs.map(({ path }) => path)).toEqual(
      ['tone', 'clip', 'other', 'stub'].map((id) => join(folder, 'flac', 'audio', `${id}.flac`)),
    );
    for (const [index, { path, durationSec }] of flacs.entries()) {
      expect((await decodeAudio(path)).samples).toEqual((await decodeAudio(wavs[index]!.path)).samples);
      expect(durationSec).toBe(wavs[index]!.durationSec);
      expect(readFileSync(path).toString('latin1', 0, 4)).toBe('fLaC');
    }
    expect(flac.padded).toEqual(wav.padded);
    const { info } = await readManifest(flac.manifestPath);
    expect(info.notes.rules[0]).toMatch(/^clips are 16 kHz mono 16-bit FLAC: /);
  });

  it('run again does nothing; a damaged file is made again to the same bytes', async () => {
    expect(await prepare(CLIPS, 'flac', { format: 'flac' })).toMatchObject({
      converted: 0,
      alreadyDone: true,
    });
    const before = snapshot(join(folder, 'flac'));
    writeFileSync(join(folder, 'flac', 'audio', 'clip.flac'), 'half');
    expect(await prepare(CLIPS, 'flac', { format: 'flac' })).toMatchObject({ converted: 1 });
    expect(snapshot(join(folder, 'flac'))).toEqual(before);
  });

  it('in a folder of WAVs replaces them, and leaves none behind', async () => {
    await prepare(CLIPS, 'both');
    put(join(folder, 'both', 'audio', 'mine.txt'), 'not of emoq');
    await prepare(CLIPS, 'both', { format: 'flac' });
    const { 'audio/mine.txt': mine, ...files } = snapshot(join(folder, 'both'));
    expect(mine).toBeDefined();
    expect(files).toEqual(snapshot(join(folder, 'flac')));
  });
});

describe('a preparation', () => {
  it('keeps clips without sound, and says which they are', async () => {
    const { kept, silent } = await prepare(['tone.wav', 'silent.wav', 'hum.wav', 'quiet.wav'], 'silence');
    expect(kept).toBe(4);
    expect(silent).toEqual(['silent', 'hum'].map((id) => ({ id, reason: 'no sound' })));
    const { info } = await readManifest(join(folder, 'silence', 'manifest.csv'));
    expect(info.notes.silent).toEqual(silent);
  });

  it('is refused while another one is at work on its folder, and takes over from one that was killed', async () => {
    const lock = join(folder, 'locked', 'preparation.lock');
    const release = (await claimLock(lock)) as () => Promise<void>;
    expect(await refusal(prepare(CLIPS, 'locked'))).toMatch(
      /^process \d+ on .+ is preparing .*locked already; wait for it or choose another folder with --out/,
    );
    await release();
    const ended = spawnSync(process.execPath, ['-e', '']).pid;
    writeFileSync(lock, `${ended} ${readFileSync('/etc/hostname', 'utf8').trim()} 0a0b0c0d\n`);
    expect(await prepare(CLIPS, 'locked')).toMatchObject({ kept: 4 });
    expect(existsSync(lock)).toBe(false);
  });

  it('deletes no file that its journal names outside of audio/', async () => {
    await prepare(['tone.wav'], 'journal');
    put(join(folder, 'precious.wav'), 'mine');
    const entry = { id: 'x', rule: '', source: '', durationSec: 1, bytes: 1 };
    for (const target of ['audio/../../precious.wav', '../precious.wav', 'manifest.csv']) {
      const line = `${JSON.stringify({ ...entry, target })}\n`;
      writeFileSync(join(folder, 'journal', 'preparation.jsonl'), line, { flag: 'a' });
    }
    await prepare(['tone.wav'], 'journal');
    expect(readFileSync(join(folder, 'precious.wav'), 'utf8')).toBe('mine');
    expect(existsSync(join(folder, 'journal', 'manifest.csv'))).toBe(true);
  });

  it('makes a clip again whose line of the journal is damaged, and takes nothing of it over', async () => {
    const good = await prepare(['tone.wav'], 'spoilt');
    const journal = join(folder, 'spoilt', 'preparation.jsonl');
    const whole = readFileSync(journal, 'utf8');
    const manifest = readFileSync(join(folder, 'spoilt', 'manifest.json'), 'utf8');
    const entry = JSON.parse(whole) as Record<string, unknown>;
    for (const damage of [
      ...[{ durationSec: '1' }, { durationSec: -1 }, { bytes: null }, { rule: 3 }, { source: [] }],
      ...[{ cut: {} }, { notes: [{ kind: 'loud', text: '' }] }, { notes: 'silent' }, { ffmpeg: 5 }],
      { durationSec: undefined },
    ]) {
      writeFileSync(journal, `${JSON.stringify({ ...entry, ...damage })}\n`);
      expect(await prepare(['tone.wav'], 'spoilt'), JSON.stringify(damage)).toMatchObject({
        ...{ kept: good.kept, converted: 1 },
      });
      expect(readFileSync(join(folder, 'spoilt', 'manifest.json'), 'utf8')).toBe(manifest);
    }
    writeFileSync(journal, whole);
    expect(await prepare(['tone.wav'], 'spoilt')).toMatchObject({ converted: 0 });
  });

  it('does not hold against a clip that it could not be read once', async () => {
    // Runs as another user if the test runs as root, who may read everything.
    const shared = mkdtempSync(join(tmpdir(), 'emoq-unread-'));
    try {
      copyFileSync(join(raw, 'tone.wav'), join(shared, 'tone.wav'));
      copyFileSync(join(raw, 'tone.wav'), join(shared, 'locked.wav'));
      mkdirSync(join(shared, 'out'));
      for (const name of ['', 'out']) chmodSync(join(shared, name), 0o777);
      chmodSync(join(shared, 'locked.wav'), 0);
      const preparationUrl = new URL('../../../dist/data/corpora/preparation.js', import.meta.url).href;
      const { planned, ...rest } = planOf(['tone.wav', 'locked.wav']);
      for (const { clip } of planned) clip!.source = join(shared, `${clip!.id}.wav`);
      const code = `
        const { prepareCorpus } = await import(${JSON.stringify(preparationUrl)});
        const plan = { ...${JSON.stringify({ planned, ...rest })}, knownBad: new Map() };
        const options = { out: ${JSON.stringify(join(shared, 'out'))}, allowIncomplete: true };
        console.log(JSON.stringify(await prepareCorpus(plan, options)));`;
      const run = (): PreparationSummary =>
        JSON.parse(
          execFileSync(process.execPath, ['--input-type=module', '-e', code], {
            encoding: 'utf8',
            ...(process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {}),
          }),
        ) as PreparationSummary;
      const first = run();
      expect(first.kept).toBe(1);
      expect(first.differences).toEqual([
        expect.stringMatching(/^locked: locked\.wav cannot be read: EACCES: permission denied/),
      ]);
      chmodSync(join(shared, 'locked.wav'), 0o644); // changes neither size nor time of change
      expect(run()).toMatchObject({ kept: 2, converted: 1, differences: [] });
    } finally {
      rmSync(shared, { recursive: true });
    }
  });
});

/** Mounts a small disk that can be filled; false if this user is not allowed to. */
function mountSmall(path: string, kilobytes: number): boolean {
  mkdirSync(path);
  return spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${kilobytes}k`, 'tmpfs', path]).status === 0;
}

const disk = join(folder, 'disk');
const mounted = mountSmall(disk, 900);
if (!mounted) console.log('no file system can be mounted here: a full disk is not tried');
afterAll(() => {
  if (mounted) execFileSync('umount', [disk]);
});

describe.skipIf(!mounted)('a disk that fills up', () => {
  const many = Array.from({ length: 40 }, (_, i) => (i % 4 === 0 ? `v${i}.mp4` : `w${i}.wav`));
  beforeAll(() => {
    for (const name of many)
      copyFileSync(join(raw, name.endsWith('.mp4') ? 'clip.mp4' : 'tone.wav'), join(raw, name));
  });

  it.each(['wav', 'flac'] as const)(
    'ends a preparation to %s with one line, takes no clip for a broken one, and is gone on from',
    async (format) => {
      const out = join(disk, format);
      writeFileSync(join(disk, 'ballast'), Buffer.alloc(format === 'flac' ? 720_000 : 500_000));
      const error = await prepareCorpus(planOf(many), { out, format, jobs: 2 }).catch(
        (thrown: unknown) => thrown,
      );
      expect(error).toBeInstanceOf(Error);
      expect(error).not.toBeInstanceOf(InputError);
      expect((error as Error).message).toMatch(/ENOSPC/);
      expect(readdirSync(out)).not.toContain('manifest.csv');
      const journal = readFileSync(join(out, 'preparation.jsonl'), 'utf8');
      expect(journal).not.toContain('skipped');
      expect(readdirSync(out).filter((name) => name.endsWith('.tmp'))).toEqual([]);
      for (const line of journal.split('\n').slice(0, -1)) {
        const { target, bytes } = JSON.parse(line) as { target: string; bytes: number };
        expect(statSync(join(out, target)).size).toBe(bytes);
      }
      rmSync(join(disk, 'ballast'));
      execFileSync('mount', ['-o', 'remount,size=20m', disk]);
      await prepareCorpus(planOf(many), { out, format, jobs: 2 });
      await prepare(many, `large disk ${format}`, { format });
      expect(snapshot(out)).toEqual(snapshot(join(folder, `large disk ${format}`)));
      rmSync(out, { recursive: true });
      execFileSync('mount', ['-o', 'remount,size=900k', disk]);
    },
  );
});
