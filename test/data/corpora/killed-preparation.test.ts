import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { prepareCsv, prepareIemocap } from '../../../src/data/corpora/index.js';
import { writeTone } from '../audio/ffmpeg-clips.js';
import { killAndCompare } from './killing.js';
import { iemocapDialog, put, toneWav } from './raw-trees.js';

const folder = mkdtempSync(join(tmpdir(), 'emoq killed-'));
afterAll(() => rmSync(folder, { recursive: true }));

describe.concurrent('a preparation killed at random moments goes on, and ends with the bytes of an undisturbed one', () => {
  it('from a CSV, of WAV, FLAC and parts of a recording', async () => {
    const rows = ['id,path,label,speaker,start,end'];
    put(join(folder, 'long.wav'), toneWav(440, 20));
    mkdirSync(join(folder, 'clips'));
    for (let i = 0; i < 150; i++) {
      const speaker = `s${i % 5}`;
      const label = ['joy', 'anger'][i % 2];
      if (i % 3 === 0) rows.push(`u${i},long.wav,${label},${speaker},${i / 10},${i / 10 + 0.5}`);
      else {
        const path = i % 75 === 1 ? `clips/${i}.flac` : `clips/${i}.wav`;
        if (path.endsWith('.wav')) put(join(folder, path), toneWav(200 + i, 0.2));
        else writeTone(join(folder, path), { channelHz: [200 + i], layout: 'mono', durationSec: 0.2 });
        rows.push(`u${i},${path},${label},${speaker},,`);
      }
    }
    writeFileSync(join(folder, 'list.csv'), `${rows.join('\n')}\n`);
    const states = await killAndCompare(
      prepareCsv,
      { file: join(folder, 'list.csv'), name: 'x' },
      folder,
      'csv',
      15,
      5,
    );
    expect(states.size).toBeGreaterThan(4);
  });

  it('from a raw IEMOCAP tree', async () => {
    const root = join(folder, 'IEMOCAP_full_release');
    for (let session = 1; session <= 5; session++) {
      const lines = Array.from({ length: 30 }, (_, i) => ({
        part: `${i % 2 ? 'M' : 'F'}${String(i).padStart(3, '0')}`,
        code: 'neu',
        hz: 200 + 10 * i,
      }));
      iemocapDialog(root, session, `Ses0${session}F_impro01`, lines);
    }
    const metadataPath = join(folder, 'metadata.yaml');
    put(
      metadataPath,
      stringify({
        corpus: 'iemocap',
        title: 'IEMOCAP in small',
        source: 'made here',
        licence: 'none',
        codes: { neu: 'neutral' },
        labels: ['neutral'],
        counts: { total: { neutral: 150 } },
        views: {},
        known_bad: [],
      }),
    );
    const states = await killAndCompare(prepareIemocap, { root, metadataPath }, folder, 'iemocap', 10, 5);
    expect(states.size).toBeGreaterThan(4);
  });
});
