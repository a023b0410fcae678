/** @file User errors: one clear line (what, where, what to do), exit code 2, and no file touched. */

import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { run } from '../cli/command-line.js';
import { listing, makeWorkspace, smallRecipe } from './workspace.js';

const work = makeWorkspace('bad-input');
afterAll(() => work.remove());

const stage1 = ['stage1', '--recipe', 'small.yaml', '--run', 'new'];
const audio = 'toy/audio/toy_00001.wav';

/** A copy of the backbones with one file replaced. */
function brokenBackbones(
  name: string,
  file: string,
  change: (content: Buffer) => Uint8Array | string,
): string {
  cpSync(work.path('toy/backbones'), work.path(name), { recursive: true });
  const path = work.path(name, file);
  writeFileSync(path, change(readFileSync(path)));
  return name;
}

/** A plain CSV manifest of five clips, the second of which is `path`. */
function manifestWith(name: string, path: string, label = 'sad'): string {
  cpSync(work.path(audio), join(work.path(), 'csv', 'a.wav'));
  const clip = (id: string, label: string, split: string, file = 'a.wav'): string =>
    `${id},${file},${label},Oh.,${split}`;
  const rows = [
    'id,path,label,text,split',
    clip('1', 'happy', 'train'),
    clip('2', label, 'train', path),
    clip('3', 'angry', 'train'),
    clip('4', 'neutral', 'train'),
    clip('5', 'sad', 'test'),
  ];
  return work.file(`csv/${name}`, `${rows.join('\n')}\n`);
}

beforeAll(async () => {
  await work.smallRun('good');
});

describe('a recipe', () => {
  it('with an unknown key is refused with its position, from the file and from --set', async () => {
    work.file('typo.yaml', `${smallRecipe}stage_1: {epochs: 3}\n`);
    const line = smallRecipe.trimEnd().split('\n').length + 1;
    expect(await work.refused('stage1', '--recipe', 'typo.yaml')).toContain(
      `typo.yaml:${line}:1: stage_1: unknown key; did you mean stage1`,
    );
    expect(await work.refused(...stage1, '--set', 'stage1.epoch=3')).toBe(
      'error: --set stage1.epoch=3: unknown key; did you mean stage1.epochs?',
    );
  });

  it('that does not exist, or names sizes that do not go together, is refused', async () => {
    expect(await work.refused('stage1', '--recipe', 'none.yaml')).toContain('none.yaml does not exist');
    expect(await work.refused(...stage1, '--set', 'former.pooling_heads=5')).toContain(
      'former.pooling_heads 5',
    );
    const prompt = 'prompt.user=Said {transcript} <AUDIO>';
    expect(
      await work.refused('stage2', '--recipe', 'small.yaml', '--run', 'good', '--set', prompt),
    ).toContain('give <AUDIO> a line of its own');
  });

  it.each([
    ['--folds', '5'],
    ['--fold', '1'],
  ])('without folds is refused with %s', async (...fold) => {
    expect(await work.refused(...stage1, ...fold)).toContain(
      `recipe small has no folds; leave out ${fold[0]}`,
    );
  });
});

describe('a manifest', () => {
  it.each<[string, () => string, string]>([
    [
      'that is not there',
      () => 'none/manifest.csv',
      'none/manifest.csv does not exist; prepare the corpus first',
    ],
    ['that is empty', () => work.file('csv/empty.csv', ''), 'csv/empty.csv is empty: it needs a header row'],
    [
      'without records',
      () => work.file('csv/head.csv', 'path,label\n'),
      'csv/head.csv has a header but no records',
    ],
    [
      'with a wrong column',
      () => work.file('csv/column.csv', 'file,label\na.wav,sad\n'),
      'csv/column.csv, line 1: missing column "path"; it has file, label',
    ],
    [
      'with a missing wav',
      () => manifestWith('gone.csv', 'gone.wav'),
      `csv/gone.csv, line 3: audio ${work.path('csv/gone.wav')} does not exist`,
    ],
    [
      'with a label outside the set',
      () => manifestWith('label.csv', 'a.wav', 'bliss'),
      'csv/label.csv, line 3: label "bliss" is not one of neutral, happy, angry, sad',
    ],
    ['without a label', () => manifestWith('none.csv', 'a.wav', ''), 'line 3: column "label" is empty'],
    [
      'with a file that is no audio',
      () => manifestWith('text.csv', work.file('csv/text.wav', 'not audio').slice(4)),
      `${work.path('csv/text.wav')} cannot be decoded`,
    ],
    [
      'with a recording that is cut short',
      () => manifestWith('cut.csv', work.file('csv/cut.wav', work.read(audio).subarray(0, 9000)).slice(4)),
      `${work.path('csv/cut.wav')} is truncated`,
    ],
    [
      'with a folder for a recording',
      () => {
        mkdirSync(work.path('csv/folder.wav'), { recursive: true });
        return manifestWith('folder.csv', 'folder.wav');
      },
      'csv/folder.csv, line 3: audio',
    ],
    [
      'with a dead link',
      () => {
        mkdirSync(work.path('csv'), { recursive: true });
        symlinkSync('/nowhere.wav', work.path('csv/dead.wav'));
        return manifestWith('dead.csv', 'dead.wav');
      },
      'csv/dead.csv, line 3: audio',
    ],
  ])('%s', async (_, make, message) => {
    const manifest = make();
    expect(await work.refused(...stage1, '--manifest', manifest)).toContain(message);
  });
});

describe('a backbone', () => {
  const oversized = (content: Buffer): Buffer => {
    const changed = Buffer.from(content);
    changed.writeBigUInt64LE(1n << 40n);
    return changed;
  };
  const wider = (content: Buffer): string =>
    content.toString().replace(/"hidden_size": 64/, '"hidden_size": 96');

  it.each<[string, () => string, string]>([
    ['that is not there', () => 'backbones.encoder=no/such/folder', 'no/such/folder does not exist'],
    ['that is not in the cache', () => 'backbones.former=some/model', 'checkpoint "some/model" not found'],
    ['of another kind', () => 'backbones.former=toy/backbones/hubert', 'is of model_type "hubert"'],
    [
      'with a corrupt safetensors header',
      () => `backbones.encoder=${brokenBackbones('b1', 'hubert/model.safetensors', oversized)}/hubert`,
      'b1/hubert/model.safetensors gives its header 1099511627776 bytes',
    ],
    [
      'whose weights are cut short',
      () =>
        `backbones.former=${brokenBackbones('b2', 'roberta/model.safetensors', (all) => all.subarray(0, all.length - 1000))}/roberta`,
      'b2/roberta/model.safetensors',
    ],
    [
      'whose config says another width',
      () => `backbones.former=${brokenBackbones('b3', 'roberta/config.json', wider)}/roberta`,
      '64], the config asks for [',
    ],
    [
      'whose config is no JSON',
      () => `backbones.encoder=${brokenBackbones('b4', 'hubert/config.json', () => '{')}/hubert`,
      'b4/hubert/config.json is not valid JSON',
    ],
    [
      'without a tokenizer',
      () => `backbones.former=${brokenBackbones('b5', 'roberta/tokenizer.json', () => '')}/roberta`,
      'b5/roberta/tokenizer.json',
    ],
  ])('%s', async (_, make, message) => {
    const setting = make();
    expect(await work.refused(...stage1, '--set', setting)).toContain(message);
  });
});

describe('a checkpoint', () => {
  const stage2 = (run: string, ...rest: string[]): string[] => [
    'stage2',
    '--recipe',
    'small.yaml',
    '--run',
    run,
    ...rest,
  ];

  it('of stage 1 that is missing, unfinished or of another width stops stage 2', async () => {
    expect(await work.refused(...stage2('none'))).toContain(
      'none/stage1 has no checkpoint; run stage1 first',
    );
    expect(await work.refused(...stage2('good', '--set', 'former.queries=8'))).toContain(
      'whose recipe differs: former.queries is 4 there and 8 here; add --set former.queries=4',
    );
    const metadata = JSON.parse(work.read('good/stage1/run.json').toString()) as object;
    cpSync(work.path('good'), work.path('half'), { recursive: true });
    work.file('half/stage1/run.json', JSON.stringify({ ...metadata, status: 'training' }));
    expect(await work.refused(...stage2('half'))).toContain('half/stage1 is not finished; run stage1 first');
  });

  it('that is cut short stops eval and predict', async () => {
    cpSync(work.path('good'), work.path('cut'), { recursive: true });
    work.file(
      'cut/stage1/checkpoint.safetensors',
      work.read('good/stage1/checkpoint.safetensors').subarray(0, 5000),
    );
    const message = 'cut/stage1/checkpoint.safetensors ends inside its header';
    expect(await work.refused('eval', '--run', 'cut', '--stage', '1')).toContain(message);
    expect(await work.refused('predict', 'toy/manifest.csv', '-o', 'out.csv', '--run', 'cut')).toContain(
      message,
    );
  });
});

describe('eval', () => {
  it('says which run is missing, and that a run is not a cross-validation', async () => {
    expect(await work.refused('eval', '--run', 'none')).toContain('no run in none/stage2; train first');
    expect(await work.refused('eval', '--run', 'good', '--stage', '1', '--folds', '5')).toContain(
      'recipe small has no folds; leave out --folds',
    );
    expect(await work.refused('eval', '--run', 'good/stage1', '--folds', '5')).toContain(
      'good/stage1 is a single run',
    );
  });
});

describe('predict', () => {
  const predict = (input: string, output: string, ...rest: string[]): string[] => {
    return ['predict', input, '-o', output, '--run', 'good', ...rest];
  };

  it.each<[string, string[], string]>([
    ['a missing CSV', predict('none.csv', 'x.csv'), 'CSV file none.csv does not exist'],
    [
      'a recording and a table together',
      predict(audio, 'x.csv', 'toy/manifest.csv'),
      'is a table, and others',
    ],
    [
      'a missing path column',
      predict('toy/manifest.csv', 'x.csv', '--path-column', 'wav'),
      'missing column "wav"',
    ],
    [
      'a missing text column',
      predict('toy/manifest.csv', 'x.csv', '--text-column', 'said'),
      'missing column "said"',
    ],
    ['the input as output', predict('toy/manifest.csv', './toy/manifest.csv'), 'is the input file'],
    ['a folder as output', predict('toy/manifest.csv', 'toy'), 'output toy is a folder'],
    [
      'a file as the folder of the output',
      predict('toy/manifest.csv', `${audio}/x.csv`),
      'cannot be written',
    ],
    [
      'a missing run',
      ['predict', 'toy/manifest.csv', '-o', 'x.csv', '--run', 'none'],
      'no run in none/stage2 or',
    ],
  ])('refuses %s', async (_, args, message) => {
    expect(await work.refused(...args)).toContain(message);
  });

  it('marks the rows that it cannot predict and continues, whatever the paths look like', async () => {
    const names = ['ok.wav', 'ünï cödé/ä ö 音.wav', 'quote"d, comma.wav'];
    for (const name of names) work.file(`calls/${name}`, work.read(audio));
    work.file('calls/bad.wav', 'not audio');
    work.file('calls/empty.wav', '');
    work.file('calls/cut.wav', work.read(audio).subarray(0, 9000));
    const rows: [path: string, text: string][] = [
      [names[0]!, 'The journey is dreadful.'],
      ['bad.wav', ''],
      [names[1]!, 'Ünïcödé “quoted”, text'],
      ['empty.wav', 'x'],
      ['gone.wav', 'x'],
      ['', 'x'],
      [names[2]!, ''],
      ['cut.wav', 'x'],
      [work.path('calls/ok.wav'), 'The journey is dreadful.'],
    ];
    const cell = (text: string): string => `"${text.replaceAll('"', '""')}"`;
    const lines = rows.map((row) => row.map(cell).join(','));
    work.file('calls/in put.csv', `path,text\r\n${lines.join('\r\n')}\r\n`);
    const { stdout, stderr } = await work.done(...predict('calls/in put.csv', 'out pùt/x.jsonl'));
    expect(stdout).toBe('out pùt/x.jsonl\n');
    expect(stderr).toContain('warning: 5 of 9 rows could not be predicted; see the column "error"\n');
    expect(stderr).toContain(
      'warning: 2 of 9 rows have no transcript, but the model was trained with transcripts\n',
    );
    const written = work.read('out pùt/x.jsonl').toString().trim().split('\n');
    const predicted = written.map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(predicted.map(({ path }) => path)).toEqual(rows.map(([path]) => path));
    const errors = [
      undefined,
      `${work.path('calls/bad.wav')} cannot be decoded`,
      undefined,
      `${work.path('calls/empty.wav')} is empty (0 bytes)`,
      `${work.path('calls/gone.wav')} does not exist`,
      'line 7: column "path" is empty',
      undefined,
      `${work.path('calls/cut.wav')} is truncated`,
      undefined,
    ];
    for (const [index, row] of predicted.entries()) {
      const error = errors[index];
      if (error === undefined) {
        expect(row).not.toHaveProperty('error');
        const sum = ['neutral', 'happy', 'angry', 'sad'].reduce(
          (total, label) => total + Number(row[`prob_${label}`]),
          0,
        );
        expect(sum).toBeCloseTo(1, 5);
      } else {
        expect(row.error).toContain(error);
        expect(row).not.toHaveProperty('label');
      }
    }
    const [first, again] = [predicted[0]!, predicted.at(-1)!];
    expect(again.prob_happy).toBeCloseTo(Number(first.prob_happy), 5);
  });

  it('without a transcript column predicts from audio only, and reports each row if none can be read', async () => {
    work.file('calls/paths.csv', 'path\nok.wav\n');
    const { stderr } = await work.done(...predict('calls/paths.csv', 'paths.csv'));
    expect(stderr).toContain('warning: 1 of 1 rows have no transcript');
    work.file('calls/bad.csv', 'path\nbad.wav\ngone.wav\n');
    expect((await work.run(...predict('calls/bad.csv', 'bad.csv'))).code).toBe(1);
    expect(work.read('bad.csv').toString().trim().split('\n')).toHaveLength(3);
  });
});

describe('a full disk', () => {
  it('is one line and exit code 1; whole rows of a prediction are kept, and no unfinished file of a run', async () => {
    const rows = Array.from({ length: 600 }, (_, i) => `gone-${i}.wav,x`);
    work.file('calls/many.csv', `path,text\n${rows.join('\n')}\n`);
    const predict = ['predict', 'calls/many.csv', '-o', 'y.csv', '--run', 'good'];
    // A limit on file sizes fails every write as a full disk does, without needing a disk.
    const limited = (kib: number, ...args: string[]) => {
      const env = { EMOQ_CACHE: work.path('../features'), NO_COLOR: '1' };
      const line = `ulimit -f ${kib}; exec "$0" "$@"`;
      const bin = new URL('../../bin/emoq.js', import.meta.url).pathname;
      return run('bash', ['-c', line, process.execPath, bin, ...args], work.dir, env);
    };
    const full = /^(computing on cpu\n)?error: .*EFBIG.*; free some space and run the same command again\n$/;
    const predicted = await limited(8, ...predict, '--threads', '1');
    expect(predicted).toMatchObject({ code: 1, stdout: '', stderr: expect.stringMatching(full) });
    // Whole rows are kept, and the same command goes on after them.
    const kept = work.read('y.partial.csv').toString();
    expect(kept).toMatch(/^path,text,.*\n(?:gone-\d+\.wav,x,.*\n)+$/);
    const rest = await work.run(...predict);
    expect(rest.stderr).toContain(`going on after ${kept.split('\n').length - 2} of 600 rows\n`);
    await work.run('predict', 'calls/many.csv', '-o', 'whole.csv', '--run', 'good');
    expect(work.read('y.csv')).toEqual(work.read('whole.csv'));
    expect(Object.keys(listing(work.dir)).filter((name) => /^y\./.test(name))).toEqual(['y.csv']);
    const trained = await limited(100, ...stage1);
    expect(trained).toMatchObject({ code: 1, stdout: '', stderr: expect.stringMatching(full) });
    const left = Object.keys(listing(work.path('new'))).filter((name) => name.includes('.'));
    expect(left.sort()).toEqual(['stage1/recipe.yaml', 'stage1/run.json']);
    // With free space again, the same command starts over.
    await work.done(...stage1);
  });
});
