/**
 * @file Every corpus that data-manifests describes, as a raw tree of its true names with tones for speech: labels,
 * speakers, genders, texts, folds, splits and counts, and one line for each thing that is wrong in a copy.
 */

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { InputError } from '../../../src/base/index.js';
import { corpusMetadataPath } from '../../../src/data/corpora/corpus-metadata.js';
import {
  type Manifest,
  openRelease,
  partitionUtterances,
  prepareDescribed,
  readManifest,
  releaseNames,
  selectUtterances,
} from '../../../src/data/corpora/index.js';
import { loadTokenizer, resolveLabelWords } from '../../../src/data/text/index.js';
import { loadRecipe } from '../../../src/recipe/index.js';
import { loadEmoq } from '../../recipe/emoq-recipe.js';
import { writeTone } from '../audio/ffmpeg-clips.js';
import { put, toneWav } from './raw-trees.js';

const folder = mkdtempSync(join(tmpdir(), 'emoq-described-'));
afterAll(() => rmSync(folder, { recursive: true }));

const tone = toneWav(300, 0.15);

/** Writes files (tones unless there is a content) and returns their folder. */
function tree(files: Readonly<Record<string, string | Uint8Array | undefined>>): string {
  const root = mkdtempSync(join(folder, 'raw-'));
  for (const [path, content = tone] of Object.entries(files)) put(join(root, path), content);
  return root;
}

const tones = (...paths: string[]): Record<string, undefined> =>
  Object.fromEntries(paths.map((path) => [path, undefined]));

/** The shipped description with the counts of a small tree. */
function described(corpus: string, total?: Record<string, number>): string {
  const description = parse(readFileSync(corpusMetadataPath(corpus), 'utf8'));
  if (total) description.counts = { total };
  const path = join(mkdtempSync(join(folder, 'description-')), `${corpus}.yaml`);
  put(path, stringify(description));
  return path;
}

async function prepared(corpus: string, root: string, total?: Record<string, number>): Promise<Manifest> {
  const out = mkdtempSync(join(folder, 'out-'));
  const { manifestPath, differences } = await prepareDescribed({
    root,
    out,
    metadataPath: described(corpus, total),
  });
  expect(differences).toEqual([]);
  return readManifest(manifestPath);
}

async function refusal(corpus: string, root: string, total?: Record<string, number>): Promise<string> {
  const options = { root, out: mkdtempSync(join(folder, 'out-')), metadataPath: described(corpus, total) };
  const error = await prepareDescribed(options).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(InputError);
  expect((error as Error).message).not.toContain('\n');
  return (error as Error).message;
}

const rows = ({ utterances }: Manifest): string[][] =>
  utterances.map(({ id, label, speaker, gender, session, split, text }) => [
    id,
    label,
    speaker,
    gender,
    session,
    split,
    text,
  ]);

describe('RAVDESS', () => {
  const pad = (number: number): string => String(number).padStart(2, '0');
  /** All names of the speech archive, by the rules on its page. */
  const names = Array.from({ length: 24 }, (_, actor) =>
    [1, 2, 3, 4, 5, 6, 7, 8].flatMap((emotion) =>
      (emotion === 1 ? [1] : [1, 2]).flatMap((intensity) =>
        [1, 2].flatMap((statement) =>
          [1, 2].map(
            (repetition) =>
              `Actor_${pad(actor + 1)}/03-01-${[emotion, intensity, statement, repetition, actor + 1].map(pad).join('-')}.wav`,
          ),
        ),
      ),
    ),
  ).flat();

  it('has 1,440 clips of 24 actors, in folds that leave actors out', async () => {
    expect(names).toHaveLength(1440);
    const root = tree({
      ...tones(...names),
      'README.txt': 'about',
      'Actor_01/.DS_Store': 'Bud1',
      'Actor_01/._03-01-01-01-01-01-01.wav': '\0\x05',
      ...tones('Audio_Song_Actors_01-24/Actor_01/03-02-03-01-01-01-01.wav'),
    });
    // One is as released, 48 kHz, through ffmpeg.
    rmSync(join(root, names[0]!));
    writeTone(join(root, names[0]!), { channelHz: [300, 300], layout: 'stereo', durationSec: 0.2 });
    const manifest = await prepared('ravdess', root);
    expect(manifest.utterances).toHaveLength(1440);
    expect(rows(manifest)[0]).toEqual([
      '03-01-01-01-01-01-01',
      'neutral',
      '01',
      'M',
      '5',
      '',
      'Kids are talking by the door.',
    ]);
    expect(rows(manifest).find(([id]) => id === '03-01-08-02-02-01-24')).toEqual([
      '03-01-08-02-02-01-24',
      'surprised',
      '24',
      'F',
      '4',
      '',
      'Dogs are sitting by the door.',
    ]);
    expect(manifest.info).toMatchObject({ name: 'ravdess', languages: ['en'] });
    expect(manifest.info.counts.total).toEqual({
      ...{ neutral: 96, calm: 192, happy: 192, sad: 192, angry: 192 },
      ...{ fearful: 192, disgusted: 192, surprised: 192 },
    });
    const { labels, folds } = await loadRecipe({ dataset: 'ravdess' });
    expect(folds).toBe('session');
    const { utterances } = selectUtterances(manifest, { labels });
    const held = [1, 2, 3, 4, 5].map((fold) => {
      const { train, dev, test } = partitionUtterances(utterances, { fold, validation: 'speaker' });
      expect(train.length + dev.length + test.length).toBe(1440);
      return [...new Set(test.map(({ speaker }) => Number(speaker)))].sort((a, b) => a - b);
    });
    expect(held).toEqual([
      [2, 5, 14, 15, 16],
      [3, 6, 7, 13, 18],
      [10, 11, 12, 19, 20],
      [8, 17, 21, 23, 24],
      [1, 4, 9, 22],
    ]);
  });

  it.each<[string, Record<string, string | undefined>, string]>([
    [
      'an actor that there is not',
      tones('Actor_25/03-01-01-01-01-01-25.wav'),
      'Actor_25/03-01-01-01-01-01-25.wav: actor 25 is not one of 01 to 24; restore its name in the release',
    ],
    [
      'an emotion that there is not',
      tones('Actor_01/03-01-09-01-01-01-01.wav'),
      'Actor_01/03-01-09-01-01-01-01.wav: emotion 09 is not one of 01, 02, 03, 04, 05, 06, 07, 08; restore its name',
    ],
    [
      'a clip of something else',
      tones('Actor_01/mine.wav'),
      'Actor_01/mine.wav is not named like a clip (03-01-06-01-02-01-12.wav); remove it from the folder',
    ],
    [
      'a copy of a clip',
      tones('copy/Actor_01/03-01-03-01-01-01-01.wav'),
      '03-01-03-01-01-01-01 is there as Actor_01/03-01-03-01-01-01-01.wav and as copy/Actor_01/03-01-03-01-01-01-01.wav; remove one',
    ],
    ['an empty clip', { 'Actor_01/03-01-03-01-01-02-01.wav': '' }, '03-01-03-01-01-02-01: '],
  ])('says in one line that it has %s', async (_, extra, message) => {
    const root = tree({ ...tones('Actor_01/03-01-03-01-01-01-01.wav'), ...extra });
    const happy = message.startsWith('03-01-03-01-01-02-01') ? 2 : 1;
    const refused = await refusal('ravdess', root, { happy });
    expect(refused).toContain(` is not as expected: ${message}`);
  });

  it('is refused as an archive, as no folder, and as another corpus', async () => {
    const archive = join(folder, 'Audio_Speech_Actors_01-24.zip');
    put(archive, 'PK');
    expect(await refusal('ravdess', archive)).toMatch(
      /01-24\.zip is a file: --root must be the folder with Actor_01 to Actor_24, .*; unpack it if it is an archive$/,
    );
    expect(await refusal('ravdess', join(folder, 'nowhere'))).toMatch(
      /nowhere does not exist: --root must be/,
    );
    expect(await refusal('ravdess', tree(tones('wav/03a01Fa.wav')))).toMatch(
      /has no clip with a name like 03-01-06-01-02-01-12\.wav: is it the folder with Actor_01/,
    );
  });
});

describe('TESS', () => {
  it('has a word in each name, and one name that lacks a letter', async () => {
    const root = tree(
      tones(
        'TESS data/OAF_angry/OAF_back_angry.wav',
        'TESS data/OAF_neutral/OA_bite_neutral.wav',
        'TESS data/OAF_Pleasant_surprise/OAF_mop_ps.wav',
        'TESS data/YAF_fear/YAF_shout_fear.wav',
      ),
    );
    const manifest = await prepared('tess', root, { angry: 1, neutral: 1, surprised: 1, fearful: 1 });
    expect(rows(manifest)).toEqual([
      ['OAF_back_angry', 'angry', 'OAF', 'F', 'OAF', '', 'Say the word back.'],
      ['OAF_mop_ps', 'surprised', 'OAF', 'F', 'OAF', '', 'Say the word mop.'],
      ['OA_bite_neutral', 'neutral', 'OAF', 'F', 'OAF', '', 'Say the word bite.'],
      ['YAF_shout_fear', 'fearful', 'YAF', 'F', 'YAF', '', 'Say the word shout.'],
    ]);
    const { test } = partitionUtterances(manifest.utterances, { fold: 2 });
    expect(test.map(({ speaker }) => speaker)).toEqual(['YAF']);
  });
});

describe('SAVEE', () => {
  const emotions = { a: 15, d: 15, f: 15, h: 15, n: 30, sa: 15, su: 15 };
  const sentences = Object.entries(emotions).flatMap(([letters, count]) =>
    Array.from({ length: count }, (_, index) => `${letters}${String(index + 1).padStart(2, '0')}`),
  );

  it.each<[string, (speaker: string, sentence: string) => string]>([
    ['in folders of speakers', (speaker, sentence) => `AudioData/${speaker}/${sentence}.wav`],
    ['in one folder', (speaker, sentence) => `ALL/${speaker}_${sentence}.wav`],
  ])('has 480 clips of four men, %s', async (_, nameOf) => {
    const names = ['DC', 'JE', 'JK', 'KL'].flatMap((speaker) =>
      sentences.map((sentence) => nameOf(speaker, sentence)),
    );
    const manifest = await prepared('savee', tree({ ...tones(...names), 'AudioData/Info.txt': 'about' }));
    expect(manifest.utterances).toHaveLength(480);
    expect(rows(manifest).filter(([id]) => /^(?:DC_a01|KL_sa15|JK_su02)$/.test(id!))).toEqual([
      ['DC_a01', 'angry', 'DC', 'M', 'DC', '', ''],
      ['JK_su02', 'surprised', 'JK', 'M', 'JK', '', ''],
      ['KL_sa15', 'sad', 'KL', 'M', 'KL', '', ''],
    ]);
    expect(await loadEmoq({ dataset: 'savee' })).toMatchObject({ inputs: 'audio' });
  });

  it('has no emotion of other letters', async () => {
    const root = tree(tones('DC/a01.wav', 'DC/b01.wav'));
    expect(await refusal('savee', root, { angry: 1 })).toContain(
      'DC/b01.wav: emotion b is not one of a, d, f, h, n, sa, su; restore its name',
    );
  });
});

describe('EMO-DB', () => {
  it('is German: sentences by code, emotions by the letters of their German words', async () => {
    const root = tree({
      ...tones('wav/03a01Fa.wav', 'wav/08b10Wc.wav', 'wav/16a04La.wav', 'wav/11b03Td.wav', 'wav/09a02Nb.wav'),
      'lablaut/03a01Fa.lablaut': 'x',
      'erkennung.txt': 'x',
    });
    const counts = { happy: 1, angry: 1, bored: 1, sad: 1, neutral: 1 };
    const manifest = await prepared('emo-db', root, counts);
    expect(rows(manifest)).toEqual([
      ['03a01Fa', 'happy', '03', 'M', '03', '', 'Der Lappen liegt auf dem Eisschrank.'],
      ['08b10Wc', 'angry', '08', 'F', '08', '', 'Die wird auf dem Platz sein, wo wir sie immer hinlegen.'],
      ['09a02Nb', 'neutral', '09', 'F', '09', '', 'Das will sie am Mittwoch abgeben.'],
      [
        '11b03Td',
        'sad',
        '11',
        'M',
        '11',
        '',
        'An den Wochenenden bin ich jetzt immer nach Hause gefahren und habe Agnes besucht.',
      ],
      ['16a04La', 'bored', '16', 'F', '16', '', 'Heute abend könnte ich es ihm sagen.'],
    ]);
    expect(manifest.info.languages).toEqual(['de']);
    const { test } = partitionUtterances(manifest.utterances, { fold: 5 });
    expect(test.map(({ speaker }) => speaker)).toEqual(['16']);
  });

  it('has no speaker, sentence or emotion beyond its own', async () => {
    const root = tree(tones('wav/03a01Fa.wav', 'wav/04a01Fa.wav', 'wav/03a03Fa.wav', 'wav/03a01Xa.wav'));
    const refused = await refusal('emo-db', root, { happy: 1 });
    expect(refused).toContain('wav/03a01Xa.wav: emotion X is not one of W, L, E, A, F, T, N; restore');
    expect(refused).toContain('wav/03a03Fa.wav: sentence a03 is not one of a01, a02, a04, a05, a07, b01,');
    expect(refused).toContain('wav/04a01Fa.wav: speaker 04 is not one of 03, 08, 09, 10,');
  });

  it('adds up to 535 clips', () => {
    const { counts } = parse(readFileSync(corpusMetadataPath('emo-db'), 'utf8'));
    expect((Object.values(counts.total) as number[]).reduce((a, b) => a + b, 0)).toBe(535);
  });
});

describe('ESD', () => {
  const transcripts = {
    '0001/0001.txt':
      '0001_000001\t打远一看，它们的确很是美丽，\t中立\n0001_000351\t打远一看，它们的确很是美丽，\t生气\n',
    '0011/0011.txt': Buffer.from(
      '\ufeff0011_000001\tThe nine the eggs, I keep.\tNeutral\r\n0011_000021\tI did go.\tNeutral\r\n0011_000051\tA b c.\tNeutral\r\n',
      'utf16le',
    ),
  };
  const divided = tones(
    '0001/Angry/train/0001_000351.wav',
    '0001/Neutral/evaluation/0001_000001.wav',
    '0011/Neutral/evaluation/0011_000001.wav',
    '0011/Neutral/test/0011_000021.wav',
    '0011/Neutral/train/0011_000051.wav',
  );
  const counts = { angry: 1, neutral: 4 };

  it('reads speakers and emotions of folders, transcripts of each speaker, and its parts', async () => {
    const manifest = await prepared('esd', tree({ ...divided, ...transcripts }), counts);
    expect(rows(manifest)).toEqual([
      ['0001_000001', 'neutral', '0001', 'F', '', 'dev', '打远一看，它们的确很是美丽，'],
      ['0001_000351', 'angry', '0001', 'F', '', 'train', '打远一看，它们的确很是美丽，'],
      ['0011_000001', 'neutral', '0011', 'M', '', 'dev', 'The nine the eggs, I keep.'],
      ['0011_000021', 'neutral', '0011', 'M', '', 'test', 'I did go.'],
      ['0011_000051', 'neutral', '0011', 'M', '', 'train', 'A b c.'],
    ]);
    expect(manifest.info.languages).toEqual(['zh', 'en']);
    const of = async (dataset: string): Promise<string[]> => {
      const { labels, id_pattern: idPattern } = await loadRecipe({ dataset });
      const { utterances } = selectUtterances(manifest, { labels, idPattern: idPattern! });
      return utterances.map(({ id }) => id);
    };
    expect(await of('esd-zh')).toEqual(['0001_000001', '0001_000351']);
    expect(await of('esd-en')).toEqual(['0011_000001', '0011_000021', '0011_000051']);
  });

  it('may lie in a folder below, and need not be divided', async () => {
    const root = tree({});
    for (const [path, content = tone] of Object.entries({ ...divided, ...transcripts })) {
      const flat = path.replace(/\/(?:train|evaluation|test)\//, '/');
      put(join(root, 'Emotion Speech Dataset', flat), content);
    }
    const manifest = await prepared('esd', root, counts);
    expect(new Set(manifest.utterances.map(({ split }) => split))).toEqual(new Set(['']));
    expect(manifest.utterances.every(({ text }) => text !== '')).toBe(true);
  });

  it('has no transcript where a line has another form, so that no emotion word gets into a text', async () => {
    const odd = { ...transcripts, '0001/0001.txt': '0001_000001 打远一看 中立\n' };
    expect(await refusal('esd', tree({ ...divided, ...odd }), counts)).toContain(
      'is not as expected: 0001/0001.txt has no line for 0001_000001, 0001_000351, so the text is unknown; get it',
    );
    const { '0001/0001.txt': _, ...without } = transcripts;
    expect(await refusal('esd', tree({ ...divided, ...without }), counts)).toContain(
      'is not as expected: 0001/0001.txt is missing, so the text is unknown; get it from the release',
    );
  });

  it('is not half divided, and no clip lies with another speaker', async () => {
    const half = tree({ ...divided, ...transcripts, ...tones('0011/Neutral/0011_000051.wav') });
    rmSync(join(half, '0011/Neutral/train'), { recursive: true });
    expect(await refusal('esd', half, counts)).toContain(
      '1 clips are in no split while others are (one is 0011_000051)',
    );
    const foreign = tree({ ...divided, ...transcripts, ...tones('0011/Neutral/test/0012_000022.wav') });
    expect(await refusal('esd', foreign, counts)).toContain(
      '0011/Neutral/test/0012_000022.wav is not named like a clip (0011/Angry/0011_000351.wav)',
    );
    const part = tree({ ...divided, ...transcripts, ...tones('0011/Neutral/spare/0011_000022.wav') });
    expect(await refusal('esd', part, counts)).toContain('part spare is not one of train, evaluation, test');
  });
});

describe('MSP-Podcast', () => {
  const header = 'FileName,EmoClass,EmoAct,EmoVal,EmoDom,SpkrID,Gender,Split_Set';
  const lines = [
    'MSP-PODCAST_0001_0008.wav,N,2.2,4.0,2.6,30,Male,Train',
    'MSP-PODCAST_0001_0019.wav,A,5.4,2.2,5.0,39,Female,Development',
    'MSP-PODCAST_0002_0033.wav,U,5.2,5.4,4.6,Unknown,Unknown,Train',
    'MSP-PODCAST_0003_0045.wav,X,3.0,3.8,3.2,127,Male,Test1',
    'MSP-PODCAST_0004_0001.wav,H,4.0,5.8,4.2,130,Female,Test2',
  ];
  const table = (...more: string[]): string => `${[header, ...lines, ...more].join('\n')}\n`;
  const audio = lines.slice(0, 4).map((line) => `Audios/${line.split(',')[0]}`);
  const files = {
    'Labels/labels_consensus.csv': table(),
    'Partitions.txt': 'Train; MSP-PODCAST_0001_0008.wav\n',
    'Transcripts/MSP-PODCAST_0001_0008.txt': 'And then we\n went home. ',
    'Transcripts/MSP-PODCAST_0001_0019.txt': 'No!',
    'Transcripts/MSP-PODCAST_0003_0045.txt': '',
    ...tones(...audio, 'Audios/MSP-PODCAST_0004_0001.wav'),
  };
  const expected = [
    ['MSP-PODCAST_0001_0008', 'neutral', '30', 'M', '', 'train', 'And then we went home.'],
    ['MSP-PODCAST_0001_0019', 'angry', '39', 'F', '', 'dev', 'No!'],
    ['MSP-PODCAST_0002_0033', 'surprised', '', '', '', 'train', ''],
    ['MSP-PODCAST_0003_0045', 'undecided', '127', 'M', '', 'test', ''],
  ];

  it('is read from its table: labels, speakers, partitions, transcripts where there are some', async () => {
    const out = mkdtempSync(join(folder, 'out-'));
    const summary = await prepareDescribed({
      root: tree(files),
      out,
      metadataPath: corpusMetadataPath('msp-podcast'),
    });
    expect(rows(await readManifest(summary.manifestPath))).toEqual(expected);
    expect(summary.remarks).toEqual([
      'left out as described: 1 with Split_Set Test2',
      '1 clip has no file like Transcripts/MSP-PODCAST_0002_0033.txt, so the text is unknown',
    ]);
  });

  it('may have its clips in an archive', async () => {
    const root = tree(files);
    execFileSync('tar', ['-czf', join(root, 'Audios.tar.gz'), '-C', root, 'Audios']);
    rmSync(join(root, 'Audios'), { recursive: true });
    expect(rows(await prepared('msp-podcast', root))).toEqual(expected);
  });

  it.each<[string, Record<string, string | undefined>, (root: string) => void, RegExp]>([
    [
      'a label that there is not',
      { 'Labels/labels_consensus.csv': table('b.wav,Z,1,1,1,3,Male,Train') },
      () => {},
      /labels_consensus\.csv, line 7: label "Z" is not one of A, S, H, U, F, D, C, N, O, X$/,
    ],
    [
      'a partition that there is not',
      { 'Labels/labels_consensus.csv': table('b.wav,A,1,1,1,3,Male,Test4') },
      () => {},
      /labels_consensus\.csv, line 7: split "Test4" is not one of Train, Development, Test1$/,
    ],
    [
      'a clip twice',
      { 'Labels/labels_consensus.csv': table(lines[0]!) },
      () => {},
      /labels_consensus\.csv, line 7: MSP-PODCAST_0001_0008 is on line 2 already$/,
    ],
    [
      'no label',
      { 'Labels/labels_consensus.csv': table('MSP-PODCAST_0009_0001.wav,,1,1,1,3,Male,Train') },
      () => {},
      /is not as expected: MSP-PODCAST_0009_0001 has no label\. Complete/,
    ],
    [
      'a clip that is missing',
      {},
      (root) => rmSync(join(root, audio[0]!)),
      /is not as expected: MSP-PODCAST_0001_0008 has no clip\. Complete/,
    ],
    [
      'no clips at all',
      {},
      (root) => rmSync(join(root, 'Audios'), { recursive: true }),
      /is not as expected: folder Audios is missing, and so is Audios\.tar\.gz\. Complete/,
    ],
    [
      'no table',
      {},
      (root) => rmSync(join(root, 'Labels'), { recursive: true }),
      /has no file Labels\/labels_consensus\.csv: --root must be the folder of the release, with Labels/,
    ],
    [
      'a table without a column',
      { 'Labels/labels_consensus.csv': table().replace('SpkrID', 'Speaker') },
      () => {},
      /labels_consensus\.csv, line 1: missing column "SpkrID"/,
    ],
  ])('is refused in one line with %s', async (_, more, change, message) => {
    const root = tree({ ...files, ...more });
    change(root);
    expect(await refusal('msp-podcast', root)).toMatch(message);
  });
});

describe('CMU-MOSEI', () => {
  const header = 'video,segment,start,end,happy,sad,anger,surprise,disgust,fear,split';
  const recording = toneWav(300, 4);

  it('cuts segments, and gives each its strongest emotion', async () => {
    const root = tree({
      'CMU_MOSEI_Emotions.csv': `${[
        header,
        '-3g5yACwYnA,0,0.5,1.5,0.67,0,0,0,0,0,train',
        '-3g5yACwYnA,1,1.5,2.25,0,0.33,0.66,0,0.33,0,train',
        '-3g5yACwYnA,2,2.25,3,0,0,0,0,0,0,dev',
        '123,0,-0.1,1,0.5,0,0,0,0,0.5,test',
      ].join('\n')}\n`,
      'Audio/Full/WAV_16000/-3g5yACwYnA.wav': recording,
      'Audio/Full/WAV_16000/123.wav': recording,
    });
    const manifest = await prepared('cmu-mosei', root);
    expect(rows(manifest).map(([id, label, , , , split]) => [id, label, split])).toEqual([
      ['-3g5yACwYnA_0', 'happy', 'train'],
      ['-3g5yACwYnA_1', 'angry', 'train'],
      ['-3g5yACwYnA_2', 'neutral', 'dev'],
      ['123_0', 'mixed', 'test'],
    ]);
    expect(manifest.utterances.map(({ durationSec }) => durationSec)).toEqual([1, 0.75, 0.75, 1]);
  });

  it.each([
    [
      'a score that is none',
      '1,0,0,1,high,0,0,0,0,0,train',
      /line 2: column happy: "high" is not a number from 0$/,
    ],
    ['a time that is none', '1,0,a,1,1,0,0,0,0,0,train', /line 2: start "a" is not a number of seconds$/],
    ['an end before its start', '1,0,2,1,1,0,0,0,0,0,train', /line 2: end 1 is not after its start$/],
    [
      'a split that is none',
      '1,0,0,1,1,0,0,0,0,0,3',
      /line 2: column split: "3" is not one of train, dev, test$/,
    ],
    ['a clip elsewhere', '../../../x,0,0,1,1,0,0,0,0,0,dev', /_0 has no clip\. Complete/],
  ])('is refused with %s', async (_, line, message) => {
    const root = tree({
      'CMU_MOSEI_Emotions.csv': `${header}\n${line}\n`,
      'Audio/Full/WAV_16000/1.wav': recording,
    });
    expect(await refusal('cmu-mosei', root)).toMatch(message);
  });
});

describe('the descriptions that come with emoq', () => {
  it('are all tested here or in files of their own', async () => {
    expect(await releaseNames()).toEqual([
      'cmu-mosei',
      'crema-d',
      'emo-db',
      'esd',
      'iemocap',
      'meld',
      'msp-podcast',
      'ravdess',
      'savee',
      'tess',
    ]);
    for (const name of await releaseNames()) {
      const release = await openRelease(name);
      expect(release.name).toBe(name);
      expect(release.languages.length).toBeGreaterThan(0);
    }
  });

  it('have recipes with their labels', async () => {
    for (const dataset of ['crema-d', 'emo-db', 'ravdess', 'savee', 'tess', 'esd-en', 'esd-zh']) {
      const corpus = dataset.replace(/^esd-.*/, 'esd');
      const { labels } = parse(readFileSync(corpusMetadataPath(corpus), 'utf8'));
      expect([...(await loadRecipe({ dataset })).labels!].sort()).toEqual([...labels].sort());
    }
  });
});

const realData = process.env.EMOQ_REAL_DATA;
if (!realData)
  console.log('EMOQ_REAL_DATA is not set: the real RAVDESS and the real tokenizer are not tried');

describe.skipIf(!realData)('with real data', () => {
  it('RAVDESS is what its own table of metadata says', async () => {
    const root = join(realData!, 'ravdess', 'audio');
    const out = join(folder, 'real');
    const metadataPath = corpusMetadataPath('ravdess');
    const summary = await prepareDescribed({ root, out, metadataPath, allowIncomplete: true });
    expect(summary.differences).toHaveLength(8); // the counts: it is a part of the corpus
    const { utterances } = await readManifest(summary.manifestPath);
    const metadata = readFileSync(join(realData!, 'ravdess', 'metadata.csv'), 'utf8')
      .trim()
      .split(/\r?\n/)
      .slice(1);
    expect(utterances).toHaveLength(metadata.length);
    const known = new Map(
      metadata.map((line) => [line.split(',')[0]!.split('/').at(-1)!.slice(0, -5), line]),
    );
    for (const { id, label, speaker, gender, text } of utterances) {
      const [, theirLabel, theirSpeaker, theirGender, , theirText] = known.get(id)!.split(',');
      expect([label, `actor_${speaker}`, gender, text]).toEqual([
        theirLabel,
        theirSpeaker,
        theirGender,
        theirText,
      ]);
    }
  });

  it('RAVDESS as released, 48 kHz and stereo, is read too', async () => {
    const root = join(realData!, 'ravdess', 'original');
    const out = join(folder, 'original');
    const metadataPath = described('ravdess', { calm: 2, happy: 1, angry: 1 });
    const { kept, differences } = await prepareDescribed({ root, out, metadataPath });
    expect({ kept, differences }).toEqual({ kept: 4, differences: [] });
  });

  it.each(['emo-db', 'esd-zh'])('the words of %s begin with different tokens of Qwen2.5', async (dataset) => {
    const recipe = await loadEmoq({ dataset });
    const words = recipe.labels!.map((label) => recipe.label_words[label]!);
    const tokenizer = await loadTokenizer(join(realData!, 'qwen2.5-tokenizer'));
    expect(resolveLabelWords(tokenizer, words)).toHaveLength(words.length);
  });
});
