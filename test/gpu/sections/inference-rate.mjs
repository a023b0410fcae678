/** @file Rates of inference: audio through the speech encoder, and prompts through the language model. */

import { join } from 'node:path';
import { openSpeechEncoder } from '../../../dist/backbones/speech-encoders/encoder-source.js';
import { startSessionWorker } from '../../../dist/engine/runtime/index.js';
import { speechLike, writeRandomEncoder } from '../../bench/random-encoder.mjs';
import { medianOf } from '../../bench/timing.mjs';
import { attempt } from '../attempt.mjs';
import { watchMemory } from '../nvidia-card.mjs';
import { evaluationModel, openPhase, randomBatch, vocabularyOf } from '../phases.mjs';
import { randomWeights, weightsPath } from '../random-weights.mjs';

const SAMPLE_RATE_HZ = 16_000;

const precisionsOf = (device) => (device.kind === 'cuda' ? ['bfloat16', 'float32'] : ['float32']);

/** Hours of audio per hour, from waveforms in memory to features in memory. */
export async function encoderRate({ models, device, threads, folder, quick }, report) {
  const dir = join(folder, 'encoder');
  await writeRandomEncoder(dir, models.encoder);
  const { batches, samples } = models.clips;
  for (const precision of precisionsOf(device)) {
    const memory = watchMemory(device.index ?? 0);
    await attempt(report, `${models.names.encoder}, ${precision}`, async () => {
      const encoder = await openSpeechEncoder(dir, { device, threads, precision });
      for (const batch of quick ? batches.slice(0, 1) : batches) {
        const what = `${models.names.encoder}, ${precision}, batch ${batch} of ${samples / SAMPLE_RATE_HZ} s`;
        await attempt(report, what, async () => {
          const clips = Array.from({ length: batch }, (_, clip) => speechLike(clip, samples));
          memory.begin();
          let features;
          const { wallSec } = await medianOf(quick ? 1 : 3, async () => {
            features = await encoder.encode(clips);
          });
          const ok = features.every(({ data }) => data.every(Number.isFinite));
          const audioSecPerSec = (batch * samples) / SAMPLE_RATE_HZ / wallSec;
          report({
            kind: 'encoder',
            what,
            batch,
            precision,
            audioSecPerSec,
            peakBytes: memory.peakBytes(),
            ok,
          });
        });
      }
      await encoder.close();
    });
    memory.stop();
  }
}

/** Utterances per second through the evaluation graph of stage 2: Former, projector, language model. */
export async function stage2Rate({ models, device, threads, folder, quick }, report) {
  const precision = precisionsOf(device)[0];
  const { batch, prompt } = models.inference;
  const { frames, text } = models.stage2;
  const what = `stage 2 without the speech encoder, ${models.names.decoder}, ${precision}, batch ${batch}, ${prompt} tokens`;
  const memory = watchMemory(device.index ?? 0);
  const worker = startSessionWorker();
  await attempt(report, what, async () => {
    // The file that the training step has written, if it ran.
    const weights = randomWeights(weightsPath(folder, `stage2-${models.names.decoder}`));
    const phase = openPhase('stage2', models, weights);
    const { model, weightsFolder } = evaluationModel(phase, weights, precision);
    weights.write();
    const session = await worker.open(model, { device, threads, weightsFolder });
    const { tensors } = randomBatch(phase, { batch, frames, text, prompt }, vocabularyOf(models), 1);
    let outputs;
    const { wallSec } = await medianOf(quick ? 1 : 5, async () => {
      outputs = await session.run(tensors);
    });
    const ok = outputs.probabilities.data.every(Number.isFinite);
    report({
      kind: 'rows',
      what,
      batch,
      precision,
      rowsPerSec: batch / wallSec,
      peakBytes: memory.peakBytes(),
      ok,
    });
  });
  await worker.close();
  memory.stop();
}
