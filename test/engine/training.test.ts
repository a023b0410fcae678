/** @file Training steps against PyTorch, and whatever must not change them: K, padding, neighbours, a restart. */

import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { serializeModel } from '../../src/engine/onnx/index.js';
import { type SessionHost, startSessionHost } from '../../src/engine/runtime/index.js';
import { float32, int64, readSafetensors, type Tensor, tensor } from '../../src/engine/tensor/index.js';
import {
  type Batch,
  type BatchInput,
  buildTrainingGraph,
  secondMomentName,
  stackBatches,
} from '../../src/engine/training/index.js';
import {
  inputs,
  openTraining,
  parameters,
  pooledSpec,
  randomBatch,
  randomBatches,
  relativeError,
  settings,
  stateNames,
  takeSteps,
  takeStepsIn,
  type Training,
} from './training-model.js';

let folder: string;
let host: SessionHost;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'emoq-training-'));
  host = startSessionHost();
});
afterAll(async () => {
  await host.close();
  await rm(folder, { recursive: true, force: true });
});

/** All parameters and moments as the bytes of a saved file. */
async function savedState({ session }: Training, name: string): Promise<Buffer> {
  const path = join(folder, `${name}.safetensors`);
  await session.saveState(path, stateNames(), {});
  return readFile(path);
}

const values = ({ data }: Tensor): ArrayLike<number> => data as Float32Array;

describe('training steps', async () => {
  const fixture = await readSafetensors(new URL('../fixtures/adamw.safetensors', import.meta.url).pathname);
  const expected = (key: string): Tensor => fixture.tensors.get(key)!;
  const setting = (key: string): number => Number(fixture.metadata[key]);
  const steps = setting('steps');
  const batches = Array.from({ length: steps }, (_, step): Batch => {
    const [x, mask, target] = ['x', 'mask', 'target'].map((name) => expected(`batch/${step}/${name}`)) as [
      Tensor,
      Tensor,
      Tensor,
    ];
    const [batch, length] = x.shape as [number, number];
    return { tensors: { x, mask, target }, sizes: { batch, length } };
  });
  const spec = {
    ...pooledSpec(),
    optimizer: {
      beta1: setting('beta1'),
      beta2: setting('beta2'),
      epsilon: setting('epsilon'),
      weightDecay: setting('weight_decay'),
      clipNorm: setting('clip_norm'),
    },
    schedule: { warmupSteps: setting('warmup_steps'), totalSteps: setting('total_steps') },
  };
  const open = (): Promise<Training> =>
    openTraining(host, spec, Object.fromEntries(parameters.map(({ key }) => [key, expected(`start/${key}`)])));

  it("are PyTorch's AdamW with its clipping by norm and our schedule, parameters and moments alike", async () => {
    const training = await open();
    const rate = setting('rate');
    let done = 0;
    const worst: Record<string, number> = {};
    for (const mark of [1, steps / 2, steps]) {
      const outputs = await takeSteps(training, batches.slice(done, mark), { firstStep: done, rate });
      for (const name of training.graph.reported) {
        const wanted = values(expected(name));
        const error = relativeError(values(outputs[name]!), Array.from(wanted).slice(done, mark));
        worst[name] = Math.max(worst[name] ?? 0, error);
      }
      const state = await training.session.readState(stateNames());
      for (const [name, value] of Object.entries(state)) {
        const error = relativeError(values(value), values(expected(`after/${mark}/${name}`)));
        worst[name] = Math.max(worst[name] ?? 0, error);
      }
      done = mark;
    }
    if (process.env.SHOW) console.log(worst);
    for (const [name, error] of Object.entries(worst)) expect(error, name).toBeLessThan(1e-5);
  });
});
