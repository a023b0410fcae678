/**
 * @file The HuBERT-large encoder on clips, with random weights: `node test/bench/hubert-encoder.mjs FOLDER`. Writes the
 * checkpoint (1.2 GB) and the clips into FOLDER for hubert_encoder.py, and its features for comparison. Prints its
 * figures as one line of JSON.
 */

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseEncoderConfig, publishedConfigs } from '../../dist/backbones/index.js';
import { openSpeechEncoder } from '../../dist/backbones/speech-encoders/encoder-source.js';
import { wav2vec2Encoder } from '../../dist/backbones/speech-encoders/wav2vec2/encoder.js';
import { peakMemoryBytes } from '../../dist/base/index.js';
import { addInput } from '../../dist/engine/onnx/index.js';
import { seededRandom, streamSafetensors, tensor } from '../../dist/engine/tensor/index.js';
import { declaredWeights } from '../../dist/nn/index.js';
import { medianOf } from './timing.mjs';

const CLIPS = 4;
const CLIP_SAMPLES = 64_000;
const SAMPLE_RATE_HZ = 16_000;

const folder = process.argv[2];
await writeCheckpoint();
const clips = Array.from({ length: CLIPS }, (_, clip) => speechLike(clip));
await writeFile(join(folder, 'clips.f32'), joined(clips));

const encoder = await openSpeechEncoder(folder, { device: { kind: 'cpu' } });
let features;
const { wallSec, processorSec } = await medianOf(3, async () => {
  features = await encoder.encode(clips);
});
await encoder.close();
await writeFile(join(folder, 'features.f32'), joined(features.map(({ data }) => data)));
const audioSec = (CLIPS * CLIP_SAMPLES) / SAMPLE_RATE_HZ;
const peakGiB = peakMemoryBytes() / 2 ** 30;
console.log(JSON.stringify({ clips: CLIPS, audioSec, wallSec, processorSec, peakGiB }));

async function writeCheckpoint() {
  const raw = publishedConfigs['facebook/hubert-large-ll60k'];
  const config = parseEncoderConfig(raw, 'hubert-large');
  const parameters = declaredWeights((graph, weights) => {
    wav2vec2Encoder(weights, config, {
      inputValues: addInput(graph, 'input_values', 'float32', ['batch', 'samples']),
      attentionMask: addInput(graph, 'attention_mask', 'int64', ['batch', 'samples']),
    });
  });
  const tensors = parameters.map(({ key, shape }) => ({
    key,
    dtype: 'float32',
    shape,
    async *read() {
      yield new Uint8Array(initial(key, shape).buffer);
    },
  }));
  await streamSafetensors(join(folder, 'model.safetensors'), tensors, { format: 'pt' });
  await writeFile(join(folder, 'config.json'), JSON.stringify(raw));
  const preprocessor = { do_normalize: true, return_attention_mask: true, sampling_rate: SAMPLE_RATE_HZ };
  const type = { feature_extractor_type: 'Wav2Vec2FeatureExtractor' };
  await writeFile(join(folder, 'preprocessor_config.json'), JSON.stringify({ ...type, ...preprocessor }));
}

/** Uniform, scaled to preserve the variance of a layer's input; norms at 1, small biases. */
function initial(key, shape) {
  const { data } = tensor('float32', shape);
  const fanIn = shape.slice(1).reduce((product, size) => product * size, 1);
  const half = key.endsWith('.bias') ? 0.1 : Math.sqrt(3 / fanIn);
  if (shape.length === 1 && !key.endsWith('.bias')) data.fill(1);
  else if (key.endsWith('original0')) data.fill(1);
  else for (let i = 0; i < data.length; i++) data[i] = (2 * Math.random() - 1) * half;
  return data;
}

/** A falling tone over noise. */
function speechLike(clip) {
  const random = seededRandom(1, clip);
  return Float32Array.from({ length: CLIP_SAMPLES }, (_, at) => {
    const tone = Math.sin((at * (0.08 + 0.01 * clip)) / (1 + at / CLIP_SAMPLES));
    return 0.3 * tone + 0.05 * random.normal();
  });
}

function joined(arrays) {
  return Buffer.concat(
    arrays.map(({ buffer, byteOffset, byteLength }) => Buffer.from(buffer, byteOffset, byteLength)),
  );
}
