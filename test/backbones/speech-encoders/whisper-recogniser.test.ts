/** @file A whole Whisper says what transformers generates with it (test/reference/whisper_decoder.py). */

import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findRecogniser, type RecogniserSource } from '../../../src/backbones/index.js';
import type { ClipFeatures } from '../../../src/backbones/speech-encoders/speech-encoder.js';
import {
  decodingTable,
  readDecodingRules,
} from '../../../src/backbones/speech-encoders/whisper/generation.js';
import { whisperRecogniserGraph } from '../../../src/backbones/speech-encoders/whisper/recogniser.js';
import {
  decoderStep,
  windowKeysAndValues,
} from '../../../src/backbones/speech-encoders/whisper/token-decoder.js';
import { parseWhisperDecoderConfig } from '../../../src/backbones/speech-encoders/whisper/token-decoder-config.js';
import { openCheckpoint, requireWeight, weightsUnder } from '../../../src/checkpoints/index.js';
import { checkCudaKernels, expand, int64Vector, scalar, slice } from '../../../src/engine/onnx/index.js';
import { float32Of, int64, readSafetensors, type Tensor, tensor } from '../../../src/engine/tensor/index.js';
import { checkpointWeights } from '../../../src/nn/index.js';
import { parityError, recordParity } from '../../parity/figures.js';
import { compute } from '../decoders/graph-run.js';
import { hubertFixtures, openEncoder, readReferences } from './encoding.js';

const fixtures = new URL('../../fixtures/whisper-decoder/', import.meta.url).pathname;
const device = { kind: 'cpu' } as const;
const { tensors } = await readSafetensors(`${fixtures}reference.safetensors`);
const clips = [0, 1, 2];
const heard = await readReferences(hubertFixtures);
const samples = clips.map((clip) => heard.values(`clip.${clip}`));

interface Said {
  readonly start: number[][];
  readonly ids: number[][];
  readonly texts: string[];
  readonly probabilities: number[][];
}
interface Reference extends Said {
  readonly forced: Said;
  readonly long: Said;
}
const referenceOf = async (name: string): Promise<Reference> =>
  JSON.parse(await readFile(join(fixtures, name, 'reference.json'), 'utf8'));

async function saidBy(source: RecogniserSource, waveforms: readonly Float32Array[]): Promise<ClipFeatures[]> {
  const encoder = await source.encoder.open({ device, threads: 1 });
  try {
    return await encoder.encode(waveforms);
  } finally {
    await encoder.close();
  }
}

/** The tokens of a window after the first, up to the end of the text. */
function tokensOf({ data }: Pick<ClipFeatures, 'data'>, count: number): { ids: number[]; shares: number[] } {
  const column = (at: number) => Array.from({ length: count }, (_, step) => data[2 * step + at]!);
  return { ids: column(0), shares: column(1) };
}

function expectSaid(features: ClipFeatures, said: Said, index: number): void {
  const [, ...start] = said.start[index]!;
  const wanted = [...start, ...said.ids[index]!];
  const { ids, shares } = tokensOf(features, wanted.length);
  expect(ids).toEqual(wanted);
  for (const [step, share] of said.probabilities[index]!.entries()) {
    expect(shares[start.length + step]).toBeCloseTo(share, 4);
  }
}

describe.each(['multilingual', 'english', 'plain'])('the %s Whisper', (name) => {
  const dir = join(fixtures, name);
  let source: RecogniserSource;
  let reference: Reference;
  let together: ClipFeatures[];
  beforeAll(async () => {
    source = await findRecogniser(dir, { beam: 1 });
    reference = await referenceOf(name);
    together = await saidBy(source, samples);
  });

  it('has the logits of transformers after the tokens that begin a text', async () => {
    const checkpoint = await openCheckpoint(dir);
    const config = parseWhisperDecoderConfig(checkpoint.config, dir);
    const states = await wholeWindows(dir);
    const starts = reference.start;
    const length = starts[0]!.length;
    const feeds = {
      states: [states, ['N', 50, config.hiddenSize]],
      tokens: [int64([clips.length, length], starts.flat()), ['N', length]],
    } as const;
    const stored = weightsUnder(checkpoint, ['model.decoder.', 'decoder.']);
    const folder = fixtures;
    const { logits } = await compute(
      feeds,
      (graph, inputs) => {
        const weights = checkpointWeights(graph, (key, shape) => requireWeight(stored, key, shape));
        const window = windowKeysAndValues(weights, config, inputs.states);
        const { numAttentionHeads: heads, hiddenSize } = config;
        const empty = (shape: number[]) =>
          expand(scalar(graph, 0), int64Vector(graph, [clips.length, ...shape]), ['N', ...shape]);
        let past = window.map(() => ({
          keys: empty([heads, hiddenSize / heads, 0]),
          values: empty([heads, 0, hiddenSize / heads]),
        })) as readonly (typeof window)[number][];
        for (let at = 0; ; at++) {
          const tokens = slice(inputs.tokens, 1, at, at + 1);
          const position = scalar(graph, at, 'int64');
          const step = decoderStep(weights, config, { tokens, position, past, window });
          if (at === length - 1) return { logits: step.logits };
          past = step.keysAndValues;
        }
      },
      folder,
    );
    const wanted = tensors.get(`${name}.logits`)!;
    const error = parityError(tensor('float32', wanted.shape, float32Of(logits!)), wanted);
    recordParity({
      model: `Whisper, ${name}, with its decoder`,
      shape: `${config.numHiddenLayers} layers, ${config.hiddenSize}`,
      dtype: [...checkpoint.weights.values()][0]!.dtype,
      quantity: 'logits after the tokens that begin a text',
      ...error,
    });
    expect(error.absolute).toBeLessThan(1e-4);
    expect(error.relative).toBeLessThan(1e-4);
  });

  /** The frames of whole windows, silence included, as the encoder has them. */
  async function wholeWindows(folder: string): Promise<Tensor> {
    const session = await openEncoder(folder);
    const values = tensor('float32', [clips.length, 16_000]);
    for (const [row, clip] of samples.entries()) values.data.set(clip, row * 16_000);
    const { last_hidden_state: states } = await session.run({
      input_values: values,
      attention_mask: tensor('int64', values.shape, new BigInt64Array(values.data.length).fill(1n)),
    });
    await session.dispose();
    return states!;
  }

  it('says the tokens and texts that transformers generates, each as likely', () => {
    for (const clip of clips) {
      expectSaid(together[clip]!, reference, clip);
      const { text, words, confidence } = source.textOf(together[clip]!);
      expect(text).toBe(reference.texts[clip]!.trim());
      expect(words).toEqual([]);
      expect(confidence).toBeGreaterThan(0);
      expect(confidence).toBeLessThanOrEqual(1);
    }
  });

  it('says the same of a clip alone, and beside longer ones', async () => {
    const long = float32Of(tensors.get('clip.long')!);
    for (const clip of clips) {
      const [alone] = await saidBy(source, [samples[clip]!]);
      expectSaid(alone!, reference, clip);
    }
    const [first, , second] = await saidBy(source, [samples[0]!, long, samples[1]!]);
    expectSaid(first!, reference, 0);
    expectSaid(second!, reference, 1);
    expect(source.textOf(second!).text).toBe(reference.texts[1]!.trim());
  });
});

describe('a multilingual Whisper', () => {
  const dir = join(fixtures, 'multilingual');
  it.each(['de', 'german', 'German', '<|de|>'])('takes the language %s', async (language) => {
    const source = await findRecogniser(dir, { beam: 1, language });
    expect(source.language).toBe('de');
    const { forced, texts } = await referenceOf('multilingual');
    const found = await saidBy(source, samples);
    for (const clip of clips) {
      expectSaid(found[clip]!, forced, clip);
      expect(source.textOf(found[clip]!).text).toBe(forced.texts[clip]!.trim());
    }
    expect(forced.texts).not.toEqual(texts);
  });

  it('hears the language of each window, and joins their texts', async () => {
    const source = await findRecogniser(dir, { beam: 1 });
    const { long } = await referenceOf('multilingual');
    const [found] = await saidBy(source, [float32Of(tensors.get('clip.long')!)]);
    const half = found!.data.length / 2;
    expectSaid({ ...found!, data: found!.data.subarray(0, half) }, long, 0);
    expectSaid({ ...found!, data: found!.data.subarray(half) }, long, 1);
    expect(source.textOf(found!).text).toBe(long.texts.map((text) => text.trim()).join(' '));
  });

  it('has a confidence that is the mean over the tokens of the text', async () => {
    const source = await findRecogniser(dir, { beam: 1 });
    const { ids, probabilities } = await referenceOf('multilingual');
    const found = await saidBy(source, samples);
    // Ids from 290 on are special.
    const own = ids[1]!.flatMap((id, step) => (id < 290 ? [probabilities[1]![step]!] : []));
    const { confidence, symbols } = source.textOf(found[1]!);
    expect(symbols).toBe(own.length);
    expect(confidence).toBeCloseTo(own.reduce((sum, each) => sum + each, 0) / own.length, 4);
  });

  it('has a vocabulary that is the same in every language', async () => {
    const identities = await Promise.all(
      [undefined, 'de', 'german'].map(async (language) => {
        const { vocabulary, ...found } = await findRecogniser(dir, { beam: 1, language });
        return [found.language, JSON.stringify(vocabulary)];
      }),
    );
    expect(identities.map(([language]) => language)).toEqual([undefined, 'de', 'de']);
    expect(new Set(identities.map(([, vocabulary]) => vocabulary)).size).toBe(1);
  });

  it('computes layers in 16 bits where that is asked for, and has kernels on CUDA', async () => {
    const checkpoint = await openCheckpoint(dir);
    const config = parseWhisperDecoderConfig(checkpoint.config, dir);
    const rules = await readDecodingRules(dir, checkpoint.config, config, undefined);
    const graph = whisperRecogniserGraph(checkpoint, decodingTable(rules, config.vocabSize), 'bfloat16');
    expect(() => checkCudaKernels(graph)).not.toThrow();
    const [body] = graph.nodes.flatMap(({ attributes }) => attributes.body ?? []);
    const products = (body as unknown as { value: typeof graph }).value.nodes.filter(
      ({ operator }) => operator === 'Gemm',
    );
    // Six projections of both attentions (keys and values of the window are outside), two of the feed-forward layer.
    expect(products.length).toBe(2 * 8 + 1);
    expect(new Set(products.map(({ outputs }) => outputs[0]!.dtype))).toEqual(new Set(['bfloat16']));
  });
});

describe('what is no recogniser, or cannot do what is asked', () => {
  let scratch: string;
  beforeAll(async () => {
    scratch = await mkdtemp(join(tmpdir(), 'emoq-whisper-recogniser-'));
  });
  afterAll(() => rm(scratch, { recursive: true }));

  let copies = 0;
  /** A copy of a fixture with changes to its JSON files; null deletes one. */
  async function changed(
    name: string,
    files: Record<string, Record<string, unknown> | null>,
  ): Promise<string> {
    const dir = join(scratch, String(copies++));
    await cp(join(fixtures, name), dir, { recursive: true });
    for (const [file, changes] of Object.entries(files)) {
      const path = join(dir, file);
      if (changes === null) await rm(path);
      else await writeFile(path, JSON.stringify({ ...JSON.parse(await readFile(path, 'utf8')), ...changes }));
    }
    return dir;
  }
  const generation = 'generation_config.json';

  it.each([
    [{ beam: 4 }, /^--beam 4: \S+ is a Whisper, which is decoded greedily; leave --beam out/],
    [{ beam: 1, words: true }, /^--words: \S+ is a Whisper, which does not say when/],
    [{ beam: 1, language: 'xx' }, /^--language xx: the model does not have "xx"; it has de, en, fr$/],
    [{ beam: 1, language: 'not a language' }, /the model does not have "not a language"/],
  ])('%j is refused', async (wishes, message) => {
    await expect(findRecogniser(join(fixtures, 'multilingual'), wishes)).rejects.toThrow(message);
  });

  it('a language is refused for models that have one', async () => {
    const wishes = { beam: 1, language: 'de' };
    for (const name of ['english', 'plain']) {
      await expect(findRecogniser(join(fixtures, name), wishes)).rejects.toThrow(
        /^--language de: the model has one language \(no lang_to_id in \S+\); leave --language out$/,
      );
    }
    const ctc = new URL('../../fixtures/ctc/hubert', import.meta.url).pathname;
    await expect(findRecogniser(ctc, wishes)).rejects.toThrow(
      /^--language de: \S+ has a CTC head and hears the language that it was trained on; leave --language out/,
    );
  });

  it('an encoder without its decoder is refused', async () => {
    const bare = new URL('../../fixtures/whisper/bare', import.meta.url).pathname;
    await expect(findRecogniser(bare, { beam: 1 })).rejects.toThrow(
      /^checkpoint \S+bare has no model\.decoder\.embed_tokens\.weight: it is a Whisper without its decoder, which recognises nothing; name a whole one/,
    );
  });

  it.each([
    [{ 'tokenizer.json': null }, /has no tokenizer\.json/],
    [
      { [generation]: { suppress_tokens: [307] } },
      /generation_config\.json names token 307, but the model has 307/,
    ],
    [{ [generation]: { lang_to_id: { '<|en|>': 9999 } } }, /names token 9999/],
    [{ [generation]: { eos_token_id: 400 } }, /names token 400/],
    [{ [generation]: { suppress_tokens: [-1] } }, /suppress_tokens/],
    [{ [generation]: { task: 'translate' } }, /task: "translate" is not supported/],
    [
      { [generation]: { language: 'klingon' } },
      /^language klingon in \S+: the model does not have "klingon"/,
    ],
    [{ [generation]: { no_repeat_ngram_size: 3 } }, /no_repeat_ngram_size: 3 is not supported/],
    [
      {
        [generation]: {
          forced_decoder_ids: [
            [1, 292],
            [3, 296],
          ],
        },
      },
      /forced_decoder_ids must be for places 1, 2/,
    ],
    [
      {
        [generation]: {
          forced_decoder_ids: [
            [1, 292],
            [2, 295],
          ],
        },
      },
      /asks for translations into English/,
    ],
    [{ [generation]: { lang_to_id: null } }, /leaves the language open and names none \(lang_to_id\)/],
    [
      { [generation]: { decoder_start_token_id: 290 } },
      /has <\|startoftranscript\|> as token 291, but decoder_start_token_id is 290/,
    ],
    [
      { 'config.json': { max_target_positions: 4 }, [generation]: { max_length: 400 } },
      /have no room after the 4/,
    ],
    [{ 'config.json': { tie_word_embeddings: false } }, /tie_word_embeddings: false is not supported/],
    [
      { 'config.json': { decoder_start_token_id: null }, [generation]: { decoder_start_token_id: null } },
      /has no decoder_start_token_id; fetch generation_config\.json/,
    ],
  ])('%j is refused in one line', async (files, message) => {
    const error = await findRecogniser(await changed('multilingual', files), { beam: 1 }).then(
      () => undefined,
      (reason: Error) => reason,
    );
    expect(error?.message).toMatch(message);
    expect(error?.message).not.toContain('\n');
    expect(error?.name).toBe('InputError');
  });

  it('weights of another shape are refused when the model is loaded', async () => {
    const dir = await changed('multilingual', { 'config.json': { decoder_ffn_dim: 5 } });
    const source = await findRecogniser(dir, { beam: 1 });
    await expect(saidBy(source, samples)).rejects.toThrow(
      /fc1\.weight" in \S+ has shape \[37, 24\], the config asks for \[5, 24\]/,
    );
  });

  it('weights that are no numbers are noticed in what is said', async () => {
    const dir = await changed('multilingual', {});
    const path = join(dir, 'model.safetensors');
    const bytes = await readFile(path);
    const header = Number(bytes.readBigUInt64LE(0));
    const { 'model.decoder.layer_norm.bias': bias } = JSON.parse(bytes.toString('utf8', 8, 8 + header));
    bytes.writeFloatLE(Number.NaN, 8 + header + bias.data_offsets[0]);
    await writeFile(path, bytes);
    const [said] = await saidBy(await findRecogniser(dir, { beam: 1 }), [samples[0]!]);
    expect(said!.data.some(Number.isNaN)).toBe(true);
  });
});
