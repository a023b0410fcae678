/**
 * @file Weights that are damaged, swapped or NaN: never a confident label, always one line. Uses a toy system that
 * trains in a few steps.
 */

import { createHash } from 'node:crypto';
import { cpSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fromBinary } from '@bufbuild/protobuf';
import { ModelProtoSchema } from 'onnx-buf';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { InputError } from '../../src/base/index.js';
import {
  readSafetensors,
  readSafetensorsHeader,
  seededRandom,
  tensor,
  writeSafetensors,
} from '../../src/engine/tensor/index.js';
import { openTrainedRun } from '../../src/inference/trained-run.js';
import { runFolder } from '../../src/training/runs/folder.js';
import { csvRows, makeWorkspace, shortPrompt, toyRecipe } from './workspace.js';

const work = makeWorkspace('damaged');
afterAll(() => work.remove());

const backbones = 'toy/backbones';
const stages = ['stage1', 'stage2'] as const;
/** Files of the whole system after training. */
const whole = 'whole';

beforeAll(async () => {
  const small = {
    former: { queries: 2, pooling_heads: 2, head_hidden: 8 },
    prompt: shortPrompt,
    stage1: { epochs: 2, batch_size: 8, learning_rate: 1e-3 },
    stage2: { epochs: 1, batch_size: 16, learning_rate: 1e-3 },
  };
  work.file('small.yaml', toyRecipe('toy', small));
  await work.toyCorpus(5, 4);
  for (const stage of stages) await work.done(stage, '--recipe', 'small.yaml');
  cpSync(work.path('runs'), work.path(whole, 'runs'), { recursive: true });
  cpSync(work.path(backbones), work.path(whole, 'backbones'), { recursive: true });
  const rows = csvRows(work, 'toy/manifest.csv').slice(0, 3);
  work.file(
    'calls.csv',
    `id,path,text\n${rows.map((_, row) => `${row},toy/audio/toy_0000${row + 1}.wav,${texts[row]}\n`).join('')}`,
  );
});

const texts = ['the lesson is rotten', 'a wonderful table', 'the train was late'];

/** Restores everything to its state after training. */
function restore(): void {
  for (const [from, to] of [
    ['runs', 'runs'],
    ['backbones', backbones],
  ] as const) {
    rmSync(work.path(to), { recursive: true, force: true });
    cpSync(work.path(whole, from), work.path(to), { recursive: true });
  }
}

const checkpointOf = (stage: string): string => work.path('runs/small', stage, 'checkpoint.safetensors');
const metadataOf = (stage: string): string => work.path('runs/small', stage, 'run.json');
const readJson = (path: string) => JSON.parse(readFileSync(path, 'utf8'));
const edit = (path: string, change: (json: ReturnType<typeof readJson>) => void): void => {
  const json = readJson(path);
  change(json);
  writeFileSync(path, `${JSON.stringify(json, null, 2)}\n`);
};
const sha256 = (path: string): string => createHash('sha256').update(readFileSync(path)).digest('hex');

/** Overwrites one float32 of a tensor. */
async function putNaN(path: string, key: string, element: number): Promise<void> {
  const { entries } = await readSafetensorsHeader(path);
  const bytes = readFileSync(path);
  bytes.writeFloatLE(Number.NaN, entries.get(key)!.offset + 4 * element);
  writeFileSync(path, bytes);
}

/** The output of predict for the three calls; it may have failed for all of them. */
async function predicted(stage: string): Promise<Record<string, string>[]> {
  await work.run('predict', 'calls.csv', '-o', 'out.csv', '--run', `runs/small/${stage}`);
  return csvRows(work, 'out.csv');
}

describe('a weight that is not a number, in a checkpoint whose checksum agrees', () => {
  const fault = 'the model gave probabilities that are not numbers';
  const trained = {
    stage1: 'former.audio_projection.weight',
    stage2: 'base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight',
  };
  const keys = { stage1: 'head.dense.weight', stage2: 'projector.linear.weight' };

  it.each(stages)('of %s gives no row a label, and no evaluation a figure', async (stage) => {
    restore();
    await putNaN(checkpointOf(stage), keys[stage], 0);
    edit(metadataOf(stage), (metadata) => {
      metadata.checkpoint.sha256 = sha256(checkpointOf(stage));
    });
    for (const { label, error, ...others } of await predicted(stage)) {
      expect({ label, error }).toEqual({ label: '', error: `${fault}; it or its weights are damaged` });
      expect(
        Object.entries(others)
          .filter(([name]) => name.startsWith('prob_'))
          .map(([, value]) => value),
      ).toEqual(['', '', '', '']);
    }
    const { code, stdout, stderr } = await work.run('eval', '--run', `runs/small/${stage}`);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(
      new RegExp(
        `^error: ${fault} for 4 of 4 utterances \\(toy_\\d+(, toy_\\d+){3}\\): the weights of runs/small/${stage}, or of its backbones, are damaged$`,
        'm',
      ),
    );
    expect(readdirSync(work.path('runs/small', stage))).not.toContain('results.json');
    const exported = { stage1: 'former', stage2: 'llm' }[stage];
    await putNaN(checkpointOf(stage), trained[stage], 1);
    edit(metadataOf(stage), (metadata) => {
      metadata.checkpoint.sha256 = sha256(checkpointOf(stage));
    });
    const refused = await work.run('export', exported, '--run', `runs/small/${stage}`, '--out', 'nan.onnx');
    expect({ code: refused.code, stdout: refused.stdout }).toEqual({ code: 1, stdout: '' });
    expect(refused.stderr).toMatch(
      /^error: ".*" (in .* holds values that are not numbers|with its LoRA has values that float32 cannot hold)/m,
    );
    expect(readdirSync(work.dir).filter((name) => name.startsWith('nan.onnx'))).toEqual([]);
    const compared = await work.run('eval', '--compare', `runs/small/${stage}`, `runs/small/${stage}`);
    expect({ code: compared.code, stdout: compared.stdout }).toEqual({ code: 1, stdout: '' });
  });

  it('of a word is an error of the rows that have it, and the others continue', async () => {
    restore();
    // The embedding of a token that only one call contains, in the language model.
    const tokenizer = readJson(work.path(backbones, 'qwen2/tokenizer.json'));
    const vocabulary = tokenizer.model.vocab as Record<string, number>;
    const table = work.path(backbones, 'qwen2/model.safetensors');
    const token = Object.keys(vocabulary).find((name) => name === 'Ġtrain' || name === 'Ġlate');
    expect(token).toBeDefined();
    await putNaN(table, 'model.embed_tokens.weight', vocabulary[token!]! * 96);
    const { stderr } = await work.run('eval', '--run', 'runs/small/stage2');
    expect(stderr).toMatch(
      /^error: the run in runs\/small\/stage2 was trained with different backbones: backbones\.llm: its weights differ; restore the originals, or train again$/m,
    );
    edit(metadataOf('stage2'), (metadata) => delete metadata.backbones); // as an earlier version wrote it
    const rows = await predicted('stage2');
    expect(rows.map(({ error }) => error)).toEqual(['', '', `${fault}; it or its weights are damaged`]);
    expect(rows.map(({ label }) => label !== '')).toEqual([true, true, false]);
  });

  it('of the speech encoder is an error of each recording', async () => {
    restore();
    await putNaN(work.path(backbones, 'hubert/model.safetensors'), 'encoder.layer_norm.weight', 0);
    edit(metadataOf('stage1'), (metadata) => delete metadata.backbones);
    for (const { label, error } of await predicted('stage1')) {
      expect({ label, error }).toEqual({
        label: '',
        error: 'the encoder gave values that float16 cannot hold; are its weights intact?',
      });
    }
    const { code, stderr } = await work.run('eval', '--run', 'runs/small/stage1');
    expect(code).toBe(2);
    expect(stderr).toMatch(/^error: utterance "toy_\d+": the encoder gave values that float16 cannot hold/m);
  });

  it('of a backbone ends training at its first step, with nothing saved', async () => {
    restore();
    await putNaN(work.path(backbones, 'roberta/model.safetensors'), 'encoder.layer.0.output.dense.weight', 3);
    const { code, stderr } = await work.run('stage1', '--recipe', 'small.yaml', '--run', 'runs/nan');
    expect(code).toBe(1);
    expect(stderr).toMatch(/^error: the loss is not finite at step 1/m);
    rmSync(work.path('runs/nan'), { recursive: true });
  });
});

describe('a checkpoint', () => {
  it('with any of 200 bits flipped is refused in one line', async () => {
    restore();
    const folder = runFolder(work.path('runs/small/stage1'));
    const bytes = readFileSync(folder.checkpoint);
    const headerEnd = 8 + Number(bytes.readBigUInt64LE());
    const random = seededRandom(1, 'flips');
    const cwd = process.cwd();
    process.chdir(work.dir); // the recipe's paths are from there
    try {
      await openTrainedRun(folder);
      for (let flip = 0; flip < 200; flip++) {
        // Every fourth in the header, which is small beside the data.
        const end = flip % 4 === 0 ? headerEnd : bytes.length;
        const at = Math.floor(random.uniform() * end);
        const bit = 1 << Math.floor(random.uniform() * 8);
        const flipped = Buffer.from(bytes);
        flipped[at]! ^= bit;
        writeFileSync(folder.checkpoint, flipped);
        const error = await openTrainedRun(folder).catch((thrown: unknown) => thrown);
        expect(error, `byte ${at}`).toBeInstanceOf(InputError);
        // A damaged header reports its own error.
        expect((error as Error).message).toMatch(
          /^(checkpoint \S+ is damaged or was replaced: |safetensors file \S+checkpoint\.safetensors ).*$/,
        );
      }
    } finally {
      process.chdir(cwd);
    }
  });

  it('that is damaged is refused by whatever opens it', async () => {
    restore();
    for (const stage of stages) {
      const bytes = readFileSync(checkpointOf(stage));
      bytes[bytes.length - 1]! ^= 1;
      writeFileSync(checkpointOf(stage), bytes);
    }
    for (const command of [
      ['eval', '--run', 'runs/small/stage1'],
      ['predict', 'calls.csv', '-o', 'refused.csv', '--run', 'runs/small'],
      ['export', 'former', '--run', 'runs/small', '--out', 'refused.onnx'],
      ['export', 'llm', '--run', 'runs/small', '--out', 'refused.onnx'],
    ]) {
      expect(await work.refused(...command)).toMatch(
        /checkpoint runs\/small\/stage[12]\/checkpoint\.safetensors is damaged/,
      );
    }
    rmSync(work.path('runs/small/stage2'), { recursive: true });
    expect(await work.refused('stage2', '--recipe', 'small.yaml')).toContain(
      'checkpoint runs/small/stage1/checkpoint.safetensors is damaged',
    );
  });

  it('of an earlier emoq, which recorded nothing, is opened with one warning', async () => {
    restore();
    edit(metadataOf('stage1'), (metadata) => {
      for (const key of ['checkpoint', 'checkpoints', 'backbones']) delete metadata[key];
    });
    const { stderr } = await work.done('eval', '--run', 'runs/small/stage1');
    expect(stderr.match(/warning: .*recorded no SHA-256/g)).toHaveLength(1);
    const { stderr: second } = await work.done('stage2', '--recipe', 'small.yaml', '--run', 'runs/small');
    expect(second).toContain('already finished');
  });
});

describe('a run that was stopped', () => {
  it('resumes only with the state and checkpoint that it saved', async () => {
    restore();
    // Two epochs, the second never trained: the state after a kill in between.
    const stage = 'runs/small/stage1';
    const state = work.path(stage, 'training_state.safetensors');
    edit(metadataOf('stage1'), (metadata) =>
      Object.assign(metadata, { status: 'training', selected: null, trained: null }),
    );
    const saved = readFileSync(state);
    const flipped = Buffer.from(saved);
    flipped[saved.length - 5]! ^= 8;
    writeFileSync(state, flipped);
    expect(await work.refused('stage1', '--recipe', 'small.yaml')).toContain(
      `training state ${stage}/training_state.safetensors is damaged: its checksum does not match its content; restore a good copy, or delete the run to start over`,
    );
    writeFileSync(state, saved);
    const { tensors } = await readSafetensors(checkpointOf('stage1'));
    const { code, stdout } = await work.run('stage1', '--recipe', 'small.yaml');
    expect({ code, stdout }).toEqual({ code: 0, stdout: `${stage}/checkpoint.safetensors\n` });
    expect(readJson(metadataOf('stage1'))).toEqual(readJson(work.path(whole, stage, 'run.json')));
    edit(metadataOf('stage1'), (metadata) => Object.assign(metadata, { status: 'training' }));
    await writeSafetensors(checkpointOf('stage1'), [...tensors].slice(1));
    expect(await work.refused('stage1', '--recipe', 'small.yaml')).toContain('is damaged or was replaced');
  });
});

describe('backbones', () => {
  it('of another seed in the same folder are refused, each by its name, by all that opens the run', async () => {
    restore();
    await work.toyCorpus(5, 4, 'other', '--seed', '7');
    const parts = { hubert: 'encoder', roberta: 'former', qwen2: 'llm' } as const;
    for (const [name, part] of Object.entries(parts)) {
      restore();
      cpSync(
        work.path('other/backbones', name, 'model.safetensors'),
        work.path(backbones, name, 'model.safetensors'),
      );
      const changed = new RegExp(`backbones\\.${part}: its weights differ`);
      const stage = part === 'llm' ? 'stage2' : 'stage1';
      expect(await work.refused('eval', '--run', `runs/small/${stage}`)).toMatch(changed);
      expect(await work.refused('predict', 'calls.csv', '-o', 'x.csv', '--run', 'runs/small')).toMatch(
        changed,
      );
      expect(await work.refused(stage, '--recipe', 'small.yaml')).toMatch(changed);
      if (part !== 'encoder') {
        const exported = part === 'llm' ? 'llm' : 'former';
        expect(await work.refused('export', exported, '--run', 'runs/small', '--out', 'x.onnx')).toMatch(
          changed,
        );
      }
      if (part === 'llm') continue;
      rmSync(work.path('runs/small/stage2'), { recursive: true });
      expect(await work.refused('stage2', '--recipe', 'small.yaml')).toMatch(
        /the run in runs\/small\/stage1 was trained with different backbones/,
      );
    }
  });

  it('with another tokenizer or config are refused, by what changed', async () => {
    restore();
    edit(work.path(backbones, 'qwen2/tokenizer.json'), (json) => {
      json.version = '1.0.1';
    });
    expect(await work.refused('eval', '--run', 'runs/small')).toContain(
      'backbones.llm: its tokenizer.json differs',
    );
    restore();
    edit(work.path(backbones, 'qwen2/config.json'), (json) => {
      json.rms_norm_eps = 1e-5;
      json.transformers_version = '5.0.0'; // says nothing of the model
    });
    expect(await work.refused('eval', '--run', 'runs/small')).toContain(
      'backbones.llm: rmsNormEps of its config was 0.000001, is 0.00001;',
    );
  });

  it('moved elsewhere, or written anew with the same weights, are the same', async () => {
    restore();
    renameSync(work.path(backbones), work.path('moved'));
    for (const stage of stages) {
      const recipe = work.path('runs/small', stage, 'recipe.yaml');
      writeFileSync(recipe, readFileSync(recipe, 'utf8').replaceAll(backbones, 'moved'));
    }
    const weights = work.path('moved/qwen2/model.safetensors');
    const { tensors } = await readSafetensors(weights);
    await writeSafetensors(weights, [...tensors].reverse(), { format: 'pt', by: 'somebody else' });
    await work.done('eval', '--run', 'runs/small');
    rmSync(work.path('moved'), { recursive: true });
  });
});

describe('a language model whose config and weights disagree', () => {
  const weights = work.path(backbones, 'qwen2/model.safetensors');

  it('is used with the head of its file, said in one note by each command', async () => {
    restore();
    const { tensors } = await readSafetensors(weights);
    const table = tensors.get('model.embed_tokens.weight')!;
    const [rows, width] = table.shape as [number, number];
    const head = Float32Array.from(table.data as Float32Array, (value, index) => value * Math.cos(index));
    await writeSafetensors(weights, [...tensors, ['lm_head.weight', tensor('float32', table.shape, head)]]);
    const run = ['--run', 'runs/headed', '--set', 'stage2.from_stage1=false'];
    const said = `${work.path(backbones, 'qwen2')} has an lm_head.weight that is not its word embeddings, though its config.json ties the two; its own lm_head.weight is used\n`;
    const sized = await work.done('stage2', '--recipe', 'small.yaml', ...run, '--dry-run');
    const trained = await work.done('stage2', '--recipe', 'small.yaml', ...run);
    const evaluated = await work.done('eval', '--run', 'runs/headed');
    for (const { stderr } of [trained, evaluated]) expect(stderr.split(said)).toHaveLength(2);
    const frozenOf = (name: string): number => readJson(work.path(name, 'stage2/run.json')).parameters.frozen;
    expect(frozenOf('runs/headed') - frozenOf('runs/small')).toBe(rows * width);
    expect(sized.stderr).toContain(`${frozenOf('runs/headed').toLocaleString('en')} frozen`);
    rmSync(work.path('runs/headed'), { recursive: true });
  });

  it('with an adapter in its file is refused, and with unused weights is reported', async () => {
    restore();
    const { tensors } = await readSafetensors(weights);
    const extra = tensor('float32', [96], new Float32Array(96).fill(1));
    const adapter = 'model.layers.0.self_attn.q_proj.lora_A.weight';
    await writeSafetensors(weights, [...tensors, [adapter, extra]]);
    expect(await work.refused('stage2', '--recipe', 'small.yaml', '--run', 'runs/other')).toContain(
      `has an adapter that is not merged into its weights ("${adapter}")`,
    );
    const bias = 'model.layers.0.self_attn.o_proj.bias';
    await writeSafetensors(weights, [...tensors, [bias, extra]]);
    const { stderr } = await work.done(
      'export',
      'llm',
      '--checkpoint',
      `${backbones}/qwen2`,
      '--out',
      'exported/qwen2.onnx',
    );
    expect(stderr).toContain(
      `warning: ${work.path(backbones, 'qwen2')} holds a weight, "${bias}", that a qwen2 of its`,
    );
  });
});

describe('the files of a system that was given relative paths', () => {
  it('hold no absolute path', async () => {
    restore();
    await work.done('eval', '--run', 'runs/small');
    await work.done('report', '--run', 'runs/small');
    await work.done('export', 'former', '--run', 'runs/small', '--out', 'exported/former.onnx');
    await work.done('export', 'llm', '--run', 'runs/small', '--out', 'exported/llm.onnx');
    await work.done(
      'export',
      'encoder',
      '--checkpoint',
      `${backbones}/hubert`,
      '--out',
      'exported/encoder.onnx',
    );
    const root = Buffer.from(join(work.dir, '..'));
    let files = 0;
    for (const folder of ['runs', 'exported']) {
      for (const name of readdirSync(work.path(folder), { recursive: true }) as string[]) {
        if (!statSync(work.path(folder, name)).isFile()) continue;
        files += 1;
        expect(work.read(`${folder}/${name}`).includes(root), name).toBe(false);
      }
    }
    expect(files).toBeGreaterThan(20);
    // Where the weights are, relative to the artifact.
    for (const stage of stages) {
      const artifact = fromBinary(
        ModelProtoSchema,
        work.read(`runs/small/${stage}/artifacts/eval_model.onnx`),
      );
      const folder = artifact.metadataProps.find(({ key }) => key === 'weights_folder')?.value;
      const wanted = stage === 'stage1' ? '../../../../toy/backbones/roberta' : '../../../../toy/backbones';
      expect(folder).toBe(wanted);
    }
  });
});
