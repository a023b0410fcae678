/** @file Checkpoints written by `emoq quantize`: content, resuming, and refusals. */

import { execFileSync, spawnSync } from 'node:child_process';
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { mergedTensors, quantizeDecoder } from '../../../src/backbones/index.js';
import { InputError, InterruptedError } from '../../../src/base/index.js';
import {
  checkpointIdentity,
  openCheckpoint,
  readWeight,
  requireWeight,
  storedTensor,
  weightBytes,
} from '../../../src/checkpoints/index.js';
import {
  dequantizeBlocks,
  float32Of,
  quantizeBlocks,
  type StreamedTensor,
  seededRandom,
  type Tensor,
  tensor,
} from '../../../src/engine/tensor/index.js';
import { emoqHere } from '../../cli/in-process.js';
import { smallConfig, writeRandomDecoder } from './random-decoder.js';

const root = realpathSync(mkdtempSync(join(tmpdir(), 'emoq-quantize-')));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const at = (...parts: string[]): string => join(root, ...parts);

const source = at('source');
beforeAll(async () => {
  await writeRandomDecoder(source, { config: smallConfig, dtype: 'bfloat16' });
  for (const name of ['tokenizer.json', 'merges.txt', 'LICENSE', 'README.md', 'training.log']) {
    writeFileSync(join(source, name), name);
  }
});

const four = { bits: 4, blockSize: 32 } as const;
const eight = { bits: 8, blockSize: 32 } as const;
const contents = (dir: string): Record<string, string> =>
  Object.fromEntries(
    readdirSync(dir).map((name) => [name, readFileSync(join(dir, name)).toString('base64')]),
  );
const bytesOf = async ({ read }: StreamedTensor): Promise<Buffer> => {
  const pieces = [];
  for await (const piece of read()) pieces.push(Buffer.from(piece));
  return Buffer.concat(pieces);
};

describe.each([four, eight])('a checkpoint in $bits bits', (settings) => {
  const out = at(`out-${settings.bits}`);
  it('has its projections in blocks, and everything else as it was', async () => {
    const done: number[] = [];
    const written = await quantizeDecoder(source, out, {
      ...settings,
      onProgress: (bytes) => done.push(bytes),
    });
    const [before, after] = [await openCheckpoint(source), await openCheckpoint(out)];
    expect([...after.weights.keys()].sort()).toEqual([...before.weights.keys()].sort());
    let quantized = 0;
    for (const [key, ref] of before.weights) {
      const now = requireWeight(after, key, ref.shape);
      if (/_proj\.weight$/.test(key)) {
        quantized++;
        const expected = dequantizeBlocks(
          quantizeBlocks(float32Of(await readWeight(ref)), settings.bits, 32),
        );
        expect(now).toMatchObject({ dtype: settings.bits === 4 ? 'uint4' : 'int8', shape: ref.shape });
        expect(await readWeight(now)).toEqual(tensor('float32', ref.shape, expected));
        // Where it has to be a float, it has the type from before.
        const stored = storedTensor(now);
        expect(stored).toMatchObject({ dtype: 'bfloat16', shape: ref.shape });
        expect((await bytesOf(stored)).length).toBe(ref.byteLength);
      } else {
        expect(now.dtype).toBe('bfloat16');
        expect(await bytesOf(storedTensor(now))).toEqual(await bytesOf(storedTensor(ref)));
      }
    }
    expect(quantized).toBe(21);
    expect(written).toEqual({
      dir: out,
      quantized,
      sourceBytes: weightBytes(before),
      bytes: weightBytes(after),
    });
    // 4 + 16 / 32 + 4 / 32 bits, or 8 + 16 / 32.
    const size = 3 * (2 * 64 * 64 + 2 * 32 * 64 + 3 * 64 * 96) * (settings.bits === 4 ? 4.625 / 8 : 8.5 / 8);
    const rest = 2 * (2 * 60 * 64 + 3 * (2 * 64 + 64 + 32 + 32) + 64);
    expect(written.bytes).toBe(size + rest);
    expect(done.at(-1)).toBe(written.sourceBytes);
    expect(done).toEqual(done.toSorted((a, b) => a - b));
  });
  it('says so in its config.json, and has the files that belong to it', () => {
    const { quantization_config, ...others } = JSON.parse(readFileSync(join(out, 'config.json'), 'utf8'));
    expect(others).toEqual(smallConfig);
    expect(quantization_config).toEqual({
      quant_method: 'emoq',
      version: 1,
      bits: settings.bits,
      block_size: 32,
      symmetric: settings.bits === 8,
      scale_dtype: 'float16',
      source_dtype: 'bfloat16',
    });
    expect(readdirSync(out).sort()).toEqual(
      ['LICENSE', 'config.json', 'merges.txt', 'model.safetensors', 'tokenizer.json'].sort(),
    );
  });
  it('has the same identity in one file and in many, and another than the original', async () => {
    const sharded = at(`sharded-${settings.bits}`);
    await quantizeDecoder(source, sharded, { ...settings, shardBytes: 8000 });
    const names = readdirSync(sharded).filter((name) => name.endsWith('.safetensors'));
    expect(names.length).toBeGreaterThan(4);
    expect(names[0]).toBe(`model-00001-of-${String(names.length).padStart(5, '0')}.safetensors`);
    const identity = async (dir: string) => (await checkpointIdentity(await openCheckpoint(dir), {})).weights;
    expect(await identity(sharded)).toBe(await identity(out));
    expect(await identity(source)).not.toBe(await identity(out));
    const other = at(`other-${settings.bits}`);
    await quantizeDecoder(source, other, { ...settings, bits: settings.bits === 4 ? 8 : 4 });
    expect(await identity(other)).not.toBe(await identity(out));
  });
  it('takes a LoRA into its dequantized weights', async () => {
    const after = await openCheckpoint(out);
    const key = 'model.layers.1.self_attn.v_proj.weight';
    const name = 'base_model.model.model.layers.1.self_attn.v_proj.lora_';
    const random = seededRandom(4, 'lora');
    const matrix = (shape: [number, number]) =>
      tensor(
        'float32',
        shape,
        Float32Array.from({ length: shape[0] * shape[1] }, () => random.uniform() - 0.5),
      );
    const [a, b] = [matrix([2, 64]), matrix([32, 2])];
    const parameters = new Map<string, Tensor>([
      [`${name}A.weight`, a],
      [`${name}B.weight`, b],
    ]);
    const lora = { rank: 2, alpha: 4, dropout: 0, targets: ['v_proj'] };
    for (const mergedDtype of ['float32', 'stored'] as const) {
      const merged = mergedTensors(after, parameters, lora, mergedDtype);
      const made = merged.find((each) => each.key === key)!;
      expect(made.dtype).toBe(mergedDtype === 'float32' ? 'float32' : 'bfloat16');
      const bytes = await bytesOf(made);
      const values = float32Of(
        made.dtype === 'float32'
          ? tensor('float32', [32, 64], new Float32Array(new Uint8Array(bytes).buffer))
          : tensor('bfloat16', [32, 64], new Uint16Array(new Uint8Array(bytes).buffer)),
      );
      const base = float32Of(await readWeight(after.weights.get(key)!));
      values.forEach((value, i) => {
        const [row, column] = [Math.floor(i / 64), i % 64];
        const update = [0, 1].reduce((sum, k) => sum + b.data[row * 2 + k]! * a.data[k * 64 + column]!, 0);
        expect(value).toBeCloseTo(base[i]! + 2 * update, mergedDtype === 'float32' ? 5 : 1);
      });
      expect(merged.find((each) => each.key === key.replace('v_proj', 'k_proj'))!.dtype).toBe('bfloat16');
    }
  });
});

describe('writing a quantized checkpoint', () => {
  const code = (out: string, killAt: number) => `
    import { quantizeDecoder } from ${JSON.stringify(new URL('../../../dist/backbones/index.js', import.meta.url).href)};
    await quantizeDecoder(${JSON.stringify(source)}, ${JSON.stringify(out)}, {
      bits: 4, blockSize: 32, shardBytes: 8000,
      onProgress: (done, total) => { if (done >= ${killAt} * total) process.kill(process.pid, 'SIGKILL'); },
    });`;
  const killed = (out: string, killAt: number): void => {
    const { signal } = spawnSync(process.execPath, ['--input-type=module', '-e', code(out, killAt)]);
    expect(signal).toBe('SIGKILL');
  };

  it('ends with the same bytes after kills, and keeps the files that were finished', async () => {
    const whole = at('undisturbed');
    await quantizeDecoder(source, whole, { ...four, shardBytes: 8000 });
    const out = at('killed');
    const times = new Map<string, number>();
    for (const killAt of [0.1, 0.3, 0.65, 1]) {
      killed(out, killAt);
      expect(readdirSync(out)).not.toContain('config.json');
      const shards = readdirSync(out).filter((name) => name.endsWith('.safetensors'));
      for (const [name, time] of times) expect(statSync(join(out, name)).mtimeMs).toBe(time);
      for (const name of shards) times.set(name, statSync(join(out, name)).mtimeMs);
    }
    expect(times.size).toBeGreaterThan(3);
    await quantizeDecoder(source, out, { ...four, shardBytes: 8000 });
    for (const [name, time] of times) expect(statSync(join(out, name)).mtimeMs).toBe(time);
    expect(contents(out)).toEqual(contents(whole));
    await quantizeDecoder(source, out, { ...four, shardBytes: 8000 }); // a finished one
    expect(contents(out)).toEqual(contents(whole));
  });

  it('stops between two weights when interrupted, and resumes', async () => {
    const out = at('interrupted');
    const controller = new AbortController();
    const options = { ...four, shardBytes: 8000, stop: controller.signal };
    const stopped = quantizeDecoder(source, out, {
      ...options,
      onProgress: (done, total) => done > total / 2 && controller.abort(),
    });
    await expect(stopped).rejects.toThrow(InterruptedError);
    await expect(stopped).rejects.toThrow('run the same command again to resume');
    expect(readdirSync(out).every((name) => name.endsWith('.safetensors'))).toBe(true);
    await quantizeDecoder(source, out, { ...four, shardBytes: 8000 });
    expect(contents(out)).toEqual(contents(at('undisturbed')));
  });

  it.each(['llama', 'qwen3', 'mistral'])('works for %s', async (family) => {
    const dir = at(family);
    const config = { ...smallConfig, model_type: family, head_dim: 16, sliding_window: null };
    await writeRandomDecoder(dir, { config, dtype: 'float32' });
    await quantizeDecoder(dir, at(`${family}-4`), four);
    const { weights } = await openCheckpoint(at(`${family}-4`));
    expect([...weights.values()].filter(({ dtype }) => dtype === 'uint4')).toHaveLength(21);
  });
});

describe('what cannot be quantized', () => {
  const cases: [string, () => Promise<string>, string][] = [
    ['a quantized checkpoint', async () => at('out-4'), 'is quantized already'],
    [
      'one by another program',
      async () => {
        await writeRandomDecoder(at('awq'), { config: smallConfig, dtype: 'bfloat16' });
        const config = { ...smallConfig, quantization_config: { quant_method: 'awq' } };
        writeFileSync(at('awq', 'config.json'), JSON.stringify(config));
        return at('awq');
      },
      'is quantized already',
    ],
    [
      'a model without language',
      async () => {
        mkdirSync(at('roberta'));
        writeFileSync(at('roberta', 'config.json'), JSON.stringify({ model_type: 'roberta' }));
        copyFileSync(join(source, 'model.safetensors'), at('roberta', 'model.safetensors'));
        return at('roberta');
      },
      'is of model_type "roberta"',
    ],
    [
      'rows that are no whole blocks',
      async () => {
        const config = { ...smallConfig, hidden_size: 48 };
        await writeRandomDecoder(at('narrow'), { config, dtype: 'bfloat16' });
        return at('narrow');
      },
      'has rows of 48, which is not a multiple of the block size 32; this model cannot be quantized',
    ],
    [
      'a weight that is not a number',
      async () => {
        await writeRandomDecoder(at('nan'), {
          config: smallConfig,
          dtype: 'bfloat16',
          edit: (tensors) =>
            tensors.get('model.layers.2.mlp.up_proj.weight')!.data.fill(0x7fc0 as never, 7, 8),
        });
        return at('nan');
      },
      '"model.layers.2.mlp.up_proj.weight" in',
    ],
    [
      'a missing weight',
      async () => {
        await writeRandomDecoder(at('part'), {
          config: smallConfig,
          dtype: 'bfloat16',
          edit: (tensors) => tensors.delete('model.layers.0.mlp.up_proj.weight'),
        });
        return at('part');
      },
      'has no weight "model.layers.0.mlp.up_proj.weight"',
    ],
  ];
  it.each(cases)('%s is refused in one line', async (name, make, message) => {
    const refused = quantizeDecoder(await make(), at(`refused ${name}`), four);
    await expect(refused).rejects.toThrow(InputError);
    await expect(refused).rejects.toThrow(message);
    await expect(refused).rejects.not.toThrow('\n');
  });
  it('rows of 96 are refused in blocks of 64, with the block size that fits', async () => {
    const refused = quantizeDecoder(source, at('wide'), { bits: 4, blockSize: 64 });
    await expect(refused).rejects.toThrow(
      'rows of 96, which is not a multiple of the block size 64; choose --block 32',
    );
  });
  it('the folder of the source, a file, and a folder with other weights are refused as outputs', async () => {
    const message = (out: string, settings: typeof four | typeof eight = four) =>
      quantizeDecoder(source, out, settings).catch((error: Error) => error.message);
    expect(await message(source)).toBe(`${source} is the checkpoint itself; give another folder with --out`);
    expect(await message(at('source', 'config.json'))).toContain('is a file; --out must be a folder');
    expect(await message(at('out-8'))).toContain(
      'model.safetensors is not from this checkpoint with these options; give another folder',
    );
    const before = contents(at('llama'));
    expect(await message(at('llama'))).toContain('is not from this checkpoint');
    expect(contents(at('llama'))).toEqual(before);
  });
});

describe('a quantized checkpoint that is damaged', () => {
  const damaged = async (name: string, edit: (config: Record<string, Record<string, unknown>>) => void) => {
    const dir = at(name);
    mkdirSync(dir);
    for (const file of readdirSync(at('out-4'))) copyFileSync(at('out-4', file), join(dir, file));
    const config = JSON.parse(readFileSync(join(dir, 'config.json'), 'utf8'));
    edit(config);
    writeFileSync(join(dir, 'config.json'), JSON.stringify(config));
    const error = await openCheckpoint(dir).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(InputError);
    return (error as Error).message;
  };
  it('is refused with what is wrong', async () => {
    expect(await damaged('version', (config) => (config.quantization_config!.version = 2))).toMatch(
      /config\.json: quantization_config\.version cannot be used .* quantize the checkpoint again/,
    );
    expect(await damaged('bits', (config) => (config.quantization_config!.bits = 8))).toContain(
      'weight_packed" is uint8 [64, 32], not int8',
    );
    expect(await damaged('block', (config) => (config.quantization_config!.block_size = 64))).toContain(
      'weight_scale" is float16 [64, 2], not float16 [64, 1]',
    );
  });
});

/** Mounts a small disk that can be filled; false if this user is not allowed to. */
const disk = at('disk');
mkdirSync(disk);
const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', disk]).status === 0;
if (!mounted) console.log('no file system can be mounted here: a full disk is not tried');
describe.skipIf(!mounted)('a disk that fills up', () => {
  afterAll(() => {
    execFileSync('umount', [disk]);
  });
  it('ends the command with one line, and can be resumed on a larger one', async () => {
    const args = ['quantize', source, '--bits', '8', '-o', join(disk, 'out')];
    const full = await emoqHere(args, root, { NO_COLOR: '1' });
    expect(full).toMatchObject({ code: 1, stdout: '' });
    expect(full.stderr.trim().split('\n')).toHaveLength(1);
    expect(full.stderr).toContain('no space left on the disk');
    expect(readdirSync(join(disk, 'out'))).toEqual([]);
    execFileSync('mount', ['-o', 'remount,size=2m', disk]);
    expect(await emoqHere(args, root, { NO_COLOR: '1' })).toMatchObject({ code: 0, stdout: `${disk}/out\n` });
    expect(contents(join(disk, 'out'))).toEqual(contents(at('out-8')));
  });
});
