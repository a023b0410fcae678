import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { InputError } from '../../../src/base/index.js';
import {
  corpusMetadataPath,
  countDifferences,
  readCorpusMetadata,
} from '../../../src/data/corpora/corpus-metadata.js';
import {
  partitionUtterances,
  prepareIemocap,
  readManifest,
  selectUtterances,
  type Utterance,
} from '../../../src/data/corpora/index.js';
import { ffmpegSamples } from '../audio/ffmpeg-clips.js';
import { type IemocapLine, iemocapDialog, put } from './raw-trees.js';

const folder = mkdtempSync(join(tmpdir(), 'emoq-iemocap-'));
const root = join(folder, 'IEMOCAP_full_release');
const metadataPath = join(folder, 'iemocap.yaml');
afterAll(() => rmSync(folder, { recursive: true }));

const line = (part: string, code: string, text?: string): IemocapLine => ({
  part,
  code,
  ...(text ? { text } : {}),
});

/** Writes a complete small release: five sessions, each with an improvised and a scripted dialog. */
function writeRelease(path: string): void {
  for (let session = 1; session <= 5; session++) {
    iemocapDialog(path, session, `Ses0${session}F_impro01`, [
      line('F000', 'neu', 'Excuse me. [LAUGHTER]'),
      line('M000', 'ang', `Don't "you"; start: again.`),
      line('F001', 'exc'),
      line('F002', 'xxx'),
    ]);
    iemocapDialog(path, session, `Ses0${session}M_script01_1b`, [
      line('F000', 'sad'),
      line('M012', 'hap'),
      line('M013', 'fru'),
    ]);
  }
}

beforeAll(() => {
  writeRelease(root);
  const metadata = parse(readFileSync(corpusMetadataPath('iemocap'), 'utf8'));
  const each = { neutral: 1, angry: 1, sad: 1, 'happy+excited': 2 };
  metadata.counts.total = {
    neutral: 5,
    angry: 5,
    sad: 5,
    happy: 5,
    excited: 5,
    frustrated: 5,
    undecided: 5,
    fearful: 0,
  };
  metadata.counts.session = { 1: each, 2: each, 3: each, 4: each, 5: each };
  put(metadataPath, stringify(metadata));
});

const options = (out: string, path = root) => ({ root: path, out: join(folder, out), metadataPath });

async function refusal(work: Promise<unknown>): Promise<string> {
  const error = await work.catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(InputError);
  expect((error as Error).message).not.toContain('\n');
  return (error as Error).message;
}

describe('prepare-iemocap', () => {
  it('keeps every labelled utterance, with its transcript, session and the speaker of the last part', async () => {
    const summary = await prepareIemocap(options('a'));
    const { utterances } = await readManifest(summary.manifestPath);
    expect(utterances.length).toBe(35);
    expect(
      utterances
        .slice(14, 21)
        .map(({ id, label, speaker, gender, session, split }) => [
          id,
          label,
          speaker,
          gender,
          session,
          split,
        ]),
    ).toEqual([
      ['Ses03F_impro01_F000', 'neutral', 'Ses03F', 'F', '3', ''],
      ['Ses03F_impro01_M000', 'angry', 'Ses03M', 'M', '3', ''],
      ['Ses03F_impro01_F001', 'excited', 'Ses03F', 'F', '3', ''],
      ['Ses03F_impro01_F002', 'undecided', 'Ses03F', 'F', '3', ''],
      ['Ses03M_script01_1b_F000', 'sad', 'Ses03F', 'F', '3', ''],
      ['Ses03M_script01_1b_M012', 'happy', 'Ses03M', 'M', '3', ''],
      ['Ses03M_script01_1b_M013', 'frustrated', 'Ses03M', 'M', '3', ''],
    ]);
    expect(utterances[0]).toMatchObject({
      text: 'Excuse me. [LAUGHTER]',
      path: join(folder, 'a', 'audio', 'session1', 'Ses01F_impro01_F000.wav'),
      durationSec: 0.4,
    });
    expect(utterances[1]!.text).toBe(`Don't "you"; start: again.`);
    expect(new Set(utterances.map(({ speaker }) => speaker)).size).toBe(10);
    expect(summary).toMatchObject({
      kept: 35,
      converted: 35,
      cut: [],
      padded: [],
      skipped: [],
      differences: [],
    });
    const source = join(root, 'Session1', 'sentences', 'wav', 'Ses01F_impro01', 'Ses01F_impro01_F000.wav');
    expect(ffmpegSamples(utterances[0]!.path)).toEqual(ffmpegSamples(source));
    expect(await prepareIemocap(options('a'))).toMatchObject({ converted: 0, alreadyDone: true });
  });

  it('gives the four-class view and five folds of unseen speakers', async () => {
    const manifest = await readManifest(join(folder, 'a', 'manifest.csv'));
    const { labels, label_map: labelMap } = (await readCorpusMetadata(metadataPath)).views.iemocap4!;
    const { utterances, dropped } = selectUtterances(manifest, { labels, labelMap });
    expect(utterances.length).toBe(25);
    expect(utterances.filter(({ label }) => label === 'happy').length).toBe(10);
    expect(dropped).toEqual({ frustrated: 5, undecided: 5 });
    for (let fold = 1; fold <= 5; fold++) {
      const { train, test } = partitionUtterances(utterances, { fold });
      expect([train.length, test.length]).toEqual([20, 5]);
      expect(new Set(test.map(({ session }) => session))).toEqual(new Set([String(fold)]));
    }
  });

  it('refuses other counts, listing them by session and label, or records them', async () => {
    const small = { root, out: join(folder, 'b') };
    expect(await refusal(prepareIemocap(small))).toMatch(
      /is not as expected: neutral 5 instead of 1708; .*session 1: neutral 1 instead of 384; .*--allow-incomplete/,
    );
    const summary = await prepareIemocap({ ...small, allowIncomplete: true });
    expect(summary.kept).toBe(35);
    expect(summary.differences).toContain('session 4: excited 1 instead of 238');
    expect((await readManifest(summary.manifestPath)).info.notes.differences).toEqual(summary.differences);
  });

  it('reports a clip, a transcript or a session that is missing', async () => {
    const broken = join(folder, 'broken');
    writeRelease(broken);
    rmSync(join(broken, 'Session2', 'sentences', 'wav', 'Ses02F_impro01', 'Ses02F_impro01_M000.wav'));
    rmSync(join(broken, 'Session3', 'dialog', 'transcriptions', 'Ses03F_impro01.txt'));
    const path = join(broken, 'Session4', 'dialog', 'transcriptions', 'Ses04F_impro01.txt');
    put(path, readFileSync(path, 'utf8').replace(/^.*_F001 .*\n/m, ''));
    rmSync(join(broken, 'Session5'), { recursive: true });
    expect(await refusal(prepareIemocap(options('c', broken)))).toMatch(
      /Ses02F_impro01_M000 has no clip; Ses03F_impro01 has no transcription file; Ses04F_impro01_F001 has no transcript; Session5 has no EmoEvaluation files/,
    );
    const { kept, skipped } = await prepareIemocap({ ...options('c', broken), allowIncomplete: true });
    expect(kept).toBe(27);
    expect(skipped).toEqual([{ id: 'Ses02F_impro01_M000', reason: 'clip missing' }]);
  });

  it('refuses a folder that is not the release', async () => {
    expect(await refusal(prepareIemocap(options('d', folder)))).toMatch(
      /--root must be the folder IEMOCAP_full_release/,
    );
  });
});

describe('IEMOCAP files that are not understood are refused with file and line', () => {
  const EVALUATION = join('Session1', 'dialog', 'EmoEvaluation', 'Ses01F_impro01.txt');
  const TRANSCRIPT = join('Session1', 'dialog', 'transcriptions', 'Ses01F_impro01.txt');
  const cases: [string, string, (text: string) => string, RegExp][] = [
    [
      'an unknown code',
      EVALUATION,
      (text) => text.replace('\tneu\t', '\tjoy\t'),
      /line 3: label "joy" is not one of neu, ang, sad/,
    ],
    [
      'a label line with spaces for tabs',
      EVALUATION,
      (text) => text.replace('\tneu\t', ' neu '),
      /Ses01F_impro01\.txt, line 3: ".*" is not a label line/,
    ],
    [
      'a line of something else',
      EVALUATION,
      (text) => text.replace('C-F1:', 'note'),
      /line 5: "note.*" is not a label line/,
    ],
    [
      'an id of another dialog',
      EVALUATION,
      (text) => text.replace('impro01_F001', 'impro02_F001'),
      /line 13: "Ses01F_impro02_F001" is not an utterance of Ses01F_impro01/,
    ],
    [
      'an id twice',
      EVALUATION,
      (text) => text.replace('_F001', '_F000'),
      /line 13: Ses01F_impro01_F000 is on line 3 already/,
    ],
    [
      'times the wrong way round',
      EVALUATION,
      (text) => text.replace('0.6901', '0.1'),
      /line 3: Ses01F_impro01_F000 ends at 0\.1 s, before it begins/,
    ],
    [
      'a transcript without times',
      TRANSCRIPT,
      (text) => text.replace(/ \[.*?\]/, ''),
      /transcriptions.*line 1: "Ses01F_impro01_F000: Excuse me\. .*" is not a transcript line/,
    ],
    [
      'two transcripts of one id',
      TRANSCRIPT,
      (text) => text.replace('_F001 ', '_F000 '),
      /line 3: Ses01F_impro01_F000 has a transcript already/,
    ],
  ];
  it.each(cases)('%s', async (_, file, change, message) => {
    const copy = mkdtempSync(join(folder, 'odd-'));
    writeRelease(copy);
    put(join(copy, file), change(readFileSync(join(copy, file), 'utf8')));
    expect(await refusal(prepareIemocap({ ...options('odd', copy), allowIncomplete: true }))).toMatch(
      message,
    );
  });

  it('a dialog in the wrong session', async () => {
    const copy = mkdtempSync(join(folder, 'odd-'));
    writeRelease(copy);
    iemocapDialog(copy, 2, 'Ses01F_impro09', [line('F000', 'neu')]);
    expect(await refusal(prepareIemocap(options('odd', copy)))).toMatch(
      /Ses01F_impro09\.txt is not a dialog of session 2/,
    );
  });
});

describe('the metadata of IEMOCAP', () => {
  it('agree with each other: 10,039 utterances, 5,531 in four classes, five sessions', async () => {
    const { counts, labels, codes, views } = await readCorpusMetadata(corpusMetadataPath('iemocap'));
    const sum = (record: Record<string, number>): number => Object.values(record).reduce((a, b) => a + b, 0);
    expect(sum(counts.total!)).toBe(10_039);
    expect(Object.keys(counts.total!).sort()).toEqual([...labels].sort());
    expect(Object.values(codes!).sort()).toEqual([...labels].sort());
    expect(sum(views.iemocap4!.counts)).toBe(5531);
    for (const label of labels) {
      const bySession = Object.entries(counts.session!).map(([session, of]) => [session, of[label]!]);
      expect(sum(Object.fromEntries(bySession))).toBe(counts.total![label]);
    }
    // Views of whole sessions follow from the counts; that of the improvised part does not.
    for (const { labels: classes, label_map: map = {}, id_pattern, counts: expected } of Object.values(
      views,
    )) {
      const codes = [...classes, ...Object.keys(map)];
      for (const [session, total] of id_pattern ? [] : Object.entries(expected)) {
        expect(codes.reduce((all, label) => all + counts.session![session]![label]!, 0)).toBe(total);
      }
    }
  });

  it('find every count that differs', async () => {
    const metadata = await readCorpusMetadata(metadataPath);
    const { utterances } = await readManifest(join(folder, 'a', 'manifest.csv'));
    expect(countDifferences(metadata, utterances)).toEqual([]);
    const changed = utterances.map(
      (u): Utterance => (u.id === 'Ses02F_impro01_F001' ? { ...u, label: 'fearful' } : u),
    );
    expect(countDifferences(metadata, changed)).toEqual([
      'excited 4 instead of 5',
      'fearful 1 instead of 0',
      'session 2: happy+excited 1 instead of 2',
    ]);
    expect(countDifferences(metadata, [...utterances, { ...utterances[0]!, session: '6' }])).toContain(
      'session 6 is unknown',
    );
  });

  it('are refused when the file is damaged, with line or key', async () => {
    const path = join(folder, 'bad.yaml');
    put(path, 'corpus: x\nlabels: [a, b\n');
    expect(await refusal(readCorpusMetadata(path))).toMatch(/bad\.yaml, line \d+, column \d+: /);
    put(path, readFileSync(metadataPath, 'utf8').replace('neutral: 5', 'neutral: five'));
    expect(await refusal(readCorpusMetadata(path))).toMatch(/bad\.yaml, key counts\.total\.neutral: /);
  });
});
