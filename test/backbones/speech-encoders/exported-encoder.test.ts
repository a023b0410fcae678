/**
 * @file Encoders exported by Hugging Face Optimum (test/reference/optimum-hubert.py) and by emoq give the features of
 * their checkpoints; anything else is rejected in one line.
 */

import { cp, mkdir, mkdtemp, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { ModelProtoSchema, TensorProto_DataLocation } from 'onnx-buf';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encoderGraph, findSpeechEncoder, type SpeechEncoder } from '../../../src/backbones/index.js';
import { openSpeechEncoder } from '../../../src/backbones/speech-encoders/encoder-source.js';
import { parseHubertConfig } from '../../../src/backbones/speech-encoders/hubert/family.js';
import { wav2vec2Encoder } from '../../../src/backbones/speech-encoders/wav2vec2/encoder.js';
import { openCheckpoint, requireWeight, weightsUnder } from '../../../src/checkpoints/index.js';
import { openFeatureCache } from '../../../src/data/features/index.js';
import {
  addInput,
  addNode,
  addOutput,
  cast,
  constant,
  createGraph,
  type Dim,
  externalDataFolder,
  type Graph,
  serializeModel,
} from '../../../src/engine/onnx/index.js';
import { type DType, int64 } from '../../../src/engine/tensor/index.js';
import { checkpointWeights } from '../../../src/nn/weights.js';
import { hubertFixtures, largestError, type References, readReferences, recordEncoder } from './encoding.js';

const optimum = new URL('../../fixtures/optimum-hubert/', import.meta.url).pathname;
const options = { device: { kind: 'cpu' }, threads: 2 } as const;

let folder: string;
let reference: References;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'emoq-exported-'));
  reference = await readReferences();
});

afterAll(async () => {
  await rm(folder, { recursive: true });
});

/** Runs `use` with an open encoder. */
async function withEncoder<T>(
  checkpoint: string,
  onnx: string | null,
  use: (encoder: SpeechEncoder) => Promise<T>,
): Promise<T> {
  const encoder = await openSpeechEncoder(checkpoint, { ...options, onnx });
  return use(encoder).finally(() => encoder.close());
}

/** Features of the clips of `name`, which must equal those of transformers for each clip alone. */
async function holdToReference(
  name: string,
  onnx: string,
  checkpoint = join(optimum, name),
): Promise<{ absolute: number; relative: number }> {
  return withEncoder(checkpoint, onnx, async (encoder) => {
    const features = await encoder.encode(reference.clips(name));
    const error = largestError(
      features.map(({ data }, clip) => [data, reference.tensor(`${name}.${clip}`)] as const),
    );
    expect(error.relative).toBeLessThan(1e-4);
    return error;
  });
}

/** Writes a hand-made model to a file in `folder`. */
async function write(name: string, model: Graph | Uint8Array): Promise<string> {
  const path = join(folder, name);
  await mkdir(dirname(path), { recursive: true });
  if (model instanceof Uint8Array) await writeFile(path, model);
  else {
    const weightsFolder = externalDataFolder(model);
    await writeFile(path, serializeModel(model, weightsFolder === undefined ? {} : { weightsFolder }));
  }
  return path;
}

describe.each(['base-odd', 'large-odd'])("Optimum's export of %s", (name) => {
  const onnx = join(optimum, name, 'model.onnx');

  it('gives the hidden states of transformers, in a folder without other weights', async () => {
    const error = await holdToReference(name, onnx);
    const { config } = await openCheckpoint(join(hubertFixtures, name));
    recordEncoder(`${name}, exported by Optimum`, { config, weights: new Map() }, 'single clips', error);
  });

  it("gives emoq's own features", async () => {
    const clips = [9_000, 4_100, 4_100, 77].map((samples, seed) =>
      Float32Array.from({ length: samples }, (_, at) => 0.3 * Math.sin(at * 0.05 * (seed + 1))),
    );
    const own = await withEncoder(join(hubertFixtures, name), null, (encoder) => encoder.encode(clips));
    const exported = await withEncoder(join(optimum, name), onnx, (encoder) => encoder.encode(clips));
    exported.forEach(({ data, frames, width }, clip) => {
      const { data: expected, ...size } = own[clip]!;
      expect({ frames, width }).toEqual(size);
      expect(largestError([[data, { dtype: 'float32', shape: [frames, width], data: expected }]])).toSatisfy(
        ({ relative }: { relative: number }) => relative < 1e-4,
      );
    });
  });

  it('is not fed any padding, as it has no mask: the same bits whatever else is encoded', async () => {
    await withEncoder(join(optimum, name), onnx, async (encoder) => {
      expect([24, 4_123, 10_000].map(encoder.paddedSamples)).toEqual([
        name === 'base-odd' ? 24 : 73,
        4_123,
        10_000,
      ]);
      const clips = reference.clips(name);
      const together = await encoder.encode([...clips, clips[1]!]);
      for (const [place, clip] of clips.entries()) {
        expect((await encoder.encode([clip]))[0]).toEqual(together[place]);
      }
      expect(together[3]).toEqual(together[1]);
    });
  });

  it('has features of its own in the cache', async () => {
    const own = (await findSpeechEncoder(join(hubertFixtures, name), null)).files;
    const exported = (await findSpeechEncoder(join(hubertFixtures, name), onnx)).files;
    const configs = ['config.json', 'preprocessor_config.json'].map((file) => join(optimum, name, file));
    expect(exported).toEqual([...configs, onnx]);
    // Without configs next to it, those of the checkpoint are used.
    const alone = await write(`${name}-alone/model.onnx`, await readFile(onnx));
    expect((await findSpeechEncoder(join(hubertFixtures, name), alone)).files).toEqual([
      ...own.slice(0, 2),
      alone,
    ]);
    const [one, other] = [await openFeatureCache(folder, own), await openFeatureCache(folder, exported)];
    expect(one.dir).not.toBe(other.dir);
  });
});

describe('an exported encoder with an attention mask', () => {
  it('of layer norms is padded and batched as emoq does it', async () => {
    const checkpoint = join(hubertFixtures, 'large-odd');
    const graph = encoderGraph(await openCheckpoint(checkpoint));
    const onnx = join(folder, 'own', 'masked.onnx');
    await cp(checkpoint, join(folder, 'own'), { recursive: true });
    await writeFile(onnx, serializeModel(graph, { weightsFolder: externalDataFolder(graph)! }));
    await withEncoder(checkpoint, onnx, async (encoder) => {
      expect(encoder.paddedSamples(4_123)).toBe(8_000);
      const features = await encoder.encode(reference.clips('large-odd'));
      features.forEach(({ data }, clip) => {
        const error = largestError([[data, reference.tensor(`large-odd.${clip}`)]]);
        expect(error.relative).toBeLessThan(1e-4);
      });
    });
  });

  it('of group norms is not, for they run over the padding', async () => {
    const checkpoint = join(hubertFixtures, 'base-odd');
    const graph = encoderGraph(await openCheckpoint(checkpoint), { groupNormSteps: 'padded' });
    await cp(checkpoint, join(folder, 'group'), { recursive: true });
    const onnx = join(folder, 'group', 'masked.onnx');
    await writeFile(onnx, serializeModel(graph, { weightsFolder: externalDataFolder(graph)! }));
    expect((await findSpeechEncoder(checkpoint, onnx)).paddedSamples(4_123)).toBe(4_123);
    await holdToReference('base-odd', onnx, checkpoint);
  });
});

it('an encoder of float16 values is fed and read as such', async () => {
  const dir = join(hubertFixtures, 'large-odd');
  const checkpoint = weightsUnder(await openCheckpoint(dir), ['hubert.', '']);
  const config = parseHubertConfig(checkpoint.config, dir);
  const graph = createGraph('half');
  const inputValues = addInput(graph, 'input_values', 'float16', ['batch', 'samples']);
  const attentionMask = addInput(graph, 'attention_mask', 'int64', ['batch', 'samples']);
  const weights = checkpointWeights(graph, (key, shape) => requireWeight(checkpoint, key, shape));
  const { hiddenStates } = wav2vec2Encoder(weights, config, {
    inputValues: cast(inputValues, 'float32'),
    attentionMask,
  });
  addOutput(graph, cast(hiddenStates.at(-1)!, 'float16'), 'states');
  await cp(dir, join(folder, 'half'), { recursive: true });
  const onnx = join(folder, 'half', 'half.onnx');
  await writeFile(onnx, serializeModel(graph, { weightsFolder: externalDataFolder(graph)! }));
  await withEncoder(dir, onnx, async (encoder) => {
    const clips = reference.clips('large-odd'); // float16 values
    const features = await encoder.encode(clips);
    features.forEach(({ data }, clip) => {
      const { relative } = largestError([[data, reference.tensor(`large-odd.${clip}`)]]);
      expect(relative).toBeLessThan(2 ** -11 + 1e-4);
      expect(relative).toBeGreaterThan(1e-5);
    });
  });
});

describe('external data', () => {
  const name = 'large-odd';
  const dataName = 'model.onnx_data';

  /** Moves the weights of Optimum's file to a second file next to it; returns the model. */
  async function split(dir: string, location: string): Promise<string> {
    const model = fromBinary(ModelProtoSchema, await readFile(join(optimum, name, 'model.onnx')));
    const pieces: Uint8Array[] = [];
    let offset = 0;
    for (const tensor of model.graph!.initializer.filter(({ rawData }) => rawData.length > 64)) {
      const { rawData } = tensor;
      const entries = { location, offset: String(offset), length: String(rawData.length) };
      tensor.externalData = Object.entries(entries).map(([key, value]) => ({
        $typeName: 'onnx.StringStringEntryProto',
        key,
        value,
      }));
      tensor.dataLocation = TensorProto_DataLocation.EXTERNAL;
      tensor.rawData = new Uint8Array();
      pieces.push(rawData);
      offset += rawData.length;
    }
    await mkdir(join(folder, dir), { recursive: true });
    await writeFile(join(folder, dir, 'model.onnx'), toBinary(ModelProtoSchema, model));
    await writeFile(join(folder, dir, dataName), Buffer.concat(pieces));
    return join(folder, dir, 'model.onnx');
  }

  it('beside the file are found and are part of what names the features', async () => {
    const onnx = await split('beside', dataName);
    await holdToReference(name, onnx);
    const { files } = await findSpeechEncoder(join(optimum, name), onnx);
    expect(files.slice(2)).toEqual([onnx, join(folder, 'beside', dataName)]);
    const before = await openFeatureCache(folder, files);
    const data = await readFile(files[3]!);
    data[5]! ^= 1;
    await writeFile(files[3]!, data);
    expect(await openFeatureCache(folder, files)).not.toEqual(before);
  });

  it('behind links are found, as in the Hugging Face cache', async () => {
    await split('blobs', dataName);
    const snapshot = join(folder, 'snapshots', 'abc', 'onnx');
    await mkdir(snapshot, { recursive: true });
    await symlink('../../../blobs/model.onnx', join(snapshot, 'model.onnx'));
    await symlink(`../../../blobs/${dataName}`, join(snapshot, dataName));
    await holdToReference(name, join(snapshot, 'model.onnx'));
  });

  it('that are missing, elsewhere or cut short are refused', async () => {
    const missing = await split('missing', dataName);
    await rm(join(folder, 'missing', dataName));
    await refused(
      missing,
      /missing\/model\.onnx has its weights in model\.onnx_data, which is missing beside it/,
    );
    for (const location of ['../large/model.safetensors', '/etc/passwd']) {
      await refused(await split('outside', location), /has its weights in .*, outside its own folder/);
    }
    const short = await split('short', dataName);
    await truncate(join(folder, 'short', dataName), 100);
    const encoder = openSpeechEncoder(join(optimum, name), { ...options, onnx: short });
    await expect(encoder).rejects.toMatchObject({
      name: 'InputError',
      message: expect.stringMatching(/^encoder .*short\/model\.onnx cannot be loaded: .+$/),
    });
  });
});

/** Finding the encoder `onnx` with the config of large-odd (width 21) must fail in one line. */
async function refused(onnx: string, why: RegExp): Promise<void> {
  const found = findSpeechEncoder(join(optimum, 'large-odd'), onnx);
  await expect(found).rejects.toMatchObject({ name: 'InputError', message: expect.stringMatching(why) });
  await expect(found).rejects.toMatchObject({ message: expect.not.stringContaining('\n') });
}

describe('a file that is no encoder is refused:', () => {
  it('one that is not there, a folder, and what is no ONNX', async () => {
    await refused(join(folder, 'nowhere.onnx'), /^encoder .*nowhere\.onnx does not exist$/);
    await refused(folder, /^encoder .* is not a file$/);
    const whole = await readFile(join(optimum, 'large-odd', 'model.onnx'));
    const contents: Record<string, string | Uint8Array> = {
      empty: '',
      pointer: 'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n',
      json: '{}',
      cut: whole.subarray(0, whole.length / 2),
      weights: await readFile(join(hubertFixtures, 'large-odd', 'model.safetensors')),
    };
    for (const [name, content] of Object.entries(contents)) {
      const path = join(folder, `${name}.onnx`);
      await writeFile(path, content);
      await refused(path, new RegExp(`${name}\\.onnx is not an ONNX file, or is cut short$`));
    }
  });

  it('one of another width than the config beside it', async () => {
    await cp(join(optimum, 'large-odd'), join(folder, 'mixed'), { recursive: true });
    await cp(join(optimum, 'base-odd', 'model.onnx'), join(folder, 'mixed', 'model.onnx'));
    await refused(
      join(folder, 'mixed', 'model.onnx'),
      /gives features of width 10, where the config\.json beside it has hidden_size 21; put the files of one model/,
    );
  });

  type ValueSpec = readonly [name: string, dtype: DType, shape: readonly Dim[]];

  /** A model with this interface; what it computes does not matter. */
  async function model(name: string, inputs: readonly ValueSpec[], output: ValueSpec): Promise<string> {
    const graph = createGraph(name);
    const values = inputs.map((spec) => addInput(graph, ...spec));
    const [result] = addNode(graph, 'Identity', [values[0]!], {}, [{ dtype: output[1], shape: output[2] }]);
    addOutput(graph, result!, output[0]);
    return write(`${name}.onnx`, graph);
  }

  const samples: ValueSpec = ['input_values', 'float32', ['batch', 'samples']];
  const states: ValueSpec = ['last_hidden_state', 'float32', ['batch', 'frames', 21]];
  it.each<[string, readonly ValueSpec[], ValueSpec, RegExp]>([
    [
      'other-input',
      [['source', 'float32', ['batch', 'samples']]],
      states,
      /wants an input that emoq does not provide \(input_values and attention_mask\); it takes source float32 \[\?, \?\] and gives last_hidden_state/,
    ],
    ['further-input', [samples, ['speaker', 'int64', [1]]], states, /wants an input .* speaker int64 \[1\]/],
    ['no-values', [['attention_mask', 'int64', ['n', 's']]], states, /has no input input_values/],
    [
      'fixed',
      [['input_values', 'float32', [1, 16_000]]],
      states,
      /must take input_values of any \[batch, samples\]; export it with dynamic axes; it takes input_values float32 \[1, 16000\]/,
    ],
    ['flat', [['input_values', 'float32', ['samples']]], states, /must take input_values of any \[batch/],
    ['integers', [['input_values', 'int32', ['n', 's']]], states, /input_values as float32 or float16/],
    [
      'mask-type',
      [samples, ['attention_mask', 'int32', ['n', 's']]],
      states,
      /must take attention_mask as int64/,
    ],
    [
      'pooled',
      [samples],
      ['pooler_output', 'float32', ['batch', 21]],
      /gives neither last_hidden_state nor another output of three axes; .* gives pooler_output float32 \[\?, 21\]/,
    ],
    [
      'double',
      [samples],
      ['last_hidden_state', 'float64', ['batch', 'frames', 21]],
      /must give last_hidden_state as float32 or float16/,
    ],
    [
      'logits',
      [samples],
      ['logits', 'float32', ['batch', 'frames', 32]],
      /gives neither last_hidden_state nor another output of three axes \(logits are scores of a recogniser, not features: export the encoder alone\); it takes input_values/,
    ],
  ])('one with another interface (%s)', async (name, inputs, output, why) => {
    await refused(await model(name, inputs, output), why);
  });

  it('one that onnxruntime cannot load', async () => {
    const unknown = fromBinary(ModelProtoSchema, await readFile(join(optimum, 'large-odd', 'model.onnx')));
    unknown.graph!.node[3]!.opType = 'NoSuchOperator';
    const path = join(folder, 'unknown.onnx');
    await writeFile(path, toBinary(ModelProtoSchema, unknown));
    const loading = openSpeechEncoder(join(optimum, 'large-odd'), { ...options, onnx: path });
    await expect(loading).rejects.toMatchObject({
      name: 'InputError',
      message: expect.stringMatching(/^encoder .*unknown\.onnx cannot be loaded: .*NoSuchOperator.*$/),
    });
  });

  it('one that fails when it runs', async () => {
    const graph = createGraph('traced');
    const values = addInput(graph, ...samples);
    const shape = constant(graph, int64([3], [1, 5, 21])); // of the one clip that it was traced with
    const [hidden] = addNode(graph, 'Reshape', [values, shape], {}, [{ dtype: 'float32', shape: states[2] }]);
    addOutput(graph, hidden!, 'last_hidden_state');
    await withEncoder(join(optimum, 'large-odd'), await write('traced.onnx', graph), async (encoder) => {
      await expect(encoder.encode([new Float32Array(500)])).rejects.toMatchObject({
        name: 'InputError',
        message: expect.stringMatching(/^encoder .*traced\.onnx failed: .+$/),
      });
    });
  });

  it('one of another geometry than the config, when it runs on several clips at once', async () => {
    const checkpoint = join(hubertFixtures, 'large-odd');
    const graph = encoderGraph(await openCheckpoint(checkpoint));
    await cp(checkpoint, join(folder, 'other-strides'), { recursive: true });
    const config = JSON.parse(await readFile(join(checkpoint, 'config.json'), 'utf8'));
    const other = JSON.stringify({ ...config, conv_stride: [3, 2, 2, 1, 2] });
    await writeFile(join(folder, 'other-strides', 'config.json'), other);
    const onnx = await write('other-strides/model.onnx', graph);
    const clip = new Float32Array(4_000).fill(0.1);
    await withEncoder(checkpoint, onnx, async (encoder) => {
      await expect(encoder.encode([clip, clip])).rejects.toThrow(
        /^encoder .*model\.onnx gave last_hidden_state \[2, \d+, 21\] where \[2, \d+, 21\] is expected; give the config\.json that it was made with/,
      );
    });
  });

  it('but not for the frames that it gives of one clip', async () => {
    const dir = join(folder, 'alone');
    await cp(join(optimum, 'large-odd'), dir, { recursive: true });
    const config = JSON.parse(await readFile(join(dir, 'config.json'), 'utf8'));
    await writeFile(join(dir, 'config.json'), JSON.stringify({ ...config, conv_stride: [3, 2, 2, 1, 2] }));
    await withEncoder(dir, join(dir, 'model.onnx'), async (encoder) => {
      const [features] = await encoder.encode([new Float32Array(500).fill(0.1)]);
      expect(features).toMatchObject({ frames: 36, width: 21 });
    });
  });
});
