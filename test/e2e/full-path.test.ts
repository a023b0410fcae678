/** @file From scratch to predictions on the toy corpus: both stages learn, and all commands agree. */

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readSafetensorsHeader } from '../../src/engine/tensor/index.js';
import { csvRows, makeWorkspace, onnxPython, shortPrompt, toyRecipe } from './workspace.js';

const work = makeWorkspace('full-path', { processes: true });
afterAll(() => work.remove());

/** Dropout off and four queries: what makes the small corpus learn in a third of the steps of toy4. */
const recipe = toyRecipe('toy', {
  former: { queries: 4, pooling_heads: 4, head_hidden: 64, dropout: 0, attention_dropout: 0 },
  lora: { dropout: 0 },
  prompt: shortPrompt,
  stage1: { epochs: 10, batch_size: 16, learning_rate: 1e-3, select: 'wa' },
  stage2: { epochs: 5, batch_size: 16, learning_rate: 2e-3, select: 'wa' },
});

interface Result {
  wa: number;
  n: number;
  labels: string[];
  confusion: number[][];
}

async function score(...args: string[]): Promise<Result> {
  return JSON.parse((await work.done('eval', ...args, '--json')).stdout) as Result;
}

const stages = ['stage1', 'stage2'] as const;

beforeAll(async () => {
  work.file('both.yaml', recipe);
  await work.done('prepare-toy', '--out', 'toy', '--speakers', '12', '--utterances', '32');
  for (const stage of stages) await work.done(stage, '--recipe', 'both.yaml');
});

describe('the toy corpus, from raw to predictions', () => {
  let fused: Result;
  beforeAll(async () => {
    fused = await score('--recipe', 'both.yaml');
  });

  it('both stages name the emotions of unseen speakers', async () => {
    const former = await score('--recipe', 'both.yaml', '--stage', '1');
    console.log(`toy corpus, unseen speakers: WA ${former.wa} after stage 1, ${fused.wa} after stage 2`);
    expect(fused.wa).toBeGreaterThanOrEqual(0.85);
    expect(former.wa).toBeGreaterThanOrEqual(0.85);
    expect(fused.n).toBe(64);
    const trained = new Set(speakersOf('train'));
    for (const speaker of speakersOf('test')) expect(trained).not.toContain(speaker);
  });

  it.each(['audio', 'text'])('%s alone determines half of it', async (inputs) => {
    // One view is learned sooner.
    const set = ['--set', `inputs=${inputs}`, '--set', 'stage1.epochs=6'];
    for (const stage of stages) await work.doneHere(stage, '--recipe', 'both.yaml', '--run', inputs, ...set);
    const scoreHere = async (...args: string[]): Promise<Result> =>
      JSON.parse((await work.doneHere('eval', '--run', inputs, ...args, '--json')).stdout) as Result;
    const former = await scoreHere('--stage', '1');
    const { wa } = await scoreHere();
    console.log(`toy corpus, ${inputs} alone: WA ${former.wa} after stage 1, ${wa} after stage 2`);
    expect(wa).toBeLessThan(0.65);
    expect(former.wa).toBeLessThan(0.65);
    expect(former.wa).toBeGreaterThan(0.35); // it has learned the half that can be learned
  });

  it('results.json and predictions.csv say what eval printed', async () => {
    const results = JSON.parse(work.read('runs/both/stage2/results.json').toString()) as Result;
    expect(results).toEqual(fused);
    const again = await score('--predictions', 'runs/both/stage2/predictions.csv', '--recipe', 'both.yaml');
    const { wa, n, labels, confusion } = again;
    expect({ wa, n, labels, confusion }).toEqual({
      wa: fused.wa,
      n: fused.n,
      labels: fused.labels,
      confusion: fused.confusion,
    });
  });

  it('predict gives the probabilities that eval gave', async () => {
    await work.done('predict', 'toy/manifest.csv', '-o', 'out/emotions.csv', '--run', 'runs/both');
    const predicted = new Map(csvRows(work, 'out/emotions.csv').map((row) => [row.id, row]));
    expect(predicted.size).toBe(384);
    const tested = csvRows(work, 'runs/both/stage2/predictions.csv');
    expect(tested).toHaveLength(64);
    for (const row of tested) {
      const same = predicted.get(row.id)!;
      expect(same.label).toBe(row.label);
      for (const label of fused.labels) {
        expect(Math.abs(Number(same[`prob_${label}`]) - Number(row[`prob_${label}`]))).toBeLessThan(1e-5);
      }
    }
  });

  it('a prompt longer than the language model reads stops training, and is marked by predict', async () => {
    const long = 'so '.repeat(3000).trim();
    const rows = work.read('toy/manifest.csv').toString().trimEnd().split('\n');
    const line = rows.findIndex((row) => row.includes(',train,'));
    const [id, path] = rows[line]!.split(',') as [string, string];
    const others = rows[line]!.split(',').slice(-6);
    work.file('toy/long.csv', `${rows.with(line, [id, path, long, ...others].join(',')).join('\n')}\n`);
    const train = ['stage2', '--recipe', 'both.yaml', '--run', 'long', '--set', 'stage2.from_stage1=false'];
    expect(await work.refused(...train, '--manifest', 'toy/long.csv')).toMatch(
      new RegExp(
        `^error: utterance ${id}: its prompt of 30\\d\\d tokens is longer than the 2048 that toy/backbones/qwen2 reads \\(max_position_embeddings\\); shorten its text$`,
      ),
    );
    work.file('long.csv', `path,text\ntoy/${path},Oh.\ntoy/${path},${long}\ntoy/${path},Oh.\n`);
    await work.done('predict', 'long.csv', '-o', 'out/long.csv', '--run', 'runs/both');
    const [first, second, third] = csvRows(work, 'out/long.csv');
    expect(second).toMatchObject({ label: '' });
    expect(second!.error).toMatch(
      /^its prompt of 30\d\d tokens is longer than the 2048 .*; shorten its text$/,
    );
    expect(first).toMatchObject({ error: '' });
    expect(third).toEqual(first);
  });

  it('the run says how it was made', async () => {
    const metadata = JSON.parse(work.read('runs/both/stage2/run.json').toString()) as Record<string, unknown>;
    expect(metadata).toMatchObject({
      status: 'finished',
      stage: 2,
      seed: 1,
      device: 'cpu',
      labels: fused.labels,
    });
    expect(metadata.prompt).toEqual({ ...shortPrompt, answer: 'Emotion:' });
    expect(metadata.versions).toMatchObject({ node: process.versions.node, onnxruntime: '1.30.0' });
  });
});

function speakersOf(split: string): string[] {
  // Transcripts hold commas, so the columns are counted from the end.
  const rows = work.read('toy/manifest.csv').toString().trim().split('\n').slice(1);
  return rows
    .map((row) => row.split(',').slice(-5))
    .flatMap((cells) => (cells[3] === split ? [cells[0]!] : []));
}

describe('training artifacts', () => {
  const models = stages.flatMap((stage) =>
    ['training_model', 'eval_model'].map((name) => ({
      stage,
      path: `runs/both/${stage}/artifacts/${name}.onnx`,
    })),
  );

  it.runIf(onnxPython)(
    "pass ONNX's own checker, every node by name and every parameter by its key",
    async () => {
      // External data is resolved from the working directory; the model's metadata says which one that must be.
      const script = `
import json, os, sys, onnx
def names(graph):
    for node in graph.node:
        yield node.name
        for attribute in node.attribute:
            if attribute.HasField('g'): yield from names(attribute.g)
def values(graph):
    for node in graph.node:
        yield from node.output
        for attribute in node.attribute:
            if attribute.HasField('g'): yield from values(attribute.g)
model = onnx.load(sys.argv[1], load_external_data=False)
folder = {p.key: p.value for p in model.metadata_props}.get('weights_folder')
os.chdir(os.path.join(os.path.dirname(sys.argv[1]), folder or '.'))
onnx.checker.check_model(model, full_check=True)
print(json.dumps({
    'inputs': [i.name for i in model.graph.input],
    'nodes': list(names(model.graph)),
    'values': list(values(model.graph)),
    'opset': {o.domain: o.version for o in model.opset_import},
}))`;
      for (const { stage, path } of models) {
        const output = execFileSync(onnxPython!, ['-c', script, work.path(path)], { maxBuffer: 1 << 28 });
        const { inputs, nodes, values, opset } = JSON.parse(output.toString()) as {
          inputs: string[];
          nodes: string[];
          values: string[];
          opset: Record<string, number>;
        };
        const { entries } = await readSafetensorsHeader(
          work.path(`runs/both/${stage}/checkpoint.safetensors`),
        );
        // A training graph cuts parameters that share a tensor from it.
        expect([...inputs, ...values]).toEqual(expect.arrayContaining([...entries.keys()]));
        if (path.includes('training'))
          expect(inputs).toEqual(expect.arrayContaining(['learning_rate', 'step']));
        expect(opset['']).toBe(18);
        expect(nodes.filter((name) => name === '')).toEqual([]);
        expect(new Set(nodes).size).toBe(nodes.length);
      }
    },
  );

  it.skipIf(onnxPython)('are checked where EMOQ_PYTHON names a Python with onnx', () => {
    console.log("skipped: ONNX's own checker, because EMOQ_PYTHON is not set");
  });

  it('stay small: weights are where they were', () => {
    for (const { path } of models) expect(readFileSync(work.path(path)).byteLength).toBeLessThan(4_000_000);
  });
});
