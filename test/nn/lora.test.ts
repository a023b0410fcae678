import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { mergeLora } from '../../src/backbones/decoders/decoder-lora.js';
import { decoder, embedTokens, initialLora } from '../../src/backbones/index.js';
import { InputError, writeJsonAtomic } from '../../src/base/index.js';
import { openCheckpoint, requireWeight } from '../../src/checkpoints/index.js';
import {
  bfloat16ToFloat32,
  float32Of,
  float32ToBfloat16,
  readSafetensors,
  readSafetensorsHeader,
  type Tensor,
  tensor,
} from '../../src/engine/tensor/index.js';
import type { LoraConfig } from '../../src/nn/index.js';
import { checkpointWeights, givenWeights } from '../../src/nn/weights.js';
import { compute, type Feed, openFixture, relativeError } from '../backbones/decoders/graph-run.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'emoq-lora-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const FIRST = 'base_model.model.model.layers.0.self_attn.q_proj';

describe('initial LoRA parameters', async () => {
  const { config } = await openFixture('untied');
  const lora: LoraConfig = { rank: 16, alpha: 32, dropout: 0.1, targets: ['q_proj', 'down_proj'] };
  const tensors = initialLora(config, lora, 5);

  it('start from a uniform A within 1 / sqrt(in) and B = 0', () => {
    for (const [key, { shape, data }] of tensors) {
      if (key.endsWith('lora_B.weight')) {
        expect(data.every((value) => value === 0)).toBe(true);
        continue;
      }
      const bound = 1 / Math.sqrt(shape[1]!);
      const meanSquare = data.reduce((sum, value) => sum + value * value, 0) / data.length;
      expect(data.every((value) => Math.abs(value) <= bound)).toBe(true);
      expect(meanSquare / (bound * bound)).toBeCloseTo(1 / 3, 1);
    }
    expect([...tensors.keys()]).toHaveLength(2 * 2 * config.numHiddenLayers);
  });

  it('depend on the seed and on their key alone', () => {
    const alone = initialLora(config, { ...lora, targets: ['q_proj'] }, 5);
    const key = `${FIRST}.lora_A.weight`;
    expect(alone.get(key)).toEqual(tensors.get(key));
    expect(initialLora(config, lora, 6).get(key)).not.toEqual(tensors.get(key));
    expect(tensors.get(key.replace('.0.', '.1.'))!.data).not.toEqual(tensors.get(key)!.data);
  });
});

for (const name of ['tied', 'untied']) {
  describe(`a LoRA merged into the ${name} checkpoint`, async () => {
    const { config, lora, checkpoint, expected, expectedUnder } = await openFixture(name);
    const parameters = expectedUnder('parameter.');
    const mask = expected('right.mask');

    /** Last hidden states, with LoRA on the weights of `dir` if `adapted`. */
    const hiddenOf = async (dir: string, adapted: boolean): Promise<Tensor> => {
      const opened = await openCheckpoint(dir);
      const given = adapted ? parameters : new Map<string, Tensor>();
      const feeds: Record<string, Feed> = {
        inputIds: [expected('input_ids'), ['N', 'L']],
        attentionMask: [mask, ['N', 'L']],
        ...Object.fromEntries([...given].map(([key, value]) => [key, [value, value.shape]])),
      };
      const { hidden } = await compute(
        feeds,
        (graph, { inputIds, attentionMask, ...values }) => {
          const weights = checkpointWeights(graph, (key, shape) => requireWeight(opened, key, shape));
          const embeddings = embedTokens(weights, config, inputIds!);
          const inputs = { embeddings, attentionMask: attentionMask! };
          const beside = { config: lora, weights: givenWeights(new Map(Object.entries(values))) };
          return { hidden: decoder(weights, config, inputs, adapted ? { lora: beside } : {}) };
        },
        opened.dir,
      );
      return hidden!;
    };

    it('gives the hidden states of the unmerged model', async () => {
      const dir = join(folder, name);
      await writeJsonAtomic(join(dir, 'config.json'), checkpoint.config);
      await mergeLora(checkpoint, parameters, lora, join(dir, 'model.safetensors'));
      const real = (row: number) => mask.data[row] === 1n;
      const merged = await hiddenOf(dir, false);
      expect(relativeError(merged, await hiddenOf(checkpoint.dir, true), real)).toBeLessThan(2e-5);
      expect(relativeError(merged, await hiddenOf(checkpoint.dir, false), real)).toBeGreaterThan(0.1);
      expect(await readdir(dir)).toEqual(['config.json', 'model.safetensors']);
    });

    it('keeps every other weight byte for byte, and rounds the merged ones only if asked', async () => {
      const [exact, rounded] = [join(folder, `${name}-exact`), join(folder, `${name}-rounded`)];
      await mergeLora(checkpoint, parameters, lora, exact);
      await mergeLora(checkpoint, parameters, lora, rounded, { mergedDtype: 'stored' });
      const original = await readSafetensors(join(checkpoint.dir, 'model.safetensors'));
      const [wide, stored] = [
        (await readSafetensors(exact)).tensors,
        (await readSafetensors(rounded)).tensors,
      ];
      expect([...wide.keys()].sort()).toEqual([...original.tensors.keys()].sort());
      for (const [key, before] of original.tensors) {
        const adapted = parameters.has(`base_model.model.${key.replace(/weight$/, 'lora_A.weight')}`);
        if (!adapted) {
          expect(wide.get(key)).toEqual(before);
          expect(stored.get(key)).toEqual(before);
          continue;
        }
        expect(wide.get(key)!.dtype).toBe('float32');
        expect(stored.get(key)!.dtype).toBe(before.dtype);
        const sums = float32Of(wide.get(key)!);
        const narrow =
          before.dtype === 'float32' ? sums : sums.map((x) => bfloat16ToFloat32(float32ToBfloat16(x)));
        expect(float32Of(stored.get(key)!)).toEqual(narrow);
      }
    });
  });
}

describe('merging', async () => {
  const { checkpoint, lora, expectedUnder } = await openFixture('untied');
  const parameters = expectedUnder('parameter.');
  const out = () => join(folder, 'refused.safetensors');
  const merge = (changes: Record<string, Tensor | undefined>, config = lora, file = out()) => {
    const changed = new Map(parameters);
    for (const [key, value] of Object.entries(changes)) {
      if (value === undefined) changed.delete(key);
      else changed.set(key, value);
    }
    return mergeLora(checkpoint, changed, config, file);
  };

  it('is W + (alpha / r) B A', async () => {
    const progress: [number, number][] = [];
    const onProgress = (...step: [number, number]) => progress.push(step);
    await mergeLora(checkpoint, parameters, lora, out(), { onProgress });
    const total = checkpoint.weights.size;
    expect(progress).toEqual(Array.from({ length: total }, (_, i) => [i + 1, total]));
    const { tensors } = await readSafetensors(out());
    const key = 'model.layers.0.self_attn.q_proj.weight';
    const before = float32Of(
      (await readSafetensors(join(checkpoint.dir, 'model.safetensors'))).tensors.get(key)!,
    );
    const a = float32Of(parameters.get(`${FIRST}.lora_A.weight`)!);
    const b = float32Of(parameters.get(`${FIRST}.lora_B.weight`)!);
    const [row, column, width] = [13, 7, 32];
    let update = 0;
    for (let k = 0; k < lora.rank; k++) update += b[row * lora.rank + k]! * a[k * width + column]!;
    const at = row * width + column;
    const wanted = before[at]! + (lora.alpha / lora.rank) * update;
    expect(float32Of(tensors.get(key)!)[at]).toBe(Math.fround(wanted));
    await rm(out());
  });

  it('gives equal bytes for equal input, every tensor aligned to its element', async () => {
    await merge({});
    await merge({}, lora, `${out()}.again`);
    expect(await readFile(out())).toEqual(await readFile(`${out()}.again`));
    const { entries } = await readSafetensorsHeader(out());
    for (const { dtype, offset } of entries.values()) expect(offset % (dtype === 'float32' ? 4 : 2)).toBe(0);
    await rm(out());
  });

  it('refuses parameters that do not fit, in one line and without leaving a file', async () => {
    const key = `${FIRST}.lora_B.weight`;
    const cases: [() => Promise<void>, string][] = [
      [
        () => merge({ [key]: undefined }),
        'the LoRA of "model.layers.0.self_attn.q_proj.weight" is missing its lora_B',
      ],
      [
        () => merge({ [key]: tensor('float32', [48, 4]) }),
        'B [48, 4]; rank 3 on a weight [48, 32] asks for A [3, 32]',
      ],
      [() => merge({}, { ...lora, rank: 4 }), 'rank 4 on a weight'],
      [
        () => merge({ projector: tensor('float32', [2]) }),
        '"projector" is not a LoRA parameter (base_model.model.',
      ],
      [
        () =>
          merge({ 'base_model.model.model.layers.7.mlp.up_proj.lora_A.weight': tensor('float32', [3, 32]) }),
        'a LoRA adapts "model.layers.7.mlp.up_proj.weight", which',
      ],
      [
        () => merge({}, lora, join(checkpoint.dir, 'model.safetensors')),
        'is a weight file of the checkpoint itself',
      ],
    ];
    for (const [merging, message] of cases) {
      const error = await merging().then(
        () => undefined,
        (failure: unknown) => failure,
      );
      expect(error).toBeInstanceOf(InputError);
      expect((error as InputError).message).toContain(message);
      expect((error as InputError).message).not.toContain('\n');
    }
    expect((await readdir(folder)).filter((file) => file.startsWith('refused.safetensors.'))).toEqual([
      'refused.safetensors.again',
    ]);
  });
});
