/**
 * @file Fuzzes label maps, as files and texts, and corpus metadata. Each must give a one-line InputError, or a map of
 * labels to labels, or usable metadata.
 *
 *     node yaml-fuzz.mjs MAPS TEXTS METADATA SEED FOLDER
 */

import { strict as assert } from 'node:assert';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  corpusMetadataPath,
  countDifferences,
  readCorpusMetadata,
} from '../../../dist/data/corpora/corpus-metadata.js';
import { readLabelMap } from '../../../dist/data/corpora/index.js';
import { damagedYaml, oddYaml, peakMiB } from '../../fuzz/mutations.mjs';
import { outcomeOf, repeat, report } from '../../fuzz/trials.mjs';

const [maps, texts, metadata, seed] = process.argv.slice(2, 6).map(Number);
const path = join(process.argv[6], 'odd.yaml');
const given = { seed, where: `file ${path}` };

const MAPS = [
  'ang: angry\nhap: happy\nexc: happy\n03: sad\n"1": neu\nnull: other\n',
  "# of a corpus\nang: &x angry\nfru: *x\n\n\"quoted, with a comma\": 'it''s'\n",
  '{a: b, c: d}\n',
  'a: |-\n  folded\nb: >-\n  two\n  words\n',
];

function checkMap(map) {
  assert.equal(Object.getPrototypeOf(map), Object.prototype);
  for (const [from, to] of Object.entries(map)) {
    assert.ok(from !== '' && from === from.trim(), 'a label is empty or has outer spaces');
    assert.ok(typeof to === 'string' && to !== '' && to === to.trim(), `the label of ${from}`);
  }
}

async function readDamagedMap(random) {
  writeFileSync(path, random.uniform() < 0.05 ? oddYaml(random) : damagedYaml(random.pick(MAPS), random));
  const map = await outcomeOf(() => readLabelMap(path));
  if (map === undefined) return false;
  checkMap(map);
  return true;
}

const PIECES = [
  'a',
  'b',
  'angry',
  '=',
  '=',
  '=',
  ',',
  ',',
  ' ',
  '\t',
  '\n',
  '\u2028',
  '__proto__',
  'constructor',
  'é',
];
const ODD_PIECES = ['"', "'", '{', ':', '\0', '\ud800', 'x'.repeat(5000), '*a', '&a ', '|', '\u200b'];

/** The pairs of an option, parsed independently; undefined if it is invalid. */
function pairsOf(text) {
  const map = new Map();
  for (const pair of text.split(',')) {
    const [from, to, ...more] = pair.split('=').map((part) => part.trim());
    if (!from || !to || more.length > 0 || map.has(from)) return undefined;
    map.set(from, to);
  }
  return [...map];
}

async function readDamagedText(random) {
  const pair = () =>
    `${random.pick(['a', 'happy', '__proto__', 'b c', '3'])}=${random.pick(['x', 'sad', 'toString'])}`;
  const pieces = Array.from({ length: 1 + random.integer(5) }, () =>
    random.uniform() < 0.8
      ? pair()
      : Array.from({ length: random.integer(6) }, () =>
          random.pick(random.uniform() < 0.9 ? PIECES : ODD_PIECES),
        ).join(''),
  );
  const text = pieces.join(random.uniform() < 0.95 ? ',' : random.pick(PIECES));
  const map = await outcomeOf(() => readLabelMap(text));
  const pairs = pairsOf(text);
  assert.deepEqual(map && Object.entries(map).sort(), pairs?.sort(), JSON.stringify(text.slice(0, 300)));
  if (map !== undefined) checkMap(map);
  return map !== undefined;
}

const METADATA = ['meld', 'iemocap', 'tess', 'esd', 'msp-podcast', 'cmu-mosei'].map((corpus) =>
  readFileSync(corpusMetadataPath(corpus), 'utf8'),
);
const UTTERANCES = ['neutral', 'joy', 'ang'].map((label, index) => ({
  ...{ id: String(index), path: '', text: '', label, speaker: 's', session: String(index), split: 'train' },
}));

async function readDamagedMetadata(random) {
  writeFileSync(path, damagedYaml(random.pick(METADATA), random));
  const read = await outcomeOf(() => readCorpusMetadata(path));
  if (read === undefined) return false;
  assert.ok(read.labels.length > 0 && read.labels.every((label) => typeof label === 'string'));
  for (const each of countDifferences(read, UTTERANCES)) assert.equal(typeof each, 'string');
  assert.match(read.sha256, /^[0-9a-f]{64}$/);
  return true;
}

writeFileSync(path, MAPS[0]);
await readLabelMap(path);
const baselineMiB = peakMiB();
report(baselineMiB, {
  maps: await repeat(maps, 'label maps', given, readDamagedMap),
  texts: await repeat(texts, 'label texts', given, readDamagedText),
  metadata: await repeat(metadata, 'metadata', given, readDamagedMetadata),
});
