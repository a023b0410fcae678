/**
 * @file `emoq export` on a trained toy system: the exported models together reproduce the run; options, errors and
 * interruption.
 */

import { execFileSync } from 'node:child_process';
import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { requireWeight } from '../../src/checkpoints/index.js';
import { resolveLabelWords } from '../../src/data/text/prompt.js';
import { loadTokenizer } from '../../src/data/text/tokenizer.js';
import { serializeInPlace } from '../../src/engine/onnx/index.js';
import { createSession } from '../../src/engine/runtime/index.js';
import {
  decodeHalf,
  encodeHalf,
  float32Of,
  int64,
  normalArray,
  readSafetensors,
  seededRandom,
  type Tensor,
  tensor,
} from '../../src/engine/tensor/index.js';
import { openTrainedRun } from '../../src/inference/trained-run.js';
import { checkpointWeights } from '../../src/nn/index.js';
import { phaseEvaluationGraph } from '../../src/systems/phase-graphs.js';
import { systemOf } from '../../src/systems/registry.js';
import { runFolder } from '../../src/training/runs/folder.js';
import { relativeError } from '../backbones/decoders/graph-run.js';
import { openByPath } from '../inference/exported-files.js';
import { makeWorkspace, onnxPython, shortPrompt, toyRecipe } from './workspace.js';

const work = makeWorkspace('export');
afterAll(() => work.remove());

beforeAll(async () => {
  const small = {
    former: { queries: 4, pooling_heads: 4, head_hidden: 16, dropout: 0, attention_dropout: 0 },
    prompt: shortPrompt,
    stage1: { epochs: 1, batch_size: 16, learning_rate: 1e-3 },
    stage2: { epochs: 1, batch_size: 16, learning_rate: 1e-2 },
  };
  // Absolute, so that this process finds the backbones too.
  work.file('small.yaml', toyRecipe(work.path('toy'), small));
  await work.toyCorpus(5, 4);
  for (const stage of ['stage1', 'stage2']) await work.done(stage, '--recipe', 'small.yaml');
});

/** A batch of two utterances with random features and tokens, the second padded; features are rounded to float16. */
function randomBatch(): Record<string, Tensor> {
  const random = seededRandom(1, 'export test');
  const tokens = (count: number, highest: number): number[] =>
    Array.from({ length: count }, () => 5 + Math.floor(random.uniform() * (highest - 5)));
  const words = encodeHalf(normalArray(random, 2 * 9 * 64, 1));
  return {
    audio_features: tensor('float16', [2, 9, 64], words),
    frame_mask: int64([2, 9], [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0]),
    // RoBERTa's padding is token 1.
    input_ids: int64([2, 5], [...tokens(5, 60), ...tokens(3, 60), 1, 1]),
    attention_mask: int64([2, 5], [1, 1, 1, 1, 1, 1, 1, 1, 0, 0]),
    prompt_ids: int64([2, 7], tokens(14, 60)),
    prompt_mask: int64([2, 7], [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0]),
    audio_position: int64([2], [3, 1]),
  };
}

describe('the models exported from a run', () => {
  it('together say what the run itself says', async () => {
    await work.done('export', 'former', '--run', 'runs/small', '--out', 'out/former.onnx');
    const options = ['--inputs', 'inputs_embeds', '--out', 'out/llm.onnx'];
    await work.done('export', 'llm', '--run', 'runs/small', ...options);
    const batch = randomBatch();

    const { recipe, trained } = await openTrainedRun(runFolder(work.path('runs/small/stage2')));
    const phase = await systemOf(recipe).open(recipe, 'stage2', { weights: 'present', start: 'checkpoint' });
    const graph = phaseEvaluationGraph(phase, phase.parameters, (own) =>
      checkpointWeights(own, (key, shape) => requireWeight(trained, key, shape)),
    );
    const { model, weightsFolder } = serializeInPlace(graph);
    const own = await createSession(model, { device: { kind: 'cpu' }, weightsFolder });
    const wanted = await own.run(batch);
    await own.dispose();

    const former = await openByPath(work.path('out/former.onnx'));
    const features = batch.audio_features as Tensor<'float16'>;
    const { embedding } = await former.run({
      audio_features: tensor('float32', features.shape, decodeHalf(features.data)),
      frame_mask: batch.frame_mask!,
      input_ids: batch.input_ids!,
      attention_mask: batch.attention_mask!,
    });
    await former.dispose();
    expect(relativeError(embedding!, wanted.embedding!)).toBeLessThan(1e-5);

    // e_h = W e'_q + b replaces one word; then the label words' logits at the last token of each prompt.
    const { tensors: held } = await readSafetensors(work.path('runs/small/stage2/checkpoint.safetensors'));
    const { tensors: words } = await readSafetensors(work.path('toy/backbones/qwen2/model.safetensors'));
    const [weight, bias, table] = [
      held.get('projector.linear.weight')!,
      held.get('projector.linear.bias')!,
      words.get('model.embed_tokens.weight')!,
    ];
    const [out, width] = weight.shape as [number, number];
    const row = (matrix: Tensor, index: number, size: number): Float32Array =>
      float32Of(matrix).subarray(index * size, (index + 1) * size);
    const embeds = tensor('float32', [2, 7, out]);
    batch.prompt_ids!.data.forEach((id, place) => {
      embeds.data.set(row(table, Number(id), out), place * out);
    });
    batch.audio_position!.data.forEach((position, utterance) => {
      const fused = row(embedding!, utterance, width);
      const soft = Float32Array.from({ length: out }, (_, o) =>
        row(weight, o, width).reduce((sum, value, i) => sum + value * fused[i]!, Number(bias.data[o])),
      );
      embeds.data.set(soft, (utterance * 7 + Number(position)) * out);
    });
    const llm = await openByPath(work.path('out/llm.onnx'));
    const { logits } = await llm.run({ inputs_embeds: embeds, attention_mask: batch.prompt_mask! });
    await llm.dispose();
    const vocabulary = logits!.shape[2]!;
    const tokenizer = await loadTokenizer(work.path('toy/backbones/qwen2'));
    const labelWordIds = resolveLabelWords(tokenizer, recipe.labels);
    const probabilities = [6, 3].flatMap((last, utterance) => {
      const all = row(logits!, utterance * 7 + last, vocabulary);
      const scores = labelWordIds.map(([first]) => Math.exp(all[first!]!));
      const total = scores.reduce((sum, score) => sum + score, 0);
      return scores.map((score) => score / total);
    });
    const said = tensor('float32', [2, 4], Float32Array.from(probabilities));
    expect(relativeError(said, wanted.probabilities!)).toBeLessThan(1e-4);
  });

  it('are two files each, with only their paths on stdout', async () => {
    const { stdout, stderr } = await work.done(
      'export',
      'llm',
      '--run',
      'runs/small/stage2',
      '--out',
      'ü b/llm.onnx',
    );
    expect(stdout).toBe('ü b/llm.onnx\nü b/llm.onnx.safetensors\n');
    expect(stderr).toBe('');
    expect(readdirSync(work.path('ü b')).sort()).toEqual(['llm.onnx', 'llm.onnx.safetensors']);
  });

  it('may be a Former at its start, with a warning that it is one', async () => {
    const options = [
      '--checkpoint',
      'toy/backbones/roberta',
      '--recipe',
      'small.yaml',
      '--out',
      'start.onnx',
    ];
    const { stderr } = await work.done('export', 'former', ...options);
    expect(stderr).toMatch(
      /^warning: this Former is not trained: toy\/backbones\/roberta, and .* of seed 1 .*\n$/,
    );
    const { tensors: start } = await readSafetensors(work.path('start.onnx.safetensors'));
    const { tensors: roberta } = await readSafetensors(work.path('toy/backbones/roberta/model.safetensors'));
    const key = 'encoder.layer.0.intermediate.dense.weight';
    const stored = roberta.get(key) ?? roberta.get(`roberta.${key}`);
    expect(start.get(`former.${key}`)).toEqual(stored);
    expect(start.get('former.encoder.layer.0.intermediate_query.dense.weight')).toEqual(stored);
  });

  it.runIf(onnxPython)("pass ONNX's own checker, opened by their path", async () => {
    await work.done('export', 'encoder', '--checkpoint', 'toy/backbones/hubert', '--out', 'out/encoder.onnx');
    const script = `
import json, sys, onnx
onnx.checker.check_model(sys.argv[1], full_check=True)
model = onnx.load(sys.argv[1], load_external_data=False)
print(json.dumps({'metadata': {p.key: p.value for p in model.metadata_props}, 'producer': model.producer_name}))`;
    for (const part of ['encoder', 'former', 'llm']) {
      const output = execFileSync(onnxPython!, ['-c', script, work.path(`out/${part}.onnx`)]).toString();
      const { metadata, producer } = JSON.parse(output) as {
        metadata: Record<string, string>;
        producer: string;
      };
      expect(producer).toBe('emoq');
      expect(metadata).toMatchObject({ part, emoq_version: expect.stringMatching(/^\d+\.\d+\.\d+/) });
      expect(JSON.stringify(metadata)).not.toContain(work.dir);
    }
  });

  it.skipIf(onnxPython)('are checked where EMOQ_PYTHON names a Python with onnx', () => {
    console.log("skipped: ONNX's own checker of exported models, because EMOQ_PYTHON is not set");
  });
});

describe('wrong usage and bad input', () => {
  it.each([
    [[], "missing required argument 'part'"],
    [['decoder', '--out', 'x.onnx'], 'Allowed choices are encoder, former, llm'],
    [['llm', '--out', 'x.onnx'], 'say what to export: --checkpoint FOLDER, or --run FOLDER'],
    [['encoder', '--out', 'x.onnx'], 'say what to export: --checkpoint FOLDER of a HuBERT'],
    [['llm', '--run', 'runs/small'], 'say where the model goes: --out FILE.onnx'],
    [['llm', '--run', 'runs/small', '--out', 'x'], '--out x must end in .onnx'],
    [['llm', '--run', 'runs/none', '--out', 'x.onnx'], 'no run in runs/none/stage2 or runs/none/stage1'],
    [['llm', '--run', 'runs/small/stage1', '--out', 'x.onnx'], 'is of stage 1, which trains no LoRA'],
    [['encoder', '--run', 'runs/small', '--out', 'x.onnx'], '--run is not an option of export encoder'],
    [
      ['llm', '--checkpoint', 'toy/backbones/qwen2', '--merged-dtype', 'stored', '--out', 'x.onnx'],
      'name the run',
    ],
    [['encoder', '--checkpoint', 'toy/backbones/qwen2', '--out', 'x.onnx'], 'model_type'],
    [['former', '--checkpoint', 'runs/small', '--out', 'x.onnx'], 'is a run of emoq'],
    [['former', '--checkpoint', 'toy/backbones/none', '--out', 'x.onnx'], 'does not exist'],
  ])('emoq export %j is one line', async (args, message) => {
    expect(await work.refused('export', ...args)).toContain(message);
  });
});

/** A Qwen2 folder of 8.6 GB that uses no disk space: a sparse file. */
function writeHugeCheckpoint(): void {
  const dir = work.path('huge');
  mkdirSync(dir);
  const [vocabulary, width] = [4_194_304, 1024];
  const config = {
    model_type: 'qwen2',
    vocab_size: vocabulary,
    hidden_size: width,
    num_hidden_layers: 1,
    num_attention_heads: 16,
    num_key_value_heads: 16,
    intermediate_size: width,
    tie_word_embeddings: true,
  };
  writeFileSync(join(dir, 'config.json'), JSON.stringify(config));
  const layer = 'model.layers.0.';
  const attention = ['q', 'k', 'v', 'o'].map((name) => `${layer}self_attn.${name}_proj`);
  const feedForward = ['gate', 'up', 'down'].map((name) => `${layer}mlp.${name}_proj`);
  const norms = ['model.norm', `${layer}input_layernorm`, `${layer}post_attention_layernorm`];
  const shapes = [
    ['model.embed_tokens.weight', [vocabulary, width]],
    ...[...attention, ...feedForward].map((path) => [`${path}.weight`, [width, width]] as const),
    ...attention.slice(0, 3).map((path) => [`${path}.bias`, [width]] as const),
    ...norms.map((path) => [`${path}.weight`, [width]] as const),
  ] as const;
  let end = 0;
  const entries = shapes.map(([key, shape]) => {
    const start = end;
    end += shape.reduce((product: number, size) => product * size, 2);
    return [key, { dtype: 'BF16', shape, data_offsets: [start, end] }];
  });
  const header = Buffer.from(JSON.stringify(Object.fromEntries(entries)));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  const file = openSync(join(dir, 'model.safetensors'), 'w');
  writeSync(file, Buffer.concat([length, header]));
  ftruncateSync(file, 8 + header.length + end);
  closeSync(file);
}

describe('an export that is stopped', () => {
  /** Starts a large export, and returns once its weights are being written. */
  async function underWay(out: string) {
    const running = work.start('export', 'llm', '--checkpoint', 'huge', '--out', `${out}/llm.onnx`);
    const names = (): string[] => {
      try {
        return readdirSync(work.path(out));
      } catch {
        return [];
      }
    };
    let failure: string | undefined;
    void running.ended.then(({ stderr }) => {
      failure = stderr;
    });
    while (names().length === 0) {
      if (failure !== undefined) throw new Error(`ended before it wrote anything: ${failure}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return { running, names };
  }

  beforeAll(writeHugeCheckpoint);

  it('by Ctrl-C leaves nothing behind', async () => {
    const { running } = await underWay('gone');
    running.signal('SIGINT');
    const { code, stderr } = await running.ended;
    expect(stderr).toMatch(/interrupted; nothing was written\n$/);
    expect(code).toBe(130);
    expect(readdirSync(work.dir)).not.toContain('gone');
  });

  it('by force leaves no model', async () => {
    const { running, names } = await underWay('killed');
    running.signal('SIGKILL');
    await running.ended;
    expect(names().filter((name) => !name.endsWith('.tmp'))).toEqual([]);
  });
});
