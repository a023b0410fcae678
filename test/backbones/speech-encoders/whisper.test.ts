/** @file Whisper's encoder computes what transformers does, spectrogram included (test/reference/whisper.py). */

import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  encoderFamilyOf,
  encoderKeys,
  encoderWidth,
  findSpeechEncoder,
  readEncoderConfig,
} from '../../../src/backbones/index.js';
import { encoderGraph } from '../../../src/backbones/speech-encoders/encoder-families.js';
import { openSpeechEncoder } from '../../../src/backbones/speech-encoders/encoder-source.js';
import { parseWhisperConfig } from '../../../src/backbones/speech-encoders/whisper/config.js';
import { whisperFraming } from '../../../src/backbones/speech-encoders/whisper/encoder.js';
import { logMel, melFilters } from '../../../src/backbones/speech-encoders/whisper/log-mel.js';
import { openCheckpoint, unreadWeights } from '../../../src/checkpoints/index.js';
import { checkCudaKernels } from '../../../src/engine/onnx/index.js';
import type { Session } from '../../../src/engine/runtime/index.js';
import { float32Of, type Tensor, tensor } from '../../../src/engine/tensor/index.js';
import { parityError, recordParity } from '../../parity/figures.js';
import { compute } from '../decoders/graph-run.js';
import {
  encodeBatch,
  largestError,
  openEncoder,
  type References,
  readReferences,
  realFrames,
  recordEncoder,
  whisperFixtures,
} from './encoding.js';

const device = { kind: 'cpu' } as const;
const names = ['tiny', 'large', 'classify', 'bare'];
const reference: References = await readReferences(whisperFixtures);
const clips = [0, 1, 2].map((clip) => reference.values(`clip.${clip}`));
const long = reference.values('clip.long');

describe.each(names)('the Whisper %s', (name) => {
  const dir = join(whisperFixtures, name);
  let session: Session;
  beforeAll(async () => {
    session = await openEncoder(dir);
  });
  afterAll(() => session.dispose());

  async function hold(quantity: string, pairs: (readonly [Float32Array, string])[]): Promise<void> {
    const error = largestError(
      pairs.map(([actual, key]) => [actual, reference.tensor(`${name}.${key}`)] as const),
    );
    recordEncoder(name, await openCheckpoint(dir), quantity, error);
    expect(error.relative).toBeLessThan(1e-4);
    expect(error.absolute).toBeLessThan(1e-4);
  }

  it('has the hidden states of transformers on single clips', async () => {
    const hidden: Float32Array[] = [];
    for (const clip of clips) hidden.push(...realFrames(await encodeBatch(session, [clip])));
    await hold(
      'single clips',
      hidden.map((states, clip) => [states, String(clip)] as const),
    );
  });

  it('has those of consecutive windows on a longer clip', async () => {
    await hold('a clip of several windows', [[realFrames(await encodeBatch(session, [long]))[0]!, 'long']]);
  });

  it('has them beside other clips, and in any padding', async () => {
    const keys = ['0', '1', '2', 'long'];
    const pairs: [Float32Array, string][] = [];
    for (const length of [long.length, long.length + 999, 3 * long.length]) {
      const hidden = realFrames(await encodeBatch(session, [...clips, long], length));
      pairs.push(...hidden.map((states, clip): [Float32Array, string] => [states, keys[clip]!]));
    }
    await hold('batches of short and long clips, padded, against single clips', pairs);
  });

  it('gives a clip the same bits alone and beside others', async () => {
    const encoder = await openSpeechEncoder(dir, { device });
    const together = await encoder.encode([...clips, clips[1]!]);
    const alone = await encoder.encode([clips[1]!]);
    const besideLong = await encoder.encode([clips[1]!, long]);
    await encoder.close();
    expect(together[1]!.data).toEqual(alone[0]!.data);
    expect(together[3]!.data).toEqual(alone[0]!.data);
    expect(besideLong[0]!.frames).toBe(alone[0]!.frames);
    expect(parityError(asTensor(besideLong[0]!.data), asTensor(alone[0]!.data)).absolute).toBeLessThan(1e-5);
    expect(alone[0]!.frames).toBe(reference.numbers(`${name}.frames`)[1]);
  });

  it('does not hear what lies in the padding', async () => {
    const [clip] = clips as [Float32Array];
    const noisy = tensor('float32', [1, 20_000], new Float32Array(20_000).fill(3));
    noisy.data.set(clip);
    const mask = tensor('int64', [1, 20_000]);
    mask.data.fill(1n, 0, clip.length);
    const { last_hidden_state: hidden } = await session.run({ input_values: noisy, attention_mask: mask });
    const wanted = reference.tensor(`${name}.0`);
    const found = float32Of(hidden!).slice(0, float32Of(wanted).length);
    expect(parityError(tensor('float32', wanted.shape, found), wanted).absolute).toBeLessThan(1e-4);
  });

  it('reads all that matters', async () => {
    const checkpoint = await openCheckpoint(dir);
    const read = encoderKeys(checkpoint);
    expect(read.size).toBe(2 + 2 + 1 + 2 + 15 * (await readEncoderConfig(dir)).numHiddenLayers);
    expect(unreadWeights(checkpoint, encoderFamilyOf(checkpoint), read)).toBeUndefined();
  });
});

const asTensor = (data: Float32Array): Tensor => tensor('float32', [1, data.length], data);

describe('the log-mel spectrogram', () => {
  /** [bands, steps], as transformers has it. */
  async function spectrogram(clip: Float32Array, bands: number): Promise<Tensor> {
    const window = tensor('float32', [1, 16_000]);
    window.data.set(clip);
    const { features } = await compute({ window: [window, ['N', 16_000]] }, (_, inputs) => ({
      features: logMel(inputs.window, 16_000, bands),
    }));
    expect(features!.shape).toEqual([1, 100, bands]);
    const data = float32Of(features!);
    const turned = Float32Array.from({ length: bands * 100 }, (_, at) => {
      return data[(at % 100) * bands + Math.floor(at / 100)]!;
    });
    return tensor('float32', [bands, 100], turned);
  }

  it.each([
    [80, '0'],
    [128, '0'],
    [80, 'tone'],
    [128, 'tone'],
    [80, 'silence'],
    [128, 'silence'],
  ])('of %i bands is that of WhisperFeatureExtractor for clip %s', async (bands, name) => {
    const clip = name === 'silence' ? new Float32Array(5000) : reference.values(`clip.${name}`);
    const error = parityError(await spectrogram(clip, bands), reference.tensor(`log_mel.${bands}.${name}`));
    const quantity = { 0: 'a voice-like clip', tone: 'a tone over faint noise', silence: 'silence' }[name]!;
    recordParity({
      model: 'Whisper, log-mel spectrogram',
      shape: `${bands} bands`,
      dtype: 'float32',
      quantity,
      ...error,
    });
    expect(error.absolute).toBeLessThan(1e-4);
  });

  it.each([80, 128])('has the %i filters of transformers', (bands) => {
    const wanted = reference.tensor(`mel_filters.${bands}`);
    const { absolute } = parityError(tensor('float32', wanted.shape, melFilters(bands)), wanted);
    expect(absolute).toBeLessThan(1e-8);
  });
});

describe('Whisper', () => {
  it('has the number of frames that transformers gives for the mask of the features', () => {
    const config = parseWhisperConfig({ model_type: 'whisper', max_source_positions: 50 }, 'config.json');
    const { frames, stepSamples } = whisperFraming(config);
    expect(stepSamples).toBe(16_000);
    expect(reference.numbers('lengths').map(frames)).toEqual(reference.numbers('length_frames'));
  });

  it('marks these frames in its graph', async () => {
    const session = await openEncoder(join(whisperFixtures, 'tiny'));
    const silences = reference.numbers('lengths').map((length) => new Float32Array(length));
    const { frames, frameMask } = await encodeBatch(session, silences);
    await session.dispose();
    const counts = silences.map((_, row) =>
      frameMask.slice(row * frames, (row + 1) * frames).reduce((sum, flag) => sum + flag),
    );
    expect(counts).toEqual(reference.numbers('length_frames'));
  });

  it('gives a frame for a single sample', async () => {
    const encoder = await openSpeechEncoder(join(whisperFixtures, 'tiny'), { device });
    const [features] = await encoder.encode([Float32Array.of(0.5)]);
    expect(features).toMatchObject({ frames: 1, width: 14 });
    expect(encoder.paddedSamples(1)).toBe(16_000);
    expect(encoder.paddedSamples(16_001)).toBe(32_000);
    await encoder.close();
  });

  it('is found by its config, and its config has what is its own', async () => {
    const checkpoint = await openCheckpoint(join(whisperFixtures, 'large'));
    expect(encoderGraph(checkpoint).name).toBe('whisper');
    const { config, paddedSamples } = await findSpeechEncoder(checkpoint.dir, null);
    expect(config).toEqual({
      hiddenSize: 24,
      numHiddenLayers: 3,
      numAttentionHeads: 6,
      intermediateSize: 32,
      numMelBins: 128,
      maxSourcePositions: 100,
      doNormalize: false,
    });
    expect(paddedSamples(5)).toBe(32_000);
    expect(await encoderWidth(checkpoint.dir, null)).toMatchObject({ width: 24, held: 1 });
  });

  it('computes layers in 16 bits where that is asked for, positions and convolutions in float32', async () => {
    const graph = encoderGraph(await openCheckpoint(join(whisperFixtures, 'large')), {
      precision: 'bfloat16',
    });
    expect(() => checkCudaKernels(graph)).not.toThrow();
    const products = graph.nodes.filter(({ operator }) => operator === 'Gemm');
    const types = products.map(({ name, outputs }) => [name.split('/')[1], outputs[0]!.dtype]);
    expect(types.filter(([part]) => part!.startsWith('conv')).map(([, dtype]) => dtype)).toEqual([
      'float32',
      'float32',
    ]);
    expect(types.filter(([part]) => part!.startsWith('layers')).map(([, dtype]) => dtype)).toEqual(
      Array(18).fill('bfloat16'),
    );
    const rounded = graph.nodes.filter(
      ({ operator, inputs, outputs }) =>
        operator === 'Cast' &&
        inputs[0]!.name === 'embed_positions.weight' &&
        outputs[0]!.dtype === 'bfloat16',
    );
    expect(graph.nodes.filter(({ inputs }) => inputs.includes(rounded[0]?.outputs[0] as never))).toEqual([]);
  });
});

describe('settings of a Whisper checkpoint', () => {
  let scratch: string;
  beforeAll(async () => {
    scratch = await mkdtemp(join(tmpdir(), 'emoq-whisper-'));
    await cp(join(whisperFixtures, 'tiny'), scratch, { recursive: true });
  });
  afterAll(() => rm(scratch, { recursive: true }));

  it.each([
    [{ n_fft: 512 }, 'n_fft: 512 is not supported, only 400 is'],
    [{ hop_length: 320 }, 'hop_length: 320 is not supported'],
    [{ sampling_rate: 8000 }, 'sampling_rate: 8000 is not supported'],
    [{ dither: 0.1 }, 'dither: 0.1 is not supported'],
    [{ feature_size: 128 }, 'feature_size 128 is not the 80 of num_mel_bins in config.json'],
    [{ chunk_length: 30 }, 'chunk_length 30 (seconds) is not what max_source_positions 50'],
  ])('%j are refused', async (changed, message) => {
    const path = join(whisperFixtures, 'tiny', 'preprocessor_config.json');
    const settings = { ...JSON.parse(await readFile(path, 'utf8')), ...changed };
    await writeFile(join(scratch, 'preprocessor_config.json'), JSON.stringify(settings));
    await expect(readEncoderConfig(scratch)).rejects.toThrow(message);
  });
});
