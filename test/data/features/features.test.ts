/**
 * @file The feature cache: made once, remade if damaged, with the same bytes whatever the order, the batch or a kill.
 */

import { execFile } from 'node:child_process';
import { cp, mkdtemp, readdir, readFile, rm, stat, truncate, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { SpeechEncoder } from '../../../src/backbones/index.js';
import { openSpeechEncoder } from '../../../src/backbones/speech-encoders/encoder-source.js';
import { InterruptedError } from '../../../src/base/index.js';
import { decodeAudio, decodingKey, encodeWav, ffmpegVersion } from '../../../src/data/audio/index.js';
import type { ExtractOptions } from '../../../src/data/features/extract.js';
import { findEntry } from '../../../src/data/features/feature-cache.js';
import { extractFeatures, openFeatureCache, readFeatures } from '../../../src/data/features/index.js';
import {
  halfToFloat32,
  readSafetensors,
  seededRandom,
  tensor,
  writeSafetensors,
} from '../../../src/engine/tensor/index.js';
import { writeTone } from '../audio/ffmpeg-clips.js';

const hubert = new URL('../../fixtures/hubert/large', import.meta.url).pathname;
const encoderFiles = [join(hubert, 'config.json'), join(hubert, 'model.safetensors')];
/** Seven clips; c3 and c6 have the same audio. */
const durationsSec = [0.9, 0.3, 1.21, 0.5, 1.2, 0.02, 0.5];

let root: string;
let audio: { id: string; path: string }[];
let cacheDir: string;
let encoder: SpeechEncoder;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'emoq-features-'));
  audio = await Promise.all(
    durationsSec.map(async (durationSec, clip) => {
      const path = join(root, `c${clip}.wav`);
      const random = seededRandom(clip === 6 ? 3 : clip);
      const wave = Float32Array.from({ length: Math.round(durationSec * 16_000) }, (_, at) => {
        return 0.3 * Math.sin(at * 0.04 * (1 + random.uniform() * 0.01)) + 0.05 * random.normal();
      });
      await writeFile(path, encodeWav(wave, 16_000));
      return { id: `c${clip}`, path };
    }),
  );
  encoder = await openSpeechEncoder(hubert, { device: { kind: 'cpu' }, threads: 2 });
});

beforeEach(async () => {
  cacheDir = await mkdtemp(join(root, 'cache-'));
});

afterAll(async () => {
  await encoder.close();
  await rm(root, { recursive: true });
});

async function options(changes: Partial<ExtractOptions> = {}): Promise<ExtractOptions> {
  return {
    cache: await openFeatureCache(cacheDir, encoderFiles),
    items: audio,
    decode: (path, maxDurationSec) => decodeAudio(path, { maxDurationSec }),
    encode: (waveforms) => encoder.encode(waveforms),
    paddedSamples: encoder.paddedSamples,
    maxAudioSec: 10,
    ...changes,
  };
}

/** Every finished entry of the cache with its bytes, by name. */
async function snapshot(dir = cacheDir): Promise<Record<string, string>> {
  const files = await readdir(dir, { recursive: true, withFileTypes: true });
  const entries = files.filter(({ name }) => name.endsWith('.safetensors'));
  const contents = entries.map(async ({ name, parentPath }) => {
    return [name, (await readFile(join(parentPath, name))).toString('base64')] as const;
  });
  return Object.fromEntries((await Promise.all(contents)).sort());
}

/** Counts the clips of each call of `encode`. */
function counting(): { calls: number[]; encode: ExtractOptions['encode'] } {
  const calls: number[] = [];
  const encode: ExtractOptions['encode'] = (waveforms) => {
    calls.push(waveforms.length);
    return encoder.encode(waveforms);
  };
  return { calls, encode };
}

describe('extractFeatures', () => {
  it('keeps in float16 what the encoder gives each clip alone', async () => {
    const { entries, encoded, cached } = await extractFeatures(await options());
    expect([encoded, cached, entries.size]).toEqual([6, 0, 7]); // identical audio is encoded once
    for (const { id, path } of audio) {
      const [alone] = await encoder.encode([(await decodeAudio(path)).samples]);
      const { frames, width, words } = await readFeatures(entries.get(id)!.path);
      expect([frames, width]).toEqual([alone!.frames, 32]);
      expect(entries.get(id)).toMatchObject({ frames, width, cropped: false });
      words.forEach((word, at) => {
        const value = alone!.data[at]!;
        expect(Math.abs(halfToFloat32(word) - value)).toBeLessThanOrEqual(
          Math.abs(value) * 2 ** -11 + 2 ** -25,
        );
      });
    }
    expect(entries.get('c3')!.path).toBe(entries.get('c6')!.path);
  });

  it('encodes nothing that the cache has', async () => {
    await extractFeatures(await options());
    const { calls, encode } = counting();
    const decode = async (): Promise<never> => Promise.reject(new Error('decoded again'));
    const again = await extractFeatures(await options({ encode, decode }));
    expect([calls.length, again.encoded, again.cached]).toEqual([0, 0, 6]);
  });

  it('gives the same bytes in any order and any batch', async () => {
    await extractFeatures(await options());
    const expected = await snapshot();
    expect(Object.keys(expected)).toHaveLength(6);
    const variations: Partial<ExtractOptions>[] = [
      { items: audio.toReversed() },
      { batchSec: 0.1 },
      { items: audio.map((item, clip) => ({ ...item, durationSec: durationsSec[clip]! })), batchSec: 2.5 },
    ];
    for (const changes of variations) {
      cacheDir = await mkdtemp(join(root, 'cache-'));
      await extractFeatures(await options(changes));
      expect(await snapshot()).toEqual(expected);
    }
    cacheDir = await mkdtemp(join(root, 'cache-'));
    for (const item of audio) await extractFeatures(await options({ items: [item] }));
    expect(await snapshot()).toEqual(expected);
  });

  it('gives the same bytes when several batches are encoded at a time, never more than there are lanes', async () => {
    await extractFeatures(await options());
    const expected = await snapshot();
    cacheDir = await mkdtemp(join(root, 'cache-'));
    let running = 0;
    let most = 0;
    const done: number[] = [];
    await extractFeatures(
      await options({
        lanes: 3,
        batchSec: 0.1,
        onProgress: (progress) => void (progress.stage === 'encode' && done.push(progress.done)),
        encode: async (waveforms) => {
          most = Math.max(most, ++running);
          const features = await encoder.encode(waveforms);
          running--;
          return features;
        },
      }),
    );
    expect(most).toBe(3);
    expect(done).toEqual([1, 2, 3, 4, 5, 6]);
    expect(await snapshot()).toEqual(expected);
  });

  it('gives an altered clip an entry of its own, by what is changed, and leaves the others alone', async () => {
    await extractFeatures(await options());
    const plain = await snapshot();
    const contents: string[] = [];
    /** Louder by a factor, played faster by another. */
    const altered = (id: string, factor: number, speed: number) => ({
      ...{ id, path: audio[2]!.path }, // 1.21 s
      alter: async (content: string) => {
        contents.push(content);
        const apply = async (samples: Float32Array, most: number): Promise<Float32Array> =>
          samples.subarray(0, most).map((value) => factor * value);
        return { key: factor === 1 ? '' : `louder ${factor}`, speed, apply };
      },
    });
    const items = [...audio, altered('same', 1, 1), altered('half', 0.5, 1), altered('fast', 0.25, 1.5)];
    const asked: [string, number][] = [];
    const { entries, cropped, encoded } = await extractFeatures(
      await options({
        items,
        maxAudioSec: 0.8,
        decode: (path, maxDurationSec) => {
          asked.push([path, maxDurationSec]);
          return decodeAudio(path, { maxDurationSec });
        },
      }),
    );
    expect(encoded).toBe(8);
    expect(entries.get('same')!.path).toBe(entries.get('c2')!.path);
    const paths = ['c2', 'half', 'fast'].map((id) => entries.get(id)!.path);
    expect(new Set(paths).size).toBe(3);
    // 0.8 s of a clip that is played 1.5 times as fast are 1.2 s of the file; the features are of 0.8 s.
    expect(new Set(asked.filter(([path]) => path === audio[2]!.path).map(([, sec]) => sec))).toEqual(
      new Set([0.8, 0.8 * 1.5]),
    );
    for (const id of ['half', 'fast']) expect(entries.get(id)!.frames).toBe(entries.get('c2')!.frames);
    const [half] = await encoder.encode([
      (await decodeAudio(audio[2]!.path, { maxDurationSec: 0.8 })).samples.map((value) => 0.5 * value),
    ]);
    const { words } = await readFeatures(entries.get('half')!.path);
    words.forEach((word, at) => {
      const value = half!.data[at]!;
      expect(Math.abs(halfToFloat32(word) - value)).toBeLessThanOrEqual(
        Math.abs(value) * 2 ** -11 + 2 ** -25,
      );
    });
    expect(cropped).toBe(3); // 0.9, 1.21 and 1.2 s: variants do not count
    expect(new Set(contents).size).toBe(1);
    expect(contents[0]).toMatch(/^[0-9a-f]{64}$/);
    const after = await snapshot();
    for (const [name, bytes] of Object.entries(plain)) expect(after[name]).toBe(bytes);
  });

  it('puts clips of one padded length together, up to the limit', async () => {
    const { calls, encode } = counting();
    await extractFeatures(await options({ encode, batchSec: 2.5 }));
    // 1.21 and 1.2 s pad to 1.25 s, 0.9 s to 1 s, 0.3 and 0.5 s to 0.5 s, 0.02 s to 0.25 s
    expect(calls).toEqual([2, 1, 2, 1]);
    cacheDir = await mkdtemp(join(root, 'cache-'));
    const small = counting();
    await extractFeatures(await options({ encode: small.encode, batchSec: 2.4 }));
    expect(small.calls).toEqual([1, 1, 1, 2, 1]);
  });

  it('makes an entry again that is cut short or damaged', async () => {
    const { entries } = await extractFeatures(await options());
    const expected = await snapshot();
    const [cut, flipped, empty] = ['c0', 'c1', 'c2'].map((id) => entries.get(id)!.path);
    await truncate(cut!, (await stat(cut!)).size - 10);
    const bytes = await readFile(flipped!);
    bytes[bytes.length - 5]! ^= 1;
    await writeFile(flipped!, bytes);
    await truncate(empty!, 0);
    await expect(readFeatures(flipped!)).rejects.toThrow(/damaged: its checksum/);
    await expect(readFeatures(cut!)).rejects.toThrow(cut!);
    const repaired = await extractFeatures(await options());
    expect([repaired.encoded, repaired.cached]).toEqual([3, 3]);
    expect(await snapshot()).toEqual(expected);
  });

  it('goes on after a kill and ends with the same bytes', async () => {
    await extractFeatures(await options());
    const expected = await snapshot();
    cacheDir = await mkdtemp(join(root, 'cache-'));
    const dist = new URL('../../../dist/', import.meta.url).href;
    const script = `
      const { extractFeatures, openFeatureCache } = await import('${dist}data/features/index.js');
      const { decodeAudio } = await import('${dist}data/audio/index.js');
      const { openSpeechEncoder } = await import('${dist}backbones/speech-encoders/encoder-source.js');
      const encoder = await openSpeechEncoder('${hubert}', { device: { kind: 'cpu' }, threads: 2 });
      let calls = 0;
      await extractFeatures({
        cache: await openFeatureCache('${cacheDir}', ${JSON.stringify(encoderFiles)}),
        items: ${JSON.stringify(audio)}, decode: (path, maxDurationSec) => decodeAudio(path, { maxDurationSec }), maxAudioSec: 10, batchSec: 0.1,
        paddedSamples: (samples) => samples,
        encode: (waveforms) => (++calls === 4 ? process.kill(process.pid, 'SIGKILL') : encoder.encode(waveforms)),
      });`;
    const killed = join(root, 'killed.mjs');
    await writeFile(killed, script);
    const signal = await new Promise((resolve) => {
      execFile(process.execPath, [killed], (error, _, stderr) => {
        resolve(error?.signal ?? stderr);
      });
    });
    expect(signal).toBe('SIGKILL');
    expect(Object.keys(await snapshot())).toHaveLength(3);
    const resumed = await extractFeatures(await options());
    expect([resumed.encoded, resumed.cached]).toEqual([3, 3]);
    expect(await snapshot()).toEqual(expected);
  });

  it('lets two runs fill one cache at once', async () => {
    const both = await options({ batchSec: 0.1 });
    const [first, second] = await Promise.all([extractFeatures(both), extractFeatures({ ...both })]);
    expect(first.entries).toEqual(second.entries);
    for (const { path } of first.entries.values()) await readFeatures(path);
    const files = await readdir(cacheDir, { recursive: true });
    expect(files.filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });

  it('keeps what is to be known of the sound of a clip, and nothing for a clip with nothing to say', async () => {
    const silent = { id: 'silent', path: join(root, 'silent.wav') };
    await writeFile(silent.path, encodeWav(new Float32Array(8000), 16_000));
    const items = [...audio, silent];
    const first = await extractFeatures(await options({ items }));
    expect(first.notes).toEqual([{ id: 'silent', kind: 'silent' }]);
    const again = await extractFeatures(await options({ items }));
    expect([again.encoded, again.notes]).toEqual([0, first.notes]);
    const header = async (id: string) =>
      (await readFile(first.entries.get(id)!.path)).toString('latin1', 0, 300);
    expect(await header('silent')).toContain('"notes":"silent"');
    expect(await header('c0')).not.toContain('notes');
  });

  it('has other entries for a file that is decoded otherwise, and the old ones for all that is not', async () => {
    const { entries } = await extractFeatures(await options());
    const plain = await extractFeatures(await options({ decodingKey }));
    expect([plain.encoded, plain.entries.get('c0')!.path]).toEqual([0, entries.get('c0')!.path]);
    const other = await extractFeatures(await options({ decodingKey: async () => 'ffmpeg 9' }));
    expect([other.encoded, other.entries.get('c0')!.path === entries.get('c0')!.path]).toEqual([6, false]);
  });

  it('knows which files have one meaning, which are a matter of rules, and which of the ffmpeg', async () => {
    const tone = { channelHz: [300], layout: 'mono', durationSec: 0.1 } as const;
    const make = (name: string, codec: string[], sampleRateHz = 16_000): string => {
      writeTone(join(root, name), { ...tone, channelHz: [300], sampleRateHz }, codec);
      return join(root, name);
    };
    const rules = 'decoding 2';
    const byFfmpeg = `${rules}, ffmpeg ${await ffmpegVersion()}`;
    const files: [path: string, key: string][] = [
      [audio[0]!.path, ''],
      [make('24.wav', ['-c:a', 'pcm_s24le']), ''],
      [make('16.flac', ['-sample_fmt', 's16']), ''],
      [make('float.wav', ['-c:a', 'pcm_f32le']), rules],
      [make('stereo.wav', ['-ac', '2']), rules],
      [make('8.wav', [], 8000), byFfmpeg],
      [make('48.flac', [], 48_000), byFfmpeg],
      [make('stereo.flac', ['-ac', '2']), byFfmpeg],
      [make('a.mp3', []), byFfmpeg],
    ];
    for (const [path, key] of files) expect(await decodingKey(path), path).toBe(key);
  });

  it('crops clips beyond the maximum, says how many, and keeps them apart', async () => {
    const whole = await extractFeatures(await options());
    const first = await extractFeatures(await options({ maxAudioSec: 0.5 }));
    expect(first.cropped).toBe(3); // 0.9, 1.21 and 1.2 s; 0.5 s does not exceed 0.5 s
    expect(first.entries.get('c0')).toMatchObject({ frames: 24, cropped: true });
    expect(whole.entries.get('c0')).toMatchObject({ frames: 44, cropped: false });
    const again = await extractFeatures(await options({ maxAudioSec: 0.5 }));
    expect([again.encoded, again.cropped]).toEqual([0, 3]);
    expect(await readFeatures(whole.entries.get('c0')!.path)).toMatchObject({ frames: 44 });
  });

  it('stops after the batch under way when it is interrupted, and keeps what it has', async () => {
    const interruption = new AbortController();
    const { calls, encode } = counting();
    const running = extractFeatures(
      await options({
        batchSec: 0.1,
        signal: interruption.signal,
        encode: (waveforms) => {
          if (calls.length === 1) interruption.abort();
          return encode(waveforms);
        },
      }),
    );
    await expect(running).rejects.toThrow(InterruptedError);
    await expect(running).rejects.toThrow(/features of 2 clips .*run the same command again/);
    expect(calls).toHaveLength(2);
    expect(Object.keys(await snapshot())).toHaveLength(2);
  });

  it('reports progress', async () => {
    const seen: string[] = [];
    await extractFeatures(
      await options({
        onProgress: ({ stage, done, total }) => seen.push(`${stage} ${done}/${total}`),
        batchSec: 2.5,
      }),
    );
    expect(seen.slice(0, 2)).toEqual(['check 1/7', 'check 2/7']);
    expect(seen.slice(7)).toEqual(['encode 2/6', 'encode 3/6', 'encode 5/6', 'encode 6/6']);
  });

  it('names the file that is missing or cannot be decoded', async () => {
    const absent = [...audio, { id: 'lost', path: join(root, 'lost.wav') }];
    await expect(extractFeatures(await options({ items: absent }))).rejects.toThrow(
      /lost\.wav of utterance "lost"/,
    );
    const broken = join(root, 'broken.wav');
    await writeFile(broken, 'RIFF, but not really');
    const items = [...audio, { id: 'broken', path: broken }];
    await expect(extractFeatures(await options({ items }))).rejects.toThrow('broken.wav');
  });

  it('makes an entry again whose values are no numbers, and one with any of its bits changed', async () => {
    const made = await extractFeatures(await options());
    const { path } = made.entries.get('c1')!;
    const whole = await readFile(path);
    const { tensors, metadata } = await readSafetensors(path);
    const words = tensors.get('features')!.data as Uint16Array;
    for (const value of [0x7e00, 0x7c00, 0xfc00]) {
      const broken = words.slice();
      broken[3] = value;
      const checksum = crc32(new Uint8Array(broken.buffer)).toString(16).padStart(8, '0');
      const features = tensor('float16', tensors.get('features')!.shape, broken);
      await writeSafetensors(path, [['features', features]], { ...metadata, crc32: checksum });
      expect(await findEntry(path)).toBeUndefined();
    }
    await writeFile(path, whole);
    const random = seededRandom(2, 'feature flips');
    const headerEnd = 8 + Number(whole.readBigUInt64LE());
    let damaged = 0;
    for (let flip = 0; flip < 200; flip++) {
      const at = Math.floor(random.uniform() * (flip % 2 === 0 ? headerEnd : whole.length));
      const bytes = Buffer.from(whole);
      bytes[at]! ^= 1 << Math.floor(random.uniform() * 8);
      await writeFile(path, bytes);
      const found = await findEntry(path);
      // If the entry is still accepted, its content must be right: the padding after the header carries no information.
      if (found !== undefined) expect((await readFeatures(path)).words).toEqual(words);
      else damaged += 1;
    }
    expect(damaged).toBeGreaterThan(150);
    await extractFeatures(await options());
    expect((await readFile(path)).equals(whole)).toBe(true);
  });

  it('refuses values that float16 cannot hold', async () => {
    const encode: ExtractOptions['encode'] = async (waveforms) =>
      waveforms.map(() => ({ frames: 1, width: 2, data: Float32Array.of(1, 70_000) }));
    await expect(extractFeatures(await options({ encode }))).rejects.toThrow(/utterance "c\d": .*float16/);
    expect(await snapshot()).toEqual({});
  });

  it('has nothing to do for no items', async () => {
    const nothing = await extractFeatures(await options({ items: [] }));
    expect([nothing.entries.size, nothing.encoded, nothing.cached, nothing.cropped]).toEqual([0, 0, 0, 0]);
  });
});

describe('openFeatureCache', () => {
  it('has a folder of its own for each content of the encoder, wherever the encoder lies', async () => {
    const copy = join(root, 'copy');
    await cp(hubert, copy, { recursive: true });
    const files = [join(copy, 'config.json'), join(copy, 'model.safetensors')];
    const original = await openFeatureCache(cacheDir, encoderFiles);
    expect(await openFeatureCache(cacheDir, files)).toEqual(original);
    const weights = await readFile(files[1]!);
    weights[weights.length - 1]! ^= 1;
    await writeFile(files[1]!, weights);
    expect(await openFeatureCache(cacheDir, files)).not.toEqual(original);
    expect(await openFeatureCache(cacheDir, encoderFiles)).toEqual(original);
  });

  it('hashes a file again only when its time or size has changed', async () => {
    const file = join(root, 'weights.bin');
    await writeFile(file, 'first');
    const time = new Date('2024-01-01');
    await utimes(file, time, time);
    const before = await openFeatureCache(cacheDir, [file]);
    await writeFile(file, 'other'); // same length as before
    await utimes(file, time, time);
    expect(await openFeatureCache(cacheDir, [file])).toEqual(before);
    await utimes(file, time, new Date('2024-01-02'));
    expect(await openFeatureCache(cacheDir, [file])).not.toEqual(before);
  });

  it('hashes again when its notes are damaged, and names a file that is missing', async () => {
    const before = await openFeatureCache(cacheDir, encoderFiles);
    for (const damage of ['{"', 'null', '[3]', '{"/x": null}']) {
      await writeFile(join(cacheDir, 'file-hashes.json'), damage);
      expect(await openFeatureCache(cacheDir, encoderFiles)).toEqual(before);
    }
    await expect(openFeatureCache(cacheDir, ['/nowhere/config.json'])).rejects.toThrow(
      '/nowhere/config.json',
    );
  });
});
