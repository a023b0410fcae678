/** @file Descriptions of corpora by users: that of the documentation, mistakes in one, and the command that takes it. */

import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { InputError } from '../../../src/base/index.js';
import { readCorpusMetadata } from '../../../src/data/corpora/corpus-metadata.js';
import { openRelease, prepareDescribed, readManifest } from '../../../src/data/corpora/index.js';
import { emoqHere } from '../../cli/in-process.js';
import { killAndCompare } from './killing.js';
import { put, toneWav } from './raw-trees.js';

const folder = mkdtempSync(join(tmpdir(), 'emoq-description-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** The whole description that the documentation shows. */
const shown = /```yaml\n(corpus: calls\n[\s\S]*?)```/.exec(
  readFileSync(new URL('../../../docs/adding-a-corpus.md', import.meta.url), 'utf8'),
)![1]!;

/** Clips that it describes. */
function writeCalls(root: string): string {
  for (const name of ['ann/hot_12', 'ann/flat_3', 'bob/hot_12', 'bob/warm_1'])
    put(join(root, `${name}.wav`), toneWav(300, 0.2));
  put(join(root, 'ann', 'hot_12.txt'), 'I told you so.\n');
  put(join(root, 'people.csv'), 'name,sex\nann,female\nbob,male\n');
  return root;
}

const root = writeCalls(join(folder, 'calls'));

function description(change: (text: string) => string = (text) => text): string {
  const path = join(mkdtempSync(join(folder, 'file-')), 'calls.yaml');
  const text = change(shown);
  put(path, text);
  return path;
}

async function refusal(work: Promise<unknown>): Promise<string> {
  const error = await work.catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(InputError);
  expect((error as Error).message).not.toContain('\n');
  return (error as Error).message;
}

describe('the description in the documentation', () => {
  it('prepares what it describes', async () => {
    const summary = await prepareDescribed({ root, out: join(folder, 'a'), metadataPath: description() });
    expect(summary.differences).toEqual([]);
    expect(summary.remarks).toEqual(['3 clips have no file like ann/flat_3.txt, so the text is unknown']);
    const { utterances, info } = await readManifest(summary.manifestPath);
    expect(
      utterances.map(({ id, label, speaker, gender, session, text }) => [
        id,
        label,
        speaker,
        gender,
        session,
        text,
      ]),
    ).toEqual([
      ['ann_flat_3', 'neutral', 'ann', 'F', 'ann', ''],
      ['ann_hot_12', 'angry', 'ann', 'F', 'ann', 'I told you so.'],
      ['bob_hot_12', 'angry', 'bob', 'M', 'bob', ''],
      ['bob_warm_1', 'happy', 'bob', 'M', 'bob', ''],
    ]);
    expect(info).toMatchObject({ name: 'calls', source: 'Calls to our hotline, 2025', languages: ['en'] });
  });

  it('follows links to folders, and not in circles', async () => {
    const linked = join(folder, 'linked');
    put(join(linked, 'people.csv'), readFileSync(join(root, 'people.csv')));
    for (const name of ['ann', 'bob']) symlinkSync(join(root, name), join(linked, name));
    symlinkSync(linked, join(linked, 'again'));
    const { kept } = await prepareDescribed({
      root: linked,
      out: join(folder, 'l'),
      metadataPath: description(),
    });
    expect(kept).toBe(4);
  });

  it('does not take the clips of the prepared corpus for released ones', async () => {
    const around = writeCalls(join(folder, 'around'));
    const options = { root: around, out: join(around, 'data', 'calls'), metadataPath: description() };
    expect((await prepareDescribed(options)).kept).toBe(4);
    expect(await prepareDescribed(options)).toMatchObject({ kept: 4, differences: [], alreadyDone: true });
  });

  it('goes on after a kill, and ends with the bytes of an undisturbed one', async () => {
    const many = join(folder, 'many');
    for (let i = 0; i < 120; i++) put(join(many, `s${'abcd'[i % 4]}`, `hot_${i}.wav`), toneWav(200 + i, 0.2));
    put(join(many, 'people.csv'), 'name,sex\nsa,female\nsb,male\nsc,male\nsd,female\n');
    const metadataPath = description((text) => text.replace(/counts:[\s\S]*/, ''));
    const states = await killAndCompare(
      prepareDescribed,
      { root: many, metadataPath },
      folder,
      'described',
      6,
      3,
    );
    expect(states.size).toBeGreaterThan(2);
  });
});

describe('a mistake in a description is one line with file, key and what to do:', () => {
  const cases: [string, (text: string) => string, RegExp][] = [
    [
      'a key that there is not',
      (t) => t.replace('source', '').concat('sauce: x\n'),
      /key \(top\): .*"sauce"/,
    ],
    ['no title', (t) => t.replace(/^title.*\n/m, ''), /key title: /],
    [
      'a name that is no name',
      (t) => t.replace('corpus: calls', 'corpus: ../x'),
      /key corpus: must be letters/,
    ],
    ['no clips', (t) => t.replace(/^clips:\n(?: .*\n)+/m, ''), /key clips: is missing: clips or table$/],
    [
      'no utterance',
      (t) => t.replace(/^utterance:\n(?: .*\n)+/m, ''),
      /key utterance: is missing: it says where/,
    ],
    [
      'clips and a table',
      (t) => `${t}table: { file: a.csv, clip: '{x}' }\n`,
      /key table: there is clips as well; leave one out$/,
    ],
    [
      'a pattern that is none',
      (t) => t.replace('(?<speaker>[a-z]+)', '(?<speaker>[a-z]+'),
      /key clips\.pattern: is no regular expression: /,
    ],
    [
      'a part that the pattern does not have',
      (t) => t.replace("speaker: '{speaker}'", "speaker: '{talker}'"),
      /key utterance\.speaker: \{talker\} is not one of \{speaker\}, \{mood\}, \{number\}, \{stem\}, \{id\}$/,
    ],
    [
      'an id of itself',
      (t) => t.replace("id: '{speaker}_{stem}'", "id: '{id}'"),
      /key utterance\.id: \{id\} is not one of \{speaker\}, \{mood\}, \{number\}, \{stem\}$/,
    ],
    [
      'an example of something else',
      (t) => t.replace('ann/hot_12.wav', 'hot_12.wav'),
      /key clips\.example: "hot_12\.wav" does not match clips\.pattern$/,
    ],
    [
      'a label that is not among the labels',
      (t) => t.replace('warm: happy', 'warm: glad'),
      /key utterance\.label: "glad" is not one of labels$/,
    ],
    [
      'a label without a code',
      (t) => t.replace('labels: [neutral', 'labels: [sad, neutral'),
      /key labels: no code of utterance\.label is "sad"$/,
    ],
    [
      'a count of another label',
      (t) => t.replace('total: { neutral: 1', 'total: { sad: 1'),
      /key counts: "sad" is not one of labels$/,
    ],
    [
      'a label that is taken as it is',
      (t) => t.replace(/ {4}from: '\{mood\}'\n {4}codes: \{ hot.*\n/, "    from: '{mood}'\n"),
      /key utterance\.label: needs codes or highest, to name the labels$/,
    ],
    [
      'two ways to look a value up',
      (t) => t.replace("text: { file: '{speaker}/{stem}.txt'", 'text: { file: a, codes: { b: c }'),
      /key utterance\.text: has both codes and file; leave one out$/,
    ],
    [
      'nothing to look up',
      (t) => t.replace("    from: '{speaker}'\n    table", '    table'),
      /key utterance\.gender: needs from, such as "\{actor\}"$/,
    ],
    [
      'a misspelt key of a value',
      (t) => t.replace('optional: true', 'optionel: true'),
      /key utterance\.text: .*"optionel"/,
    ],
    [
      'a number for a text',
      (t) => t.replace("session: '{speaker}'", 'session: 3'),
      /key utterance\.session: must be a text such as "\{actor\}", or keys such as from and codes$/,
    ],
    [
      'a range of other digits',
      (t) => `${t}parts: { number: [1 to 24] }\n`,
      /key parts\.number: 1 to 24: write both numbers with as many digits$/,
    ],
    [
      'a part without a group',
      (t) => `${t}parts: { level: [LO] }\n`,
      /key parts\.level: clips\.pattern has no group of this name$/,
    ],
    [
      'an unquoted number among values',
      (t) => `${t}parts: { number: [12] }\n`,
      /key parts\.number\.0: must be a text; put/,
    ],
    [
      'a split of another name',
      (t) => t.replace("session: '{speaker}'", "split: { from: '{mood}', codes: { hot: tset } }"),
      /key utterance\.split: "tset" is not train, dev or test$/,
    ],
    [
      'a language that is no tag',
      (t) => t.replace('[en]', '[English]'),
      /key language\.0: must be a BCP 47 tag such as en/,
    ],
    [
      'a bad clip of another name',
      (t) => `${t}known_bad: [{ id: x, fault: noise }]\n`,
      /key known_bad: x\.wav does not match clips\.pattern$/,
    ],
  ];
  it.each(cases)('%s', async (_, change, message) => {
    const path = description(change);
    expect(readFileSync(path, 'utf8')).not.toBe(shown);
    const refused = await refusal(readCorpusMetadata(path));
    expect(refused).toContain(`${path}, key `);
    expect(refused).toMatch(message);
  });

  it('codes that are numbers keep their zeros, and their order in messages', async () => {
    const path = description((text) =>
      text
        .replace('(?<mood>[a-z]+)', '(?<mood>[0-9]+)')
        .replace('{ hot: angry, flat: neutral, warm: happy }', '{ 03: angry, 1: neutral, 010: happy }')
        .replace('ann/hot_12', 'ann/03_12'),
    );
    const numbered = join(folder, 'numbered');
    put(join(numbered, 'ann', '03_1.wav'), toneWav(300, 0.2));
    put(join(numbered, 'ann', '3_1.wav'), toneWav(300, 0.2));
    put(join(numbered, 'people.csv'), 'name,sex\nann,female\n');
    const { utterance } = await readCorpusMetadata(path);
    expect(utterance!.label.codes).toEqual({ '03': 'angry', '1': 'neutral', '010': 'happy' });
    const work = prepareDescribed({ root: numbered, out: join(folder, 'n'), metadataPath: path });
    expect(await refusal(work)).toContain('ann/3_1.wav: mood 3 is not one of 010, 03, 1; restore its name');
  });
});

describe('emoq prepare', () => {
  const cwd = join(folder, 'work');
  mkdirSync(cwd);

  it('lists the corpora, with --list or without a name', async () => {
    const listed = await emoqHere(['prepare', '--list'], cwd);
    expect(listed).toMatchObject({ code: 0, stderr: '' });
    expect(listed.stdout).toMatch(/^emo-db +EMO-DB, the Berlin Database.* \[de\]$/m);
    expect(listed.stdout).toMatch(/^ +--root: the folder MELD\.Raw/m);
    expect((await emoqHere(['prepare'], cwd)).stdout).toBe(listed.stdout);
  });

  it('takes a description by its path, and names its folder after the corpus', async () => {
    const file = description();
    const { code, stdout, stderr } = await emoqHere(['prepare', file, '--root', root], cwd);
    expect({ code, stderr }).toMatchObject({ code: 0, stderr: expect.stringContaining('converted 4 clips') });
    expect(stdout).toMatch(/^4 utterances, .*: .*data\/calls\/manifest\.csv$/m);
    const again = await emoqHere(['prepare', file, '--root', root, '-o', 'data/calls'], cwd);
    expect(again.stderr).toContain('already prepared; nothing was changed');
    expect((await emoqHere(['stats', '--dataset', 'calls'], cwd)).code).toBe(0);
  });

  it('prepares corpora with code of their own under the same name', async () => {
    expect((await openRelease('iemocap')).prepare.name).toBe('prepareIemocap');
    const { code, stderr } = await emoqHere(['prepare', 'meld', '--root', root], cwd);
    expect(code).toBe(2);
    expect(stderr).toContain('holds none of train_sent_emo.csv');
  });

  it.each([
    [['prepare', 'ravdes', '--root', '.'], 'there is no corpus ravdes; did you mean ravdess?'],
    [['prepare', 'hotline', '--root', '.'], 'there is no corpus hotline; emoq prepare --list lists them'],
    [['prepare', 'savee'], 'emoq prepare savee needs --root: the folder AudioData with'],
    [['prepare', '--root', '.'], '--root is given, but no corpus; name one before it'],
    [['prepare', './none.yaml', '--root', '.'], 'corpus metadata ./none.yaml does not exist'],
    [['prepare', '--list', '--root', '.'], "option '--list' cannot be used with option '--root <folder>'"],
  ])('%j is refused in one line', async (words, message) => {
    const { code, stdout, stderr } = await emoqHere(words, cwd);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(message);
    expect(stderr.trim()).not.toContain('\n');
  });

  it('says how to name a description in the working directory', async () => {
    put(join(cwd, 'hotline.yaml'), shown);
    const { stderr } = await emoqHere(['prepare', 'hotline', '--root', '.'], cwd);
    expect(stderr).toContain('to prepare what hotline.yaml describes, write emoq prepare ./hotline.yaml');
    rmSync(join(cwd, 'hotline.yaml'));
  });

  it('is named by the doctor for a corpus that is missing', async () => {
    const { stdout } = await emoqHere(['doctor', '--dataset', 'ravdess', '--json'], cwd);
    const { checks } = JSON.parse(stdout) as { checks: { name: string; fix: string | null }[] };
    expect(checks.find(({ name }) => name === 'corpus')!.fix).toBe('emoq prepare ravdess --root RAVDESS');
  });
});
