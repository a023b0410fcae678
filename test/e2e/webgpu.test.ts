/**
 * @file Both stages on WebGPU: training, evaluation and prediction give the CPU's figures. Skipped where there is
 * neither a GPU nor Chromium's SwiftShader.
 */

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { emoq, type Outcome } from '../cli/command-line.js';
import { findWebGpu, type WebGpu } from '../suite/webgpu.js';
import { csvRows, makeWorkspace, metricsOf, shortPrompt, toyRecipe } from './workspace.js';

/** Largest relative difference of a loss between two devices. */
const LOSS_TOLERANCE = 1e-5;
/** The same for features that another device has encoded. */
const FEATURE_TOLERANCE = 1e-3;
/** Largest difference of a probability, and of any other figure of a prediction. */
const FIGURE_TOLERANCE = 1e-5;
const FIGURE = /^\d*\.\d+$/;

const work = makeWorkspace('webgpu', { processes: true });
afterAll(() => work.remove());

const STAGES = ['stage1', 'stage2'] as const;
const named = ['--recipe', 'both.yaml'];

let webGpu: WebGpu;
const before = process.env.VK_DRIVER_FILES;

beforeAll(async () => {
  webGpu = await findWebGpu();
  console.log(
    webGpu.kind === 'found' ? `WebGPU on ${webGpu.what}` : `skipped, there is no WebGPU: ${webGpu.why}`,
  );
  if (webGpu.kind === 'found') Object.assign(process.env, webGpu.env);
  work.file(
    'both.yaml',
    toyRecipe('toy', {
      former: { queries: 4, pooling_heads: 4, head_hidden: 64 },
      prompt: shortPrompt,
      stage1: { epochs: 1, batch_size: 8, learning_rate: 1e-3 },
      stage2: { epochs: 1, batch_size: 8 },
      max_audio_sec: 1,
    }),
  );
  await work.toyCorpus(5, 4);
});
afterAll(() => {
  if (before === undefined) delete process.env.VK_DRIVER_FILES;
  else process.env.VK_DRIVER_FILES = before;
});

describe('on WebGPU', () => {
  it('both stages train with the losses of the CPU, and validate with its figures', async (test) => {
    // A machine without a Vulkan driver has no WebGPU to compare.
    if (webGpu.kind === 'none') return test.skip('there is no Vulkan driver, so no WebGPU');
    for (const device of ['cpu', 'webgpu']) {
      for (const stage of STAGES) {
        const { stderr } = await work.done(stage, ...named, '--run', device, '--device', device);
        expect(stderr).toContain(`computing on ${device}\n`);
      }
    }
    for (const stage of STAGES) {
      const [cpu, gpu] = ['cpu', 'webgpu'].map((device) => metricsOf(work, `${device}/${stage}`));
      expect(gpu!.length).toBe(cpu!.length);
      expect(cpu!.length).toBeGreaterThan(1);
      let largest = 0;
      for (const [line, { loss, validation }] of (
        cpu as { loss?: number; validation?: unknown }[]
      ).entries()) {
        if (loss !== undefined) largest = Math.max(largest, Math.abs(gpu![line]!.loss! / loss - 1));
        else
          expect(gpu![line]!.validation).toMatchObject(approximately(validation as Record<string, number>));
      }
      console.log(`${stage}: the losses differ from the CPU's by ${largest.toExponential(1)}, relative`);
      expect(largest).toBeLessThan(LOSS_TOLERANCE);
      expect(JSON.parse(work.read(`webgpu/${stage}/run.json`).toString())).toMatchObject({
        device: 'webgpu',
      });
    }
  });

  it('is one of several devices: each trains a run, and both encode clips', async (test) => {
    // A machine without a Vulkan driver has no WebGPU to compare.
    if (webGpu.kind === 'none') return test.skip('there is no Vulkan driver, so no WebGPU');
    // A cache of its own, so that the clips are encoded again.
    const env = { EMOQ_CACHE: work.path('..', 'other-features') };
    const devices = ['webgpu', 'cpu'];
    const args = ['stage1', ...named, '--seeds', '1,2', '--devices', devices.join(','), '--run', 'both'];
    const { code, stderr } = await emoq([...args, '--threads', '1'], work.dir, env);
    expect(code, stderr).toBe(0);
    expect(stderr).toContain('computing on webgpu, cpu\n');
    const runs = [1, 2].map((seed) => `both/seed-${seed}/stage1`);
    const used = runs.map((run) => JSON.parse(work.read(`${run}/run.json`).toString()).device as string);
    expect(used).toEqual(devices);
    // Seed 1 is that of the recipe. Stored features have 16 bits, the last of which may differ between devices.
    const [own, cpu] = [runs[0]!, 'cpu/stage1'].map((run) => metricsOf(work, run)[0]!.loss!);
    expect(Math.abs(own! / cpu! - 1)).toBeLessThan(FEATURE_TOLERANCE);
  });

  it('a run is evaluated, and recordings are predicted, as on the CPU', async (test) => {
    // A machine without a Vulkan driver has no WebGPU to compare.
    if (webGpu.kind === 'none') return test.skip('there is no Vulkan driver, so no WebGPU');
    const [header, ...rows] = work.read('toy/manifest.csv').toString().trim().split('\n');
    work.file('toy/some.csv', [header, ...rows.slice(0, 3), ''].join('\n'));
    for (const device of ['cpu', 'webgpu']) {
      const chosen = ['--run', 'cpu', '--device', device];
      await work.done('eval', ...named, ...chosen, '--resamples', '0');
      work.file(`evaluated-${device}.csv`, work.read('cpu/stage2/predictions.csv'));
      await work.done('predict', 'toy/some.csv', '-o', `predicted-${device}.csv`, ...chosen);
    }
    for (const kind of ['evaluated', 'predicted']) {
      const [cpu, gpu] = ['cpu', 'webgpu'].map((device) => csvRows(work, `${kind}-${device}.csv`));
      expect(gpu!.length).toBe(cpu!.length);
      expect(cpu!.length).toBeGreaterThan(2);
      for (const [index, row] of cpu!.entries()) {
        for (const [column, value] of Object.entries(row)) {
          const other = gpu![index]![column]!;
          if (!FIGURE.test(value)) expect(other, column).toBe(value);
          else expect(Math.abs(Number(other) - Number(value)), column).toBeLessThan(FIGURE_TOLERANCE);
        }
      }
    }
  });

  it('without a device, a command says in one line what to do', async () => {
    const env = { VK_DRIVER_FILES: '/nonexistent.json', EMOQ_CACHE: work.path('..', 'features') };
    await work.done('stage1', ...named, '--run', 'alone', '--device', 'cpu');
    const evaluate = ['eval', ...named, '--run', 'alone', '--stage', '1', '--device', 'webgpu'];
    const { code, stdout, stderr } = await emoq(evaluate, work.dir, env);
    if (code === 0) return; // the platform has WebGPU without Vulkan
    const errors = lines({ code, stdout, stderr }).filter((line) => line.startsWith('error: device'));
    expect(errors).toEqual([
      'error: device "webgpu" needs a GPU with a driver for Vulkan, Metal or Direct3D 12, and WebGPU finds none; install the driver, or use --device cpu',
    ]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  });
});

const lines = ({ stderr }: Outcome): string[] => stderr.trimEnd().split('\n');

function approximately(figures: Record<string, number>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(figures).map(([metric, value]) => [metric, expect.closeTo(value, 3)]),
  );
}
