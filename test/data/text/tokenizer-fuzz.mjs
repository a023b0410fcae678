/**
 * @file Fuzzes tokenizer.json and tokenizer_config.json of toy tokenizers. Each must give a one-line InputError when
 * loaded or used, or a tokenizer whose ids are in its vocabulary.
 *
 *     node tokenizer-fuzz.mjs TRIALS SEED FOLDER
 */

import { strict as assert } from 'node:assert';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildByteLevelTokenizer, loadTokenizer } from '../../../dist/data/text/index.js';
import { damagedBytes, damagedJson, nonsenseText, peakMiB } from '../../fuzz/mutations.mjs';
import { outcomeOf, repeat, report } from '../../fuzz/trials.mjs';

const [trials, seed] = process.argv.slice(2, 4).map(Number);
const folder = process.argv[4];
const path = join(folder, 'tokenizer.json');
const configPath = join(folder, 'tokenizer_config.json');

// Output of the library would appear on stderr next to our line.
for (const name of ['log', 'warn', 'error', 'info']) {
  const said = console[name];
  console[name] = (...args) => {
    if (name === 'log') return said(...args);
    throw new Error(`something was printed: ${args}`);
  };
}

const WORDS = ['happy', 'sad', 'fine', 'It', 'is'];
const KINDS = ['qwen2', 'roberta'].map((kind) => buildByteLevelTokenizer({ words: WORDS, kind }));
const TEXTS = [
  'It is fine',
  ' happy, sad\n',
  '',
  'Ändern 高兴 \u{1f600}',
  '<s> <|im_end|>',
  '\ufeff\0',
  '12345 ...',
];

/** Damages any key, a token or a merge, and leaves most of the long lists and maps alone. */
function damagedTokenizer(json, random) {
  if (random.uniform() < 0.1) return damagedBytes(Buffer.from(JSON.stringify(json)), random);
  const { model, ...stages } = json;
  const { vocab, merges, ...settings } = model;
  return random.pick([
    () => JSON.stringify({ ...JSON.parse(asJson(damagedJson(stages, random))), model }),
    () =>
      JSON.stringify({
        ...stages,
        model: { ...JSON.parse(asJson(damagedJson(settings, random))), vocab, merges },
      }),
    () => {
      const tokens = Object.keys(vocab);
      const changed = { ...vocab };
      const token = random.pick(tokens);
      random.pick([
        () => delete changed[token],
        () => Object.assign(changed, { [token]: vocab[random.pick(tokens)] }),
        () =>
          Object.assign(changed, {
            [random.pick(['', 'a b', 'toString', '\n', token + token])]: tokens.length + 9,
          }),
        () => Object.assign(changed, { [token]: 'PLACE' }),
      ])();
      const text = JSON.stringify({ ...stages, model: { ...settings, vocab: changed, merges } });
      return text.replace('"PLACE"', () => nonsenseText(random));
    },
    () => {
      const changed = [...merges];
      const at = random.integer(merges.length);
      const wrong = [
        'a',
        '',
        ' ',
        'a b c',
        'zz qq',
        merges[0].replace(' ', '  '),
        [merges[0]],
        ['a', 'b'],
        null,
        7,
      ];
      random.pick([
        () => changed.splice(at, 1),
        () => changed.splice(at, 1, random.pick(wrong)),
        () => changed.unshift(random.pick(wrong)),
        () => changed.push(merges[random.integer(merges.length)]),
      ])();
      return JSON.stringify({ ...stages, model: { ...settings, vocab, merges: changed } });
    },
    () => random.pick([nonsenseText, () => JSON.stringify({ ...json, model: 'PLACE' })])(random),
  ])();
}

/** An object's text; `{}` if damage turned it into another value or invalid JSON. */
function asJson(text) {
  try {
    const value = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return JSON.stringify(value);
  } catch {
    // no longer JSON
  }
  return '{}';
}

async function checkTokenizer(random) {
  const { tokenizerJson, tokenizerConfig } = random.pick(KINDS);
  const ofConfig = random.uniform() < 0.2;
  writeFileSync(path, ofConfig ? JSON.stringify(tokenizerJson) : damagedTokenizer(tokenizerJson, random));
  if (ofConfig && random.uniform() < 0.1) rmSync(configPath, { force: true });
  else
    writeFileSync(
      configPath,
      ofConfig ? damagedJson(tokenizerConfig, random) : JSON.stringify(tokenizerConfig),
    );
  const tokenizer = await outcomeOf(() => loadTokenizer(folder));
  if (tokenizer === undefined) return false;
  let isUsable = true;
  for (const text of TEXTS) {
    for (const specialTokens of [true, false]) {
      const ids = await outcomeOf(() => tokenizer.encode(text, { specialTokens }));
      if (ids === undefined) {
        isUsable = false;
        continue;
      }
      for (const id of ids)
        assert.ok(Number.isSafeInteger(id) && id >= 0 && id < tokenizer.vocabSize, `id ${id}`);
      assert.equal(typeof ((await outcomeOf(() => tokenizer.decode(ids))) ?? ''), 'string');
    }
  }
  for (const id of [tokenizer.padId, tokenizer.eosId, tokenizer.tokenId('</s>')]) {
    assert.ok(
      id === undefined || (Number.isSafeInteger(id) && id >= 0 && id < tokenizer.vocabSize),
      `id ${id}`,
    );
  }
  return isUsable;
}

for (const { tokenizerJson, tokenizerConfig } of KINDS) {
  writeFileSync(path, JSON.stringify(tokenizerJson));
  writeFileSync(configPath, JSON.stringify(tokenizerConfig));
  const tokenizer = await loadTokenizer(folder);
  assert.equal(tokenizer.decode(tokenizer.encode(TEXTS[1], { specialTokens: false })), TEXTS[1]);
}
const baselineMiB = peakMiB();
report(baselineMiB, {
  tokenizers: await repeat(trials, 'tokenizers', { seed, where: `files in ${folder}` }, checkTokenizer),
});
