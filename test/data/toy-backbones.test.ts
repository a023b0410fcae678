/** @file The toy backbones: real key names and shapes, files that our loaders read, weights that carry a signal. */

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readDecoderConfig, readEncoderConfig } from '../../src/backbones/index.js';
import { sha256OfFile } from '../../src/base/index.js';
import { openCheckpoint } from '../../src/checkpoints/index.js';
import { buildByteLevelTokenizer, loadTokenizer } from '../../src/data/text/index.js';
import { writeToyBackbones } from '../../src/data/toy-backbones/index.js';
import { writeToyDecoder } from '../../src/data/toy-backbones/toy-backbones.js';
import { writeToySpeechEncoder } from '../../src/data/toy-backbones/toy-speech-encoders.js';
import { writeToyWhisper } from '../../src/data/toy-backbones/toy-whisper.js';
import { readSafetensors, readSafetensorsHeader } from '../../src/engine/tensor/index.js';

const scratch = mkdtempSync(join(tmpdir(), 'emoq-toy-backbones-'));
const words = ['neutral', 'happy', 'angry', 'sad', 'garden'];
const options = {
  roberta: buildByteLevelTokenizer({ words, kind: 'roberta' }),
  qwen2: buildByteLevelTokenizer({ words, kind: 'qwen2' }),
};
const usual = ['hubert', 'roberta', 'qwen2'] as const;
const models = [...usual, 'wav2vec2', 'wavlm', 'whisper', 'llama', 'qwen3'] as const;
const hashes = (dir: string): Promise<string[]> =>
  Promise.all(models.map((model) => sha256OfFile(join(dir, model, 'model.safetensors'))));

/** Those of `emoq prepare-toy`, and further families. */
async function writeAll(dir: string, seed: number): Promise<void> {
  await writeToyBackbones(dir, { seed, ...options });
  await writeToySpeechEncoder(join(dir, 'wav2vec2'), seed, 'wav2vec2');
  await writeToySpeechEncoder(join(dir, 'wavlm'), seed, 'wavlm');
  await writeToyWhisper(join(dir, 'whisper'), seed);
  const tokenizer = (kind: 'llama3' | 'qwen3') => buildByteLevelTokenizer({ words, kind });
  await writeToyDecoder(join(dir, 'llama'), seed, 'llama', tokenizer('llama3'));
  await writeToyDecoder(join(dir, 'qwen3'), seed, 'qwen3', tokenizer('qwen3'));
}

beforeAll(() => writeAll(join(scratch, 'a'), 3));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const published = JSON.parse(
  readFileSync(new URL('../fixtures/toy-backbones.json', import.meta.url), 'utf8'),
) as Record<(typeof models)[number], Record<string, (number | 'vocab')[]>>;

describe('toy backbones', () => {
  it.each(models)(
    '%s has the keys and shapes that transformers gives such a model, no more and no fewer',
    async (model) => {
      const dir = join(scratch, 'a', model);
      const { vocab_size: vocabulary } = JSON.parse(readFileSync(join(dir, 'config.json'), 'utf8')) as {
        vocab_size: number;
      };
      const { entries } = await readSafetensorsHeader(join(dir, 'model.safetensors'));
      const shapes = Object.fromEntries([...entries].map(([key, { shape }]) => [key, shape]));
      const expected = Object.entries(published[model]).map(
        ([key, shape]) => [key, shape.map((size) => (size === 'vocab' ? vocabulary : size))] as const,
      );
      expect(shapes).toEqual(Object.fromEntries(expected));
    },
  );

  it.each(models)('%s opens as a checkpoint', async (model) => {
    const { config, weights } = await openCheckpoint(join(scratch, 'a', model));
    expect(config.model_type).toBe(model);
    expect(weights.size).toBe(Object.keys(published[model]).length);
  });

  it.each(['roberta', 'qwen2', 'qwen3', 'llama'] as const)(
    '%s has an embedding for each token, and its words are one token',
    async (model) => {
      const dir = join(scratch, 'a', model);
      const tokenizer = await loadTokenizer(dir);
      const { config } = await openCheckpoint(dir);
      expect(config.vocab_size).toBe(tokenizer.vocabSize);
      for (const word of words)
        expect(tokenizer.encode(` ${word}`, { specialTokens: false })).toHaveLength(1);
      const begin = model === 'llama' ? tokenizer.tokenId('<|end_of_text|>') : config.bos_token_id;
      expect(tokenizer.padId).toBe(model === 'roberta' ? config.pad_token_id : begin);
    },
  );

  it('come out the same from one seed, and different from another', async () => {
    await writeAll(join(scratch, 'b'), 3);
    await writeAll(join(scratch, 'c'), 4);
    const [a, b, c] = await Promise.all(['a', 'b', 'c'].map((name) => hashes(join(scratch, name))));
    expect(b).toEqual(a);
    for (const [index, hash] of c!.entries()) expect(hash).not.toBe(a![index]);
  });

  it('are of their families, with what sets these apart', async () => {
    const decoder = (model: string) => readDecoderConfig(join(scratch, 'a', model));
    expect(await decoder('qwen2')).toMatchObject({ family: 'qwen2', queryKeyNorm: false });
    expect(await decoder('qwen3')).toMatchObject({ family: 'qwen3', queryKeyNorm: true, biases: [] });
    expect(await decoder('llama')).toMatchObject({ family: 'llama', ropeScaling: { factor: 8 } });
    const [hubert, wav2vec2, wavlm, whisper] = await Promise.all(
      ['hubert', 'wav2vec2', 'wavlm', 'whisper'].map((model) => readEncoderConfig(join(scratch, 'a', model))),
    );
    expect(wav2vec2).toEqual(hubert);
    expect(wavlm).toEqual({ ...hubert, numBuckets: 16, maxBucketDistance: 50 });
    expect(whisper).toMatchObject({ hiddenSize: 64, maxSourcePositions: 250, numMelBins: 80 });
  });

  it('fold the positional convolution to the weight that was drawn: one norm for each tap', async () => {
    const { tensors } = await readSafetensors(join(scratch, 'a', 'hubert', 'model.safetensors'));
    const key = 'encoder.pos_conv_embed.conv.parametrizations.weight.original';
    const [norms, weight] = [tensors.get(`${key}0`)!, tensors.get(`${key}1`)!];
    const taps = weight.shape[2]!;
    const squares = new Float64Array(taps);
    Array.from(weight.data as Float32Array).forEach((value, index) => {
      squares[index % taps]! += value * value;
    });
    for (let tap = 0; tap < taps; tap++) expect(Number(norms.data[tap]) ** 2).toBeCloseTo(squares[tap]!, 4);
  });

  it('refuse a tokenizer without the tokens that the model names', async () => {
    const qwen2 = { tokenizerJson: { model: { vocab: { a: 0 } } }, tokenizerConfig: {} };
    await expect(writeToyDecoder(join(scratch, 'd'), 0, 'qwen2', qwen2)).rejects.toThrow(
      'has no token <|endoftext|>',
    );
  });
});
