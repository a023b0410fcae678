/** @file Miniature raw release trees, with real mp4 clips, through preparation and into training. */

import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { afterAll, describe, expect, it } from 'vitest';
import { csvRows, makeWorkspace, metricsOf } from './workspace.js';

const work = makeWorkspace('raw');
afterAll(() => work.remove());

function settings(root: string, ...more: string[]): string[] {
  const backbones = [
    `encoder=${root}/backbones/hubert`,
    `former=${root}/backbones/roberta`,
    `llm=${root}/backbones/qwen2`,
  ];
  const pairs = [...backbones.map((each) => `backbones.${each}`), 'stage1.epochs=1', ...more];
  return pairs.flatMap((pair) => ['--set', pair]);
}

describe('a raw MELD tree', () => {
  it('is prepared and trained on with the recipes of seven and of four classes', async () => {
    await work.done('prepare-toy', '--raw', 'meld', '--out', 'meld', '--speakers', '6', '--utterances', '4');
    expect(existsSync(work.path('meld/MELD.Raw/train_splits/dia0_utt0.mp4'))).toBe(true);
    expect(await work.refused('stage1', '--dataset', 'meld7', ...settings('meld'))).toContain(
      'manifest data/meld/manifest.csv does not exist; prepare the corpus first',
    );
    const incomplete = await work.refused('prepare-meld', '--root', 'meld');
    expect(incomplete).toContain('--root must be the unpacked folder MELD.Raw');

    const { stdout, stderr } = await work.done(
      'prepare-meld',
      '--root',
      'meld/MELD.Raw',
      '--allow-incomplete',
    );
    expect(stdout).toMatch(/^split .*anger.*total$/m);
    expect(stderr).toContain('warning: ');
    const again = await work.done('prepare-meld', '--root', 'meld/MELD.Raw', '--allow-incomplete');
    expect(again.stderr).toContain('nothing was changed');

    const trained = await work.done('stage1', '--dataset', 'meld7', ...settings('meld'));
    expect(trained.stdout).toBe('runs/meld7/stage1/checkpoint.safetensors\n');
    expect(trained.stderr).toContain(
      'warning: no training utterance has the label surprise or disgust or fear\n',
    );
    expect(metricsOf(work, 'runs/meld7/stage1').filter(({ loss }) => Number(loss) > 0)).toHaveLength(2);
    await work.done('stage1', '--dataset', 'meld4', ...settings('meld'));
    const { stdout: scores } = await work.done('eval', '--dataset', 'meld4', '--stage', '1');
    for (const { id, dialogue } of csvRows(work, 'runs/meld4/stage1/predictions.csv')) {
      expect(dialogue).toMatch(/^test_dia\d+$/);
      expect(id!.startsWith(`${dialogue}_utt`)).toBe(true);
    }
    expect(scores).toMatch(/^EmoQ +73\.6 +57\.2 +71\.6 +- +- +paper, table 2$/m);
  });
});

describe('a raw MELD tree, one split of it still packed', () => {
  it('is prepared as FLAC, with an account of what was done', async () => {
    const tar = ['-czf', 'train.tar.gz', '--remove-files', 'train_splits', 'train_sent_emo.csv'];
    execFileSync('tar', tar, { cwd: work.path('meld/MELD.Raw') });
    const prepare = ['prepare-meld', '--root', 'meld/MELD.Raw', '--out', 'flac', '--allow-incomplete'];
    const { stdout, stderr } = await work.done(...prepare, '--format', 'flac', '--final-videos');
    const { length } = csvRows(work, 'data/meld/manifest.csv');
    expect(stdout).toContain(`\n${length} utterances, `);
    expect(stderr).toContain(`${length} kept, of these 0 cut, 0 padded, 0 silent; 0 left out\n`);
    expect(stderr).toMatch(/^converted \d+ clips in [\d.]+ s \([\d.]+ clips\/s\)$/m);
    const flac = csvRows(work, 'flac/manifest.csv').map(({ path, ...row }) => ({
      ...row,
      path: path!.replace('.flac', '.wav'),
    }));
    expect(flac).toEqual(csvRows(work, 'data/meld/manifest.csv'));
  });
});

describe('a raw IEMOCAP tree', () => {
  it('is prepared and trained on by folds, excited merged into happy', async () => {
    await work.done(
      'prepare-toy',
      '--raw',
      'iemocap',
      '--out',
      'iemocap',
      '--speakers',
      '10',
      '--utterances',
      '4',
    );
    await work.done('prepare-iemocap', '--root', 'iemocap/IEMOCAP_full_release', '--allow-incomplete');
    const more = settings('iemocap', 'strip_tags=true');
    const { stderr } = await work.done('stage1', '--dataset', 'iemocap4', '--fold', '3', ...more);
    expect(stderr).toMatch(/^stage 1, fold 3: left out by the recipe: undecided \d+$/m);
    await work.done('eval', '--run', 'runs/iemocap4/stage1/fold-3');
    const rows = csvRows(work, 'runs/iemocap4/stage1/fold-3/predictions.csv');
    expect(new Set(rows.map(({ reference }) => reference))).toEqual(
      new Set(['neutral', 'angry', 'sad', 'happy']),
    );
    expect(rows.every(({ id }) => id!.startsWith('Ses03'))).toBe(true);
    for (const { id, speaker, dialogue } of rows) {
      const last = id!.split('_').at(-1)!;
      expect([speaker, dialogue]).toEqual([`Ses03${last[0]}`, id!.slice(0, -last.length - 1)]);
    }

    // A model trained without tags reads none in prediction either.
    const clip = csvRows(work, 'data/iemocap/manifest.csv')[0]!.path!;
    const spoken = ['Okay. [LAUGHTER] Fine.', 'Okay. Fine.', 'Okay. Laughter fine.'];
    work.file(
      'spoken.csv',
      ['path,text', ...spoken.map((text) => `data/iemocap/${clip},${text}`), ''].join('\n'),
    );
    await work.done('predict', 'spoken.csv', '-o', 'out.csv', '--run', 'runs/iemocap4/stage1/fold-3');
    const [tagged, clean, other] = csvRows(work, 'out.csv').map(({ prob_sad }) => prob_sad);
    expect(tagged).toBe(clean);
    expect(other).not.toBe(clean);
  });
});
