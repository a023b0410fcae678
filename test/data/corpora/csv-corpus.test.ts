import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { InputError } from '../../../src/base/index.js';
import { decodeAudio } from '../../../src/data/audio/index.js';
import {
  partitionUtterances,
  prepareCsv,
  readLabelMap,
  readManifest,
  selectUtterances,
} from '../../../src/data/corpora/index.js';
import { ffmpegSamples, ffprobeSec, writeTone } from '../audio/ffmpeg-clips.js';
import { put, toneWav } from './raw-trees.js';

const folder = mkdtempSync(join(tmpdir(), 'emoq csv é-'));
afterAll(() => rmSync(folder, { recursive: true }));

const SPEAKERS = ['ann', 'bob', 'cyd', 'dan', 'eve'];

/** Two clips per speaker, FLAC at 48 kHz and WAV at 16 kHz. */
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
      'a speaker in two sessions that folds would hold out',
      'path,label,speaker,session',
      [`${ROWS[0]},1`, `${ROWS[1]},2`, `${ROWS[2]},2`],
      /line 3: speaker "ann" is in session 2 here and in session 1 on line 2/,
    ],
    [
      'needed columns under other names',
      'File Name,Emotion',
      ['clips/ann/one.flac,sad'],
      /missing columns "path", "label"; it has File Name, Emotion; rename "File Name" to "path", rename "Emotion" to "label"$/,
    ],
    [
      'speakers under another name, which would be split apart',
      'path,label,Speaker ID',
      ['clips/ann/one.flac,sad,ann'],
      /line 1: column "Speaker ID" would not be read: rename it to "speaker"/,
    ],
    [
      'a transcript under another name',
      'path,label,transcript',
      ['clips/ann/one.flac,sad,Hello'],
      /column "transcript" would not be read: rename it to "text"/,
    ],
    [
      'a time that is none',
      'path,label,start',
      ['clips/ann/one.flac,sad,soon'],
      /line 2: start "soon" is neither seconds \(12\.5\) nor a time/,
    ],
    [
      'a segment that ends before it starts',
      'path,label,start,end',
      ['clips/ann/one.flac,sad,0.2,0:00.1'],
      /line 2: end 0:00\.1 is not after start 0\.2/,
    ],
    [
      'one segment twice',
      'path,label,start,end',
      ['clips/ann/one.flac,sad,0.1,0.2', 'clips/ann/one.flac,happy,0.10,0.2'],
      /line 3: id "one_0\.1-0\.2" is on line 2 already/,
    ],
    [
      'a speaker in two splits',
      'path,label,speaker,split',
      [`${ROWS[0]},train`, `${ROWS[2]},dev`, `${ROWS[1]},test`],
      /line 4: speaker "ann" is in split test here and in split train on line 2/,
    ],
    [
      'ids that differ only in case',
      'id,path,label',
      ['A,clips/ann/one.flac,sad', 'a,clips/bob/one.flac,sad', 'b,clips/cyd/one.flac,sad'],
      /"A" and "a" would share the file audio\/a\.wav/,
    ],
  ])('refuses %s', async (_, header, rows, message) => {
    const file = csv(header, rows);
    expect(await refusal(prepareCsv(options(file)))).toMatch(message);
    expect(readdirSync(folder)).not.toContain(`out${count}`);
  });

  it('refuses text that is not UTF-8, with its line', async () => {
    const path = join(folder, 'windows.csv');
    put(
      path,
      Buffer.from('path,label,text\nclips/ann/one.flac,sad,Hello\nb.wav,sad,\x93Well\x94\n', 'latin1'),
    );
    expect(await refusal(prepareCsv(options(path)))).toMatch(
      /windows\.csv, line 3: not UTF-8 text \(Windows-1252, perhaps\); save it as UTF-8$/,
    );
  });

  it('reads what spreadsheets write: a byte-order mark, mixed line ends, line breaks in quotes, odd paths', async () => {
    const name = 'ünï.wav';
    put(join(folder, 'clips', name.normalize('NFD')), toneWav(500, 0.2));
    const path = join(folder, 'spreadsheet.csv');
    const rows = [
      'path,label,text',
      'clips/ann/one.flac,sad,"Two\r\nlines, ""quoted"""',
      'clips\\bob\\one.flac,sad,',
      `clips/${name.normalize('NFC')} ,sad,x`,
    ];
    put(path, `\ufeff${rows.join('\r\n')}\nclips/cyd/one.flac,sad,added later\n`);
    const { manifestPath } = await prepareCsv(options(path, 'spreadsheet'));
    const { utterances } = await readManifest(manifestPath);
    expect(utterances.map(({ id, text, durationSec }) => [id, text, durationSec])).toEqual([
      ['clips_ann_one', 'Two\nlines, "quoted"', 0.3],
      ['clips_bob_one', '', 0.3],
      ['clips_ünï'.normalize('NFC'), 'x', 0.2],
      ['clips_cyd_one', 'added later', 0.3],
    ]);
  });

  it('renames labels by a map, and refuses one that names a label that is not there', async () => {
    const file = csv('path,label,speaker', ROWS);
    const labelMap = { happy: 'joy' };
    const { counts, manifestPath } = await prepareCsv({ ...options(file), labelMap });
    expect(counts.total).toEqual({ joy: 5, sad: 5 });
    expect((await readManifest(manifestPath)).info.source).toBe(
      'prepared from a CSV of 10 utterances, happy as joy',
    );
    expect(await refusal(prepareCsv({ ...options(file), labelMap: { hapy: 'joy' } }))).toMatch(
      /label map: no row has the label "hapy"; the labels are happy, sad/,
    );
  });

  it('cuts utterances out of long recordings, at any rate, and records where from', async () => {
    const seconds = [0, 1, 2, 3];
    const song = Buffer.concat([
      toneWav(200, 4).subarray(0, 44),
      ...seconds.map((second) => toneWav(200 + 100 * second, 1).subarray(44)),
    ]);
    put(join(folder, 'long', 'call one.wav'), song);
    execFileSync('ffmpeg', [
      ...['-v', 'error', '-i', join(folder, 'long', 'call one.wav'), '-ar', '48000'],
      join(folder, 'long', 'two.flac'),
    ]);
    const rows = seconds.map((second) => `long/call one.wav,sad,${second},${second + 1}`);
    const file = csv('path,label,start,end', [
      ...rows,
      'long/two.flac,happy,00:01.5,0:00:02.25',
      'long/two.flac,happy,3.5,',
      'clips/ann/one.flac,sad,,',
    ]);
    const summary = await prepareCsv(options(file));
    const { utterances, info } = await readManifest(summary.manifestPath);
    expect(utterances.map(({ id, durationSec }) => [id, durationSec])).toEqual([
      ...seconds.map((second) => [`long_call one_${second}-${second + 1}`, 1]),
      ['long_two_1.5-2.25', 0.75],
      ['long_two_3.5-end', 0.5],
      ['clips_ann_one', 0.3],
    ]);
    for (const second of seconds) {
      const expected = toneWav(200 + 100 * second, 1).subarray(44);
      expect(readFileSync(utterances[second]!.path).subarray(44).equals(expected)).toBe(true);
    }
    const source = ffmpegSamples(join(folder, 'long', 'two.flac'), '-ar', '16000');
    const cut = ffmpegSamples(utterances[4]!.path);
    const errors = cut.map((value, i) => Math.abs(value - source[24_000 + i]!));
    expect(Math.max(...errors.slice(200, -200))).toBeLessThan(1e-3);
    expect(info.notes.cut).toEqual([
      ...seconds.map((second) => ({
        id: `long_call one_${second}-${second + 1}`,
        reason: `${second} s to ${second + 1} s of call one.wav`,
      })),
      { id: 'long_two_1.5-2.25', reason: '1.5 s to 2.25 s of two.flac' },
      { id: 'long_two_3.5-end', reason: '3.5 s to the end of two.flac' },
    ]);
    // No speaker is known, so a recording stays together: its parts are never in both training and test.
    const splits = new Set(utterances.slice(0, 4).map(({ split }) => split));
    expect([splits.size, new Set(utterances.map(({ split }) => split)).size]).toEqual([1, 3]);
    expect(await prepareCsv(options(file))).toMatchObject({ alreadyDone: true });

    const past = csv('path,label,speaker,start,end', [
      'long/call one.wav,sad,a,3,4.05', // a rounded annotation
      'long/call one.wav,sad,b,3.5,4.5',
      'long/call one.wav,sad,c,7,8',
      'long/two.flac,sad,d,7,8',
    ]);
    expect(await refusal(prepareCsv(options(past)))).toMatch(
      /call one_3\.5-4\.5: 3\.5 s to 4\.5 s: call one\.wav ends at 4 s; call one_7-8: 7 s to 8 s: call one\.wav .*; two_7-8: 7 s to 8 s: two\.flac /,
    );
  });

  it("keeps the CSV's own sessions as folds, and does not make others over them", async () => {
    const file = csv('path,label,speaker,session', [`${ROWS[0]},a`, `${ROWS[2]},b`]);
    const { counts } = await prepareCsv(options(file));
    expect(counts).toMatchObject({ session: { a: { happy: 1 }, b: { happy: 1 } }, split: undefined });
    expect(await refusal(prepareCsv({ ...options(file), folds: 2 }))).toMatch(
      /its column "session" says what the folds are; leave out --folds/,
    );
  });

  it('gives a clip with a very long id a file name that file systems take', async () => {
    const id = `${'é'.repeat(150)}/x`;
    const file = csv('id,path,label', [`${id},clips/ann/one.flac,sad`, `${id}2,clips/bob/one.flac,sad`]);
    const { utterances } = await readManifest(
      (await prepareCsv({ ...options(file), devShare: 0 })).manifestPath,
    );
    expect(utterances.map((each) => each.id)).toEqual([id, `${id}2`]);
    expect(new Set(utterances.map(({ path }) => path)).size).toBe(2);
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
    expect((await decodeAudio(first!.path)).samples).toEqual(
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

describe('a label map', () => {
  it('is read from pairs or from a YAML file, where labels that look like numbers stay what they are', async () => {
    expect(await readLabelMap('ang=angry, hap = happy')).toEqual({ ang: 'angry', hap: 'happy' });
    const path = join(folder, 'labels.yaml');
    put(path, '03: happy\n"05": angry # a comment\nno: neutral\n');
    expect(await readLabelMap(path)).toEqual({ '03': 'happy', '05': 'angry', no: 'neutral' });
  });

  it.each([
    ['pairs without a sign', 'ang', /"ang" is not a pair like angry=ang/],
    ['half a pair', 'ang=', /"ang=" is not a pair/],
    ['a label twice', 'a=b,a=c', /"a" appears twice/],
    ['a missing file', 'none.yaml', /label map none\.yaml does not exist/],
  ])('is refused with %s', async (_, source, message) => {
    expect(await refusal(readLabelMap(source))).toMatch(message);
  });

  it.each([
    ['a list', '- a\n', /a label map holds lines like "angry: ang"/],
    ['a section', 'a: {b: c}\n', /key a: must be another label/],
    ['broken YAML', 'a: [b\n', /odd\.yaml, line \d+, column \d+/],
  ])('is refused as a file with %s', async (_, text, message) => {
    put(join(folder, 'odd.yaml'), text);
    expect(await refusal(readLabelMap(join(folder, 'odd.yaml')))).toMatch(message);
  });
});
