import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { InputError, sha256Of } from '../../../src/base/index.js';
import { decodeAudio } from '../../../src/data/audio/index.js';
import {
  partitionUtterances,
  prepareCsv,
  readManifest,
  selectUtterances,
} from '../../../src/data/corpora/index.js';
import { ffmpegSamples, ffprobeSec, writeTone } from '../audio/ffmpeg-clips.js';
import { put, toneWav } from './raw-trees.js';

const folder = mkdtempSync(join(tmpdir(), 'emoq csv é-'));
afterAll(() => rmSync(folder, { recursive: true }));

const SPEAKERS = ['ann', 'bob', 'cyd', 'dan', 'eve'];

/** Two clips for each speaker, FLAC at 48 kHz and WAV at 16 kHz. */
beforeAll(() => {
  for (const [index, speaker] of SPEAKERS.entries()) {
    writeTone(join(folder, 'clips', speaker, 'one.flac'), {
      channelHz: [200 + 50 * index],
      layout: 'mono',
      durationSec: 0.3,
    });
    put(join(folder, 'clips', speaker, 'it\'s "two".wav'), toneWav(300 + 50 * index, 0.25));
  }
});

const ROWS = SPEAKERS.flatMap((speaker) => [
  `clips/${speaker}/one.flac,happy,${speaker}`,
  `"clips/${speaker}/it's ""two"".wav",sad,${speaker}`,
]);

let count = 0;
function csv(header: string, rows: readonly string[]): string {
  const path = join(folder, `list${++count}.csv`);
  put(path, `${header}\n${rows.join('\n')}\n`);
  return path;
}

const options = (file: string, out = `out${count}`) => ({ file, name: 'mine', out: join(folder, out) });

async function refusal(work: Promise<unknown>): Promise<string> {
  const error = await work.catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(InputError);
  expect((error as Error).message).not.toContain('\n');
  return (error as Error).message;
}

function snapshot(path: string): Record<string, string> {
  const names = (readdirSync(path, { recursive: true }) as string[]).sort();
  const files = names.filter((name) => statSync(join(path, name)).isFile());
  return Object.fromEntries(files.map((name) => [name, sha256Of(readFileSync(join(path, name)))]));
}

describe('prepare-csv', () => {
  it('converts any format, names clips after their paths, and divides by speaker', async () => {
    const file = csv('path,label,speaker', ROWS);
    const summary = await prepareCsv(options(file));
    const { utterances, name } = await readManifest(summary.manifestPath);
    expect(name).toBe('mine');
    expect(utterances.map(({ id }) => id).slice(0, 3)).toEqual(['ann_one', 'ann_it\'s "two"', 'bob_one']);
    for (const { path, durationSec } of utterances) expect(ffprobeSec(path)).toBeCloseTo(durationSec, 5);
    expect(utterances.map(({ durationSec }) => durationSec).slice(0, 2)).toEqual([0.3, 0.25]);
    expect(ffmpegSamples(utterances[1]!.path)).toEqual(
      ffmpegSamples(join(folder, 'clips', 'ann', 'it\'s "two".wav')),
    );
    const { train, dev, test } = partitionUtterances(utterances);
    expect([train.length, dev.length, test.length]).toEqual([6, 2, 2]);
    expect(await prepareCsv(options(file))).toMatchObject({ alreadyDone: true, converted: 0, kept: 10 });
  });

  it('takes the columns that are there: id, text, gender, session, split', async () => {
    const file = csv('split,id,path,label,text,gender,session,speaker', [
      'train,a,clips/ann/one.flac,happy,"Well, ""yes""",F,s1,ann',
      `validation,b,clips/bob/one.flac,sad,,M,s2,bob`,
      `test,c/../x,${join(folder, 'clips/cyd/one.flac')},sad,No,M,s3,cyd`,
    ]);
    const { utterances } = await readManifest((await prepareCsv(options(file))).manifestPath);
    expect(utterances.map(({ path: _, durationSec: __, ...rest }) => rest)).toEqual([
      {
        id: 'a',
        text: 'Well, "yes"',
        label: 'happy',
        speaker: 'ann',
        gender: 'F',
        session: 's1',
        split: 'train',
      },
      { id: 'b', text: '', label: 'sad', speaker: 'bob', gender: 'M', session: 's2', split: 'dev' },
      { id: 'c/../x', text: 'No', label: 'sad', speaker: 'cyd', gender: 'M', session: 's3', split: 'test' },
    ]);
    expect(utterances[2]!.path).toBe(join(folder, `out${count}`, 'audio', 'c_.._x.wav'));
  });

  it('makes speaker-independent folds where asked', async () => {
    const file = csv('path,label,speaker', ROWS);
    const { utterances } = await readManifest(
      (await prepareCsv({ ...options(file), folds: 5, seed: 3 })).manifestPath,
    );
    for (let fold = 1; fold <= 5; fold++) {
      const { train, test } = partitionUtterances(utterances, { fold });
      expect([train.length, test.length]).toEqual([8, 2]);
    }
  });

  it('divides each label where speakers are not known', async () => {
    const file = csv(
      'path,label',
      ROWS.map((row) => row.replace(/,\w+$/, '')),
    );
    const summary = await prepareCsv({ ...options(file), devShare: 0.2 });
    expect(summary.counts.split).toEqual({
      dev: { happy: 1, sad: 1 },
      test: { happy: 1, sad: 1 },
      train: { happy: 3, sad: 3 },
    });
  });

  it.each([
    ['no label column', 'path,emotion', ['a.wav,sad'], /line 1: missing column "label"/],
    ['no records', 'path,label', [], /has a header but no records/],
    ['an empty label', 'path,label', ['clips/ann/one.flac,'], /line 2: column "label" is empty/],
    [
      'an unknown split',
      'path,label,split',
      ['clips/ann/one.flac,sad,tran'],
      /line 2: split "tran" is not one of train, dev/,
    ],
    [
      'a half-filled split',
      'path,label,split',
      ['clips/ann/one.flac,sad,train', 'clips/bob/one.flac,sad,'],
      /line 3: split is empty while other lines have one/,
    ],
    [
      'missing audio',
      'path,label',
      ['clips/ann/one.flac,sad', 'clips/ann/none.wav,sad'],
      /line 3: .*none\.wav does not exist/,
    ],
    [
      'one clip twice',
      'path,label',
      ['clips/ann/one.flac,sad', 'clips/ann/one.flac,happy'],
      /line 3: id "one" is on line 2 already; add a column "id"/,
    ],
    ['too few speakers', 'path,label,speaker', ROWS.slice(0, 4), /need at least 3 speakers, there are 2/],
    [
      'a speaker in two splits',
      'path,label,speaker,split',
      [`${ROWS[0]},train`, `${ROWS[2]},dev`, `${ROWS[1]},test`],
      /line 4: speaker "ann" is in split test here and in split train on line 2/,
    ],
    [
      'ids that differ in case alone',
      'id,path,label',
      ['A,clips/ann/one.flac,sad', 'a,clips/bob/one.flac,sad', 'b,clips/cyd/one.flac,sad'],
      /"A" and "a" would share the file audio\/a\.wav/,
    ],
  ])('refuses %s', async (_, header, rows, message) => {
    const file = csv(header, rows);
    expect(await refusal(prepareCsv(options(file)))).toMatch(message);
    expect(readdirSync(folder)).not.toContain(`out${count}`);
  });

  it('lets a speaker be in two splits where that is allowed', async () => {
    const file = csv('path,label,speaker,split', [`${ROWS[0]},train`, `${ROWS[1]},test`]);
    expect(await prepareCsv({ ...options(file), allowSharedSpeakers: true })).toMatchObject({ kept: 2 });
  });

  it('refuses a clip that cannot be decoded, or leaves it out and says so', async () => {
    put(join(folder, 'clips', 'bad.mp3'), 'no sound');
    const file = csv('path,label', [...ROWS.map((row) => row.replace(/,\w+$/, '')), 'clips/bad.mp3,sad']);
    expect(await refusal(prepareCsv(options(file)))).toMatch(
      /is not as expected: bad: bad\.mp3 cannot be decoded/,
    );
    const { kept, skipped, converted } = await prepareCsv({ ...options(file), allowIncomplete: true });
    expect({ kept, converted }).toEqual({ kept: 10, converted: 0 });
    expect(skipped).toEqual([{ id: 'bad', reason: expect.stringMatching(/^bad\.mp3 cannot be decoded/) }]);
    const { info } = await readManifest(join(folder, `out${count}`, 'manifest.csv'));
    expect(info.notes.skipped).toEqual(skipped);
    expect(JSON.stringify(info)).not.toContain(folder);
  });

  it('refuses a name that is no name', async () => {
    const file = csv('path,label', ['clips/ann/one.flac,sad']);
    expect(await refusal(prepareCsv({ ...options(file), name: '../x' }))).toMatch(
      /corpus name "\.\.\/x" must be letters/,
    );
  });

  it('killed again and again, goes on and ends with the same bytes', async () => {
    const rows = ROWS.flatMap((row) => [row, row, row]).map((row, index) => `u${index},${row}`);
    const file = csv('id,path,label,speaker', rows);
    const door = new URL('../../../dist/data/corpora/index.js', import.meta.url).href;
    const code = `const { prepareCsv } = await import(${JSON.stringify(door)}); await prepareCsv(JSON.parse(process.argv[1]));`;
    const journal = join(folder, 'killed', 'preparation.jsonl');
    const linesDone = (): number =>
      existsSync(journal) ? readFileSync(journal, 'utf8').split('\n').length - 1 : 0;
    for (const lines of [1, 8, 15]) {
      const child = spawn(
        process.execPath,
        ['--input-type=module', '-e', code, JSON.stringify({ ...options(file, 'killed'), jobs: 2 })],
        { stdio: 'ignore' },
      );
      const ended = once(child, 'exit');
      while (linesDone() < lines && child.exitCode === null) await sleep(5);
      child.kill('SIGKILL');
      await ended;
      if (lines === 1) expect(linesDone()).toBeLessThan(rows.length); // it was killed in the middle, not after
    }
    await prepareCsv(options(file, 'killed'));
    await prepareCsv(options(file, 'undisturbed'));
    expect(snapshot(join(folder, 'killed'))).toEqual(snapshot(join(folder, 'undisturbed')));
  });
});

const realData = process.env.EMOQ_REAL_DATA;
if (!realData) console.log('EMOQ_REAL_DATA is not set: prepare-csv is not tried on real speech');

describe.skipIf(!realData)('prepare-csv on RAVDESS', () => {
  it('prepares a part of it, decoded as ffmpeg decodes it, in speaker-independent splits', async () => {
    const metadata = readFileSync(join(realData!, 'ravdess', 'metadata.csv'), 'utf8')
      .trim()
      .split('\n');
    const [header, ...rows] = metadata;
    const some = rows.filter((_, index) => index % 14 === 0).map((row) => join(realData!, 'ravdess', row));
    const { manifestPath, kept } = await prepareCsv(options(csv(header!, some), 'ravdess'));
    expect(kept).toBe(16);
    const manifest = await readManifest(manifestPath);
    const { utterances } = selectUtterances(manifest, {
      labels: ['neutral', 'happy', 'sad', 'angry'],
      outside: 'error',
    });
    const { train, dev, test } = partitionUtterances(utterances);
    const speakers = [train, dev, test].map((part) => [...new Set(part.map(({ speaker }) => speaker))]);
    expect(new Set(speakers.flat()).size).toBe(speakers.flat().length);
    const [first] = manifest.utterances;
    expect(await decodeAudio(first!.path)).toEqual(
      ffmpegSamples(join(realData!, 'ravdess', rows[0]!.split(',')[0]!)),
    );
  });

  it('reads its metadata as a manifest as it stands', async () => {
    const { utterances } = await readManifest(join(realData!, 'ravdess', 'metadata.csv'));
    expect(utterances.length).toBe(224);
    const { train, dev, test } = partitionUtterances(utterances, { seed: 5 });
    expect(train.length + dev.length + test.length).toBe(224);
  });
});
