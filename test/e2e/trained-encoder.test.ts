/** @file Models that train layers of their encoder, from dry run to bundle. */

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { float32Of, readSafetensors, type Tensor } from '../../src/engine/tensor/index.js';
import { csvRows, fileDigests, makeWorkspace, metricsOf, shortPrompt, toyRecipe } from './workspace.js';

const work = makeWorkspace('trained-encoder');
afterAll(() => work.remove());

const json = (name: string) => JSON.parse(work.read(name).toString());
const rates = { encoder: 1e-3, mix: 0.05 };
const emoq = toyRecipe('toy', {
  former: { queries: 4, pooling_heads: 4, head_hidden: 64 },
  prompt: shortPrompt,
  stage1: { epochs: 2, batch_size: 8, learning_rate: 1e-3, learning_rates: rates, select: 'last' },
  stage2: { epochs: 1, batch_size: 8, learning_rate: 1e-3, learning_rates: rates, select: 'last' },
  encoder: { train: 'top:1', layers: 'all' },
});
/** An epoch has 72 steps, more than a run of the graph (64), so a run is stopped within an epoch. */
const probe = JSON.stringify({
  system: 'linear-probe',
  manifest: 'toy/manifest.csv',
  labels: ['neutral', 'happy', 'angry', 'sad'],
  backbones: { encoder: 'toy/backbones/hubert' },
  encoder: { train: 'all', mask_frames: 0.1, mask_channels: 0.1, mask_channels_length: 4 },
  probe: { epochs: 3, batch_size: 2, learning_rate: 1e-3, select: 'last', activation_checkpointing: true },
});

const weightsOf = async (path: string): Promise<ReadonlyMap<string, Tensor>> =>
  (await readSafetensors(work.path(path))).tensors;
/** Largest change of the values of a trained layer from the encoder's own. */
async function largestChange(checkpoint: string): Promise<number> {
  const encoder = await weightsOf('toy/backbones/hubert/model.safetensors');
  const trained = await weightsOf(checkpoint);
  const layers = [...trained].filter(([key]) => key.startsWith('speech_encoder.'));
  expect(layers.length).toBeGreaterThan(10);
  return Math.max(
    ...layers.map(([key, value]) => {
      const stored = encoder.get(key.replace('speech_encoder.', '')) ?? expect.fail(`no weight for ${key}`);
      const before = float32Of(stored);
      return Math.max(...float32Of(value).map((each, index) => Math.abs(each - before[index]!)));
    }),
  );
}

beforeAll(async () => {
  work.file('emoq.yaml', emoq);
  work.file('probe.yaml', probe);
  await work.toyCorpus(10, 24);
});

describe('EmoQ with a trained encoder layer', () => {
  it('trains it in both stages, the second from the first', async () => {
    await work.done('train', '--recipe', 'emoq.yaml');
    const [first, second] = [1, 2].map((stage) => `runs/emoq/stage${stage}/checkpoint.safetensors`);
    expect(await largestChange(first!)).toBeGreaterThan(1e-3);
    const [before, after] = [await weightsOf(first!), await weightsOf(second!)];
    const key = 'speech_encoder.encoder.layers.0.attention.out_proj.weight';
    const [a, b] = [float32Of(before.get(key)!), float32Of(after.get(key)!)];
    const moved = Math.max(...a.map((value, index) => Math.abs(value - b[index]!)));
    expect(moved).toBeGreaterThan(1e-5);
    expect(moved).toBeLessThan(await largestChange(second!));
    expect(after.get('layer_mix.weight')!.shape).toEqual([2]);
  });

  it('predicts from its bundle as from its run, and is scored', async () => {
    await work.done('eval', '--recipe', 'emoq.yaml');
    expect(json('runs/emoq/stage2/results.json').n).toBeGreaterThan(0);
    await work.done('export', 'bundle', '--run', 'runs/emoq', '-o', 'bundle');
    await work.done('predict', 'toy/manifest.csv', '-o', 'run.csv', '--run', 'runs/emoq');
    await work.done('predict', 'toy/manifest.csv', '-o', 'bundle.csv', '--bundle', 'bundle');
    const [own, bundled] = [csvRows(work, 'run.csv'), csvRows(work, 'bundle.csv')];
    expect(bundled).toHaveLength(own.length);
    for (const [index, row] of own.entries()) {
      for (const label of ['neutral', 'happy', 'angry', 'sad']) {
        const [a, b] = [row[`prob_${label}`], bundled[index]![`prob_${label}`]].map(Number);
        expect(Math.abs(a! - b!)).toBeLessThan(1e-4);
      }
    }
  });

  it('has a Former that is not exported without the layer', async () => {
    expect(await work.refused('export', 'former', '--run', 'runs/emoq', '-o', 'former.onnx')).toContain(
      'emoq export bundle has it with what comes before it',
    );
  });

  it('moves the layer by its own learning rate', async () => {
    const slow = ['--set', 'stage1.learning_rates.encoder=1e-9', '--set', 'stage1.epochs=1'];
    await work.done('stage1', '--recipe', 'emoq.yaml', '--run', 'slow', ...slow);
    // AdamW moves a value by at most about its rate at each of 18 steps.
    expect(await largestChange('slow/stage1/checkpoint.safetensors')).toBeLessThan(1e-7);
  });
});

describe('a probe with a trained encoder', () => {
  it('begins where the frozen one does, and leaves it', async () => {
    const train = async (run: string, ...keys: string[]): Promise<number[]> => {
      const quiet = ['encoder.dropout=0', 'encoder.mask_frames=0', 'encoder.mask_channels=0'];
      const steady = ['probe.batch_size=8', 'probe.epochs=2', 'probe.hidden=16'];
      const set = [...quiet, ...steady, ...keys].flatMap((each) => ['--set', each]);
      const { stderr } = await work.done('train', '--recipe', 'probe.yaml', '--run', run, ...set);
      expect(stderr).not.toContain('warning');
      return metricsOf(work, `${run}/probe`).flatMap(({ loss }) => (loss === undefined ? [] : [loss]));
    };
    const tuned = await train('tuned', 'probe.learning_rates.encoder=1e-3');
    const frozen = await train('frozen', 'encoder.train=frozen');
    expect(tuned).toHaveLength(36);
    expect(Math.abs(tuned[0]! - frozen[0]!)).toBeLessThan(5e-3); // what is cached is float16
    expect(Math.abs(tuned.at(-1)! - frozen.at(-1)!)).toBeGreaterThan(0.02);
    expect(await largestChange('tuned/probe/checkpoint.safetensors')).toBeGreaterThan(1e-3);
  });

  it('stopped by Ctrl-C resumes to the same bytes, masks included', async () => {
    const train = (run: string) => [
      ...['train', '--recipe', 'probe.yaml', '--run', run],
      ...['--set', 'probe.learning_rates.encoder=1e-3'],
    ];
    const whole = await work.done(...train('whole'));
    expect(whole.stderr).toContain('and with them the noise of encoder.dropout and encoder.mask_frames');
    const command = work.start(...train('stopped'));
    await command.says(/epoch 1\/3: loss/);
    command.signal('SIGINT');
    expect((await command.ended).code).toBe(130);
    const { stderr } = await work.done(...train('stopped'));
    expect(stderr).toMatch(/resuming after step \d+ of 216/);
    expect(fileDigests(work, 'stopped/probe')).toEqual(fileDigests(work, 'whole/probe'));
  });

  it('is sized before anything is downloaded', async () => {
    const given = ['--manifest', 'toy/manifest.csv', '--set', 'labels=[neutral, happy, angry, sad]'];
    const published = ['--set', 'backbones.encoder=microsoft/wavlm-large', '--set', 'encoder.train=top:4'];
    work.file('large.yaml', JSON.stringify({ system: 'linear-probe' }));
    const sizeOf = async (...more: string[]): Promise<number> => {
      const { stdout, stderr } = await work.done(
        'train',
        '--recipe',
        'large.yaml',
        ...given,
        ...published,
        ...more,
        '--dry-run',
      );
      return Number(/([\d,]+) trained/.exec(stdout + stderr)?.[1]?.replaceAll(',', ''));
    };
    // A layer of WavLM-large has 12.6 million parameters.
    expect(await sizeOf()).toBeGreaterThan(48e6);
  });

  it.each([
    ['encoder.train=top:0', 'must be frozen, all, or top:N, such as top:4'],
    ['encoder.train=some', 'must be frozen, all, or top:N, such as top:4'],
    ['encoder.train=top:9', 'encoder.train is top:9, but the encoder has 1 layers'],
    ['encoder.layers=[0]', 'encoder.layers reads nothing above layer 0'],
    ['backbones.encoder_onnx=x.onnx', 'encoder_onnx is an exported one, which cannot be trained'],
    ['probe.learning_rates.former=1e-4', 'learning_rates.former'],
  ])('with %s is refused', async (set, message) => {
    expect(await work.refused('train', '--recipe', 'probe.yaml', '--run', 'none', '--set', set)).toContain(
      message,
    );
  });

  it.each([
    ['inputs=text', 'with inputs: text nothing reads the encoder'],
    ['fusion=none', 'with fusion: none frames are averaged before the model reads them'],
  ])('is refused in EmoQ with %s', async (set, message) => {
    expect(await work.refused('train', '--recipe', 'emoq.yaml', '--run', 'none', '--set', set)).toContain(
      message,
    );
  });
});
