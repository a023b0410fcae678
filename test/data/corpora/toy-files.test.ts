/** @file The toy corpus on disk: prepared, and as raw MELD and IEMOCAP trees for the other preparations. */

import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { InterruptedError } from '../../../src/base/index.js';
import { decodeAudio } from '../../../src/data/audio/index.js';
import { prepareIemocap, prepareMeld, readManifest } from '../../../src/data/corpora/index.js';
import { prepareToyCorpus } from '../../../src/data/corpora/toy/index.js';
import { planToyCorpus } from '../../../src/data/corpora/toy/toy-corpus.js';

const scratch = mkdtempSync(join(tmpdir(), 'emoq-toy-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));
const at = (...parts: string[]): string => join(scratch, ...parts);

const SMALL = { seed: 1, speakers: 5, utterancesPerSpeaker: 4 };
const smallPlan = planToyCorpus({ ...SMALL, spoken: false });

/** Relative path -> SHA-256 of every file in a folder. */
function contentsOf(folder: string): Record<string, string> {
  const names = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
  return Object.fromEntries(
    names.map((path) => [
      path.slice(folder.length),
      createHash('sha256').update(readFileSync(path)).digest('hex'),
    ]),
  );
}

describe('a prepared toy corpus', () => {
  it('is a manifest with every column, in corpus order, and a 16 kHz WAV for each row', async () => {
    const summary = await prepareToyCorpus({ out: at('plain'), ...SMALL });
    expect(summary).toMatchObject({
      form: 'corpus',
      path: at('plain', 'manifest.csv'),
      utterances: 20,
      speakers: 5,
    });
    const { utterances, name, info } = await readManifest(summary.path);
    expect(name).toBe('toy4');
    expect(info.counts).toEqual(summary.counts);
    expect(summary.durationSec).toBeCloseTo(info.durationSec, 3);
    expect(utterances.map(({ id }) => id)).toEqual(smallPlan.utterances.map(({ id }) => id));
    for (const [index, { id, text, label, speaker }] of smallPlan.utterances.entries()) {
      const { gender, split } = speaker;
      const known = { id, text, label, speaker: speaker.id, gender, session: String(speaker.session), split };
      expect(utterances[index]).toMatchObject(known);
      const header = readFileSync(utterances[index]!.path).subarray(0, 36);
      expect([header.readUInt16LE(22), header.readUInt32LE(24), header.readUInt16LE(34)]).toEqual([
        1, 16_000, 16,
      ]);
      const samples = (await decodeAudio(utterances[index]!.path)).samples;
      expect(samples.length / 16_000).toBe(utterances[index]!.durationSec);
    }
  });

  it('has the same bytes from the same seed, and others from another', async () => {
    await prepareToyCorpus({ out: at('again'), ...SMALL, jobs: 1 });
    const first = contentsOf(at('plain'));
    expect(contentsOf(at('again'))).toEqual(first);
    await prepareToyCorpus({ out: at('other'), ...SMALL, seed: 2 });
    const other = contentsOf(at('other'));
    for (const path of Object.keys(first)) expect(other[path]).not.toBe(first[path]);
  });

  it('goes on where it was interrupted and ends with the same bytes', async () => {
    const stop = new AbortController();
    const interrupted = prepareToyCorpus({
      out: at('stopped'),
      ...SMALL,
      signal: stop.signal,
      onProgress: (done) => done === 5 && stop.abort(),
    });
    await expect(interrupted).rejects.toThrow(InterruptedError);
    await expect(interrupted).rejects.toThrow(
      /^stopped with \d+ of 20 clips written to .*; run the same command again/,
    );
    expect(existsSync(at('stopped', 'manifest.csv'))).toBe(false);
    await prepareToyCorpus({ out: at('stopped'), ...SMALL });
    expect(contentsOf(at('stopped'))).toEqual(contentsOf(at('plain')));
  });

  it('replaces a larger one in the same folder without a rest', async () => {
    await prepareToyCorpus({ out: at('shrunk'), ...SMALL, utterancesPerSpeaker: 8 });
    await prepareToyCorpus({ out: at('shrunk'), ...SMALL });
    expect(contentsOf(at('shrunk'))).toEqual(contentsOf(at('plain')));
  });

  it('speaks its transcripts when asked to: other sound, same texts and labels', async () => {
    const { path } = await prepareToyCorpus({ out: at('spoken'), ...SMALL, spoken: true });
    const plain = await readManifest(at('plain', 'manifest.csv'));
    const spoken = await readManifest(path);
    const fieldsOf = ({ id, text, label }: { id: string; text: string; label: string }) => ({
      id,
      text,
      label,
    });
    expect(spoken.utterances.map(fieldsOf)).toEqual(plain.utterances.map(fieldsOf));
    expect(spoken.info.source).toContain('spoken transcripts');
    for (const [index, { path: clip }] of spoken.utterances.entries())
      expect(readFileSync(clip).equals(readFileSync(plain.utterances[index]!.path))).toBe(false);
  });

  it('does not write into the folder of another corpus', async () => {
    mkdirSync(at('taken'));
    writeFileSync(at('taken', 'manifest.json'), '{"format":"emoq-manifest","name":"meld"}');
    await expect(prepareToyCorpus({ out: at('taken'), ...SMALL })).rejects.toThrow(
      /holds the corpus "meld" already; choose another folder with --out$/,
    );
    expect(readdirSync(at('taken'))).toEqual(['manifest.json']);
    for (const other of ['null', '[]', '{"name":{}}']) {
      writeFileSync(at('taken', 'manifest.json'), other);
      await expect(prepareToyCorpus({ out: at('taken'), ...SMALL })).rejects.toThrow(
        /holds the corpus .* already/,
      );
    }
  });
});

describe('a raw MELD tree', () => {
  it('has the layout of the release and comes through prepare-meld as it was planned', async () => {
    const { path: root } = await prepareToyCorpus({ out: at('meld'), ...SMALL, raw: 'meld' });
    expect(root).toBe(at('meld', 'MELD.Raw'));
    const folders = {
      train: 'train_splits',
      dev: 'dev_splits_complete',
      test: 'output_repeated_splits_test',
    };
    for (const [split, folder] of Object.entries(folders)) {
      const csv = readFileSync(join(root, `${split}_sent_emo.csv`), 'utf8');
      expect(csv.split('\r\n')[0]).toBe(
        'Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,StartTime,EndTime',
      );
      expect(csv.replaceAll('\r\n', '')).not.toMatch(/[\r\n]/);
      expect(readdirSync(join(root, folder)).every((name) => /^dia\d+_utt\d+\.mp4$/.test(name))).toBe(true);
      expect(csv).toContain(',0,0,'); // ids start again in each split
    }

    const summary = await prepareMeld({ root, out: at('meld-prepared'), allowIncomplete: true });
    expect(summary).toMatchObject({ kept: 20, skipped: [], cut: [], padded: [] });
    const { utterances } = await readManifest(summary.manifestPath);
    const names = { neutral: 'neutral', happy: 'joy', sad: 'sadness', angry: 'anger' };
    const found = utterances.map(({ text, label, speaker, split }) =>
      [text, label, speaker, split].join('|'),
    );
    const planned = smallPlan.utterances.map(({ text, label, speaker }) =>
      [text, names[label], speaker.id, speaker.split].join('|'),
    );
    expect(found.sort()).toEqual(planned.sort());
  });

  it('is left as it is by the same command, and replaced by another seed', async () => {
    const before = contentsOf(at('meld', 'MELD.Raw'));
    await prepareToyCorpus({ out: at('meld'), ...SMALL, raw: 'meld' });
    expect(contentsOf(at('meld', 'MELD.Raw'))).toEqual(before);
    rmSync(at('meld', 'MELD.Raw', 'train_splits', 'dia0_utt0.mp4'));
    await prepareToyCorpus({ out: at('meld'), ...SMALL, raw: 'meld' });
    expect(contentsOf(at('meld', 'MELD.Raw'))).toEqual(before);
    writeFileSync(at('meld', 'MELD.Raw', 'train_splits', 'dia99_utt0.mp4'), 'of an earlier corpus');
    await prepareToyCorpus({ out: at('meld'), ...SMALL, seed: 5, raw: 'meld' });
    expect(contentsOf(at('meld', 'MELD.Raw'))['/train_splits/dia99_utt0.mp4']).toBeUndefined();
  });

  it('never replaces a folder that the user made', async () => {
    mkdirSync(at('own', 'MELD.Raw'), { recursive: true });
    writeFileSync(at('own', 'MELD.Raw', 'train_sent_emo.csv'), 'the real one');
    await expect(prepareToyCorpus({ out: at('own'), ...SMALL, raw: 'meld' })).rejects.toThrow(
      /MELD\.Raw exists and is not a toy corpus/,
    );
    expect(readdirSync(at('own', 'MELD.Raw'))).toEqual(['train_sent_emo.csv']);
  });
});

describe('a raw IEMOCAP tree', () => {
  it('has the layout of the release and comes through prepare-iemocap as it was planned', async () => {
    const { path: root, speakers } = await prepareToyCorpus({
      out: at('iemocap'),
      seed: 1,
      utterancesPerSpeaker: 8,
      raw: 'iemocap',
    });
    expect(root).toBe(at('iemocap', 'IEMOCAP_full_release'));
    expect(speakers).toBe(10);
    const evaluation = join(root, 'Session2', 'dialog', 'EmoEvaluation');
    const dialogs = readdirSync(evaluation).filter((name) =>
      /^Ses02[FM]_(impro|script)\d\d(_1)?\.txt$/.test(name),
    );
    expect(dialogs).toHaveLength(1);
    const labels = readFileSync(join(evaluation, dialogs[0]!), 'utf8');
    expect(labels).toMatch(/^% \[START_TIME - END_TIME\] TURN_NAME EMOTION \[V, A, D\]\n\n\[/);
    expect(labels).toMatch(/\t(hap|exc)\t\[\d\.\d{4}, \d\.\d{4}, \d\.\d{4}\]\nC-E2:\t/);
    expect(existsSync(join(evaluation, 'Categorical'))).toBe(true);

    const summary = await prepareIemocap({ root, out: at('iemocap-prepared'), allowIncomplete: true });
    const { utterances } = await readManifest(summary.manifestPath);
    const plan = planToyCorpus({ seed: 1, speakers: 10, utterancesPerSpeaker: 8, spoken: false });
    const found = utterances
      .filter(({ label }) => label !== 'undecided')
      .map(({ text, label, gender, session }) =>
        [text, label.replace('excited', 'happy'), gender, session].join('|'),
      );
    const planned = plan.utterances.map(({ text, label, speaker }) =>
      [text, label, speaker.gender, speaker.session].join('|'),
    );
    expect(found.sort()).toEqual(planned.sort());
    expect(new Set(utterances.map(({ speaker }) => speaker)).size).toBe(10);
    expect(Object.keys(summary.counts.total).sort()).toEqual(
      ['angry', 'excited', 'happy', 'neutral', 'sad', 'undecided'].sort(),
    );
  });

  it('has two speakers in each session and no other number', async () => {
    const asked = prepareToyCorpus({ out: at('crowd'), speakers: 20, raw: 'iemocap' });
    await expect(asked).rejects.toThrow(/^--speakers 20: .*give 10 or leave it out$/);
    expect(existsSync(at('crowd'))).toBe(false);
  });
});
