/**
 * @file CTC recognisers: logits and greedy texts of transformers, the beam search of pyctcdecode and of enumeration.
 * References: test/reference/ctc.py and ctc-beam.py.
 */

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CTC_LOGITS, encoderWidth, findCtcRecogniser } from '../../../src/backbones/index.js';
import { alignedPath } from '../../../src/backbones/speech-encoders/ctc/alignment.js';
import { logAdd, prefixBeamSearch } from '../../../src/backbones/speech-encoders/ctc/beam-search.js';
import {
  bestPath,
  logProbabilities,
  textOfPath,
} from '../../../src/backbones/speech-encoders/ctc/decoding.js';
import { readCtcVocabulary } from '../../../src/backbones/speech-encoders/ctc/vocabulary.js';
import { buildEncoderGraph } from '../../../src/backbones/speech-encoders/encoder-families.js';
import { openSpeechEncoder } from '../../../src/backbones/speech-encoders/encoder-source.js';
import {
  type LayerSelection,
  resolvedSelection,
  selectionName,
} from '../../../src/backbones/speech-encoders/layer-selection.js';
import { openCheckpoint } from '../../../src/checkpoints/index.js';
import { createSession } from '../../../src/engine/runtime/index.js';
import { seededRandom, tensor } from '../../../src/engine/tensor/index.js';
import { exportableEncoder, writeModelFiles } from '../../../src/inference/export/index.js';
import { hubertFixtures, largestError, readReferences, recordEncoder } from './encoding.js';

const fixtures = new URL('../../fixtures/ctc/', import.meta.url).pathname;
/** Name, checkpoint of the same sizes (whose clips are used), symbols. */
const recognisers = [
  ['hubert', 'base-odd', 29],
  ['wav2vec2', 'large-odd', 32],
  ['unispeech-sat', 'layer-post', 5],
  ['wavlm', 'base-odd', 11],
] as const;

/** The first output [clips, frames, width] of a graph that normalises as transformers does. */
async function run(name: string, clips: readonly Float32Array[], selection: LayerSelection) {
  const { model, weightsFolder } = buildEncoderGraph(await openCheckpoint(join(fixtures, name)), {
    ...{ groupNormSteps: 'padded', selection },
  });
  const session = await createSession(model, { device: { kind: 'cpu' }, threads: 1, weightsFolder });
  const length = Math.max(...clips.map((clip) => clip.length));
  const [input_values, attention_mask] = [
    tensor('float32', [clips.length, length]),
    tensor('int64', [clips.length, length]),
  ];
  clips.forEach((clip, row) => {
    input_values.data.set(clip, row * length);
    attention_mask.data.fill(1n, row * length, row * length + clip.length);
  });
  const outputs = await session.run({ input_values, attention_mask });
  await session.dispose();
  return outputs.features ?? outputs.last_hidden_state!;
}

describe.each(recognisers)('the recogniser %s', (name, sizes, size) => {
  it('has the logits of transformers, alone and in a padded batch', async () => {
    const reference = await readReferences(fixtures);
    const clips = (await readReferences(hubertFixtures)).clips(sizes);
    const checkpoint = await openCheckpoint(join(fixtures, name));
    const errors = { alone: [], padded: [] } as Record<string, Parameters<typeof largestError>[0][number][]>;
    for (const [index, clip] of clips.entries()) {
      const found = await run(name, [clip], CTC_LOGITS);
      expect(found.shape[2]).toBe(size);
      errors.alone!.push([found.data as Float32Array, reference.tensor(`${name}.${index}`)]);
    }
    const batch = await run(name, clips, CTC_LOGITS);
    errors.padded!.push([batch.data as Float32Array, reference.tensor(`${name}.padded`)]);
    for (const [quantity, pairs] of Object.entries(errors)) {
      const error = largestError(pairs);
      const what = quantity === 'alone' ? 'logits of single clips' : 'logits of a padded batch';
      recordEncoder(`${sizes}, with a CTC head`, checkpoint, what, error);
      expect(error.relative).toBeLessThan(1e-4);
      expect(error.absolute).toBeLessThan(1e-4);
    }
  });

  it('gives them after the hidden states of any layers', async () => {
    const [clip] = (await readReferences(hubertFixtures)).clips(sizes);
    const logits = (await run(name, [clip!], CTC_LOGITS)).data as Float32Array;
    const frames = logits.length / size;
    for (const selection of [
      { layers: [0], mix: 'learned' },
      { layers: 'last', mix: 'learned' },
      { layers: 'all', mix: 'learned' },
      { layers: 'all', mix: 'mean' },
    ] as const) {
      const states = await run(name, [clip!], selection).catch(() => undefined);
      const { data, shape } = await run(name, [clip!], { ...selection, logits: true });
      const { width, held, vocabulary } = await encoderWidth(join(fixtures, name), null, {
        ...selection,
        logits: true,
      });
      expect([vocabulary, width * held + vocabulary]).toEqual([size, shape[2]]);
      for (let frame = 0; frame < frames; frame++) {
        const own = (data as Float32Array).subarray(frame * shape[2]!, (frame + 1) * shape[2]!);
        expect(own.subarray(width * held)).toEqual(logits.subarray(frame * size, (frame + 1) * size));
        if (states?.shape[2] !== width * held) continue;
        const wanted = (states.data as Float32Array).subarray(
          frame * width * held,
          (frame + 1) * width * held,
        );
        expect(own.subarray(0, width * held)).toEqual(wanted);
      }
    }
  });
});

describe('a selection with logits', () => {
  const config = { numHiddenLayers: 12 };
  it('has a name of its own', () => {
    const named = (layers: LayerSelection['layers'], mix: LayerSelection['mix'] = 'learned') =>
      selectionName({ layers, mix, logits: true }, config);
    expect(named('last')).toBe('last-ctc');
    expect(named([12])).toBe('last-ctc');
    expect(named([12, 9])).toBe('layers-9-12-ctc');
    expect(named('all', 'mean')).toBe('layers-all-mean-ctc');
    expect(selectionName(CTC_LOGITS, config)).toBe('ctc');
    expect(resolvedSelection({ layers: 'last', mix: 'mean', logits: true }, config)).toEqual({
      ...{ layers: [12], mix: 'mean', logits: true },
    });
  });

  it('gives a clip the features that it has alone, in a batch too', async () => {
    const encoder = await openSpeechEncoder(join(fixtures, 'hubert'), {
      ...{ device: { kind: 'cpu' }, threads: 1 },
      layers: { layers: [1, 3], mix: 'learned', logits: true },
    });
    const clips = (await readReferences(hubertFixtures)).clips('base-odd');
    const together = await encoder.encode(clips);
    expect(together[0]!.width).toBe(2 * 10 + 29);
    for (const [index, own] of clips.entries()) {
      expect((await encoder.encode([own]))[0]).toEqual(together[index]);
    }
    await encoder.close();
  });

  it('is refused for an encoder without a CTC head', async () => {
    await expect(findCtcRecogniser(join(hubertFixtures, 'base-odd'))).rejects.toThrow(
      /^checkpoint \S+base-odd has no lm_head\.weight: it is not a speech recogniser; name one with a CTC head/,
    );
    await expect(
      encoderWidth(join(hubertFixtures, 'layer-post'), null, { ...CTC_LOGITS, layers: 'all' }),
    ).rejects.toThrow(/has no vocab\.json: it is not a speech recogniser/);
  });
});

interface DecodingCase {
  readonly name: string;
  readonly size: number;
  readonly written: Record<string, object>;
  readonly saved: Record<string, object>;
  readonly cases: { ids: number[]; text: string; words: [string, number, number][] }[];
}
const tokenizers = JSON.parse(await readFile(`${fixtures}decoding.json`, 'utf8')) as DecodingCase[];

describe('the vocabulary of a recogniser', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'emoq-ctc-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  async function written(files: Record<string, unknown>): Promise<string> {
    const dir = await mkdtemp(join(folder, 'vocabulary-'));
    for (const [name, content] of Object.entries(files)) {
      await writeFile(join(dir, name), JSON.stringify(content));
    }
    return dir;
  }

  it.each(
    tokenizers.flatMap((each) => [
      { ...each, files: each.written, from: 'written by hand' },
      { ...each, files: each.saved, from: 'saved by transformers' },
    ]),
  )('decodes as transformers: $name, $from', async ({ files, size, cases }) => {
    const vocabulary = await readCtcVocabulary(await written(files), size);
    expect(cases.length).toBeGreaterThan(30);
    for (const { ids, text, words } of cases) {
      const found = textOfPath({ ids, probabilities: ids.map(() => 0.5) }, vocabulary);
      expect(found.text).toBe(text);
      const cased = (word: string): string => (vocabulary.lowerCase ? word.toLowerCase() : word);
      expect(found.words.map(({ word, first, end }) => [word, first, end])).toEqual(
        words.map(([word, first, end]) => [cased(word), first, end]),
      );
      expect(found.confidence ?? 0.5).toBe(0.5);
    }
  });

  it('is refused where it does not fit the head or is not of characters', async () => {
    const letters = { '<pad>': 0, '|': 1, A: 2 };
    const refused = async (files: Record<string, unknown>) =>
      expect(readCtcVocabulary(await written(files), 3)).rejects;
    await (await refused({ 'vocab.json': { ...letters, B: 3 } })).toThrow('has id 3, but the CTC head');
    await (await refused({ 'vocab.json': { A: 0 } })).toThrow('does not have the blank of CTC');
    await (await refused({ 'vocab.json': { eng: letters } })).toThrow('each of several languages');
    await (await refused({ 'vocab.json': ['A'] })).toThrow('is damaged');
    await (
      await refused({
        'vocab.json': letters,
        'tokenizer_config.json': { tokenizer_class: 'Wav2Vec2PhonemeCTCTokenizer' },
      })
    ).toThrow('is of a Wav2Vec2PhonemeCTCTokenizer; only recognisers of characters');
  });
});

describe('the confidence of a text', () => {
  it('is the mean over the frames that carry a symbol, for a word over those of its letters', () => {
    const vocabulary = {
      ...{ symbols: ['-', '|', 'A', 'B'], blank: '-', delimiter: '|', space: ' ' },
      ...{ lowerCase: false, cleanUp: false },
    };
    const ids = [0, 2, 2, 0, 1, 3, 0];
    const probabilities = [1, 0.5, 0.75, 0.1, 0.25, 0.9, 0.3];
    const { text, words, confidence, symbolFrames } = textOfPath({ ids, probabilities }, vocabulary);
    expect([text, symbolFrames]).toEqual(['A B', 4]);
    expect(words.map((word) => word.confidence)).toEqual([0.625, 0.9]);
    expect(confidence).toBeCloseTo((0.5 + 0.75 + 0.25 + 0.9) / 4, 12);
    expect(textOfPath({ ids: [0, 0], probabilities: [1, 1] }, vocabulary)).toEqual({
      ...{ text: '', words: [], confidence: undefined, symbolFrames: 0 },
    });
  });
});

/** Log probability of every labelling, by adding up all paths. */
function enumerated(logs: Float64Array, size: number, blank: number): Map<string, number> {
  const frames = logs.length / size;
  const found = new Map<string, number>();
  for (let path = 0; path < size ** frames; path++) {
    let [rest, log, before] = [path, 0, -1];
    const labels: number[] = [];
    for (let frame = 0; frame < frames; frame++) {
      const id = rest % size;
      rest = Math.floor(rest / size);
      log += logs[frame * size + id]!;
      if (id !== before && id !== blank) labels.push(id);
      before = id;
    }
    const key = labels.join();
    found.set(key, logAdd(found.get(key) ?? Number.NEGATIVE_INFINITY, log));
  }
  return found;
}

describe('the beam search', () => {
  it('finds the labelling whose paths together are likeliest, where it is wide enough', () => {
    const random = seededRandom(1, 'ctc');
    let unlike = 0;
    for (let trial = 0; trial < 60; trial++) {
      const [size, frames, blank] = [2 + (trial % 3), 1 + (trial % 6), trial % 2];
      const data = Float32Array.from({ length: size * frames }, () => 3 * random.uniform() - 1);
      const logs = logProbabilities({ frames, size, data });
      const all = [...enumerated(logs, size, blank)].sort(([, a], [, b]) => b - a);
      expect(all.reduce((sum, [, log]) => sum + Math.exp(log), 0)).toBeCloseTo(1, 9);
      const { labels, logProbability } = prefixBeamSearch(logs, size, (id) => id === blank, 10_000);
      expect(labels.join()).toBe(all[0]![0]);
      expect(logProbability).toBeCloseTo(all[0]![1], 9);
      const greedy = bestPath(logs, size).ids.filter(
        (id, frame, ids) => id !== blank && id !== ids[frame - 1],
      );
      if (greedy.join() !== labels.join()) unlike += 1;
    }
    expect(unlike).toBeGreaterThan(5); // else the best path would do
  });

  it('finds what pyctcdecode finds', async () => {
    const cases = JSON.parse(await readFile(`${fixtures}beam.json`, 'utf8')) as BeamCase[];
    for (const { size, logits, text, log_probability } of cases) {
      const frames = logits.length / size;
      const logs = logProbabilities({ frames, size, data: Float32Array.from(logits) });
      const { labels, logProbability } = prefixBeamSearch(logs, size, (id) => id === 0, 1000);
      expect(labels.map((id) => ' abcdefgh'[id]).join('')).toBe(text);
      // Where neither search cuts anything off.
      if (size ** frames < 1000) expect(logProbability).toBeCloseTo(log_probability, 5);
    }
  });
});

interface BeamCase {
  readonly size: number;
  readonly logits: number[];
  readonly text: string;
  readonly log_probability: number;
}

describe('forced alignment', () => {
  it('finds the likeliest path of a labelling, which is the best path for its own', () => {
    const random = seededRandom(2, 'ctc');
    for (let trial = 0; trial < 40; trial++) {
      const [size, frames] = [3, 1 + (trial % 6)];
      const data = Float32Array.from({ length: size * frames }, () => 4 * random.uniform());
      const logs = logProbabilities({ frames, size, data });
      const labelsOf = (ids: readonly number[]): number[] =>
        ids.filter((id, frame) => id !== 0 && id !== ids[frame - 1]);
      const best = new Map<string, { log: number; ids: number[] }>();
      for (let path = 0; path < size ** frames; path++) {
        const ids = Array.from({ length: frames }, (_, frame) => Math.floor(path / size ** frame) % size);
        const log = ids.reduce((sum, id, frame) => sum + logs[frame * size + id]!, 0);
        const key = labelsOf(ids).join();
        if (log > (best.get(key)?.log ?? Number.NEGATIVE_INFINITY)) best.set(key, { log, ids });
      }
      for (const { ids } of best.values()) {
        expect(alignedPath(labelsOf(ids), logs, size, 0).ids).toEqual(ids);
      }
      const greedy = bestPath(logs, size);
      expect(alignedPath(labelsOf(greedy.ids), logs, size, 0)).toEqual(greedy);
    }
  });

  it('refuses more symbols than there are frames', () => {
    const logs = logProbabilities({ frames: 2, size: 2, data: new Float32Array(4) });
    expect(() => alignedPath([1, 1], logs, 2, 0)).toThrow(RangeError);
    expect(alignedPath([], new Float64Array(0), 2, 0).ids).toEqual([]);
  });
});

describe('an exported encoder', () => {
  it('gives the logits too, where it was exported with them', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'emoq-ctc-export-'));
    const layers = { layers: [1, 3], mix: 'learned', logits: true } as const;
    const exported = await exportableEncoder(join(fixtures, 'hubert'), {
      ...{ norm: 'without padding', selection: layers },
    });
    const onnx = join(folder, 'encoder.onnx');
    await writeModelFiles(onnx, exported, {});
    await writeFile(join(folder, 'config.json'), await readFile(join(fixtures, 'hubert', 'config.json')));
    const open = (which: LayerSelection, from: string | null) =>
      openSpeechEncoder(join(fixtures, 'hubert'), {
        ...{ device: { kind: 'cpu' }, threads: 1, onnx: from, layers: which },
      });
    const [own, other] = [await open(layers, null), await open(layers, onnx)];
    const clips = (await readReferences(hubertFixtures)).clips('base-odd');
    const [wanted, found] = [await own.encode(clips), await other.encode(clips)];
    for (const [index, { width, data }] of found.entries()) {
      expect(width).toBe(2 * 10 + 29);
      expect(Math.max(...data.map((value, at) => Math.abs(value - wanted[index]!.data[at]!)))).toBeLessThan(
        1e-5,
      );
    }
    expect(await encoderWidth(join(fixtures, 'hubert'), onnx, layers)).toMatchObject({
      ...{ width: 10, held: 2, vocabulary: 29 },
    });
    await own.close();
    await other.close();
    await expect(open({ ...layers, layers: [1, 2] }, onnx)).rejects.toThrow('gives layers 1-3-ctc');
    await expect(open({ layers: [1, 3], mix: 'learned' }, onnx)).rejects.toThrow('encoder.layers');
    await rm(folder, { recursive: true });
  });
});
