/** @file HuBERT's graph: padding, frame lengths, and checkpoints in all their forms. */

import { cp, mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildEncoderGraph } from '../../../src/backbones/speech-encoders/encoder-families.js';
import { receptiveField } from '../../../src/backbones/speech-encoders/wav2vec2/config.js';
import { frameCount } from '../../../src/backbones/speech-encoders/wav2vec2/feature-encoder.js';
import { openCheckpoint } from '../../../src/checkpoints/index.js';
import type { Session } from '../../../src/engine/runtime/index.js';
import {
  decodeBfloat16,
  encodeBfloat16,
  float32Of,
  readSafetensors,
  type Tensor,
  tensor,
  writeSafetensors,
} from '../../../src/engine/tensor/index.js';
import {
  encodeBatch,
  hubertFixtures,
  openEncoder as openSession,
  type References,
  readReferences,
  realFrames,
  relativeError,
} from './encoding.js';

const variants = ['base', 'large'] as const;
const geometry = { convKernel: [10, 3, 3, 3, 3, 2, 2], convStride: [5, 2, 2, 2, 2, 2, 2] };

let temporary: string;
let reference: References;
let clips: Float32Array[];
const open: Session[] = [];

beforeAll(async () => {
  temporary = await mkdtemp(join(tmpdir(), 'emoq-hubert-'));
  reference = await readReferences();
  clips = reference.clips('base');
});

afterAll(async () => {
  for (const session of open) await session.dispose();
  await rm(temporary, { recursive: true });
});

async function openEncoder(dir: string): Promise<Session> {
  const session = await openSession(dir);
  open.push(session);
  return session;
}

/** The valid frames of each clip of a batch. */
async function encode(session: Session, batch: Float32Array[], length?: number): Promise<Float32Array[]> {
  return realFrames(await encodeBatch(session, batch, length));
}

describe.each(variants)('the %s variant', (variant) => {
  let session: Session;
  beforeAll(async () => {
    session = await openEncoder(join(hubertFixtures, variant));
  });

  it('gives a clip the same frames alone and padded in a batch', async () => {
    const together = await encode(session, clips, 16_000);
    for (const [place, clip] of clips.entries()) {
      const [alone] = await encode(session, [clip]);
      expect(relativeError(together[place]!, alone!)).toBeLessThan(1e-5);
    }
  });

  it('ignores what lies in the padding', async () => {
    const [clip] = clips as [Float32Array];
    const length = 14_000;
    const [clean] = await encode(session, [clip], length);
    const noisy = tensor('float32', [1, length], new Float32Array(length).fill(3));
    noisy.data.set(clip);
    const mask = tensor('int64', [1, length]);
    mask.data.fill(1n, 0, clip.length);
    const outputs = await session.run({ input_values: noisy, attention_mask: mask });
    const hidden = (outputs.last_hidden_state!.data as Float32Array).slice(0, clean!.length);
    expect(relativeError(hidden, clean!)).toBeLessThan(1e-5);
  });

  it('names its inputs and outputs', () => {
    expect(session.inputNames).toEqual(['input_values', 'attention_mask']);
    expect(session.outputNames).toEqual(['last_hidden_state', 'frame_mask']);
  });
});

describe('frame lengths', () => {
  it('follow the convolution formula on the host as in the graph', async () => {
    const session = await openEncoder(join(hubertFixtures, 'large'));
    const lengths = [400, 719, 720, 1039, 1040, 5000];
    const hidden = await encode(
      session,
      lengths.map((length) => new Float32Array(length).fill(0.1)),
      5000,
    );
    expect(hidden.map(({ length }) => length / 32)).toEqual([1, 1, 2, 2, 3, 15]);
    expect(lengths.map((length) => frameCount(geometry, length))).toEqual([1, 1, 2, 2, 3, 15]);
  });

  it('count no frame below the receptive field of 400 samples', async () => {
    expect(receptiveField(geometry)).toBe(400);
    for (const length of [0, 3, 9, 399]) expect(frameCount(geometry, length)).toBe(0);
    const session = await openEncoder(join(hubertFixtures, 'large'));
    const hidden = await encode(
      session,
      [0, 3, 9, 399].map((length) => new Float32Array(length)),
      800,
    );
    expect(hidden.map(({ length }) => length)).toEqual([0, 0, 0, 0]);
  });
});

describe('checkpoints', () => {
  it('of bfloat16 give what their rounded weights give in float32', async () => {
    const { tensors } = await readSafetensors(join(hubertFixtures, 'base', 'model.safetensors'));
    for (const kind of ['bfloat16', 'float32'] as const) {
      await mkdir(join(temporary, kind));
      await cp(join(hubertFixtures, 'base', 'config.json'), join(temporary, kind, 'config.json'));
      const rounded = [...tensors].map(([key, value]): [string, Tensor] => {
        const words = encodeBfloat16(float32Of(value));
        const data = kind === 'bfloat16' ? words : decodeBfloat16(words);
        return [key, { dtype: kind, shape: value.shape, data } as Tensor];
      });
      await writeSafetensors(join(temporary, kind, 'model.safetensors'), rounded);
    }
    const [fromBfloat16] = await encode(await openEncoder(join(temporary, 'bfloat16')), [clips[0]!]);
    const [fromFloat32] = await encode(await openEncoder(join(temporary, 'float32')), [clips[0]!]);
    expect(relativeError(fromBfloat16!, fromFloat32!)).toBeLessThan(1e-6);
  });

  it('are read in place where the folder holds links, as in the Hugging Face cache', async () => {
    const [blobs, snapshot] = [join(temporary, 'blobs'), join(temporary, 'snapshots', 'abc')];
    await mkdir(snapshot, { recursive: true });
    await cp(join(hubertFixtures, 'large'), blobs, { recursive: true });
    await rename(join(blobs, 'model.safetensors'), join(blobs, 'f00d'));
    await symlink('../../blobs/config.json', join(snapshot, 'config.json'));
    await symlink('../../blobs/f00d', join(snapshot, 'model.safetensors'));
    const [hidden] = await encode(await openEncoder(snapshot), [clips[1]!]);
    expect(relativeError(hidden!, reference.values('large.1'))).toBeLessThan(1e-4);
  });

  it('with a missing or misshapen weight are refused, naming its key', async () => {
    const { tensors } = await readSafetensors(join(hubertFixtures, 'base', 'model.safetensors'));
    const broken = async (name: string, weights: Iterable<[string, Tensor]>): Promise<string> => {
      const dir = join(temporary, name);
      await mkdir(dir);
      await cp(join(hubertFixtures, 'base', 'config.json'), join(dir, 'config.json'));
      await writeSafetensors(join(dir, 'model.safetensors'), weights);
      return dir;
    };
    const key = 'encoder.layers.1.feed_forward.output_dense.bias';
    const without = await broken(
      'without',
      [...tensors].filter(([name]) => name !== key),
    );
    await expect(build(without)).rejects.toThrow(`has no weight "${key}"`);
    const misshapen = await broken(
      'misshapen',
      new Map<string, Tensor>(tensors).set(key, tensor('float32', [7])),
    );
    await expect(build(misshapen)).rejects.toThrow(
      /output_dense.bias" .* has shape \[7\], the config asks for \[32\]/,
    );
  });

  it('of another model type are refused', async () => {
    const dir = join(temporary, 'other');
    await cp(join(hubertFixtures, 'base'), dir, { recursive: true });
    await writeFile(join(dir, 'config.json'), JSON.stringify({ model_type: 'speech_to_text' }));
    await expect(build(dir)).rejects.toThrow(/speech_to_text/);
  });
});

async function build(dir: string): Promise<unknown> {
  return buildEncoderGraph(await openCheckpoint(dir));
}
