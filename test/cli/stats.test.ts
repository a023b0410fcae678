/** @file `emoq stats` from a user's perspective: tables, JSON, leakage and exit codes. */

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { encodeWav } from '../../src/data/audio/index.js';
import { emoq } from './command-line.js';
import { emoqHere } from './in-process.js';

const folder = mkdtempSync(join(tmpdir(), 'emoq stats-'));
afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, content: string | Uint8Array): string {
  writeFileSync(join(folder, name), content);
  return name;
}

/** A corpus in which a speaker, a scene and a clip are in training and test. */
function writeLeakyCorpus(): string {
  mkdirSync(join(folder, 'clips'));
  const scene = ['Where have you been all day?', 'Out and about.', 'You could have called.'];
  const rows = ['id,path,text,label,speaker,split,duration_sec'];
  const add = (id: string, text: string, speaker: string, split: string, sound = rows.length): void => {
    file(`clips/${id}.wav`, encodeWav(new Float32Array(1600).fill(sound / 100), 16_000));
    rows.push(`${id},clips/${id}.wav,${text},${rows.length % 2 ? 'joy' : 'anger'},${speaker},${split},0.1`);
  };
  for (const [i, text] of scene.entries()) add(`a_${i}`, text, 'ann', 'train');
  add('b_0', '[LAUGHTER] No!', 'bob', 'train', 77);
  add('b_1', 'Never mind that.', 'bob', 'dev');
  for (const [i, text] of scene.entries()) add(`c_${i}`, text.toUpperCase(), 'cyd', 'test');
  add('d_0', 'no', 'bob', 'test', 77);
  return file('leaky.csv', `${rows.join('\n')}\n`);
}

describe('emoq stats', () => {
  const manifest = writeLeakyCorpus();
  const stats = (...args: string[]) => emoq(['stats', '--manifest', manifest, ...args], folder);
  /** The same command in this process, on files in the folder. */
  const statsHere = (option: string, name: string, ...args: string[]) =>
    emoqHere(['stats', option, join(folder, name), ...args]);

  it('prints counts, lengths and what the splits have in common', async () => {
    const { code, stdout, stderr } = await stats();
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toBe(
      [
        'split  joy  anger  total',
        'train    2      2      4',
        'dev      1      0      1',
        'test     2      2      4',
        'total    5      4      9',
        '',
        'leaky: 9 utterances, 0.9 s, 3 speakers (leaky.csv)',
        '',
        'split  speakers  hours  shortest s  25 %  median  75 %  95 %  longest s',
        'train         2   0.00        0.10  0.10    0.10  0.10  0.10       0.10',
        'dev           1   0.00        0.10  0.10    0.10  0.10  0.10       0.10',
        'test          2   0.00        0.10  0.10    0.10  0.10  0.10       0.10',
        'total         3   0.00        0.10  0.10    0.10  0.10  0.10       0.10',
        '',
        'in common (utterances)  speakers  texts  5+ words  passages  audio',
        'train and dev              1 (1)      0         0         0      0',
        'train and test             1 (1)  4 (4)     1 (1)     1 (4)  1 (1)',
        'dev and test               1 (1)      0         0         0      0',
        '',
        'train and dev: speakers bob',
        'train and test: speakers bob',
        'train and test: passage a_0 to b_0 = c_0 to d_0: "where have you been all day out and about you could have cal ..."',
        'train and test: audio b_0 = d_0',
        'dev and test: speakers bob',
        '',
        'seen in training     speakers',
        'dev of 1          1 (100.0 %)',
        'test of 4          1 (25.0 %)',
        '',
      ].join('\n'),
    );
  });

  it('gives the same to programs', async () => {
    const { stdout } = await statsHere('--manifest', manifest, '--json');
    const result = JSON.parse(stdout) as { leakage: { pairs: Record<string, unknown>[] } };
    expect(result).toMatchObject({
      utterances: 9,
      speakers: 3,
      divided_by: 'split',
      counts: { split: { test: { anger: 2, joy: 2 } } },
      parts: {
        train: { utterances: 4, speakers: 2, duration_sec: 0.4, length_sec: { min: 0.1, p95: 0.1 } },
      },
      leakage: { audio_files: { compared: 9, missing: 0 } },
    });
    expect(result.leakage.pairs[1]).toEqual({
      seen: 'train',
      held_out: 'test',
      utterances: 4,
      speakers: {
        count: 1,
        utterances: 1,
        examples: [{ what: 'bob', seen: ['b_0'], held_out: ['d_0'] }],
      },
      dialogues: { count: 0, utterances: 0, examples: [] },
      texts: expect.objectContaining({ count: 4, utterances: 4 }),
      long_texts: expect.objectContaining({ count: 1 }),
      passages: expect.objectContaining({
        examples: [
          expect.objectContaining({
            seen: ['a_0', 'a_1', 'a_2', 'b_0'],
            held_out: ['c_0', 'c_1', 'c_2', 'd_0'],
          }),
        ],
      }),
      audio: expect.objectContaining({ count: 1 }),
    });
  });

  it('reports the share of speakers, sessions and dialogues that occur in training', async () => {
    const rows = [
      'train_dia0_utt0,Ann,e1,train',
      'train_dia0_utt1,Bob,e2,train',
      'dia3_utt0,Cyd,e3,train',
      'dia3_utt1,Ann,e1,test',
      'test_dia0_utt0,,e4,test',
      'test_dia0_utt1,Dee,,test',
    ].map((row) => `${row},clips/a_0.wav,joy`);
    const csv = file('series.csv', `id,speaker,session,split,path,label\n${rows.join('\n')}\n`);
    const { stdout } = await statsHere('--manifest', csv, '--json');
    const third = { utterances: 1, share: 1 / 3 };
    expect((JSON.parse(stdout) as { seen_in_training: unknown }).seen_in_training).toEqual([
      { held_out: 'test', utterances: 3, speakers: third, sessions: third, episodes: null, dialogues: third },
    ]);
    expect((await statsHere('--manifest', csv)).stdout).toMatch(
      /^seen in training +speakers +sessions +dialogues\ntest of 3 +1 \(33\.3 %\) +1 \(33\.3 %\) +1 \(33\.3 %\)$/m,
    );
    // Between sessions: each is compared with all others, and none with itself.
    const folds = file(
      'folds.csv',
      `id,speaker,session,path,label\n${['a,Ann,1', 'b,Bob,2', 'c,Bob,2', 'd,Ann,2'].map((row) => `${row},clips/a_0.wav,joy\n`).join('')}`,
    );
    const { seen_in_training } = JSON.parse((await statsHere('--manifest', folds, '--json')).stdout) as {
      seen_in_training: { held_out: string; speakers: unknown; sessions: unknown }[];
    };
    expect(
      seen_in_training.map(({ held_out, speakers, sessions }) => [held_out, speakers, sessions]),
    ).toEqual([
      ['1', { utterances: 1, share: 1 }, null],
      ['2', third, null],
    ]);
  });

  it('fails on leakage where that is asked for, of the kinds that are', async () => {
    const all = await stats('--fail-on-leakage');
    expect(all.code).toBe(1);
    expect(all.stdout).toMatch(/^split /);
    expect(all.stderr).toBe(
      'warning: leakage: speakers in train and dev; speakers in train and test; texts in train and test; passages in train and test; audio in train and test; speakers in dev and test\n',
    );
    expect(await stats('--fail-on-leakage', 'audio', '--json')).toMatchObject({
      code: 1,
      stderr: 'warning: leakage: audio in train and test\n',
    });
    expect((await statsHere('--manifest', manifest, '--fail-on-leakage', 'audio,voices')).stderr).toContain(
      '"voices" is not one of speakers, dialogues, texts, passages, audio; see emoq stats --help',
    );
    const clean = file('clean.csv', 'path,label,split\nclips/a_0.wav,joy,train\nclips/c_0.wav,joy,test\n');
    expect(await statsHere('--manifest', clean, '--fail-on-leakage')).toMatchObject({
      code: 0,
      stderr: '',
    });
    const gone = file('gone.csv', 'path,label,split\nclips/a_0.wav,joy,train\nnone.wav,joy,test\n');
    const missing = await emoq(['stats', '--manifest', gone, '--fail-on-leakage', 'audio'], folder);
    expect([missing.code, missing.stderr]).toEqual([
      1,
      'warning: 1 audio file is missing, so audio leakage cannot be checked\n',
    ]);
    expect(missing.stdout).toContain('1 audio file is missing and not compared.');
  });

  it('finds dialogues that have turns in two splits, which a fold or a recipe keeps apart', async () => {
    const rows = [
      ['a', 'call1', 'train'],
      ['b', 'call1', 'test'],
      ['c', 'call2', 'test'],
      ['Ses01F_impro01_F000', '', 'train'],
      ['Ses01F_impro01_M000', '', 'test'],
    ].map(([id, dialogue, split], i) => `${id},clips/a_${i % 3}.wav,joy,${dialogue},${split}`);
    const csv = file('calls.csv', `id,path,label,dialogue,split\n${rows.join('\n')}\n`);
    const { stdout } = await statsHere('--manifest', csv);
    expect(stdout).toMatch(/^in common \(utterances\) +speakers +dialogues +texts /m);
    expect(stdout).toMatch(/^train and test +0 +2 \(2\) +0 /m);
    expect(stdout).toContain('train and test: dialogues call1, Ses01F_impro01\n');
    expect(await statsHere('--manifest', csv, '--fail-on-leakage', 'dialogues', '--json')).toMatchObject({
      code: 1,
      stderr: 'warning: leakage: dialogues in train and test\n',
    });
    const apart = file('apart.csv', `id,path,label,dialogue,split\n${rows.slice(1, 4).join('\n')}\n`);
    expect(await statsHere('--manifest', apart, '--fail-on-leakage', 'dialogues')).toMatchObject({
      ...{ code: 0, stderr: '' },
      stdout: expect.not.stringMatching(/dialogues +texts/) as string,
    });
  });

  it("looks at a recipe's utterances, between the sessions that its folds hold out", async () => {
    const rows = ['F', 'M', 'F', 'M', 'F', 'M'].map((gender, i) => {
      const session = Math.floor(i / 2) + 1;
      const id = `Ses0${session}F_${i < 4 ? 'impro01' : 'script01_1'}_${gender}000`;
      return `${id},clips/a_0.wav,${i % 2 ? 'happy' : 'excited'},Ses0${session}${gender},${session},Yes [LAUGHTER].`;
    });
    const csv = file('iemocap.csv', `id,path,label,speaker,session,text\n${rows.join('\n')}\n`);
    const recipe = file(
      'improvised.yaml',
      `manifest: ${join(folder, csv)}\nlabels: [happy, sad]\nlabel_map: {excited: happy}\nfolds: session\nid_pattern: _impro\n`,
    );
    const { code, stdout, stderr } = await statsHere('--recipe', recipe);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "left out by the recipe's id_pattern: 2\n" });
    expect(stdout).toMatch(/^session +happy +sad +total\n1 +2 +0 +2\n2 +2 +0 +2\ntotal +4 +0 +4\n/);
    expect(stdout).toMatch(/^others and 1 +0 +1 \(2\) +0 +1 \(2\) +1 \(2\)$/m);
    const none = await statsHere('--recipe', recipe, '--set', 'id_pattern=_play');
    expect([none.code, none.stderr]).toEqual([
      2,
      `error: ${join(folder, csv)}: no utterance has an id that matches id_pattern "_play"; the first id is Ses01F_impro01_F000\n`,
    ]);
    const odd = await statsHere('--recipe', recipe, '--set', 'id_pattern="(impro"');
    expect(odd.stderr).toContain('id_pattern="(impro": is not a regular expression');
  });

  it('says so where there is nothing to compare', async () => {
    const csv = file('plain.csv', 'path,label\nclips/a_0.wav,joy\n');
    const { code, stdout } = await statsHere('--manifest', csv);
    expect(code).toBe(0);
    expect(stdout).toContain('\nThere are neither splits nor sessions, so there is no leakage to check.\n');
    const one = file('one.csv', 'path,label,session\nclips/a_0.wav,joy,1\n');
    expect((await statsHere('--manifest', one)).stdout).toContain('One session only');
  });
});
