/**
 * @file What was said before an utterance: found by hand in small corpora and small releases, within its dialogue,
 * split and session, without labels or anything later.
 */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import {
  type CorpusView,
  type Manifest,
  partitionUtterances,
  prepareCsv,
  prepareIemocap,
  prepareMeld,
  readManifest,
  selectUtterances,
} from '../../../src/data/corpora/index.js';
import { iemocapDialog, MONO, meldClip, meldCsv, put, toneWav } from './raw-trees.js';

const folder = mkdtempSync(join(tmpdir(), 'emoq-dialogues-'));
afterAll(() => rmSync(folder, { recursive: true }));

const HEADER = 'id,path,text,label,speaker,split,dialogue,turn';
/** A manifest written by hand, of rows without paths. */
async function handWritten(name: string, rows: readonly string[], header = HEADER): Promise<Manifest> {
  const path = join(folder, `${name}.csv`);
  writeFileSync(path, `${[header, ...rows].join('\n')}\n`);
  return readManifest(path);
}

/** `a: Ann Hi | Bob Yo` for each utterance of a view with its history. */
function told(manifest: Manifest, view: Partial<CorpusView> & { history: number }): string[] {
  const { utterances } = selectUtterances(manifest, { labels: ['joy', 'anger'], ...view });
  return utterances.map(({ id, history }) =>
    `${id}: ${history!.map(({ speaker, text }) => `${speaker} ${text}`).join(' | ')}`.trim(),
  );
}

const CALL = [
  'a,,Hi,joy,Ann,train,c1,0',
  'x,,Other,joy,Xen,train,c2,0',
  'b,,Yo,neutral,Bob,train,c1,1',
  'c,,[SIGH],joy,Ann,train,c1,2',
  'e,,Last,anger,Ann,train,c1,4',
  'd,,Fine [LAUGHTER],joy,Bob,train,c1,3',
  'f,,Alone,joy,Ann,train,,',
  'g,,Split,joy,Ann,test,c1,5',
];

describe('the history of an utterance', () => {
  it('is what was said before it in its dialogue, by the numbers of its turns, whatever the label', async () => {
    const manifest = await handWritten('call', CALL);
    expect(told(manifest, { history: 12 })).toEqual([
      'a:',
      'x:',
      'c: Ann Hi | Bob Yo',
      'e: Ann Hi | Bob Yo | Ann [SIGH] | Bob Fine [LAUGHTER]',
      'd: Ann Hi | Bob Yo | Ann [SIGH]',
      'f:',
      'g:', // the same dialogue in another split
    ]);
  });

  it('has the last turns, as many as asked for, of those that have words', async () => {
    const manifest = await handWritten('call', CALL);
    expect(told(manifest, { history: 2, labels: ['anger'] })).toEqual([
      'e: Ann [SIGH] | Bob Fine [LAUGHTER]',
    ]);
    expect(told(manifest, { history: 2, labels: ['anger'], stripTags: true })).toEqual([
      'e: Bob Yo | Bob Fine',
    ]);
  });

  it('has speakers and words alone', async () => {
    const { utterances } = selectUtterances(await handWritten('call', CALL), {
      labels: ['anger'],
      history: 1,
    });
    expect(utterances[0]!.history).toEqual([
      { id: 'd', speaker: 'Bob', gender: '', text: 'Fine [LAUGHTER]' },
    ]);
    const without = selectUtterances(await handWritten('call', CALL), { labels: ['anger'] });
    expect(without.utterances[0]).not.toHaveProperty('history');
  });

  it('follows the rows of a table that does not number turns', async () => {
    const rows = CALL.map((row) => row.replace(/,[^,]*$/, ''));
    const manifest = await handWritten('unnumbered', rows, HEADER.replace(',turn', ''));
    expect(told(manifest, { history: 12, labels: ['joy'] }).at(3)).toBe(
      'd: Ann Hi | Bob Yo | Ann [SIGH] | Ann Last',
    );
  });

  it('may have the numbers of a program that writes 3.0', async () => {
    const manifest = await handWritten('floats', [
      'b,,Yo,joy,Bob,train,c1,10.0',
      'a,,Hi,joy,Ann,train,c1,9.00',
    ]);
    expect(told(manifest, { history: 1 })).toEqual(['b: Ann Hi', 'a:']);
  });

  it('has recognised words where those are read, and none that were not recognised', async () => {
    const header = `${HEADER},recognised`;
    const manifest = await handWritten(
      'heard',
      [
        'a,,Given,joy,Ann,train,c1,0,heard',
        'b,,Also given,joy,Bob,train,c1,1,',
        'c,,Third,joy,Ann,train,c1,2,x',
      ],
      header,
    );
    const withOther = {
      ...manifest,
      info: {
        ...manifest.info,
        other_turns: [
          {
            dialogue: 'c1',
            turn: 3,
            speaker: 'Cy',
            gender: '',
            text: 'Never cut',
            session: '',
            split: 'train',
          },
        ],
      },
    };
    expect(told(withOther, { history: 9, text: 'recognised' })).toEqual([
      'a:',
      'b: Ann heard',
      'c: Ann heard',
    ]);
    const later = {
      ...withOther,
      info: { ...withOther.info, other_turns: [{ ...withOther.info.other_turns[0]!, turn: -1 }] },
    };
    expect(told(later, { history: 9 })[0]).toBe('a: Cy Never cut');
    expect(told(later, { history: 9, text: 'recognised' })[0]).toBe('a:');
  });

  it('ends at a split that was made from the seed', async () => {
    const header = 'id,text,label,speaker,dialogue';
    const rows = ['Ann', 'Bob', 'Cy', 'Di', 'Ed', 'Flo'].flatMap((speaker, at) =>
      [0, 1, 2].map((n) => `${speaker}${n},Words ${n} of ${speaker},joy,${speaker},call${at % 2}`),
    );
    const manifest = await handWritten('drawn', rows, header);
    const { utterances } = selectUtterances(manifest, { labels: ['joy'], history: 50 });
    expect(utterances.filter(({ history }) => history!.length > 3).length).toBeGreaterThan(5);
    const parts = partitionUtterances(utterances, { seed: 3 });
    const own = (members: typeof utterances) => new Set(members.map(({ speaker }) => speaker));
    for (const members of [parts.train, parts.dev, parts.test]) {
      const speakers = own(members);
      expect(members.length).toBeGreaterThan(0);
      for (const { history } of members)
        for (const { speaker } of history!) expect(speakers).toContain(speaker);
    }
  });

  it('is refused of a manifest that does not say what is one dialogue, and of turns without an order', async () => {
    const none = await handWritten('none', ['a,,Hi,joy,Ann,train,,']);
    expect(() => told(none, { history: 12 })).toThrow(/none\.csv names no dialogues/);
    const plain = await handWritten('plain', ['a,,Hi,joy,Ann,train'], 'id,path,text,label,speaker,split');
    expect(() => told(plain, { history: 12 })).toThrow(
      /plain\.csv names no dialogues in a column "dialogue", which prompt\.history reads; prepare the corpus again/,
    );
    const twice = await handWritten('twice', ['a,,Hi,joy,Ann,train,c1,7', 'b,,Yo,joy,Bob,train,c1,7']);
    expect(() => told(twice, { history: 12 })).toThrow(
      /twice\.csv, line 2: a and b are both turn 7 of their dialogue; number the turns in their order/,
    );
    await expect(handWritten('odd', ['a,,Hi,joy,Ann,train,c1,first'])).rejects.toThrow(
      /odd\.csv, line 2: turn "first" is not the place of the utterance in dialogue "c1", a whole number/,
    );
  });
});

describe('prepared dialogues', () => {
  it('of a table keep their columns, and the words of rows that have no clip', async () => {
    writeFileSync(
      join(folder, 'table.csv'),
      [
        'path,text,label,speaker,split,dialogue',
        'no.wav,Gone,joy,A,train,d',
        'a.wav,Here,joy,B,train,d',
        'b.wav,Test,joy,C,test,d\n',
      ].join('\n'),
    );
    for (const name of ['a.wav', 'b.wav']) put(join(folder, name), toneWav(300, 0.4));
    const { manifestPath, warnings } = await prepareCsv({
      ...{
        file: join(folder, 'table.csv'),
        name: 'table',
        out: join(folder, 'table'),
        allowIncomplete: true,
      },
    });
    expect(warnings.join('\n')).toContain('1 of 1 dialogues (d) have turns in several splits or sessions');
    const manifest = await readManifest(manifestPath);
    expect(readFileSync(manifestPath, 'utf8').split('\n')[0]).toMatch(/,duration_sec,dialogue,turn$/);
    expect(manifest.info.other_turns).toEqual([
      { dialogue: 'd', turn: 0, speaker: 'A', gender: '', text: 'Gone', session: '', split: 'train' },
    ]);
    expect(told(manifest, { history: 3 })).toEqual(['a: A Gone', 'b:']);
  });

  it('of MELD are numbered by the release, in each split, with what was said in a clip that is missing', async () => {
    const root = join(folder, 'MELD.Raw');
    const of = (split: string): string =>
      meldCsv([
        { text: `${split} one`, speaker: 'Joey', emotion: 'joy', dialogue: 0, utterance: 0 },
        { text: `${split} two`, speaker: 'Ross', emotion: 'fear', dialogue: 0, utterance: 1 },
        { text: `${split} three`, speaker: 'Joey', emotion: 'anger', dialogue: 0, utterance: 3 },
        { text: `${split} other`, speaker: 'Ross', emotion: 'joy', dialogue: 1, utterance: 0 },
      ]);
    const places = { train: 'train_splits', dev: 'dev_splits_complete', test: 'output_repeated_splits_test' };
    for (const [split, place] of Object.entries(places)) {
      put(join(root, `${split}_sent_emo.csv`), of(split));
      for (const name of ['dia0_utt0', 'dia0_utt1', 'dia0_utt3', 'dia1_utt0']) {
        if (split === 'test' && name === 'dia0_utt1') continue;
        meldClip(root, place, name, MONO);
      }
    }
    const { manifestPath } = await prepareMeld({ root, out: join(folder, 'meld'), allowIncomplete: true });
    const manifest = await readManifest(manifestPath);
    expect(manifest.utterances.map(({ dialogue, turn }) => `${dialogue} ${turn}`).slice(0, 5)).toEqual([
      ...['train_dia0 0', 'train_dia0 1', 'train_dia0 3', 'train_dia1 0', 'dev_dia0 0'],
    ]);
    expect(told(manifest, { history: 12 })).toEqual([
      'train_dia0_utt0:',
      'train_dia0_utt3: Joey train one | Ross train two',
      'train_dia1_utt0:',
      'dev_dia0_utt0:',
      'dev_dia0_utt3: Joey dev one | Ross dev two',
      'dev_dia1_utt0:',
      'test_dia0_utt0:',
      'test_dia0_utt3: Joey test one | Ross test two',
      'test_dia1_utt0:',
    ]);
  }, 30_000);

  it('of IEMOCAP are in the order of time, with all that was said', async () => {
    const root = join(folder, 'IEMOCAP_full_release');
    const dialog = 'Ses01F_impro01';
    iemocapDialog(root, 1, dialog, [
      { part: 'F000', code: 'neu', text: 'Excuse me.' },
      { part: 'F001', code: 'xxx', text: 'Yeah.' },
      { part: 'M000', code: 'ang', text: 'Next.' },
      { part: 'F002', code: 'neu', text: 'Unheard.' },
      { part: 'F003', code: 'neu', text: 'Bye.' },
    ]);
    // As in the release, one speaker's labels follow the other's; M000 was said between F000 and F001.
    rmSync(join(root, 'Session1/sentences/wav', dialog, `${dialog}_F002.wav`));
    const labels = join(root, 'Session1/dialog/EmoEvaluation', `${dialog}.txt`);
    const transcripts = join(root, 'Session1/dialog/transcriptions', `${dialog}.txt`);
    writeFileSync(labels, readFileSync(labels, 'utf8').replace('[2.2901 - 2.6901]', '[0.8000 - 1.1000]'));
    writeFileSync(transcripts, readFileSync(transcripts, 'utf8').replace('090.0000-091', '000.7000-001'));
    const { manifestPath } = await prepareIemocap({
      ...{ root, out: join(folder, 'iemocap'), allowIncomplete: true },
    });
    const manifest = await readManifest(manifestPath);
    expect(manifest.utterances.map(({ id, dialogue, turn }) => [id, dialogue, turn])).toEqual([
      [`${dialog}_F000`, dialog, 0],
      [`${dialog}_M000`, dialog, 2],
      [`${dialog}_F001`, dialog, 3],
      [`${dialog}_F003`, dialog, 5],
    ]);
    expect(manifest.info.other_turns).toEqual([
      { dialogue: dialog, turn: 1, speaker: 'Ses01M', gender: 'M', text: 'Mmhmm.', session: '1', split: '' },
      {
        dialogue: dialog,
        turn: 4,
        speaker: 'Ses01F',
        gender: 'F',
        text: 'Unheard.',
        session: '1',
        split: '',
      },
    ]);
    expect(told(manifest, { history: 4, labels: ['neutral', 'undecided'] })).toEqual([
      `${dialog}_F000:`,
      `${dialog}_F001: Ses01F Excuse me. | Ses01M Mmhmm. | Ses01M Next.`,
      `${dialog}_F003: Ses01M Mmhmm. | Ses01M Next. | Ses01F Yeah. | Ses01F Unheard.`,
    ]);
  });
});
