/**
 * @file Encoders other than HuBERT: width and frame count come from the graph, and the waveform preparation from the
 * configs, if any.
 */

import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encoderWidth, findSpeechEncoder } from '../../../src/backbones/index.js';
import { openSpeechEncoder } from '../../../src/backbones/speech-encoders/encoder-source.js';
import { openFeatureCache } from '../../../src/data/features/index.js';
import { hubertFixtures } from './encoding.js';
import { type OtherEncoder, otherEncoderFile, otherFeatures } from './other-encoder.js';

const options = { device: { kind: 'cpu' }, threads: 1 } as const;
const usual: OtherEncoder = { width: 24, kernel: 400, stride: 640 };
const clips = [9_000, 400, 4_321].map((samples, clip) =>
  Float32Array.from({ length: samples }, (_, at) => 0.2 + 0.3 * Math.sin(at * 0.01 * (clip + 1))),
);

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'emoq-other-encoder-'));
});
afterAll(() => rm(folder, { recursive: true }));

/** Writes an encoder to its own folder, with the given files next to it; returns the path of the graph. */
async function write(
  name: string,
  encoder: OtherEncoder,
  beside: Readonly<Record<string, unknown>> = {},
  graph = 'model.onnx',
): Promise<string> {
  const path = join(folder, name, graph);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, otherEncoderFile(encoder));
  for (const [file, content] of Object.entries(beside)) {
    const text = typeof content === 'string' ? content : JSON.stringify(content);
    await writeFile(join(folder, name, file), text);
  }
  return path;
}

/** Zero mean and unit variance, as in Wav2Vec2FeatureExtractor. */
function normalized(waveform: Float32Array): Float32Array {
  const mean = waveform.reduce((sum, value) => sum + value, 0) / waveform.length;
  const variance = waveform.reduce((sum, value) => sum + (value - mean) ** 2, 0) / waveform.length;
  return waveform.map((value) => (value - mean) / Math.sqrt(variance + 1e-7));
}

async function expectFeatures(
  onnx: string,
  encoder: OtherEncoder,
  fed: (waveform: Float32Array) => Float32Array,
  checkpoint: string | null = null,
): Promise<void> {
  const open = await openSpeechEncoder(checkpoint, { ...options, onnx });
  try {
    expect(open.width).toBe(encoder.width);
    const features = await open.encode(clips);
    features.forEach(({ frames, width, data }, clip) => {
      const expected = otherFeatures(encoder, fed(clips[clip]!));
      expect({ frames, width }).toEqual({ frames: expected.length / encoder.width, width: encoder.width });
      expected.forEach((value, at) => {
        expect(data[at]).toBeCloseTo(value, 4);
      });
    });
  } finally {
    await open.close();
  }
}

const asTheyAre = (waveform: Float32Array): Float32Array => waveform;
const wavlm = { model_type: 'wavlm', hidden_size: 24 };

describe('an exported encoder of another architecture', () => {
  it('gives the features of its own width and frame rate, fed as preprocessor_config.json beside it says', async () => {
    const raw = await write('raw', usual, {
      'config.json': wavlm,
      'preprocessor_config.json': { do_normalize: false, sampling_rate: 16_000 },
    });
    await expectFeatures(raw, usual, asTheyAre);
    expect((await findSpeechEncoder(null, raw)).warning).toBeUndefined();
    const scaled = await write('scaled', usual, { 'preprocessor_config.json': { do_normalize: true } });
    await expectFeatures(scaled, usual, normalized);
  });

  it('needs nothing beside it: waveforms are then normalised, with a warning', async () => {
    const onnx = await write('bare', usual);
    await expectFeatures(onnx, usual, normalized);
    expect((await findSpeechEncoder(null, onnx)).warning).toBe(
      `encoder ${onnx}: its waveform preprocessing is not known, so waveforms are normalised to zero mean and unit variance; set that with a preprocessor_config.json beside it, {"do_normalize": true} or false`,
    );
  });

  it('is fed as the metadata say that emoq writes, which nothing else need repeat', async () => {
    const noted = { ...usual, metadata: { do_normalize: 'false', sampling_rate_hz: '16000' } };
    const onnx = await write('noted', noted);
    await expectFeatures(onnx, usual, asTheyAre);
    await expectFeatures(onnx, usual, asTheyAre, join(hubertFixtures, 'large'));
    expect((await findSpeechEncoder(null, onnx)).warning).toBeUndefined();
  });

  it('is found with its configs around a folder "onnx", as on the hub', async () => {
    const beside = { 'config.json': wavlm, 'preprocessor_config.json': { do_normalize: false } };
    const onnx = await write('hub', usual, beside, 'onnx/model.onnx');
    await expectFeatures(onnx, usual, asTheyAre);
    const names = ['config.json', 'preprocessor_config.json', 'onnx/model.onnx'];
    expect((await findSpeechEncoder(null, onnx)).files).toEqual(
      names.map((name) => join(folder, 'hub', name)),
    );
  });

  it('tells its width by running once where its graph leaves it open and no config has it', async () => {
    const open = { ...usual, width: 17, tellsWidth: false };
    const onnx = await write('open', open, { 'preprocessor_config.json': {} });
    expect((await encoderWidth(null, onnx)).width).toBe(17);
    await expectFeatures(onnx, open, normalized);
    const told = await write('told', open, { 'config.json': { model_type: 'wavlm', hidden_size: 17 } });
    expect((await encoderWidth(null, told)).width).toBe(17);
  });

  it('may take one clip at a time', async () => {
    const one = { ...usual, takesOne: true };
    await expectFeatures(await write('one', one), one, normalized);
  });

  it('has other features in the cache when what it is fed by changes', async () => {
    const onnx = await write('cached', usual);
    const key = async () =>
      (await openFeatureCache(join(folder, 'cache'), (await findSpeechEncoder(null, onnx)).files)).dir;
    const keys = [await key()];
    for (const do_normalize of [true, false]) {
      const path = join(folder, 'cached', 'preprocessor_config.json');
      await writeFile(path, JSON.stringify({ do_normalize }));
      keys.push(await key());
    }
    expect(new Set(keys).size).toBe(3);
  });
});

describe('backbones.encoder beside an exported encoder', () => {
  const large = join(hubertFixtures, 'large');

  it('of another width is not used, with a warning', async () => {
    const onnx = await write('other-width', { ...usual, width: 23 });
    const { files, warning } = await findSpeechEncoder(large, onnx);
    expect(files).toEqual([onnx]);
    expect(warning).toMatch(
      /other-width\/model\.onnx: it gives features of width 23, and backbones\.encoder \(.*large\) has hidden_size \d+: another model, whose configs are not used; its waveform/,
    );
  });

  it('that is not here is not missed', async () => {
    const onnx = await write('not-here', usual, { 'preprocessor_config.json': {} });
    const { files, warning } = await findSpeechEncoder('facebook/no-such-model', onnx);
    expect(warning).toBeUndefined();
    expect(files).toEqual([join(folder, 'not-here', 'preprocessor_config.json'), onnx]);
  });

  it('gives way to what lies beside the graph', async () => {
    const width = 32;
    const own = await findSpeechEncoder(large, null);
    expect(own.warning).toBeUndefined();
    const wide = { ...usual, width };
    const onnx = await write('beside', wide, { 'preprocessor_config.json': { do_normalize: false } });
    await expectFeatures(onnx, wide, asTheyAre, large);
  });
});

describe('an exported encoder is refused in one line', () => {
  const refused = async (onnx: string, why: RegExp) => {
    const found = findSpeechEncoder(null, onnx);
    await expect(found).rejects.toMatchObject({ name: 'InputError', message: expect.stringMatching(why) });
    await expect(found).rejects.toMatchObject({ message: expect.not.stringContaining('\n') });
  };

  it("that takes spectrograms, as Whisper's does, naming its inputs", async () => {
    const whisper = { ...usual, input: 'input_features' };
    await refused(
      await write('whisper', whisper),
      /^encoder .*whisper\/model\.onnx wants spectrograms \(input_features\), as Whisper does, but emoq only provides waveforms \(input_values and attention_mask\); of Whisper itself, give the checkpoint as backbones\.encoder; it takes input_features float32 \[\?, \?\] and gives last_hidden_state float32 \[\?, \?, 24\]$/,
    );
  });

  it('with the config of another model beside it', async () => {
    const config = { model_type: 'wavlm', hidden_size: 768 };
    await refused(
      await write('mixed', usual, { 'config.json': config }),
      /mixed\/model\.onnx gives features of width 24, where the config\.json beside it has hidden_size 768; put the files of one model into one folder$/,
    );
    const adapted = { 'config.json': { ...config, output_hidden_size: 24 }, 'preprocessor_config.json': {} };
    await expectFeatures(await write('adapted', usual, adapted), usual, normalized);
  });

  it('of another sampling rate, by either file', async () => {
    const preprocessor = { do_normalize: true, sampling_rate: 24_000 };
    await refused(
      await write('rate', usual, { 'preprocessor_config.json': preprocessor }),
      /preprocessor_config\.json.*sampling_rate.*24000 is not supported, only 16000 is/,
    );
    const noted = { ...usual, metadata: { sampling_rate_hz: '8000' } };
    await refused(await write('noted-rate', noted), /is for audio at 8000 Hz; emoq gives it 16,000 Hz$/);
  });

  it('with a broken config beside it', async () => {
    await refused(await write('broken', usual, { 'preprocessor_config.json': '{' }), /is not valid JSON/);
  });

  it('that gives no frame for a clip, when it runs', async () => {
    const slow = { ...usual, kernel: 6_000 };
    const open = await openSpeechEncoder(null, { ...options, onnx: await write('slow', slow) });
    await expect(open.encode([clips[1]!])).rejects.toThrow(/slow\/model\.onnx/);
    await open.close();
  });

  it('that is not named at all', async () => {
    await expect(findSpeechEncoder(null, null)).rejects.toThrow('set backbones.encoder to a HuBERT');
  });
});
