/**
 * @file Bundles: a run as one folder that predicts what the run predicts, in emoq and in Python, wherever it is moved;
 * and runs whose backbones were moved.
 */

import { execFileSync, spawnSync } from 'node:child_process';
import {
  appendFileSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { readManifest } from '../../src/data/corpora/index.js';
import { openBundleModel } from '../../src/inference/bundle/index.js';
import { predictCorpus } from '../../src/inference/other-corpus.js';
import { findRun, type OpenedModel, openTrainedModel } from '../../src/inference/trained-run.js';
import { listing, makeWorkspace, onnxPython, shortPrompt, toyRecipe } from './workspace.js';

const work = makeWorkspace('bundle');
afterAll(() => work.remove());

/** A merged LoRA rounds elsewhere than one beside its weight. */
const ROUNDING = 2e-5;
const LABELS = ['neutral', 'happy', 'angry', 'sad'];
const CASES = ['both', 'heard', 'read', 'frames', 'stage1', 'probe'] as const;
type Case = (typeof CASES)[number];

const json = (name: string) => JSON.parse(work.read(name).toString());

beforeAll(async () => {
  await work.toyCorpus(5, 4);
  const small = {
    former: { queries: 4, pooling_heads: 4, head_hidden: 16 },
    stage1: { epochs: 1, batch_size: 16, learning_rate: 1e-3 },
    stage2: { epochs: 1, batch_size: 16, learning_rate: 1e-2 },
  };
  const file = (name: string, settings: object): string =>
    work.file(`${name}.yaml`, toyRecipe(work.path('toy'), { ...small, ...settings }));
  file('both', { strip_tags: true });
  file('heard', { inputs: 'audio', prompt: shortPrompt });
  file('read', { inputs: 'text', prompt: { system: '', user: '{transcript}' } });
  file('frames', { fusion: 'none', projector: { slots: 8 }, prompt: shortPrompt });
  work.file(
    'probe.yaml',
    JSON.stringify({
      system: 'linear-probe',
      manifest: work.path('toy/manifest.csv'),
      labels: LABELS,
      backbones: { encoder: work.path('toy/backbones/hubert') },
      probe: { epochs: 1 },
    }),
  );
  for (const name of ['both', 'heard', 'read', 'frames', 'probe']) {
    await work.done('train', '--recipe', `${name}.yaml`);
  }
  await work.done('eval', '--run', 'runs/both');
  for (const name of CASES) {
    await work.done('export', 'bundle', '--run', runOf(name), '-o', `bundles/${name}`);
  }
});

const runOf = (name: Case): string => (name === 'stage1' ? 'runs/both/stage1' : `runs/${name}`);
const compute = { device: { kind: 'cpu' }, threads: 1, cacheDir: work.path('features') } as const;

/** Probabilities of every utterance of the corpus. */
async function judged(opening: Promise<OpenedModel>): Promise<number[][]> {
  const model = await opening;
  try {
    const { utterances } = await readManifest(work.path('toy/manifest.csv'));
    const corpus = { classes: LABELS, utterances };
    const { predictions } = await predictCorpus(model, corpus, compute, { source: 'it', fold: null });
    return predictions.map(({ probabilities }) => Array.from(probabilities!));
  } finally {
    await model.close();
  }
}

const largest = (a: number[][], b: number[][]): number =>
  Math.max(...a.flatMap((row, i) => row.map((value, j) => Math.abs(value - b[i]![j]!))));

/** Runs with the corpus' backbones and the runs hidden. */
async function elsewhere<T>(what: () => Promise<T>): Promise<T> {
  renameSync(work.path('toy/backbones'), work.path('hidden'));
  renameSync(work.path('runs'), work.path('hidden-runs'));
  try {
    return await what();
  } finally {
    renameSync(work.path('hidden'), work.path('toy/backbones'));
    renameSync(work.path('hidden-runs'), work.path('runs'));
  }
}

describe('a bundle', () => {
  it.each(CASES)(
    'of %s gives the probabilities of its run, without the run and its backbones',
    async (name) => {
      const before = await judged(openTrainedModel(await findRun(work.path(runOf(name))), compute));
      renameSync(work.path(`bundles/${name}`), work.path('moved'));
      try {
        const after = await elsewhere(() => judged(openBundleModel(work.path('moved'), compute)));
        expect(after).toHaveLength(20);
        expect(largest(before, after)).toBeLessThan(ROUNDING);
      } finally {
        renameSync(work.path('moved'), work.path(`bundles/${name}`));
      }
    },
  );

  it('has the files that it lists, models for its parts, and nothing of this machine', () => {
    const { files, models, encoder, labels, prompt } = json('bundles/both/bundle.json');
    const found = (readdirSync(work.path('bundles/both'), { recursive: true }) as string[]).filter((name) =>
      statSync(work.path('bundles/both', name)).isFile(),
    );
    expect([...Object.keys(files), 'bundle.json'].sort()).toEqual(found.sort());
    expect(models.map(({ file }: { file: string }) => file)).toEqual(['emoq_former.onnx', 'llm.onnx']);
    expect(encoder).toEqual({ file: 'encoder/encoder.onnx', normalize: true });
    expect(labels).toEqual(LABELS);
    expect(prompt).toEqual(json('runs/both/stage2/run.json').prompt);
    for (const name of found.filter((each) => !/\.(onnx|safetensors)$|tokenizer/.test(each))) {
      expect(work.read(`bundles/both/${name}`).toString(), name).not.toContain(work.dir);
    }
    expect(json('bundles/read/bundle.json').encoder).toBeNull();
  });

  it('has a model card with the figures of the run, and says so where there are none', () => {
    const [, front, text] = work.read('bundles/both/README.md').toString().split(/^---$/m) as [
      string,
      string,
      string,
    ];
    const { wa } = json('runs/both/stage2/results.json');
    expect(parse(front)).not.toHaveProperty('language');
    expect(parse(front)).toMatchObject({
      pipeline_tag: 'audio-classification',
      'model-index': [
        { results: [{ metrics: [{ type: 'wa', value: wa }, { type: 'ua' }, { type: 'wf1' }] }] },
      ],
    });
    expect(text).toMatch(
      new RegExp(`\\| WA \\(accuracy\\) \\| ${(100 * wa).toFixed(1)} % \\| \\d+\\.\\d to \\d+\\.\\d % \\|`),
    );
    expect(work.read('bundles/heard/README.md').toString()).toContain('It had not been scored');
  });

  it('has a model card with the languages of the corpus', async () => {
    const info = json('toy/manifest.json');
    work.file('toy/manifest.json', JSON.stringify({ ...info, languages: ['zh', 'en'] }));
    await work.done('export', 'bundle', '--run', runOf('heard'), '-o', 'spoken');
    work.file('toy/manifest.json', JSON.stringify(info));
    const [, front, text] = work.read('spoken/README.md').toString().split(/^---$/m);
    expect(parse(front!)).toMatchObject({ language: ['zh', 'en'] });
    expect(text).toContain('in its language (Chinese, English), recordings and situations.');
  });

  it('is scored on a corpus as its run is, and writes nothing', async () => {
    const before = listing(work.path('bundles/both'));
    const args = ['eval', '--bundle', 'bundles/both', '--manifest', 'toy/manifest.csv', '--json'];
    const { stdout, stderr } = await work.done(...args);
    const own = json('runs/both/stage2/results.json');
    const { wa, ua, confusion, name } = JSON.parse(stdout);
    expect({ wa, ua, confusion, name }).toEqual({
      wa: own.wa,
      ua: own.ua,
      confusion: own.confusion,
      name: 'both',
    });
    expect(stderr).toContain('scoring on the test split of toy/manifest.csv: 4 utterances of ');
    expect(listing(work.path('bundles/both'))).toEqual(before);
  });

  const hasRuntime =
    onnxPython !== undefined && spawnSync(onnxPython, ['-c', 'import onnxruntime, tokenizers']).status === 0;
  const script = fileURLToPath(new URL('../../examples/predict.py', import.meta.url));

  it.runIf(hasRuntime).each(['both', 'heard', 'read', 'stage1', 'probe'] as const)(
    "of %s gives the same probabilities with Python's onnxruntime",
    async (name) => {
      const { utterances } = await readManifest(work.path('toy/manifest.csv'));
      const expected = await judged(openBundleModel(work.path(`bundles/${name}`), compute));
      for (const index of [0, 7, 19]) {
        const { path, text, speaker, gender } = utterances[index]!;
        const args = [script, work.path(`bundles/${name}`), path, text, speaker, gender];
        const found = JSON.parse(execFileSync(onnxPython!, args).toString()) as Record<string, number>;
        expect(Object.keys(found)).toEqual(LABELS);
        expect(largest([expected[index]!], [Object.values(found)])).toBeLessThan(1e-4);
      }
    },
  );

  it.runIf(hasRuntime)(
    'without a Former is refused by the example in Python, which has one slot',
    async () => {
      const { path } = (await readManifest(work.path('toy/manifest.csv'))).utterances[0]!;
      const { status, stderr, stdout } = spawnSync(onnxPython!, [script, work.path('bundles/frames'), path], {
        encoding: 'utf8',
      });
      expect([status, stdout]).toEqual([1, '']);
      expect(stderr).toContain('gives its language model a slot for each frame (fusion: none)');
    },
  );

  it.skipIf(hasRuntime)('runs in Python where EMOQ_PYTHON names one with onnxruntime and tokenizers', () => {
    console.log(
      'skipped: the example in Python (set EMOQ_PYTHON to a Python with onnxruntime and tokenizers)',
    );
  });

  it.runIf(onnxPython)("has models that pass ONNX's checker, opened by their path", () => {
    const check =
      'import onnx, sys\nfor path in sys.argv[1:]: onnx.checker.check_model(path, full_check=True)';
    const models = ['encoder/encoder.onnx', 'emoq_former.onnx', 'llm.onnx'].map((name) =>
      work.path('bundles/both', name),
    );
    execFileSync(onnxPython!, ['-c', check, ...models]);
  });
});

describe('a bundle in 8-bit integers', () => {
  it('says what the integers changed, and is smaller', async () => {
    const exported = ['export', 'bundle', '--run', 'runs/both', '--quantize', 'int8'];
    const { stderr } = await work.done(...exported, '-o', 'int8', '--threads', '1');
    const { quantization } = json('int8/bundle.json');
    const { compared } = quantization;
    expect(quantization.type).toBe('int8');
    expect(compared).toMatchObject({
      utterances: 4,
      manifest_sha256: json('runs/both/stage2/run.json').manifest.sha256,
    });
    expect(compared.same_labels).toBeGreaterThanOrEqual(3);
    expect(compared.largest_difference).toBeGreaterThan(0);
    expect(compared.largest_difference).toBeLessThan(0.2);
    expect(stderr).toMatch(
      /^compared with the run in float32: \d of 4 utterances have the same label; a probability/m,
    );
    expect(work.read('int8/README.md').toString()).toContain(
      `Of 4 utterances, ${compared.same_labels} have the label`,
    );
    const size = (name: string): number => statSync(work.path(name, 'llm.onnx.safetensors')).size;
    expect(size('int8')).toBeLessThan(0.7 * size('bundles/both'));
    const [floats, integers] = [
      await judged(openBundleModel(work.path('bundles/both'), compute)),
      await judged(openBundleModel(work.path('int8'), compute)),
    ];
    expect(largest(floats, integers)).toBeLessThan(0.2);
    renameSync(work.path('toy/manifest.csv'), work.path('toy/hidden.csv'));
    try {
      const alone = await work.done(...exported, '-o', 'uncompared');
      expect(alone.stderr).toContain('warning: the corpus of the run is not there');
      expect(json('uncompared/bundle.json').quantization).toEqual({ type: 'int8', compared: null });
    } finally {
      renameSync(work.path('toy/hidden.csv'), work.path('toy/manifest.csv'));
    }
  });

  it('may have the weights of its language model in 4 bits', async () => {
    const exported = ['export', 'bundle', '--run', 'runs/both', '--quantize', 'int4', '-o', 'int4'];
    await work.done(...exported, '--threads', '1');
    const { quantization } = json('int4/bundle.json');
    expect(quantization.type).toBe('int4');
    expect(quantization.compared.largest_difference).toBeLessThan(0.4);
    expect(work.read('int4/README.md').toString()).toContain('weights of the language model are in 4 bits');
    const size = (name: string, model: string): number =>
      statSync(work.path(name, `${model}.onnx.safetensors`)).size;
    expect(size('int4', 'llm')).toBeLessThan(size('int8', 'llm'));
    expect(size('int4', 'emoq_former')).toBe(size('int8', 'emoq_former'));
  });

  it.each([
    [['--quantize', 'int8', '--precision', 'bfloat16'], /--quantize int8 is for CPUs/],
    [['--manifest', 'toy/manifest.csv'], /are for the comparison of a bundle with --quantize/],
    [['--quantize', 'int8', '--manifest', 'none.csv'], /none\.csv/],
    [['--quantize', 'int2'], /--quantize/],
  ])('is refused with %j', async (args, message) => {
    const said = await work.refused('export', 'bundle', '--run', 'runs/both', '-o', 'new', ...args);
    expect(said).toMatch(message);
  });
});

describe('a bundle is refused', () => {
  const evaluated = ['--manifest', 'toy/manifest.csv'];
  const damaged = (name: string, change: (path: string) => void, message: RegExp) =>
    [name, change, message] as const;

  it.each([
    damaged(
      'whose weights lost a bit',
      (dir) => flipBit(join(dir, 'llm.onnx.safetensors')),
      /llm\.onnx\.safetensors is not the file that was written/,
    ),
    damaged(
      'whose tokenizer is longer',
      (dir) => appendFileSync(join(dir, 'llm/tokenizer.json'), '\n'),
      /llm\/tokenizer\.json is not the file/,
    ),
    damaged(
      'without a file',
      (dir) => rmSync(join(dir, 'emoq_former.onnx')),
      /emoq_former\.onnx is missing; copy the whole folder/,
    ),
    damaged(
      'without its description',
      (dir) => rmSync(join(dir, 'bundle.json')),
      /is no bundle \(it has no bundle\.json\)/,
    ),
    damaged(
      'of a later version',
      (dir) => edit(dir, (all) => ({ ...all, version: 2 })),
      /is of version 2, and this emoq reads version 1/,
    ),
    damaged(
      'whose description lacks a key',
      (dir) => edit(dir, ({ models: _models, ...rest }) => rest),
      /bundle\.json is damaged \(models: /,
    ),
  ])('%s', async (_name, change, message) => {
    await work.done('export', 'bundle', '--run', 'runs/both', '-o', 'broken');
    try {
      change(work.path('broken'));
      expect(await work.refused('eval', '--bundle', 'broken', ...evaluated)).toMatch(message);
    } finally {
      rmSync(work.path('broken'), { recursive: true });
    }
  });

  it.each([
    [['eval', '--bundle', 'bundles/both'], /say what to score it on, --dataset NAME or --manifest FILE/],
    [['eval', '--bundle', 'runs/both', ...evaluated], /runs\/both is no bundle/],
    [['eval', '--bundle', 'bundles/both', '--run', 'runs/both'], /cannot be used with option '--run/],
    [['export', 'bundle', '--run', 'runs/both', '-o', 'bundles/both'], /-o bundles\/both exists already/],
    [['export', 'bundle', '--run', 'runs/both'], /say where the bundle goes: -o FOLDER, which must be new/],
    [['export', 'bundle', '-o', 'new'], /which run becomes a bundle|--run <folder>/],
    [['export', 'bundle', '--run', 'runs/none', '-o', 'new'], /no run in runs\/none/],
    [
      ['export', 'bundle', '--run', 'runs/both', '-o', 'new', '--inputs', 'input_ids'],
      /--inputs is not an option of export bundle/,
    ],
    [
      ['export', 'bundle', '--run', 'runs/both', '-o', 'both.yaml/new'],
      /-o both\.yaml\/new cannot be written/,
    ],
  ])('with %j', async (args, message) => {
    expect(await work.refused(...args)).toMatch(message);
  });

  it('leaves nothing where writing it fails', async () => {
    const weights = work.path('toy/backbones/qwen2/model.safetensors');
    renameSync(weights, `${weights}.gone`);
    try {
      const said = await work.refused('export', 'bundle', '--run', 'runs/both', '-o', 'new');
      expect(said).toMatch(/qwen2 has no weights/);
    } finally {
      renameSync(`${weights}.gone`, weights);
    }
  });
});

describe('a run whose backbones were moved', () => {
  const scored = ['eval', '--run', 'runs/both', '--json'];

  it('finds them above its folder by their names, or where --backbone says', async () => {
    const { wa } = json('runs/both/stage2/results.json');
    renameSync(work.path('toy/backbones'), work.path('models'));
    try {
      const found = await work.done(...scored);
      expect(found.stderr).toMatch(
        /^backbone llm of runs\/both\/stage2 is not in .*; taking .*\/models\/qwen2$/m,
      );
      expect(JSON.parse(found.stdout).wa).toBe(wa);
      renameSync(work.path('models'), work.path('far'));
      expect(await work.refused(...scored)).toMatch(
        /if it was moved, say where it is: --backbone encoder=FOLDER$/,
      );
      const named = ['encoder=far/hubert', 'former=far/roberta', 'llm=far/qwen2'];
      const { stdout } = await work.done(...scored, ...named.flatMap((each) => ['--backbone', each]));
      expect(JSON.parse(stdout).wa).toBe(wa);
      renameSync(work.path('far'), work.path('models'));
    } finally {
      renameSync(work.path('models'), work.path('toy/backbones'));
    }
  });

  it('refuses another model, and a key that is none', async () => {
    const other = ['--backbone', 'encoder=toy/backbones/roberta'];
    expect(await work.refused(...scored, ...other)).toMatch(/^error: /);
    const said = await work.refused(...scored, '--backbone', 'decoder=x');
    expect(said).toContain('It must be encoder=FOLDER, encoder_onnx=FILE, former=FOLDER or llm=FOLDER');
  });
});

function flipBit(path: string): void {
  const bytes = readFileSync(path);
  bytes[bytes.length - 5]! ^= 1;
  writeFileSync(path, bytes);
}

function edit(dir: string, change: (all: Record<string, unknown>) => object): void {
  const path = join(dir, 'bundle.json');
  writeFileSync(path, JSON.stringify(change(JSON.parse(readFileSync(path, 'utf8')))));
}
