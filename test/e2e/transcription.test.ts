/** @file `emoq transcribe` on clips, with a small random recogniser: order, faults, formats, resuming, error rates. */

import { chmodSync, existsSync, rmSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openSpeechEncoder } from '../../src/backbones/speech-encoders/encoder-source.js';
import { CTC_LOGITS } from '../../src/backbones/speech-encoders/layer-selection.js';
import { decodeAudio } from '../../src/data/audio/index.js';
import { writeToyRecogniser } from '../../src/data/toy-backbones/index.js';
import { emoq, emoqBin, run } from '../cli/command-line.js';
import { writeTone } from '../data/audio/ffmpeg-clips.js';
import { writeWav } from '../data/audio/wav-writer.js';
import { csvRows, makeWorkspace } from './workspace.js';

const work = makeWorkspace('transcription');
afterAll(() => work.remove());

const clip = (n: number): string => `toy/audio/toy_${String(n).padStart(5, '0')}.wav`;

const MONO = { encoding: 'pcm', bits: 16, channels: 1 } as const;

interface JsonRow {
  readonly path: string;
  readonly text?: string;
  readonly confidence?: number;
  readonly words?: { word: string; start: number; end: number; confidence: number }[];
  readonly error?: string;
}
const jsonRows = (file: string): JsonRow[] =>
  work
    .read(file)
    .toString()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as JsonRow);

beforeAll(async () => {
  await work.toyCorpus(5, 4);
  await writeToyRecogniser(work.path('rec'), 1);
}, 60_000);

describe('a transcription', () => {
  it('has the likeliest symbols of every clip, in the order of the input', async () => {
    await work.done('transcribe', clip(3), clip(1), clip(2), '-o', 'out.jsonl', '--model', 'rec', '--words');
    const encoder = await openSpeechEncoder(work.path('rec'), {
      device: { kind: 'cpu' },
      layers: CTC_LOGITS,
    });
    const symbols = ['', '<s>', '</s>', '<unk>', ' ', ..."etaonihsrdlumwcfgypbvk'xjqz"];
    const rows = jsonRows('out.jsonl');
    expect(rows.map(({ path }) => path)).toEqual([3, 1, 2].map(clip));
    for (const { path, text, confidence, words } of rows) {
      const { samples } = await decodeAudio(work.path(path));
      const { frames, data } = (await encoder.encode([samples]))[0]!;
      let [said, before, sum, count] = ['', -1, 0, 0];
      for (let frame = 0; frame < frames; frame++) {
        const logits = [...data.subarray(frame * 32, frame * 32 + 32)];
        const id = logits.indexOf(Math.max(...logits));
        if (id !== before) said += symbols[id];
        before = id;
        if (id === 0) continue;
        sum += Math.exp(logits[id]!) / logits.reduce((total, value) => total + Math.exp(value), 0);
        count += 1;
      }
      expect(said.length).toBeGreaterThan(3);
      expect(text).toBe(said.trim());
      expect(confidence).toBeCloseTo(sum / count, 3);
      expect(words!.map(({ word }) => word)).toEqual(said.trim().split(/ +/));
      for (const { start, end } of words!) {
        expect(start * 50).toBeCloseTo(Math.round(start * 50), 6);
        expect(end).toBeGreaterThan(start);
        expect(end).toBeLessThanOrEqual(samples.length / 16_000);
      }
    }
    await encoder.close();
  });

  it('reads patterns, and a list on standard input, and writes to standard output', async () => {
    const args = ['transcribe', 'toy/audio/toy_0000[12].wav', '-o', '-', '--model', 'rec', '--threads', '1'];
    const { stdout } = await emoq(args, work.dir);
    const [header, ...rows] = stdout.trim().split('\n');
    expect(header).toBe('path,text,confidence,note,error');
    expect(rows.map((row) => row.split(',')[0])).toEqual([1, 2].map(clip));
    const options = '-o - --format csv --model rec --threads 1';
    const { stdout: piped } = await run(
      'bash',
      ['-c', `ls toy/audio/toy_0000[12].wav | "${process.execPath}" "${emoqBin}" transcribe - ${options}`],
      work.dir,
    );
    expect(piped).toBe(stdout);
  });

  it('gives bad rows their reasons and the others their texts', async () => {
    work.file('text.wav', 'no audio at all');
    work.file('silent.wav', writeWav(new Float32Array(50 * 16_000), MONO));
    const rows = [
      `${clip(1)},,`,
      'gone.wav,,',
      'text.wav,,',
      `${clip(1)},0.5,1`,
      `${clip(1)},3,2`,
      'silent.wav,,',
    ];
    work.file('rows.csv', `path,start,end\n${rows.join('\n')}\n`);
    const { stderr } = await work.done(
      'transcribe',
      'rows.csv',
      '-o',
      'texts.csv',
      '--model',
      'rec',
      '--words',
    );
    const found = csvRows(work, 'texts.csv');
    expect(Object.keys(found[0]!)).toEqual([
      ...['path', 'start', 'end', 'text', 'confidence', 'words', 'note', 'error'],
    ]);
    expect(found.map(({ text }) => text !== '')).toEqual([true, false, false, true, false, false]);
    expect(found.map(({ error }) => error !== '')).toEqual([false, true, true, false, true, false]);
    expect(found[1]!.error).toMatch(/gone\.wav does not exist$/);
    expect(found[4]!.error).toContain('end 2 is not after start 3');
    const [word] = JSON.parse(found[3]!.words!) as { start: number; end: number }[];
    expect(word!.start).toBeGreaterThanOrEqual(0.5);
    expect(word!.end).toBeLessThanOrEqual(1.01);
    expect(stderr).toContain('3 of 6 rows could not be transcribed');
    const { code } = await work.run('transcribe', 'text.wav', '-o', 'bad.csv', '--model', 'rec');
    expect(code).toBe(1);
  });

  it('covers a long recording, in windows that are joined', async () => {
    const { samples } = await decodeAudio(work.path(clip(1)));
    const whole = new Float32Array(40 * 16_000);
    const starts = [0, 9, 19, 28, 37];
    for (const start of starts) whole.set(samples, start * 16_000);
    work.file('long.wav', writeWav(whole, MONO));
    await work.done('transcribe', 'long.wav', '-o', 'long.jsonl', '--model', 'rec', '--words');
    const [{ words, text, confidence }] = jsonRows('long.jsonl') as [JsonRow];
    expect(text!.split(' ').length).toBeGreaterThanOrEqual(3);
    expect(confidence).toBeGreaterThan(0);
    // Something is said wherever there is sound.
    for (const start of starts) {
      expect(words!.some((word) => word.start < start + 1.5 && word.end > start + 0.2)).toBe(true);
    }
    const ordered = words!.every(({ start }, index) => index === 0 || start >= words![index - 1]!.end - 0.02);
    expect(ordered).toBe(true);
  });

  it('keeps a text that the input has, and says how far the recognised one is from it', async () => {
    const { stdout } = await work.done(
      ...['transcribe', 'toy/manifest.csv', '-o', 'compared.csv', '--model', 'rec', '--text-column', 'text'],
    );
    const found = csvRows(work, 'compared.csv');
    const given = csvRows(work, 'toy/manifest.csv');
    expect(found.map(({ id, text }) => [id, text])).toEqual(given.map(({ id, text }) => [id, text]));
    expect(found.every(({ recognised }) => recognised !== '')).toBe(true);
    expect(stdout).toMatch(/error rates of 20 texts[\s\S]*WER +\d+\.\d+ +\d+\.\d+ +\d+ words[\s\S]*CER/);
    work.file('same.csv', `path,said\n${clip(1)},"${found[0]!.recognised!.toUpperCase()}."\n`);
    const same = await work.done(
      ...['transcribe', 'same.csv', '-o', 'same-out.csv', '--model', 'rec', '--text-column', 'said'],
    );
    expect(same.stdout).toMatch(/WER +100\.0 +0\.0/);
    expect(
      await work.refused('transcribe', 'same.csv', '-o', 'x.csv', '--model', 'rec', '--text-column', 'gone'),
    ).toContain('gone');
  });

  it('finds other texts with a beam, and has times for their words', async () => {
    await work.done('transcribe', 'toy/audio', '-o', 'greedy.jsonl', '--model', 'rec');
    await work.done(
      'transcribe',
      'toy/audio',
      '-o',
      'beam.jsonl',
      '--model',
      'rec',
      '--beam',
      '8',
      '--words',
    );
    const [greedy, beam] = [jsonRows('greedy.jsonl'), jsonRows('beam.jsonl')];
    expect(beam.map(({ path }) => path)).toEqual(greedy.map(({ path }) => path));
    expect(beam.map(({ text }) => text)).not.toEqual(greedy.map(({ text }) => text));
    for (const { text, words } of beam) {
      expect(words!.map(({ word }) => word).join(' ')).toBe(text!.replace(/ +/g, ' '));
    }
  });

  it('is refused for a model that is no recogniser, and for an output that is part of it', async () => {
    expect(
      await work.refused('transcribe', clip(1), '-o', 'x.csv', '--model', 'toy/backbones/hubert'),
    ).toContain('has no lm_head.weight: it is not a speech recogniser');
    expect(await work.refused('transcribe', clip(1), '-o', 'rec/config.json', '--model', 'rec')).toContain(
      'of the recogniser itself',
    );
    expect(await work.refused('transcribe', clip(1), '-o', 'x.csv', '--model', 'nowhere')).toContain(
      'nowhere',
    );
  });
});

describe('prediction of rows without a transcript', () => {
  it('reads the recognised text, and says where', async () => {
    await work.smallRun('good');
    await writeToyRecogniser(work.path('rec'), 1);
    const lines = [`${clip(1)},`, `${clip(1)},It was a wonderful table.`, 'gone.wav,', `${clip(2)},`];
    work.file('some.csv', `path,text\n${lines.join('\n')}\n`);
    const { stderr } = await work.done(
      ...['predict', 'some.csv', '-o', 'some-out.csv', '--run', 'good', '--transcribe', 'rec'],
    );
    expect(stderr).toContain('1 of 4 rows have no transcript'); // that of the missing file
    const found = csvRows(work, 'some-out.csv');
    await work.done('transcribe', clip(1), clip(2), '-o', 'own.csv', '--model', 'rec');
    const [first, second] = csvRows(work, 'own.csv');
    expect(found.map(({ recognised }) => recognised)).toEqual([first!.text, '', '', second!.text]);
    expect(found[2]!.error).toContain('gone.wav does not exist');
    // As if the text had been there.
    work.file('given.csv', `path,text\n${clip(1)},${first!.text}\n${clip(2)},${second!.text}\n`);
    await work.done('predict', 'given.csv', '-o', 'given-out.csv', '--run', 'good');
    const given = csvRows(work, 'given-out.csv');
    for (const [own, like] of [
      [found[0]!, given[0]!],
      [found[3]!, given[1]!],
    ] as const) {
      for (const label of ['neutral', 'happy', 'angry', 'sad']) {
        expect(Number(own[`prob_${label}`])).toBeCloseTo(Number(like[`prob_${label}`]), 5);
      }
    }
    await work.done('predict', 'some.csv', '-o', 'plain.csv', '--run', 'good');
    expect(csvRows(work, 'plain.csv')[0]!.prob_sad).not.toBe(found[0]!.prob_sad);
  });

  it('has a text for each window of a long recording, and all of them for the whole', async () => {
    const { samples } = await decodeAudio(work.path(clip(1)));
    const whole = new Float32Array(6 * 16_000);
    for (const start of [0, 2, 4]) whole.set(samples, start * 16_000);
    work.file('calls.wav', writeWav(whole, MONO));
    await work.done('predict', 'calls.wav', '-o', 'calls.csv', '--run', 'good', '--transcribe', 'rec');
    const found = csvRows(work, 'calls.csv');
    expect(found.length).toBeGreaterThan(2);
    const texts = found.map(({ recognised }) => recognised!);
    expect(texts.at(-1)).toBe(texts.slice(0, -1).join(' '));
    expect(texts.every((text) => text !== '')).toBe(true);
  });

  it('is refused where the model reads no transcripts', async () => {
    const overrides = ['--set', 'inputs=audio'];
    await work.done('stage1', '--recipe', 'small.yaml', '--run', 'voice', ...overrides);
    expect(
      await work.refused('predict', clip(1), '-o', 'x.csv', '--run', 'voice', '--transcribe', 'rec'),
    ).toContain('--transcribe is of no use: the model was trained on audio only');
  });

  it('lets a model of transcripts alone predict recordings', async () => {
    await work.done('stage1', '--recipe', 'small.yaml', '--run', 'words', '--set', 'inputs=text');
    await work.done('predict', clip(1), clip(2), '-o', 'words.csv', '--run', 'words', '--transcribe', 'rec');
    const found = csvRows(work, 'words.csv');
    expect(found.every(({ label, recognised }) => label !== '' && recognised !== '')).toBe(true);
    work.file('mixed.csv', `path,text\n,It was a wonderful table.\n${clip(1)},\ngone.wav,\n`);
    await work.done('predict', 'mixed.csv', '-o', 'mixed-out.csv', '--run', 'words', '--transcribe', 'rec');
    expect(csvRows(work, 'mixed-out.csv').map(({ error }) => error !== '')).toEqual([false, false, true]);
  });
});

describe('a transcription that was killed', () => {
  const own = makeWorkspace('killed-transcription', { processes: true });
  afterAll(() => {
    delete process.env.FFMPEG_PATH;
    delete process.env.GATE_FOLDER;
    own.remove();
  });

  it('goes on to the same bytes', async () => {
    await own.toyCorpus(5, 4);
    await writeToyRecogniser(own.path('rec'), 1);
    // An ffmpeg that waits at gate.mp3 until there is a file `open`.
    own.file(
      'gate/ffmpeg',
      '#!/bin/bash\nif [[ "$*" == *gate.mp3* ]]; then while [[ ! -e "$GATE_FOLDER/open" && -d "$GATE_FOLDER" ]]; do sleep 0.02; done; fi\nexec ffmpeg "$@"\n',
    );
    chmodSync(own.path('gate/ffmpeg'), 0o755);
    process.env.FFMPEG_PATH = own.path('gate/ffmpeg');
    process.env.GATE_FOLDER = own.path('gate');
    writeTone(own.path('gate.mp3'), { channelHz: [300], layout: 'mono', durationSec: 1 });
    const lines = Array.from({ length: 80 }, (_, i) =>
      i === 50 ? 'gate.mp3,x' : i % 9 === 4 ? `missing-${i}.wav,said` : `${clip((i % 20) + 1)},said in ${i}`,
    );
    own.file('rows.csv', `path,said\n${lines.join('\n')}\n`);
    const command = (output: string, ...more: string[]): string[] => [
      ...[
        'transcribe',
        'rows.csv',
        '-o',
        output,
        '--model',
        'rec',
        '--text-column',
        'said',
        '--words',
        ...more,
      ],
    ];
    writeFileSync(own.path('gate/open'), '');
    const whole = await own.done(...command('whole.csv'));
    rmSync(own.path('gate/open'));
    const running = own.start(...command('out.csv'));
    while (
      !existsSync(own.path('out.csv.progress.json')) ||
      !/"next_row": ?32/.test(own.read('out.csv.progress.json').toString())
    ) {
      await sleep(5);
    }
    running.signal('SIGKILL');
    expect((await running.ended).signal).toBe('SIGKILL');
    expect(own.read('out.partial.csv').toString().split('\n').length).toBeGreaterThan(30);
    expect(await own.refused(...command('out.csv', '--beam', '2'))).toContain('--beam 1 (now 2)');
    writeFileSync(own.path('gate/open'), '');
    const { stdout, stderr } = await own.done(...command('out.csv'));
    expect(stderr).toContain('going on after 32 of 80 rows');
    expect(own.read('out.csv').equals(own.read('whole.csv'))).toBe(true);
    expect(stdout.replace('out.csv', 'whole.csv')).toBe(whole.stdout);
    await own.done(...command('part-1.csv', '--shard', '1/2'));
    await own.done(...command('part-2.csv', '--shard', '2/2'));
    await own.done('merge', 'part-2.csv', 'part-1.csv', '-o', 'merged.csv');
    expect(own.read('merged.csv').equals(own.read('whole.csv'))).toBe(true);
  }, 120_000);
});
