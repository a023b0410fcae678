/**
 * @file Stage 2 over a quantized language model, from `emoq quantize` to predictions: the same as over its dequantized
 * weights, and close to the original.
 */

import { mkdirSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openCheckpoint, readWeight } from '../../src/checkpoints/index.js';
import { readSafetensorsHeader, writeSafetensors } from '../../src/engine/tensor/index.js';
import { copyFolder } from '../suite/made-once.js';
import { csvRows, fileDigests, makeWorkspace, metricsOf, shortPrompt, toyRecipe } from './workspace.js';

const work = makeWorkspace('quantized');
afterAll(() => work.remove());

const stage2 = (run: string, model: string): string[] => [
  ...['stage2', '--recipe', 'small.yaml', '--run', run, '--set', `backbones.llm=${model}`],
];

beforeAll(async () => {
  const small = {
    former: { queries: 4, pooling_heads: 4, head_hidden: 32 },
    prompt: shortPrompt,
    stage1: { epochs: 2, batch_size: 8, learning_rate: 1e-3 },
    stage2: { epochs: 2, batch_size: 8, learning_rate: 1e-3 },
    max_audio_sec: 2,
  };
  work.file('small.yaml', toyRecipe(work.path('toy'), small));
  await work.toyCorpus(10, 8);
  await work.done('stage1', '--recipe', 'small.yaml', '--run', 'original');
  for (const run of ['bits4', 'bits8', 'floats4', 'floats8', 'stopped', 'checkpointed']) {
    copyFolder(work.path('original'), work.path(run));
  }
  await work.done(...stage2('original', work.path('toy/backbones/qwen2')));
  await work.done('eval', '--run', 'original');
});

/** Writes a checkpoint with the values of a quantized one in float32. */
async function writeDequantized(quantized: string, out: string): Promise<void> {
  copyFolder(work.path('toy/backbones/qwen2'), work.path(out));
  const { weights } = await openCheckpoint(work.path(quantized));
  const tensors = [];
  for (const [key, ref] of weights) tensors.push([key, await readWeight(ref)] as const);
  await writeSafetensors(work.path(out, 'model.safetensors'), tensors, { format: 'pt' });
}

/** Largest difference of two predictions of the test set, and how many labels differ. */
function differences(run: string, other: string): { most: number; labels: number; rows: number } {
  const [ours, theirs] = [run, other].map((name) => csvRows(work, `${name}/stage2/predictions.csv`));
  const columns = Object.keys(ours![0]!).filter((name) => name.startsWith('prob_'));
  const moved = ours!.flatMap((row, i) =>
    columns.map((name) => Math.abs(Number(row[name]) - Number(theirs![i]![name]))),
  );
  const labels = ours!.filter(({ label }, i) => label !== theirs![i]!.label).length;
  return { most: Math.max(...moved), labels, rows: ours!.length };
}

describe.each([4, 8])('a language model in %i bits', (bits) => {
  const [model, run, floats] = [`qwen2-int${bits}`, `bits${bits}`, `floats${bits}`];

  it('is written by one command', async () => {
    const { stdout, stderr } = await work.done('quantize', 'toy/backbones/qwen2', '--bits', String(bits));
    expect(stdout).toBe(`${work.path(model)}\n`);
    expect(stderr).toMatch(
      new RegExp(`14 weights in ${bits} bits: \\d+ kB instead of \\d+(\\.\\d+)? [kM]B\n$`),
    );
  });

  it('is sized and checked like any other', async () => {
    const frozen = async (path: string): Promise<number> => {
      const { stdout, stderr } = await work.done(...stage2('dry', path), '--dry-run');
      return Number(/([\d.]+) MiB frozen weights/.exec(stdout + stderr)?.[1]);
    };
    expect(await frozen(model)).toBeLessThanOrEqual(await frozen(work.path('toy/backbones/qwen2')));
    const { stdout } = await work.done('doctor', '--recipe', 'small.yaml', '--set', `backbones.llm=${model}`);
    expect(stdout).toMatch(new RegExp(`LLM +${model}: complete, \\d+ kB of weights`));
  });

  it('is trained, evaluated and predicts as its dequantized weights do', async () => {
    await writeDequantized(model, `${model}-floats`);
    await work.done(...stage2(run, model));
    await work.done(...stage2(floats, `${model}-floats`));
    const [ours, theirs] = [run, floats].map((name) => metricsOf(work, `${name}/stage2`));
    expect(ours!.length).toBe(theirs!.length);
    ours!.forEach((line, i) => {
      for (const key of ['loss', 'gradient_norm', 'validation_nll']) {
        if (line[key] === undefined) continue;
        expect(Math.abs(line[key] - theirs![i]![key]!), key).toBeLessThan(1e-3 * (1 + Math.abs(line[key])));
      }
    });
    for (const name of [run, floats]) await work.done('eval', '--run', name);
    const { most, labels, rows } = differences(run, floats);
    console.log(
      `${bits} bits against its dequantized weights: ${most.toExponential(1)}, ${labels} of ${rows} labels differ`,
    );
    expect(most).toBeLessThan(1e-3);
    expect(labels).toBe(0);
  });

  it('ends close to the original', () => {
    const { most, labels, rows } = differences(run, 'original');
    console.log(
      `${bits} bits against float32: ${most.toFixed(4)} at most, ${labels} of ${rows} labels differ`,
    );
    expect(most).toBeLessThan(bits === 4 ? 0.4 : 0.05);
    expect(labels).toBeLessThanOrEqual(bits === 4 ? rows / 3 : 1);
  });

  it('predicts recordings, and does so with the weights it was trained over only', async () => {
    const clips = csvRows(work, 'toy/manifest.csv').slice(0, 3);
    const column = Object.keys(clips[0]!).find((name) => /path|audio/.test(name))!;
    work.file('calls.csv', ['path', ...clips.map((row) => `toy/${row[column]}`), ''].join('\n'));
    await work.done('predict', 'calls.csv', '-o', `${run}.csv`, '--run', run);
    expect(csvRows(work, `${run}.csv`).every(({ error }) => error === '')).toBe(true);
    const other = await work.refused(...stage2(run, work.path('toy/backbones/qwen2')));
    expect(other).toContain('backbones.llm');
  });

  it('is exported with its LoRA, dequantized', async () => {
    await work.done('export', 'llm', '--run', run, '--out', `${run}.onnx`, '--merged-dtype', 'stored');
    const { entries } = await readSafetensorsHeader(work.path(`${run}.onnx.safetensors`));
    expect(new Set([...entries.values()].map(({ dtype }) => dtype))).toEqual(new Set(['float32']));
    await work.done('export', 'llm', '--checkpoint', model, '--out', `${model}.onnx`);
  });
});

describe('training over quantized weights', () => {
  it('stopped by Ctrl-C resumes, and ends with the same bytes', async () => {
    const command = work.start(...stage2('stopped', 'qwen2-int4'), '--set', 'stage2.epochs=2');
    await command.says(/epoch 1\/2: loss/);
    command.signal('SIGINT');
    expect((await command.ended).code).toBe(130);
    await work.done(...stage2('stopped', 'qwen2-int4'));
    const [stopped, whole] = [fileDigests(work, 'stopped/stage2'), fileDigests(work, 'bits4/stage2')];
    expect(stopped['checkpoint.safetensors']).toBe(whole['checkpoint.safetensors']);
    expect(stopped['metrics.jsonl']).toBe(whole['metrics.jsonl']);
  });

  it('works with recomputed activations and micro-batches', async () => {
    const memory = ['--set', 'stage2.activation_checkpointing=true', '--set', 'stage2.accumulate=2'];
    await work.done(...stage2('checkpointed', 'qwen2-int4'), ...memory);
    const [ours, theirs] = ['checkpointed', 'bits4'].map((run) => metricsOf(work, `${run}/stage2`));
    expect(ours![0]!.loss! / theirs![0]!.loss!).toBeCloseTo(1, 1);
  });

  it('does not begin with a folder that is not complete', async () => {
    mkdirSync(work.path('partial'));
    writeFileSync(work.path('partial/tokenizer.json'), work.read('qwen2-int4/tokenizer.json'));
    expect(await work.refused(...stage2('none', 'partial'))).toContain('config.json');
  });
});
