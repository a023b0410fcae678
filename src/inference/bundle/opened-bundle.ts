/** @file Opens a bundle as a model: its ONNX files run one after the other, over the configs and tokenizers beside them. */

import { join } from 'node:path';
import { InputError } from '../../base/index.js';
import { loadModelFile } from '../../engine/onnx/index.js';
import { type Device, deviceName, type WorkerSession } from '../../engine/runtime/index.js';
import type { Tensor } from '../../engine/tensor/index.js';
import type { Precision } from '../../nn/index.js';
import { encoderOf, type Phase, type Recipe, systemOf } from '../../systems/index.js';
import { type ComputeOptions, devicesAlike, encoderPool, promptedInference } from '../../training/index.js';
import { runRecipe } from '../../training/runs/index.js';
import { inferenceBatches, inTurns, openEvaluators, turnsOn } from '../device-sessions.js';
import type { OpenedModel } from '../trained-run.js';
import { type BundleDescription, readBundleDescription, verifyBundle } from './bundle-format.js';

/** A bundle as a model. */
export interface OpenedBundle extends OpenedModel {
  readonly dir: string;
  readonly description: BundleDescription;
}

/** Opens a bundle, and compares its files with their checksums. @throws InputError when it is damaged or incomplete */
export async function openBundleModel(dir: string, compute: ComputeOptions): Promise<OpenedBundle> {
  const description = await readBundleDescription(dir);
  await verifyBundle(dir, description);
  const { precision } = description;
  const recipe = await bundleRecipe(dir, description);
  const phase = await systemOf(recipe).open(recipe, description.phase, {
    weights: 'shapes-only',
    start: 'checkpoint',
    prompt: description.prompt ?? undefined,
  });
  if (phase.encode === undefined) throw new InputError(`bundle ${dir}: its tokenizers cannot be read`);
  requireInputs(dir, description, phase);
  const { device } = compute;
  if (precision !== 'float32' && device.kind !== 'cuda') {
    throw new InputError(
      `bundle ${dir} computes in ${precision}, which onnxruntime has on CUDA only, not on ${deviceName(device)}; export it with --precision float32, or choose --device cuda`,
    );
  }
  const precisionOn = ({ kind }: Device): Precision => (kind === 'cuda' ? precision : 'float32');
  const devices = devicesAlike(compute, precisionOn, 'judging utterances');
  const models = await Promise.all(
    description.models.map(({ file }) => loadModelFile(join(dir, file), 'model')),
  );
  compute.onBegin?.();
  const turns = turnsOn(compute);
  const { evaluators, close } = await openEvaluators(devices, compute.threads, turns, async (worker, on) => {
    const sessions: WorkerSession[] = [];
    for (const { model, weightsFolder } of models) {
      sessions.push(await worker.open(model, { ...on, weightsFolder }));
    }
    return { batchesPerRun: () => 1, run: async ([batch]) => [await runChain(sessions, batch!.tensors)] };
  });
  const inferExamples = promptedInference(evaluators, phase);
  const batching = inferenceBatches(phase, device);
  return {
    ...{ dir, description, recipe, phase, devices: devices.length, close },
    openEncoder: async () => inTurns(encoderPool(await encoderOf(recipe), compute), turns),
    infer: (examples, features, control) =>
      inferExamples(examples, {
        ...{ features: phase.features(features), batching },
        ...control,
      }),
  };
}

/** @throws InputError if the models take something else than this version gives them */
function requireInputs(dir: string, { models, versions }: BundleDescription, phase: Phase): void {
  const given = new Set([...phase.inputs, ...(phase.past ? [phase.past] : [])].map(({ name }) => name));
  const taken = new Set(models.flatMap(({ inputs }) => inputs.map(({ name }) => name)));
  const untaken = [...given].filter((name) => !taken.has(name));
  for (const { outputs } of models) for (const name of outputs) given.add(name);
  const unknown = [...taken].filter((name) => !given.has(name));
  if (untaken.length + unknown.length === 0) return;
  throw new InputError(
    `bundle ${dir} was written by another emoq (${versions.emoq}), whose models take ${[...taken].join(', ')}; export it again with this one`,
  );
}

/** The recipe of a bundle, with its folders where they are now. */
export function bundleRecipe(dir: string, { backbones, encoder }: BundleDescription): Promise<Recipe> {
  const overrides = Object.entries(backbones).map(([key, folder]) => `backbones.${key}=${join(dir, folder)}`);
  if (encoder !== null) overrides.push(`backbones.encoder_onnx=${join(dir, encoder.file)}`);
  return runRecipe({ recipe: join(dir, 'recipe.yaml') }, overrides);
}

/** Runs models in order; each gets what it takes of the inputs and of the outputs of earlier ones. */
async function runChain(
  sessions: readonly WorkerSession[],
  inputs: Readonly<Record<string, Tensor>>,
): Promise<Record<string, Tensor>> {
  const values: Record<string, Tensor> = { ...inputs };
  for (const session of sessions) {
    const feeds = Object.fromEntries(session.inputNames.map((name) => [name, values[name]!]));
    Object.assign(values, await session.run(feeds));
  }
  return values;
}
