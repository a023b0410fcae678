/**
 * @file Exported models, opened by path as other runtimes do, compared with the outputs of transformers and PyTorch for
 * the fixtures; and the files on disk when an export ends or is stopped.
 */

import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { InputError, InterruptedError } from '../../src/base/index.js';
import { openCheckpoint } from '../../src/checkpoints/index.js';
import {
  float32Of,
  int64,
  readSafetensors,
  type Tensor,
  tensor,
  writeSafetensors,
} from '../../src/engine/tensor/index.js';
import {
  type ExportableModel,
  exportableEncoder,
  exportableFormer,
  exportableLanguageModel,
  writeModelFiles,
} from '../../src/inference/export/index.js';
import { openFixture, relativeError } from '../backbones/decoders/graph-run.js';
import {
  relativeError as clipError,
  encodeBatch,
  hubertFixtures,
  readReferences,
  wavlmFixtures,
} from '../backbones/speech-encoders/encoding.js';
import { formerOf, openReference } from '../systems/emoq/reference-case.js';
import { type ExportedSession, openByPath, writeRun } from './exported-files.js';

const TOLERANCE = 1e-4;
const folder = realpathSync(mkdtempSync(join(tmpdir(), 'emoq-export-')));
const sessions: ExportedSession[] = [];
afterAll(async () => {
  for (const session of sessions) await session.dispose();
  rmSync(folder, { recursive: true });
});

const qwen2 = (name: string): string => new URL(`../fixtures/qwen2/${name}`, import.meta.url).pathname;

/** Exports to a name that needs escaping in every layer, and opens the result. */
async function exported(name: string, model: ExportableModel): Promise<ExportedSession> {
  const out = join(folder, `für Köln`, `${name}.onnx`);
  await writeModelFiles(out, model, {});
  const session = await openByPath(out);
  sessions.push(session);
  return session;
}

/** Tensors of the weights file of an export. */
async function weightsOf(name: string): Promise<Map<string, Tensor>> {
  return (await readSafetensors(join(folder, 'für Köln', `${name}.onnx.safetensors`))).tensors;
}

describe('an exported language model whose file has a head in addition to tied embeddings', () => {
  it('gives the logits of that head, with a note, and is refused without any head', async () => {
    const { checkpoint, expected } = await openFixture('tied');
    const dir = join(folder, 'merged-head');
    cpSync(checkpoint.dir, dir, { recursive: true });
    const { tensors } = await readSafetensors(join(dir, 'model.safetensors'));
    const table = tensors.get('model.embed_tokens.weight')!;
    const [rows, width] = table.shape as [number, number];
    const head = Float32Array.from(float32Of(table), (value, index) => value + 0.3 * Math.sin(index));
    tensors.set('lm_head.weight', tensor('float32', table.shape, head));
    await writeSafetensors(join(dir, 'model.safetensors'), tensors);
    const notes: string[] = [];
    const onNote = (text: string): void => void notes.push(text);
    const session = await exported('merged', await exportableLanguageModel({ checkpoint: dir, onNote }));
    expect(notes).toEqual([
      `${dir} has an lm_head.weight that is not its word embeddings, though its config.json ties the two; its own lm_head.weight is used`,
    ]);
    const mask = expected('right.mask');
    const { logits } = await session.run({ input_ids: expected('input_ids'), attention_mask: mask });
    // transformers 5 also loads the file's head: its hidden states times that.
    const hidden = float32Of(expected('right.hidden'));
    const wanted = Array.from({ length: (hidden.length / width) * rows }, (_, place) => {
      const [token, row] = [Math.floor(place / rows), place % rows];
      let sum = 0;
      for (let i = 0; i < width; i++) sum += hidden[token * width + i]! * head[row * width + i]!;
      return sum;
    });
    const real = (place: number): boolean => mask.data[Math.floor(place / rows)] === 1n;
    const largest = Math.max(...wanted.map(Math.abs));
    const error = wanted.map((value, place) =>
      real(place) ? Math.abs(value - float32Of(logits!)[place]!) : 0,
    );
    expect(Math.max(...error) / largest).toBeLessThan(1e-5);

    tensors.set('lm_head.weight', table);
    await writeSafetensors(join(dir, 'model.safetensors'), tensors);
    await exportableLanguageModel({ checkpoint: dir, onNote });
    expect(notes).toHaveLength(1); // equal ones are one matrix
    tensors.delete('lm_head.weight');
    await writeSafetensors(join(dir, 'model.safetensors'), tensors);
    const config = JSON.parse(readFileSync(join(dir, 'config.json'), 'utf8'));
    writeFileSync(join(dir, 'config.json'), JSON.stringify({ ...config, tie_word_embeddings: false }));
    await expect(exportableLanguageModel({ checkpoint: dir })).rejects.toThrow(
      new InputError(
        `checkpoint ${dir} has no lm_head.weight, and its config.json does not tie it to the word embeddings; fetch the whole checkpoint, or set tie_word_embeddings to true there if they are its head`,
      ),
    );
  });
});

describe('an exported encoder', () => {
  it.each([
    ['HubertModel', 'base', hubertFixtures],
    ['HubertModel', 'large', hubertFixtures],
    ['WavLMModel', 'base', wavlmFixtures],
    ['WavLMModel', 'large', wavlmFixtures],
  ])('is %s, single clips and a padded batch: %s', async (model, name, fixtures) => {
    const references = await readReferences(fixtures);
    const session = await exported(`${model} ${name}`, await exportableEncoder(join(fixtures, name)));
    expect(session.inputNames).toEqual(['input_values', 'attention_mask']);
    expect(session.outputNames).toEqual(['last_hidden_state', 'frame_mask']);
    expect(session.shapes).toMatchObject({
      input_values: ['batch', 'samples'],
      last_hidden_state: ['batch', 'frames', 32],
    });
    const clips = references.clips(name);
    for (const [place, clip] of clips.entries()) {
      const { hidden } = await encodeBatch(session, [clip]);
      expect(clipError(hidden, references.values(`${name}.${place}`))).toBeLessThan(TOLERANCE);
    }
    const { hidden, frameMask } = await encodeBatch(session, clips);
    expect(frameMask).toEqual(references.numbers(`${name}.frame_mask`));
    expect(clipError(hidden, references.values(`${name}.padded`))).toBeLessThan(TOLERANCE);
  });

  it('stores the weights that it uses, in the type that they have', async () => {
    const stored = await weightsOf('HubertModel large');
    expect(new Set([...stored.values()].map(({ dtype }) => dtype))).toEqual(new Set(['float16']));
    expect([...stored.keys()].filter((key) => /masked_spec_embed|^hubert\./.test(key))).toEqual([]);
  });
});

describe('an exported language model', () => {
  const sides = ['right', 'left'] as const;
  const realRows = (mask: Tensor) => (row: number) => mask.data[row] === 1n;

  /** Rows of the word embeddings, as a caller of inputs_embeds provides them. */
  const embedded = (ids: Tensor, table: Tensor): Tensor<'float32'> => {
    const [values, width] = [float32Of(table), table.shape[1]!];
    const rows = tensor('float32', [...ids.shape, width]);
    ids.data.forEach((id, row) => {
      rows.data.set(values.subarray(Number(id) * width, (Number(id) + 1) * width), row * width);
    });
    return rows;
  };

  it.each(['tied', 'untied'])('gives the logits of transformers, padded on either side: %s', async (name) => {
    const { expected, checkpoint } = await openFixture(name);
    const { tensors } = await readSafetensors(join(checkpoint.dir, 'model.safetensors'));
    const ids = expected('input_ids');
    const embeddings = embedded(ids, tensors.get('model.embed_tokens.weight')!);
    for (const inputs of ['input_ids', 'inputs_embeds'] as const) {
      const model = await exportableLanguageModel({ checkpoint: qwen2(name), inputs });
      const session = await exported(`${name} ${inputs}`, model);
      expect(session.inputNames).toEqual([inputs, 'attention_mask']);
      expect(session.shapes.logits).toEqual(['batch', 'sequence', 61]);
      for (const side of sides) {
        const mask = expected(`${side}.mask`);
        const feeds = { [inputs]: inputs === 'input_ids' ? ids : embeddings, attention_mask: mask };
        const { logits } = await session.run(feeds);
        const wanted = expected(`${side}.logits`);
        expect(relativeError(logits!, wanted, realRows(mask))).toBeLessThan(TOLERANCE);
      }
    }
  });

  it('holds tied embeddings once, and word embeddings only where they are read', async () => {
    const has = async (name: string, key: string): Promise<boolean> => (await weightsOf(name)).has(key);
    const table = 'model.embed_tokens.weight';
    expect(await has('tied input_ids', table)).toBe(true);
    expect(await has('tied input_ids', 'lm_head.weight')).toBe(false);
    expect(await has('tied inputs_embeds', table)).toBe(true);
    expect(await has('untied input_ids', table)).toBe(true);
    expect(await has('untied input_ids', 'lm_head.weight')).toBe(true);
    expect(await has('untied inputs_embeds', table)).toBe(false);
  });

  it('keeps every weight byte for byte, bfloat16 as bfloat16', async () => {
    const source = (await readSafetensors(join(qwen2('untied'), 'model.safetensors'))).tensors;
    const stored = await weightsOf('untied input_ids');
    expect([...stored.keys()].sort()).toEqual([...source.keys()].sort());
    for (const [key, value] of stored) expect(value).toEqual(source.get(key));
    expect(stored.get('model.norm.weight')!.dtype).toBe('bfloat16');
  });

  it.each(['tied', 'untied'])("with a run's LoRA gives the hidden states of PyTorch's: %s", async (name) => {
    const { expected, expectedUnder, checkpoint, lora, config } = await openFixture(name);
    const recipe = { backbones: { llm: qwen2(name) }, lora };
    const run = await writeRun(join(folder, `lora ${name}`), 2, recipe, expectedUnder('parameter.'));
    const session = await exported(
      `lora ${name}`,
      await exportableLanguageModel({ run, inputs: 'inputs_embeds' }),
    );
    const { tensors } = await readSafetensors(join(checkpoint.dir, 'model.safetensors'));
    const embeddings = embedded(expected('input_ids'), tensors.get('model.embed_tokens.weight')!);
    const [, length, width] = embeddings.shape as [number, number, number];
    const soft = float32Of(expected('soft_prompt'));
    expected('audio_position').data.forEach((position, row) => {
      if (position < 0) return;
      embeddings.data.set(
        soft.subarray(row * width, (row + 1) * width),
        (row * length + Number(position)) * width,
      );
    });
    const mask = expected('right.mask');
    const { logits } = await session.run({ inputs_embeds: embeddings, attention_mask: mask });
    const matrix = tensors.get(config.tieWordEmbeddings ? 'model.embed_tokens.weight' : 'lm_head.weight')!;
    const wanted = product(float32Of(expected('lora.hidden')), float32Of(matrix), width);
    const wantedLogits = tensor('float32', logits!.shape, wanted);
    expect(relativeError(logits!, wantedLogits, realRows(mask))).toBeLessThan(TOLERANCE);
    // Shows the effect of the LoRA: the base model gives different outputs.
    const plain = await exported(
      `plain ${name}`,
      await exportableLanguageModel({ checkpoint: qwen2(name), inputs: 'inputs_embeds' }),
    );
    const { logits: unadapted } = await plain.run({ inputs_embeds: embeddings, attention_mask: mask });
    expect(relativeError(unadapted!, wantedLogits, realRows(mask))).toBeGreaterThan(0.1);
  });

  it('rounds merged weights to the stored type only where asked to', async () => {
    const run = join(folder, 'lora untied');
    const dtypeOf = async (name: string, mergedDtype?: 'stored'): Promise<string> => {
      await exported(name, await exportableLanguageModel({ run, mergedDtype }));
      return (await weightsOf(name)).get('model.layers.0.self_attn.q_proj.weight')!.dtype;
    };
    expect(await dtypeOf('merged exactly')).toBe('float32');
    expect(await dtypeOf('merged as stored', 'stored')).toBe('bfloat16');
    expect((await weightsOf('merged exactly')).get('lm_head.weight')!.dtype).toBe('bfloat16');
  });

  it('refuses a run of stage 1, a LoRA that does not fit, and a run in place of a checkpoint', async () => {
    const stage1 = await writeRun(
      join(folder, 'first'),
      1,
      {},
      new Map([['head.x', tensor('float32', [1])]]),
    );
    await expect(exportableLanguageModel({ run: stage1 })).rejects.toThrow(
      /is of stage 1, which trains no LoRA/,
    );
    const run = join(folder, 'lora tied');
    await expect(exportableLanguageModel({ run, checkpoint: qwen2('one-key-head') })).rejects.toThrow(
      /does not fit .*one-key-head .*; name the checkpoint it was trained on/,
    );
    await expect(exportableLanguageModel({ checkpoint: run })).rejects.toThrow(/is a run of emoq.*--run/);
    await expect(exportableLanguageModel({})).rejects.toThrow(/say what to export: --checkpoint/);
  });
});

/** rows [n, width] times matrix [out, width] transposed, in float64. */
function product(rows: Float32Array, matrix: Float32Array, width: number): Float32Array {
  const out = matrix.length / width;
  return Float32Array.from({ length: (rows.length / width) * out }, (_, i) => {
    const [row, column] = [Math.floor(i / out) * width, (i % out) * width];
    let sum = 0;
    for (let k = 0; k < width; k++) sum += rows[row + k]! * matrix[column + k]!;
    return sum;
  });
}

describe('an exported Former', async () => {
  const { caseOf } = await openReference('stage1');

  /** A RoBERTa folder of a case's sizes that contains only its word embeddings. */
  async function robertaOf(id: string, words: Tensor): Promise<string> {
    const { roberta } = formerOf(caseOf(id));
    const dir = join(folder, `roberta ${id}`);
    mkdirSync(dir, { recursive: true });
    const config = {
      model_type: 'roberta',
      vocab_size: roberta.vocabSize,
      hidden_size: roberta.hiddenSize,
      num_hidden_layers: roberta.numHiddenLayers,
      num_attention_heads: roberta.numAttentionHeads,
      intermediate_size: roberta.intermediateSize,
      max_position_embeddings: roberta.maxPositionEmbeddings,
      type_vocab_size: roberta.typeVocabSize,
      layer_norm_eps: roberta.layerNormEps,
    };
    writeFileSync(join(dir, 'config.json'), JSON.stringify(config));
    await writeSafetensors(join(dir, 'model.safetensors'), [
      ['roberta.embeddings.word_embeddings.weight', words],
    ]);
    return dir;
  }

  it.each(['both', 'audio', 'text'] as const)("of a run is PyTorch's, inputs: %s", async (views) => {
    const reference = caseOf(views);
    const { roberta, queries, crossAttentionEvery, poolingHeads, audioWidth } = formerOf(reference);
    const frozen = 'former.embeddings.word_embeddings.weight';
    const words =
      reference.parameters.get(frozen) ?? tensor('float32', [roberta.vocabSize, roberta.hiddenSize]);
    const dir = await robertaOf(views, words);
    const recipe = {
      inputs: views,
      backbones: { former: dir },
      former: { queries, cross_attention_every: crossAttentionEvery, pooling_heads: poolingHeads },
    };
    const trained = new Map([...reference.parameters].filter(([key]) => key !== frozen));
    const run = await writeRun(join(folder, `former ${views}`), 1, recipe, trained);
    const session = await exported(`former ${views}`, await exportableFormer({ run }));
    const features = reference.batch('audio_features');
    const inputs: Record<string, Tensor> = {
      audio_features: tensor('float32', features.shape, float32Of(features)),
      frame_mask: reference.batch('frame_mask'),
      input_ids: reference.batch('input_ids'),
      attention_mask: reference.batch('attention_mask'),
    };
    const read = Object.keys(inputs).filter(
      (_, place) => views === 'both' || (views === 'audio' ? place < 2 : place >= 2),
    );
    expect(session.inputNames).toEqual(read);
    if (views !== 'text') expect(session.shapes.audio_features).toEqual(['batch', 'frames', audioWidth]);
    const { embedding } = await session.run(Object.fromEntries(read.map((name) => [name, inputs[name]!])));
    expect(relativeError(embedding!, reference.expected('embedding'))).toBeLessThan(TOLERANCE);
    expect((await weightsOf(`former ${views}`)).has('former.query_tokens')).toBe(true);
    expect([...(await weightsOf(`former ${views}`)).keys()].filter((key) => key.startsWith('head.'))).toEqual(
      [],
    );
  });

  it('refuses a text-only stage 2, which has none, and a run in place of a RoBERTa', async () => {
    const run = await writeRun(
      join(folder, 'words'),
      2,
      { inputs: 'text' },
      new Map([['x', int64([1], [0])]]),
    );
    await expect(exportableFormer({ run })).rejects.toThrow(
      /its stage 2 has no Former; name its stage-1 run/,
    );
    await expect(exportableFormer({ checkpoint: join(folder, 'former both') })).rejects.toThrow(
      /is a run of emoq, not a Hugging Face folder; give it with --run/,
    );
    await expect(exportableFormer({})).rejects.toThrow(/say what to export: --run/);
  });
});

describe('the files of an export', () => {
  const model = (): Promise<ExportableModel> => exportableLanguageModel({ checkpoint: qwen2('tied') });
  const place = (name: string): string => {
    mkdirSync(join(folder, name));
    return join(folder, name);
  };

  it('are two, the same bytes each time, and tell how far they are', async () => {
    const dir = place('two');
    const steps: [number, number][] = [];
    const controls = { onProgress: (done: number, total: number) => steps.push([done, total]) };
    const files = await writeModelFiles(join(dir, 'm.onnx'), await model(), controls);
    expect(readdirSync(dir)).toEqual(['m.onnx', 'm.onnx.safetensors']);
    expect(files).toMatchObject({ model: join(dir, 'm.onnx'), weights: join(dir, 'm.onnx.safetensors') });
    expect(steps.at(-1)).toEqual([files.weightBytes, files.weightBytes]);
    expect(steps.every(([done], i) => i === 0 || done > steps[i - 1]![0])).toBe(true);
    const first = readdirSync(dir).map((name) => readFileSync(join(dir, name)));
    await writeModelFiles(join(dir, 'm.onnx'), await model(), {});
    expect(readdirSync(dir).map((name) => readFileSync(join(dir, name)))).toEqual(first);
  });

  it('can move together to another folder', async () => {
    const dir = place('here');
    await writeModelFiles(join(dir, 'm.onnx'), await model(), {});
    cpSync(dir, join(folder, 'there'), { recursive: true });
    rmSync(dir, { recursive: true });
    const session = await openByPath(join(folder, 'there', 'm.onnx'));
    await session.dispose();
  });

  it('are not there after an interruption, nor is the folder that was made for them', async () => {
    const stop = new AbortController();
    const onProgress = (): void => stop.abort();
    const out = join(folder, 'new', 'deep', 'm.onnx');
    await expect(writeModelFiles(out, await model(), { stop: stop.signal, onProgress })).rejects.toThrow(
      new InterruptedError('interrupted; nothing was written'),
    );
    expect(readdirSync(folder)).not.toContain('new');
  });

  it('of an earlier export stay as they were when the next one is interrupted or fails', async () => {
    const dir = place('kept');
    const out = join(dir, 'm.onnx');
    await writeModelFiles(out, await model(), {});
    const before = readdirSync(dir).map((name) => [name, readFileSync(join(dir, name))]);
    const other = await exportableLanguageModel({ checkpoint: qwen2('untied') });
    const stop = AbortSignal.abort();
    await expect(writeModelFiles(out, other, { stop })).rejects.toThrow(InterruptedError);
    const failing: ExportableModel = {
      ...other,
      graph: () => {
        throw new Error('no graph');
      },
    };
    await expect(writeModelFiles(out, failing, {})).rejects.toThrow('no graph');
    expect(readdirSync(dir).map((name) => [name, readFileSync(join(dir, name))])).toEqual(before);
  });

  it('never coexist with weights of another export: the model is removed first and written last', async () => {
    const dir = place('order');
    const out = join(dir, 'm.onnx');
    await writeModelFiles(out, await model(), {});
    // If the weights cannot take their name, the old model must not be left to read other weights.
    rmSync(`${out}.safetensors`);
    const blocking = await exportableLanguageModel({ checkpoint: qwen2('untied') });
    const blocked: ExportableModel = {
      ...blocking,
      graph: (written) => {
        mkdirSync(join(`${out}.safetensors`, 'x'), { recursive: true });
        return blocking.graph(written);
      },
    };
    await expect(writeModelFiles(out, blocked, {})).rejects.toThrow(/EISDIR|ENOTEMPTY|EEXIST/);
    expect(readdirSync(dir)).toEqual(['m.onnx.safetensors']);
  });

  it('are never written over what is read', async () => {
    const dir = place('source');
    cpSync(qwen2('tied'), dir, { recursive: true });
    symlinkSync('model.safetensors', join(dir, 'm.onnx.safetensors'));
    const own = await exportableLanguageModel({ checkpoint: dir });
    await expect(writeModelFiles(join(dir, 'm.onnx'), own, {})).rejects.toThrow(
      /m\.onnx\.safetensors is one of the files the weights are read from; give another --out/,
    );
    await openCheckpoint(dir);
  });

  it('are refused names that cannot be theirs', async () => {
    const dir = place('names');
    mkdirSync(join(dir, 'folder.onnx'));
    writeFileSync(join(dir, 'file'), '');
    for (const [name, message] of [
      ['model', /must end in \.onnx/],
      ['folder.onnx', /is a folder; name a file/],
      ['file/m.onnx', /cannot be written: .*(ENOTDIR|EEXIST)/],
    ] as const) {
      const attempt = writeModelFiles(join(dir, name), await model(), {});
      await expect(attempt).rejects.toThrow(message);
      await expect(attempt).rejects.toBeInstanceOf(InputError);
    }
    expect(readdirSync(dir)).toEqual(['file', 'folder.onnx']);
  });
});
