/**
 * @file The speech encoder of a run with the layers that it trained, as a Hugging Face folder: an encoder for other
 * recipes, for `emoq transcribe` if it has a CTC head, and for transformers.
 */

import { join } from 'node:path';
import { encoderWeightKey, readEncoderConfig } from '../../backbones/index.js';
import { InputError, writeNewFolder } from '../../base/index.js';
import {
  checkpointIdentity,
  openCheckpoint,
  requireWeight,
  storedTensor,
  trainedTensor,
} from '../../checkpoints/index.js';
import { streamSafetensors } from '../../engine/tensor/index.js';
import { SPEECH_ENCODER_PREFIX } from '../../systems/index.js';
import { requireSameBackbones } from '../../training/index.js';
import { findRun, openTrainedRun, type RunOpening, type TrainedRun } from '../trained-run.js';
import { copyCompanions } from './companions.js';

/**
 * Writes the encoder of a run into a new folder: trained weights in float32, the others as they are stored.
 * @param dir a run of any phase, or its experiment's folder
 * @returns the run, and how many of how many weights it trained
 * @throws InputError when the folder exists already, the run trained no layer of its encoder, or the encoder is not the
 *   one that it began with
 */
export async function writeTrainedEncoder(
  dir: string,
  out: string,
  options: RunOpening & { readonly stop?: AbortSignal | undefined },
): Promise<{ readonly run: TrainedRun; readonly trained: number; readonly total: number }> {
  const run = await openTrainedRun(await findRun(dir), { ...options, unscored: true });
  const { recipe, trained, folder, metadata } = run;
  const own = [...trained.weights.keys()].filter((key) => key.startsWith(SPEECH_ENCODER_PREFIX));
  if (own.length === 0) {
    throw new InputError(
      `the run in ${folder.dir} trained no layer of its encoder (encoder.train is ${recipe.encoder.train}); its encoder is ${recipe.backbones.encoder ?? recipe.backbones.encoder_onnx}`,
    );
  }
  const checkpoint = await openCheckpoint(recipe.backbones.encoder!);
  const config = await readEncoderConfig(recipe.backbones.encoder!);
  requireSameBackbones(folder, metadata, { encoder: await checkpointIdentity(checkpoint, config) });
  const byStored = new Map(
    own.map((key) => [encoderWeightKey(checkpoint, key.slice(SPEECH_ENCODER_PREFIX.length)), key]),
  );
  const stored = [...new Map([...checkpoint.weights.values()].map((ref) => [ref.key, ref])).values()];
  const tensors = stored.map((ref) => {
    const key = byStored.get(ref.key);
    if (key === undefined) return storedTensor(ref);
    return { ...trainedTensor(requireWeight(trained, key, ref.shape)), key: ref.key };
  });
  await writeNewFolder(out, options.stop, async (staged) => {
    await streamSafetensors(join(staged, 'model.safetensors'), tensors, { format: 'pt' });
    await copyCompanions(checkpoint.dir, staged);
  });
  return { run, trained: own.length, total: stored.length };
}
