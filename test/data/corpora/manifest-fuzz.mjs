/**
 * @file Fuzzes manifest.csv and manifest.json. Each must give an InputError with readable lines, or valid utterances.
 *
 *     node manifest-fuzz.mjs TRIALS SEED FOLDER
 */

import { strict as assert } from 'node:assert';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readManifest } from '../../../dist/data/corpora/index.js';
import { writeManifest } from '../../../dist/data/corpora/manifest.js';
import { damagedBytes, damagedJson, nonsenseText, peakMiB } from '../../fuzz/mutations.mjs';
import { outcomeOfLines, repeat, report } from '../../fuzz/trials.mjs';

const [trials, seed] = process.argv.slice(2, 4).map(Number);
const folder = process.argv[4];
const csvPath = join(folder, 'manifest.csv');
const infoPath = join(folder, 'manifest.json');

mkdirSync(join(folder, 'audio'));
const utterances = ['happy', 'sad', 'happy', 'angry'].map((label, index) => ({
  ...{ id: `u${index}`, path: join(folder, 'audio', `u${index}.wav`), text: `it is, "fine" ${index}`, label },
  ...{ speaker: 'Ann', gender: 'F', session: '1', split: index < 2 ? 'train' : 'test', durationSec: 1.5 },
}));
for (const { path } of utterances) writeFileSync(path, '');
await writeManifest(folder, {
  name: 'odd',
  source: 'made here',
  utterances,
  ffmpeg: '5.1',
  episodes: { 1: 's01' },
});
const csv = readFileSync(csvPath);
const info = JSON.parse(readFileSync(infoPath, 'utf8'));
assert.deepEqual((await readManifest(csvPath)).utterances, utterances);

const CELLS = [
  '',
  ' ',
  'NaN',
  '../../etc/passwd',
  '/etc/passwd',
  'audio/u1.wav',
  '-1',
  '1e999',
  '"',
  '""a',
  'a\nb',
  '\0',
  '=1+1',
];

/** A changed cell, a moved, renamed or removed column, another separator, or changed bytes. */
function damagedCsv(random) {
  const lines = String(csv)
    .trimEnd()
    .split('\n')
    .map((line) => line.split(/,(?=(?:[^"]*"[^"]*")*[^"]*$)/));
  const row = () => random.pick(lines);
  random.pick([
    () => {
      const cells = row();
      cells[random.integer(cells.length)] = random.pick(CELLS);
    },
    () => {
      const cells = row();
      cells[random.integer(cells.length)] = `"${nonsenseText(random).replaceAll('"', '""')}"`;
    },
    () => {
      lines[0][random.integer(lines[0].length)] = random.pick([
        ...lines[0],
        'Label',
        ' id',
        'x'.repeat(5000),
      ]);
    },
    () => {
      const at = random.integer(lines[0].length);
      for (const cells of lines) cells.splice(at, 1);
    },
    () => row().splice(random.integer(9), 1),
    () => row().push(random.pick(CELLS)),
    () => lines.splice(random.integer(lines.length), 1),
    () => lines.push([...row()]),
  ])();
  const text = `${lines.map((cells) => cells.join(random.uniform() < 0.98 ? ',' : ';')).join('\n')}\n`;
  return random.uniform() < 0.3 ? damagedBytes(Buffer.from(text), random) : text;
}

async function readDamaged(random) {
  const ofCsv = random.uniform() < 0.5;
  writeFileSync(csvPath, ofCsv ? damagedCsv(random) : csv);
  writeFileSync(infoPath, ofCsv ? JSON.stringify(info) : damagedJson(info, random));
  const manifest = await outcomeOfLines(() => readManifest(csvPath));
  if (manifest === undefined) return false;
  const ids = new Set(manifest.utterances.map(({ id }) => id));
  assert.equal(ids.size, manifest.utterances.length);
  for (const { id, label, path, durationSec } of manifest.utterances) {
    assert.ok(id !== '' && label !== '', 'an id or label is empty');
    assert.ok(path === '' || path.startsWith(`${folder}/`), path);
    assert.ok(Number.isFinite(durationSec) && durationSec >= 0, `duration ${durationSec}`);
  }
  for (const count of [manifest.info.utterances, ...Object.values(manifest.info.counts.total)]) {
    assert.ok(Number.isSafeInteger(count) && count >= 0);
  }
  return true;
}

const baselineMiB = peakMiB();
report(baselineMiB, {
  manifests: await repeat(trials, 'manifests', { seed, where: `files in ${folder}` }, readDamaged),
});
