/** @file A speech encoder of any size with random weights, in the real format, and clips for it. */

import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseEncoderConfig } from '../../dist/backbones/index.js';
import { wav2vec2Encoder } from '../../dist/backbones/speech-encoders/wav2vec2/encoder.js';
import { addInput } from '../../dist/engine/onnx/index.js';
import { seededRandom, streamSafetensors, tensor } from '../../dist/engine/tensor/index.js';
import { declaredWeights } from '../../dist/nn/index.js';

const SAMPLE_RATE_HZ = 16_000;

/** Writes config, preprocessor settings and weights (1.2 GB for HuBERT-large). @param raw as in config.json */
export async function writeRandomEncoder(folder, raw) {
  const config = parseEncoderConfig(raw, 'random encoder');
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
  await mkdir(folder, { recursive: true });
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

/** A falling tone over noise. @returns float32 [samples] */
export function speechLike(clip, samples) {
  const random = seededRandom(1, clip);
  return Float32Array.from({ length: samples }, (_, at) => {
    const tone = Math.sin((at * (0.08 + 0.01 * clip)) / (1 + at / samples));
    return 0.3 * tone + 0.05 * random.normal();
  });
}
