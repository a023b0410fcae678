/** @file Backbones of other families than the recipes', from training to export. */

import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildByteLevelTokenizer } from '../../src/data/text/index.js';
import { writeToyDecoder } from '../../src/data/toy-backbones/toy-backbones.js';
import { writeToySpeechEncoder } from '../../src/data/toy-backbones/toy-speech-encoders.js';
import { writeToyWhisper } from '../../src/data/toy-backbones/toy-whisper.js';
import { readModelFile } from '../../src/engine/onnx/index.js';
import { readSafetensorsHeader } from '../../src/engine/tensor/index.js';
import { csvRows, makeWorkspace, metricsOf, shortPrompt, toyRecipe } from './workspace.js';

const work = makeWorkspace('families');
afterAll(() => work.remove());

const words = ['neutral', 'happy', 'angry', 'sad', 'user', 'assistant', 'Emotion'];
const decoders = { llama: 'llama3', qwen3: 'qwen3' } as const;
const toy = (name: string) => `--set=backbones.llm=toy/backbones/${name}`;
/** One epoch of little more than what a stage needs to run. */
const recipe = toyRecipe('toy', {
  former: { queries: 2, pooling_heads: 4, head_hidden: 16 },
  prompt: shortPrompt,
  lora: { targets: ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'down_proj'] },
  stage1: { epochs: 1, batch_size: 16, learning_rate: 1e-3 },
  stage2: { epochs: 1, batch_size: 16, learning_rate: 2e-3 },
}).replace('backbones/hubert', 'backbones/wav2vec2');

interface RunJson {
  readonly backbones: Record<string, { readonly config?: Record<string, unknown> }>;
}
const runJson = (run: string) => JSON.parse(work.read(`${run}/run.json`).toString()) as RunJson;

beforeAll(async () => {
  await work.toyCorpus(5, 8);
  await writeToySpeechEncoder(work.path('toy/backbones/wav2vec2'), 0, 'wav2vec2');
  await writeToySpeechEncoder(work.path('toy/backbones/wavlm'), 0, 'wavlm');
  await writeToyWhisper(work.path('toy/backbones/whisper'), 0);
  const emotion2vec = new URL('../fixtures/emotion2vec/base', import.meta.url);
  cpSync(emotion2vec, work.path('toy/backbones/emotion2vec'), { recursive: true });
  for (const [family, kind] of Object.entries(decoders)) {
    const tokenizer = buildByteLevelTokenizer({ words, kind });
    await writeToyDecoder(work.path('toy/backbones', family), 0, family as keyof typeof decoders, tokenizer);
  }
  work.file('r.yaml', recipe);
});

describe('a speech encoder of wav2vec 2.0', () => {
  it('is trained on, and recorded in the run', async () => {
    await work.done('stage1', '--recipe', 'r.yaml', '--run', 'runs');
    const losses = metricsOf(work, 'runs/stage1').flatMap(({ loss }) => loss ?? []);
    expect(losses.length).toBeGreaterThan(0);
    expect(losses.every(Number.isFinite)).toBe(true);
    expect(runJson('runs/stage1').backbones.encoder!.config).toMatchObject({
      hiddenSize: 64,
      featExtractNorm: 'layer',
    });
  });

  it('is exported as what it is', async () => {
    await work.done('export', 'encoder', '--checkpoint', 'toy/backbones/wav2vec2', '--out', 'encoder.onnx');
    const { inputs, outputs } = await readModelFile(work.path('encoder.onnx'), 'encoder');
    expect(inputs.map(({ name }) => name)).toEqual(['input_values', 'attention_mask']);
    expect(outputs[0]!.name).toBe('last_hidden_state');
    const bytes = readFileSync(work.path('encoder.onnx')).toString('latin1');
    expect(bytes).toContain('wav2vec 2.0 encoder: 16 kHz waveforms to hidden states at 50 frames a second');
  });
});

describe.each([
  {
    title: 'WavLM',
    name: 'wavlm',
    own: { numBuckets: 16, maxBucketDistance: 50 },
    layers: {},
  },
  {
    title: 'Whisper',
    name: 'whisper',
    own: { numMelBins: 80, maxSourcePositions: 250 },
    layers: { encoder: { layers: 'all' } },
  },
  {
    title: 'emotion2vec',
    name: 'emotion2vec',
    own: { hiddenSize: 16, contextLayers: 2, extraTokens: 3 },
    layers: { encoder: { layers: [2, 4], mix: 'mean' } },
  },
])('a speech encoder of $title', ({ title, name, own, layers }) => {
  const runs = `runs-${name}`;
  const probe = {
    system: 'linear-probe',
    manifest: 'toy/manifest.csv',
    labels: ['neutral', 'happy', 'angry', 'sad'],
    backbones: { encoder: `toy/backbones/${name}` },
    probe: { epochs: 1 },
    ...layers,
  };
  /** Probabilities of the utterances' classes. */
  const probabilities = async (...model: [string, string]): Promise<number[]> => {
    await work.done('predict', 'toy/manifest.csv', '-o', `${model[1]}.csv`, ...model);
    return csvRows(work, `${model[1]}.csv`).flatMap((row) =>
      probe.labels.map((label) => Number(row[`prob_${label}`])),
    );
  };

  it('is trained on, and recorded in the run with what is its own', async () => {
    work.file(`${name}.yaml`, JSON.stringify(probe));
    await work.done('train', '--recipe', `${name}.yaml`, '--run', runs);
    const losses = metricsOf(work, `${runs}/probe`).flatMap(({ loss }) => loss ?? []);
    expect(losses.length).toBeGreaterThan(0);
    expect(losses.every(Number.isFinite)).toBe(true);
    expect(runJson(`${runs}/probe`).backbones.encoder!.config).toMatchObject({ hiddenSize: 64, ...own });
  });

  it.each([
    ['as it is', [], 1e-5],
    ['with its products in 8-bit integers', ['--quantize', 'int8'], 0.1],
  ])('goes into a bundle %s, which predicts what the run does', async (_how, options, bound) => {
    const bundle = `bundle-${name}-${options.length}`;
    await work.done('export', 'bundle', '--run', runs, '-o', bundle, ...options);
    const ours = await probabilities('--run', runs);
    const bundled = await probabilities('--bundle', bundle);
    expect(ours).toHaveLength(4 * csvRows(work, 'toy/manifest.csv').length);
    expect(ours.every((value) => value > 0 && value < 1)).toBe(true);
    expect(Math.max(...ours)).toBeGreaterThan(0.3);
    const sum = bundled.reduce((total, value, place) => total + Math.abs(value - ours[place]!), 0);
    expect(sum / ours.length).toBeLessThan(bound);
  });

  it('is exported as what it is, and found complete', async () => {
    const [checkpoint, file] = [`toy/backbones/${name}`, `${name}.onnx`];
    await work.done('export', 'encoder', '--checkpoint', checkpoint, '--out', file);
    const { inputs, outputs } = await readModelFile(work.path(file), 'encoder');
    expect(inputs.map((input) => input.name)).toEqual(['input_values', 'attention_mask']);
    expect(outputs.map((output) => output.name)).toEqual(['last_hidden_state', 'frame_mask']);
    const bytes = readFileSync(work.path(file)).toString('latin1');
    expect(bytes).toContain(`${title} encoder: 16 kHz waveforms to hidden states at 50 frames a second`);
    const doctor = await work.run('doctor', '--recipe', `${name}.yaml`, '--json');
    expect(doctor.stdout).toContain(`${checkpoint}: complete`);
  });
});

describe.each(Object.keys(decoders))('a language model of the family %s', (family) => {
  const run = `runs-${family}`;

  it('is trained by LoRA in one epoch, and evaluated', async () => {
    cpSync(work.path('runs/stage1'), work.path(run, 'stage1'), { recursive: true });
    await work.done('stage2', '--recipe', 'r.yaml', '--run', run, toy(family));
    const losses = metricsOf(work, `${run}/stage2`).flatMap(({ loss }) => loss ?? []);
    expect(losses.length).toBeGreaterThan(0);
    expect(losses.every(Number.isFinite)).toBe(true);
    const { entries } = await readSafetensorsHeader(work.path(run, 'stage2/checkpoint.safetensors'));
    const adapted = [...entries.keys()].filter((key) => key.includes('lora_A'));
    expect(adapted).toHaveLength(4 * 6);
    const { config } = runJson(`${run}/stage2`).backbones.llm!;
    expect('ropeScaling' in config!).toBe(family === 'llama');
    const { stdout } = await work.done('eval', '--run', run, '--json');
    expect((JSON.parse(stdout) as { n: number }).n).toBeGreaterThan(0);
  });

  it('is merged with its LoRA and exported under its own name', async () => {
    await work.done('export', 'llm', '--run', run, '--out', `${family}.onnx`);
    const bytes = readFileSync(work.path(`${family}.onnx`)).toString('latin1');
    const title = { llama: 'Llama', qwen3: 'Qwen3' }[family];
    expect(bytes).toContain(`${title} language model: input_ids to logits over`);
  });

  it('is sized and found complete before it is trained', async () => {
    const { stdout } = await work.done('stage2', '--recipe', 'r.yaml', toy(family), '--dry-run');
    expect(stdout).toContain(`toy/backbones/${family}`);
    const doctor = await work.run('doctor', '--recipe', 'r.yaml', toy(family), '--json');
    expect(doctor.stdout).toContain(`toy/backbones/${family}: complete`);
  });
});

describe('what the families leave out', () => {
  it('a LoRA target that no family has is refused with those that there are', async () => {
    expect(
      await work.refused('stage2', '--recipe', 'r.yaml', '--set', 'lora.targets=[q_proj,qkv]'),
    ).toContain('must be one of q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj, not "qkv"');
  });

  it('a chat template of another kind is refused, naming its file', async () => {
    const path = work.path('toy/backbones/llama/chat_template.jinja');
    writeFileSync(path, '{{ messages }}');
    const refusal = await work.refused('stage2', '--recipe', 'r.yaml', '--run', 'runs', toy('llama'));
    expect(refusal).toContain(
      `${path} has a chat template of a kind that emoq does not support; it supports ChatML`,
    );
    const doctor = await work.run('doctor', '--recipe', 'r.yaml', toy('llama'), '--json');
    expect(doctor.stdout).toContain('has a chat template of a kind that emoq does not support');
  });

  it.each([
    ['llm', 'TinyLlama/TinyLlama-1.1B-Chat-v1.0'],
    ['llm', 'meta-llama/Llama-3.2-1B-Instruct'],
    ['llm', 'Qwen/Qwen3-0.6B'],
    ['encoder', 'facebook/wav2vec2-base'],
    ['encoder', 'microsoft/wavlm-base-plus'],
    ['encoder', 'microsoft/wavlm-large'],
    ['encoder', 'openai/whisper-large-v3'],
  ])('a published %s, %s, is sized without a download', async (part, id) => {
    const stage = part === 'llm' ? 'stage2' : 'stage1';
    const { stdout } = await work.done(
      stage,
      '--recipe',
      'r.yaml',
      '--set',
      `backbones.${part}=${id}`,
      '--dry-run',
    );
    expect(stdout).toContain(id);
  });
});
