/** @file Names on the command line, and which files of a repository are fetched. */

import { describe, expect, it } from 'vitest';
import { publishedConfigs } from '../../../src/backbones/index.js';
import { parseModelName, publishedModels } from '../../../src/checkpoints/hub/index.js';
import { checkpointFiles } from '../../../src/checkpoints/hub/plan.js';
import { loadEmoq } from '../../recipe/emoq-recipe.js';

describe('a name', () => {
  it.each([
    ['roberta-base', 'FacebookAI/roberta-base', publishedModels['roberta-base']!.commit, true],
    ['Qwen2.5-7B-Instruct', 'Qwen/Qwen2.5-7B-Instruct', publishedModels['qwen2.5-7b-instruct']!.commit, true],
    ['hubert-large@main', 'facebook/hubert-large-ll60k', 'main', false],
    ['a/b', 'a/b', 'main', false],
    ['a/b.c_d-e@refs/pr/1', 'a/b.c_d-e', 'refs/pr/1', false],
    ['a/b@v1.0', 'a/b', 'v1.0', false],
  ])('%s is a model at a revision', (text, id, revision, isPinned) => {
    expect(parseModelName(text)).toEqual({ id, revision, isPinned });
  });

  it('that is short and not known is nothing', () => {
    for (const text of ['bert', 'toString', '__proto__', 'bert@main']) {
      expect(parseModelName(text)).toBeUndefined();
    }
  });

  it.each([
    '',
    'a/b/c',
    '../x',
    'a/../b',
    '/abs/path',
    'a/b@',
    'a/b@../../x',
    'a/b@-x',
    'a b/c',
    'a--b/c',
    '.a/b',
  ])('%j is refused in one line', (text) =>
    expect(() => parseModelName(text)).toThrow(/^[^\n]*(?:not the name of a model|not a branch)[^\n]*$/),
  );

  it('of a published model has its config for dry runs, and the other way round', () => {
    const ids = Object.values(publishedModels).map(({ id }) => id);
    expect(ids.sort()).toEqual(Object.keys(publishedConfigs).sort());
    for (const { commit } of Object.values(publishedModels)) expect(commit).toMatch(/^[0-9a-f]{40}$/);
  });

  it('is there for every backbone of the default recipe', async () => {
    const { backbones } = await loadEmoq({ dataset: 'meld7' });
    const ids = Object.values(publishedModels).map(({ id }) => id);
    expect(ids).toEqual(expect.arrayContaining([backbones.encoder, backbones.former, backbones.llm]));
  });
});

describe('the files of a checkpoint', () => {
  const beside = ['README.md', 'config.json', 'tokenizer.json'];

  it('are config, tokenizer and licence with one form of the weights', () => {
    const all = [
      ...['.gitattributes', 'LICENSE', 'README.md', 'config.json', 'flax_model.msgpack', 'merges.txt'],
      ...['model.safetensors', 'onnx/model.onnx', 'pytorch_model.bin', 'rust_model.ot', 'tf_model.h5'],
      ...['tokenizer.json', 'training_args.bin', 'vocab.json', 'model.fp16.safetensors', 'sub/config.json'],
    ];
    expect(checkpointFiles('a/b', all)).toEqual([
      ...['LICENSE', 'README.md', 'config.json', 'merges.txt', 'model.safetensors'],
      ...['tokenizer.json', 'vocab.json'],
    ]);
  });

  it.each([
    [
      'shards',
      [
        'model.safetensors.index.json',
        'model-00001-of-00002.safetensors',
        'model-00002-of-00002.safetensors',
      ],
    ],
    ['a .bin where there is nothing else', ['pytorch_model.bin']],
    ['shards of .bin', ['pytorch_model.bin.index.json', 'pytorch_model-00001-of-00001.bin']],
  ])('may be %s', (_, weights) => {
    const others = ['tf_model.h5', 'model-00003-of-00002.bin', 'consolidated.safetensors'];
    expect(checkpointFiles('a/b', [...beside, ...weights, ...others])).toEqual([...beside, ...weights]);
  });

  it('are one safetensors file rather than shards, and shards rather than a .bin', () => {
    const shards = ['model.safetensors.index.json', 'model-00001-of-00001.safetensors'];
    const all = [...beside, ...shards, 'pytorch_model.bin'];
    expect(checkpointFiles('a/b', all)).toEqual([...beside, ...shards]);
    expect(checkpointFiles('a/b', [...all, 'model.safetensors'])).toEqual([...beside, 'model.safetensors']);
  });

  it.each([
    [['model.safetensors'], 'a/b has no config.json'],
    [['config.json', 'tf_model.h5', 'q4.gguf'], 'has no weights that emoq reads'],
    [['config.json', 'tf_model.h5', 'q4.gguf'], 'it has tf_model.h5, q4.gguf'],
    [['config.json', 'model.safetensors.index.json', 'model-00001-of-00003.safetensors'], '1 shards'],
    [['config.json', 'model.safetensors.index.json'], '0 shards'],
  ])('are refused where something is missing (%#)', (paths, message) => {
    expect(() => checkpointFiles('a/b', paths)).toThrow(message);
  });
});
