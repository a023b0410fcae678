/** @file Embeddings of a predictions file: round trip, and detection of embeddings that belong to other predictions. */

import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { dialogueOf } from '../../src/data/corpora/index.js';
import { float32, writeSafetensors } from '../../src/engine/tensor/index.js';
import { embeddingsPath, readEmbeddings, writeEmbeddings } from '../../src/evaluation/index.js';

const folder = mkdtempSync(join(tmpdir(), 'emoq-embeddings-'));
afterAll(() => rmSync(folder, { recursive: true }));
const predictions = join(folder, 'predictions.csv');
const rows = [Float32Array.of(0.5, -0.25, 1), Float32Array.of(0, 0.125, 0.1)];

describe('embeddings', () => {
  it('come back in the order of the rows, as float16', async () => {
    writeFileSync(predictions, 'id,label\na,joy\nb,joy\n');
    await writeEmbeddings(predictions, rows);
    const found = await readEmbeddings(predictions);
    expect(found).toMatchObject({ rows: 2, width: 3 });
    const data = 'data' in found ? [...found.data] : [];
    expect(data.slice(0, 5)).toEqual([0.5, -0.25, 1, 0, 0.125]);
    expect(Math.abs(data[5]! - 0.1)).toBeLessThan(2 ** -14);
  });

  it('of other predictions are not taken for these', async () => {
    writeFileSync(predictions, 'id,label\na,joy\nb,fear\n');
    expect(await readEmbeddings(predictions)).toEqual({
      kind: 'missing',
      reason: `${embeddingsPath(predictions)} does not belong to ${predictions}; run eval again`,
    });
  });

  it('of a model without a Former are none, and leave none behind', async () => {
    await writeEmbeddings(predictions, [undefined, undefined]);
    expect(existsSync(embeddingsPath(predictions))).toBe(false);
    expect(await readEmbeddings(predictions)).toEqual({
      kind: 'missing',
      reason: `there is no ${embeddingsPath(predictions)}`,
    });
  });

  it('that are damaged or something else are one clear line', async () => {
    await writeEmbeddings(predictions, rows);
    const path = embeddingsPath(predictions);
    writeFileSync(path, 'rubbish');
    await expect(readEmbeddings(predictions)).rejects.toThrow(
      `safetensors file ${path} is only 7 bytes long`,
    );
    const { createHash } = await import('node:crypto');
    const sha256 = createHash('sha256').update('id,label\na,joy\nb,fear\n').digest('hex');
    await writeSafetensors(path, [['embeddings', float32([6], [1, 2, 3, 4, 5, 6])]], {
      predictions_sha256: sha256,
    });
    await expect(readEmbeddings(predictions)).rejects.toThrow('holds no float16 tensor "embeddings"');
  });
});

describe('the dialogue of an utterance', () => {
  it.each([
    ['test_dia12_utt3', 'test_dia12'],
    ['dia0_utt0', 'dia0'],
    ['Ses01F_impro01_F000', 'Ses01F_impro01'],
    ['Ses03F_impro05a_M012', 'Ses03F_impro05a'],
    ['Ses05M_script01_1b_F003', 'Ses05M_script01_1b'],
    ['Ses02M_script02_2_MXX1', 'Ses02M_script02_2'],
  ])('%s is %s', (id, dialogue) => {
    expect(dialogueOf(id)).toBe(dialogue);
  });

  it.each(['toy_00012', 'call7', 'dia12', 'a/b_F001', 'Ses01F_impro01', ''])('of "%s" is not known', (id) => {
    expect(dialogueOf(id)).toBeUndefined();
  });
});
