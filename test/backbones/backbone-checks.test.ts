/** @file Checks of backbone checkpoints: identity, choice of the language model head, and unused or adapter weights. */

import { mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { mkdir, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { qwen2 } from '../../src/backbones/decoders/qwen2/family.js';
import { chooseHead, type DecoderConfig } from '../../src/backbones/index.js';
import { hubert } from '../../src/backbones/speech-encoders/hubert/family.js';
import { roberta } from '../../src/backbones/text-encoders/roberta/family.js';
import {
  checkpointIdentity,
  filesIdentity,
  identityDifferences,
  type ModelIdentity,
  openCheckpoint,
  unreadWeights,
} from '../../src/checkpoints/index.js';
import {
  float32,
  seededRandom,
  type Tensor,
  tensor,
  writeSafetensors,
} from '../../src/engine/tensor/index.js';
import { failure } from '../checkpoints/failure.js';

const root = realpathSync(mkdtempSync(join(tmpdir(), 'emoq-checks-')));
afterAll(() => rmSync(root, { recursive: true }));

async function folderOf(
  name: string,
  tensors: readonly [string, Tensor][],
  config: object = {},
): Promise<string> {
  const dir = join(root, name);
  await mkdir(dir, { recursive: true });
  writeFileSync(join(dir, 'config.json'), JSON.stringify({ model_type: 'x', ...config }));
  await writeSafetensors(join(dir, 'model.safetensors'), tensors);
  return dir;
}

/** A tensor of the given size in megabytes. */
const large = (seed: number, megabytes: number): Tensor => {
  const random = seededRandom(seed, 'large');
  const piece = Float32Array.from({ length: 1 << 18 }, () => random.uniform());
  const data = new Float32Array(megabytes << 18);
  for (let at = 0; at < data.length; at += piece.length) data.set(piece, at);
  return tensor('float32', [megabytes, 1 << 18], data);
};
const small: [string, Tensor][] = [
  ['a', float32([3], [1, 2, 3])],
  ['b', float32([2, 2], [4, 5, 6, 7])],
];
const identityAt = async (dir: string, config = { layers: 2 }): Promise<ModelIdentity> =>
  checkpointIdentity(await openCheckpoint(dir), config);

describe('the identity of a checkpoint', () => {
  it('is that of its config, tokenizer and weights, wherever it lies and however it is packed', async () => {
    const single = await folderOf('single', small);
    writeFileSync(join(single, 'tokenizer.json'), '{}');
    const sharded = join(root, 'sharded');
    await mkdir(sharded);
    writeFileSync(join(sharded, 'config.json'), '{"model_type": "x"}');
    writeFileSync(join(sharded, 'tokenizer.json'), '{}');
    for (const [key, value] of small)
      await writeSafetensors(join(sharded, `${key}.safetensors`), [[key, value]]);
    const weight_map = { a: 'a.safetensors', b: 'b.safetensors' };
    writeFileSync(join(sharded, 'model.safetensors.index.json'), JSON.stringify({ weight_map }));
    const [one, two] = [await identityAt(single), await identityAt(sharded)];
    expect(identityDifferences(one, two)).toEqual([]);
    expect(Object.keys(two.files)).toEqual(['a.safetensors', 'b.safetensors']);
    expect(JSON.stringify(two)).not.toContain(root);
    const { files: _one, ...first } = one;
    const { files: _two, ...second } = two;
    expect(first).toEqual(second);
  });

  it('names what differs', async () => {
    const dir = await folderOf('named', small);
    writeFileSync(join(dir, 'tokenizer.json'), '{}');
    const before = await identityAt(dir);
    writeFileSync(join(dir, 'tokenizer.json'), '{ }');
    await writeSafetensors(join(dir, 'model.safetensors'), [
      ...small,
      ['c', float32([1000], new Float32Array(1000))],
    ]);
    expect(identityDifferences(before, await identityAt(dir, { layers: 3 }))).toEqual([
      'layers of its config was 2, is 3',
      'its tokenizer.json differs',
      'its weights differ (28 bytes then, 4.03 kB now)',
    ]);
    // Fields that another version did not record are not compared.
    const { tokenizer: _tokenizer, config: _config, ...less } = before;
    expect(identityDifferences(less, before)).toEqual([]);
    expect(identityDifferences(before, less)).toEqual([]);
  });

  it('of small weights changes with any of their bits, of large ones with each of their tensors', async () => {
    const dir = await folderOf('flipped', small);
    const path = join(dir, 'model.safetensors');
    const before = await identityAt(dir);
    const whole = readFileSync(path);
    const start = 8 + Number(whole.readBigUInt64LE());
    for (let bit = start * 8; bit < whole.length * 8; bit++) {
      const bytes = Buffer.from(whole);
      bytes[bit >> 3]! ^= 1 << (bit & 7);
      writeFileSync(path, bytes);
      expect(identityDifferences(before, await identityAt(dir))).toEqual(['its weights differ']);
    }
    const tensors: [string, Tensor][] = [
      ['p', large(1, 35)],
      ['q', large(2, 35)],
    ];
    const model = await identityAt(await folderOf('large', tensors));
    expect(await identityAt(await folderOf('large-again', tensors))).toEqual(model);
    for (const index of [0, 1]) {
      const others = tensors.map(([key, value], place): [string, Tensor] => [
        key,
        place === index ? large(9, 35) : value,
      ]);
      expect(
        identityDifferences(model, await identityAt(await folderOf('large-other', others))),
      ).toHaveLength(1);
    }
  });

  it('of files is that of their content, and the commit is known in the cache of the hub', async () => {
    const commit = 'a'.repeat(40);
    const snapshot = join(root, 'hub/models--own--model/snapshots', commit);
    await mkdir(join(snapshot, '..'), { recursive: true });
    await symlink(await folderOf('blobs', small), snapshot);
    expect((await identityAt(snapshot)).commit).toBe(commit);
    const [a, b] = [join(root, 'a.onnx'), join(root, 'b.onnx')];
    writeFileSync(a, 'graph');
    writeFileSync(b, 'graph');
    const one = await filesIdentity([a], { width: 4 });
    expect(identityDifferences(one, await filesIdentity([b], { width: 4 }))).toEqual([]);
    writeFileSync(b, 'grapH');
    expect(identityDifferences(one, await filesIdentity([b], undefined))).toEqual(['its weights differ']);
  });
});

describe('the head of a language model', () => {
  const tied = { tieWordEmbeddings: true } as DecoderConfig;
  const untied = { tieWordEmbeddings: false } as DecoderConfig;
  const choice = async (name: string, config: DecoderConfig, tensors: readonly [string, Tensor][]) =>
    chooseHead(await openCheckpoint(await folderOf(name, tensors)), config);

  it('is the word embeddings where the file has no other, or has them twice', async () => {
    const embeddings: [string, Tensor] = ['model.embed_tokens.weight', large(1, 40)];
    expect(await choice('alone', tied, [embeddings])).toEqual({ config: tied, note: undefined });
    // Spans several read chunks, with different alignments.
    const twice: [string, Tensor][] = [
      embeddings,
      ['x', float32([1], [1])],
      ['lm_head.weight', large(1, 40)],
    ];
    expect(await choice('twice', tied, twice)).toEqual({ config: tied, note: undefined });
  });

  it("is the file's own where one number of it differs, or its type", async () => {
    const table = large(1, 40);
    const head = { ...table, data: table.data.slice() } as Tensor<'float32'>;
    head.data[head.data.length - 1]! += 1;
    for (const own of [head, tensor('float16', [2], Uint16Array.of(1, 2))]) {
      const { config, note } = await choice('own', tied, [
        ['model.embed_tokens.weight', table],
        ['lm_head.weight', own],
      ]);
      expect(config).toEqual(untied);
      expect(note).toMatch(/own has an lm_head\.weight that is not its word embeddings/);
    }
  });

  it('must be there where the config does not tie it', async () => {
    const message = await failure(
      choice('headless', untied, [['model.embed_tokens.weight', float32([2], [1, 2])]]),
    );
    expect(message).toMatch(
      /headless has no lm_head\.weight, and its config\.json does not tie it .* set tie_word_embeddings to true/,
    );
  });
});

describe('weights beside those of the model', () => {
  const one = (key: string): [string, Tensor] => [key, float32([1], [1])];

  it('that are an unmerged adapter are refused', async () => {
    for (const key of [
      'base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight',
      'model.layers.0.self_attn.q_proj.lora_B.default.weight',
      'model.layers.0.self_attn.q_proj.base_layer.weight',
      'model.layers.0.self_attn.q_proj.lora_magnitude_vector.weight',
      'lm_head.modules_to_save.default.weight',
    ]) {
      const message = await failure(openCheckpoint(await folderOf('adapted', [one(key)])));
      expect(message).toBe(
        `checkpoint ${join(root, 'adapted')} has an adapter that is not merged into its weights ("${key}"); merge it first, with PEFT's merge_and_unload, and give the merged checkpoint`,
      );
    }
    const adapter = join(root, 'adapter');
    await mkdir(adapter);
    writeFileSync(join(adapter, 'adapter_config.json'), '{}');
    expect(await failure(openCheckpoint(adapter))).toContain(
      'is a PEFT adapter (adapter_config.json), not a model',
    );
  });

  it('are reported if a model might use them, and not otherwise', async () => {
    const families = { hubert, roberta, qwen2 };
    const beside = async (modelType: 'hubert' | 'roberta' | 'qwen2', ...keys: string[]) =>
      unreadWeights(
        await openCheckpoint(await folderOf('beside', ['read', ...keys].map(one))),
        families[modelType],
        new Set(['read']),
      );
    for (const [modelType, keys] of [
      [
        'hubert',
        [
          'masked_spec_embed',
          'hubert.masked_spec_embed',
          'lm_head.weight',
          'classifier.bias',
          'quantizer.codevectors',
        ],
      ],
      [
        'roberta',
        [
          'roberta.pooler.dense.weight',
          'pooler.dense.bias',
          'embeddings.position_ids',
          'lm_head.layer_norm.weight',
          'lm_head.bias',
          'classifier.out_proj.bias',
        ],
      ],
      [
        'qwen2',
        [
          'model.layers.0.self_attn.rotary_emb.inv_freq',
          'model.rotary_emb.inv_freq',
          'lm_head.weight',
          'score.weight',
          'v_head.summary.bias',
        ],
      ],
    ] as const) {
      expect(await beside(modelType, ...keys)).toBeUndefined();
    }
    expect(await beside('qwen2', 'model.layers.0.self_attn.o_proj.bias')).toBe(
      `${join(root, 'beside')} holds a weight, "model.layers.0.self_attn.o_proj.bias", that a qwen2 of its config.json does not have; it is not used: make sure that config.json and weights belong together`,
    );
    expect(
      await beside('qwen2', 'model.layers.24.mlp.up_proj.weight', 'model.layers.24.mlp.down_proj.weight'),
    ).toMatch(/holds 2 weights, such as "model\.layers\.24\.\w+\.\w+\.weight",.*; they are not used/);
    expect(await beside('roberta', 'encoder.layer.0.crossattention.self.query.weight')).toContain(
      'a roberta',
    );
    expect(await beside('hubert', 'encoder.layers.0.adapter_layer.norm.weight')).toContain('a hubert');
  });
});
