/**
 * @file The HuBERT-large encoder on clips, with random weights: `node test/bench/hubert-encoder.mjs FOLDER`. Writes the
 * checkpoint (1.2 GB) and the clips into FOLDER for hubert_encoder.py, and its features for comparison. Prints its
 * figures as one line of JSON.
 */

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { publishedConfigs } from '../../dist/backbones/index.js';
import { openSpeechEncoder } from '../../dist/backbones/speech-encoders/encoder-source.js';
import { peakMemoryBytes } from '../../dist/base/index.js';
import { speechLike, writeRandomEncoder } from './random-encoder.mjs';
import { medianOf } from './timing.mjs';

const CLIPS = 4;
const CLIP_SAMPLES = 64_000;
const SAMPLE_RATE_HZ = 16_000;

const folder = process.argv[2];
await writeRandomEncoder(folder, publishedConfigs['facebook/hubert-large-ll60k']);
const clips = Array.from({ length: CLIPS }, (_, clip) => speechLike(clip, CLIP_SAMPLES));
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

function joined(arrays) {
  return Buffer.concat(
    arrays.map(({ buffer, byteOffset, byteLength }) => Buffer.from(buffer, byteOffset, byteLength)),
  );
}
