import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { InputError, sha256Of } from '../../../src/base/index.js';
import {
  checkAudioFiles,
  readManifest,
  selectUtterances,
  type Utterance,
} from '../../../src/data/corpora/index.js';
import { MANIFEST_COLUMNS, writeManifest } from '../../../src/data/corpora/manifest.js';
import { put } from './raw-trees.js';

const folder = mkdtempSync(join(tmpdir(), 'emoq-manifest-'));
afterAll(() => rmSync(folder, { recursive: true }));

const HEADER = MANIFEST_COLUMNS.join(',');

function utterance(id: string, more: Partial<Utterance> = {}): Utterance {
  return {
    id,
    path: join(folder, 'corpus', 'audio', `${id}.wav`),
    text: `text of ${id}`,
    label: 'neutral',
    speaker: 'A',
    gender: 'F',
    session: '1',
    split: 'train',
    durationSec: 1,
    ...more,
  };
}

/** The one-line error for a manifest with this text. */
async function refusal(text: string, withInfo = false): Promise<string> {
  const dir = mkdtempSync(join(folder, 'bad-'));
  if (withInfo) {
    const { csvPath } = await writeManifest(dir, {
      name: 'x',
      source: 'test',
      utterances: [utterance('a', { path: join(dir, 'a.wav') })],
    });
    expect(csvPath).toBe(join(dir, 'manifest.csv'));
  }
  put(join(dir, 'manifest.csv'), text);
  const error = await readManifest(join(dir, 'manifest.csv')).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(InputError);
  expect((error as Error).message).not.toContain('\n');
  return (error as Error).message.replace(dir, '');
}

describe('a manifest', () => {
  it('comes back as it was written, awkward text and all', async () => {
    const dir = join(folder, 'corpus');
    const utterances = [
      utterance('a', { text: 'He said "no", twice,\nand left.', durationSec: 3.0000625 }),
      utterance('b', { label: 'joy', split: 'test', speaker: 'O’Brien, é', session: '' }),
      utterance('c', { text: '', speaker: '', gender: '', label: 'joy' }),
    ];
    const notes = {
      cut: [{ id: 'a', reason: 'long' }],
      padded: [],
      silent: [],
      clipped: [{ id: 'b', reason: '3.0 % of its samples are at full scale' }],
      channel: [],
      rescaled: [],
      incomplete: [],
      skipped: [{ id: 'z', reason: 'gone' }],
      differences: ['x'],
      rules: ['all clips are short'],
    };
    const { csvPath, info, written } = await writeManifest(dir, {
      name: 'mine',
      source: 'test',
      utterances,
      notes,
      ffmpeg: '5.1.9',
    });
    const manifest = await readManifest(csvPath);
    expect(manifest.utterances).toEqual(utterances);
    expect(manifest).toMatchObject({ name: 'mine', dir, csvPath, sha256: info.sha256, info });
    expect(info.sha256).toBe(sha256Of(readFileSync(csvPath)));
    expect(info).toMatchObject({ utterances: 3, durationSec: 5.0001, notes, ffmpeg: '5.1.9' });
    expect(info.counts).toEqual({
      total: { joy: 2, neutral: 1 },
      split: { test: { joy: 1 }, train: { joy: 1, neutral: 1 } },
      session: { '': { joy: 1 }, 1: { joy: 1, neutral: 1 } },
    });
    expect(written).toBe(true);
    const again = { name: 'mine', source: 'test', utterances, notes, ffmpeg: '5.1.9' };
    expect((await writeManifest(dir, again)).written).toBe(false);
    expect([...manifest.lineOf]).toEqual([
      ['a', 2],
      ['b', 4],
      ['c', 5],
    ]); // a's text takes two lines
    expect(readFileSync(csvPath, 'utf8')).not.toContain(folder);
  });

  it('is read without the version of ffmpeg and the notes that it did not have before', async () => {
    const dir = mkdtempSync(join(folder, 'old-'));
    const { csvPath } = await writeManifest(dir, {
      name: 'old',
      source: 'test',
      utterances: [{ ...utterance('a', {}), path: join(dir, 'audio', 'a.wav') }],
    });
    const path = join(dir, 'manifest.json');
    const info = JSON.parse(readFileSync(path, 'utf8')) as { notes: Record<string, unknown> };
    const { cut, padded, skipped, differences } = info.notes;
    writeFileSync(path, JSON.stringify({ ...info, notes: { cut, padded, skipped, differences } }));
    const { info: read } = await readManifest(csvPath);
    expect(read).not.toHaveProperty('ffmpeg');
    expect(read.notes).toMatchObject({ silent: [], clipped: [], channel: [], rescaled: [], incomplete: [] });
  });

  it('notices an edit by its checksum', async () => {
    const dir = mkdtempSync(join(folder, 'edit-'));
    const { csvPath } = await writeManifest(dir, {
      name: 'x',
      source: '',
      utterances: [utterance('a', { path: join(dir, 'a.wav') })],
    });
    put(csvPath, readFileSync(csvPath, 'utf8').replace('neutral', 'joy'));
    const manifest = await readManifest(csvPath);
    expect(manifest.sha256).not.toBe(manifest.info.sha256);
  });

  it('may be written by hand, with path and label alone', async () => {
    const csvPath = join(folder, 'hand', 'calls.csv');
    put(csvPath, 'label,path,colour\r\nsad,x/one.wav,red\r\njoy,x/two.flac,blue\r\n');
    const { utterances, name, info } = await readManifest(csvPath);
    expect(name).toBe('calls');
    expect(utterances.map(({ id, label, durationSec }) => ({ id, label, durationSec }))).toEqual([
      { id: 'x/one', label: 'sad', durationSec: 0 },
      { id: 'x/two', label: 'joy', durationSec: 0 },
    ]);
    expect(utterances[0]!.path).toBe(join(folder, 'hand', 'x', 'one.wav'));
    expect(info.counts.total).toEqual({ joy: 1, sad: 1 });
  });

  it('is not written for audio outside its folder', async () => {
    const outside = utterance('a', { path: join(folder, 'elsewhere.wav') });
    await expect(
      writeManifest(join(folder, 'corpus'), { name: 'x', source: '', utterances: [outside] }),
    ).rejects.toThrow(/outside the manifest's folder/);
  });
});

describe('a manifest that cannot be used is refused with file and line', () => {
  const row = (fields: Partial<Record<(typeof MANIFEST_COLUMNS)[number], string>>): string =>
    MANIFEST_COLUMNS.map(
      (name) => fields[name] ?? (name === 'path' ? 'a.wav' : name === 'duration_sec' ? '1' : name),
    ).join(',');
  const two = (fields: Parameters<typeof row>[0]): string =>
    `${HEADER}\n${row({ id: 'ok' })}\n${row(fields)}\n`;

  it.each([
    ['empty', '', /^\/manifest\.csv is empty/],
    ['a header alone', `${HEADER}\n`, /^\/manifest\.csv has a header but no records/],
    ['no path column', 'id,label\na,b\n', /line 1: missing column "path"; it has id, label/],
    [
      'speakers under another name',
      'path,label,Speaker\na.wav,b,c\n',
      /line 1: column "Speaker" would not be read: rename it to "speaker"/,
    ],
    ['a doubled column', 'path,label,label\na,b,c\n', /line 1: column "label" appears twice/],
    ['a short row', `${HEADER}\n${row({})}\na,b\n`, /line 3: 2 fields, the header has 9/],
    ['an open quote', `${HEADER}\n"${row({})}\n`, /line 2: Quoted field unterminated/],
    ['a doubled id', two({ id: 'ok' }), /line 3: id "ok" is on line 2 already/],
    ['an empty label', two({ label: ' ' }), /line 3: column "label" is empty/],
    ['an empty path', two({ path: '' }), /line 3: column "path" is empty/],
    ['an absolute path', two({ path: '/etc/x.wav' }), /line 3: path "\/etc\/x.wav" is absolute/],
    ['a drive', two({ path: 'C:\\x.wav' }), /line 3: path "C:\\x.wav" is absolute/],
    [
      'a climbing path',
      two({ path: 'audio/../../x.wav' }),
      /line 3: path "audio\/\.\.\/\.\.\/x.wav" leads outside/,
    ],
    ['a climbing path, the other slash', two({ path: '..\\x.wav' }), /line 3: path .* leads outside/],
    [
      'a bad number',
      two({ duration_sec: '1,5'.replace(',', ';') }),
      /line 3: duration_sec "1;5" is not a length/,
    ],
    ['a negative number', two({ duration_sec: '-1' }), /line 3: duration_sec "-1" is not a length/],
  ])('%s', async (_, text, message) => {
    expect(await refusal(text)).toMatch(message);
  });

  it('a prepared one without all its columns', async () => {
    expect(await refusal('id,path,label\na,a.wav,b\n', true)).toMatch(
      /line 1: missing columns "text", "speaker", "gender", "session", "split", "duration_sec"/,
    );
  });

  it('missing, or not UTF-8', async () => {
    await expect(readManifest(join(folder, 'nope.csv'))).rejects.toThrow(
      /CSV file .*nope\.csv does not exist/,
    );
    put(join(folder, 'latin.csv'), Buffer.from('path,label\na.wav,caf\xe9\n', 'latin1'));
    await expect(readManifest(join(folder, 'latin.csv'))).rejects.toThrow(/latin\.csv, line 2: not UTF-8/);
  });

  it('with a broken JSON beside it', async () => {
    put(join(folder, 'json', 'manifest.csv'), `${HEADER}\n${row({})}\n`);
    put(join(folder, 'json', 'manifest.json'), '{"format": "emoq-manifest", "version": 1, "name": 7}');
    await expect(readManifest(join(folder, 'json', 'manifest.csv'))).rejects.toThrow(
      /manifest\.json, key name: .*prepare the corpus again/,
    );
    put(join(folder, 'json', 'manifest.json'), '{"format": ');
    await expect(readManifest(join(folder, 'json', 'manifest.csv'))).rejects.toThrow(
      /manifest\.json is not valid JSON/,
    );
  });
});

describe('a view of a manifest', () => {
  const labels = ['neutral', 'happy', 'excited', 'fear', 'happy'];
  const load = async () => {
    const dir = join(folder, 'view');
    const utterances = labels.map((label, i) => utterance(`u${i}`, { label, path: join(dir, `u${i}.wav`) }));
    const { csvPath } = await writeManifest(dir, { name: 'v', source: '', utterances });
    return readManifest(csvPath);
  };

  it('maps labels, drops what is outside the set and counts it', async () => {
    const { utterances, dropped } = selectUtterances(await load(), {
      labels: ['happy', 'neutral'],
      labelMap: { excited: 'happy' },
    });
    expect(utterances.map(({ id, label }) => `${id} ${label}`)).toEqual([
      'u0 neutral',
      'u1 happy',
      'u2 happy',
      'u4 happy',
    ]);
    expect(dropped).toEqual({ fear: 1 });
  });

  it('takes the utterances whose id matches, and says how many do not', async () => {
    const { utterances, dropped, unmatched } = selectUtterances(await load(), {
      labels: ['happy', 'neutral'],
      idPattern: 'u[1-3]$',
    });
    expect(utterances.map(({ id }) => id)).toEqual(['u1']);
    expect([dropped, unmatched]).toEqual([{ excited: 1, fear: 1 }, 2]);
    await expect(
      load().then((manifest) => selectUtterances(manifest, { labels: ['happy'], idPattern: '^v' })),
    ).rejects.toThrow(/no utterance has an id that matches id_pattern "\^v"; the first id is u0/);
  });

  it('takes tags out of transcripts where asked, and nothing else', async () => {
    const dir = join(folder, 'tags');
    const texts = ['[LAUGHTER] Oh, [BREATHING] no. ', 'a [b', '[GARBAGE]', ' two  spaces '];
    const { csvPath } = await writeManifest(dir, {
      name: 't',
      source: '',
      utterances: texts.map((text, i) => utterance(`t${i}`, { text, path: join(dir, `t${i}.wav`) })),
    });
    const manifest = await readManifest(csvPath);
    const read = (stripTags: boolean): string[] =>
      selectUtterances(manifest, { labels: ['neutral'], stripTags }).utterances.map(({ text }) => text);
    expect(read(false)).toEqual(texts);
    expect(read(true)).toEqual(['Oh, no.', 'a [b', '', 'two spaces']);
  });

  it('leaves the manifest as it is', async () => {
    const manifest = await load();
    selectUtterances(manifest, { labels: ['happy'], labelMap: { excited: 'happy' }, stripTags: true });
    expect(manifest.utterances.map(({ label }) => label)).toEqual(labels);
  });

  it('refuses a label outside the set where asked, with its line', async () => {
    const manifest = await load();
    expect(() =>
      selectUtterances(manifest, { labels: ['neutral', 'happy', 'excited'], outside: 'error' }),
    ).toThrow(/manifest\.csv, line 5: label "fear" is not in the set \(neutral, happy, excited\)/);
  });

  it('refuses a map out of the set, and a set that nothing is in', async () => {
    const manifest = await load();
    expect(() => selectUtterances(manifest, { labels: ['happy'], labelMap: { excited: 'hapy' } })).toThrow(
      /excited becomes "hapy"/,
    );
    expect(() => selectUtterances(manifest, { labels: ['angry'] })).toThrow(
      /its labels are excited, fear, happy, neutral/,
    );
  });

  it('finds missing and empty audio, with line and path', async () => {
    const manifest = await load();
    for (const { path } of manifest.utterances) put(path, 'x');
    await checkAudioFiles(manifest);
    put(manifest.utterances[3]!.path, '');
    await expect(checkAudioFiles(manifest)).rejects.toThrow(
      /manifest\.csv, line 5: audio .*u3\.wav is empty/,
    );
    rmSync(manifest.utterances[1]!.path);
    await expect(checkAudioFiles(manifest)).rejects.toThrow(
      /line 3: audio .*u1\.wav does not exist \(and 1 more like it\)/,
    );
    await checkAudioFiles(manifest, [manifest.utterances[0]!]);
  });
});
