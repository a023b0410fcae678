/** @file Training on altered variants of clips: what is encoded, recorded and refused, and the same bytes after a kill. */

import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodeWav } from '../../src/data/audio/index.js';
import { readManifest } from '../../src/data/corpora/index.js';
import { seededRandom } from '../../src/engine/tensor/index.js';
import { fileDigests, makeWorkspace, metricsOf, toyRecipe } from './workspace.js';

const work = makeWorkspace('augmentation');
afterAll(() => work.remove());

const small = {
  former: { queries: 4, pooling_heads: 4, head_hidden: 64 },
  stage1: { epochs: 3, batch_size: 4, learning_rate: 1e-3, select: 'last' },
  stage2: { epochs: 1, batch_size: 8 },
  max_audio_sec: 2,
};
const augment = {
  copies: 2,
  noise: 'sounds',
  noise_probability: 1,
  reverb: 'rooms',
  reverb_probability: 0.5,
};

/** The workspace's own cache, which its listings leave out. */
const cache = join(work.dir, '..', 'features');
/** Digests of the entries of the cache by name. */
function entries(): Map<string, string> {
  const names = readdirSync(cache, { recursive: true, encoding: 'utf8' });
  return new Map(
    names
      .filter((name) => name.endsWith('.safetensors'))
      .map((name) => [
        name,
        createHash('sha256')
          .update(readFileSync(join(cache, name)))
          .digest('hex'),
      ]),
  );
}

function sounds(folder: string, seed: number): void {
  const random = seededRandom(seed);
  for (const [name, seconds] of [
    ['a.wav', 5],
    ['inner/b.wav', 0.2],
  ] as const) {
    const samples = Float32Array.from({ length: seconds * 16_000 }, () => 0.1 * random.normal());
    work.file(`${folder}/${name}`, encodeWav(samples, 16_000));
  }
  work.file(`${folder}/README.txt`, 'no recording');
}

const train = (run: string, ...options: string[]): string[] => [
  'stage1',
  '--recipe',
  'varied.yaml',
  '--run',
  run,
  ...options,
];
let clips: { train: number; all: number };

beforeAll(async () => {
  await work.toyCorpus(5, 4);
  const { utterances } = await readManifest(work.path('toy/manifest.csv'));
  clips = { train: utterances.filter(({ split }) => split === 'train').length, all: utterances.length };
  sounds('sounds', 1);
  const response = new Float32Array(800).map((_, t) => (t === 40 ? 1 : 0.3 * Math.exp(-t / 100)));
  work.file('rooms/room.wav', encodeWav(response, 16_000));
  work.file('plain.yaml', toyRecipe('toy', small));
  work.file('varied.yaml', toyRecipe('toy', { ...small, augment }));
});

describe('a recipe with variants', () => {
  it('says before training how much is encoded and kept', async () => {
    const plain = (await work.done('stage1', '--recipe', 'plain.yaml', '--dry-run')).stderr;
    const varied = (await work.done(...train('none'), '--dry-run')).stderr;
    const variants = 2 * clips.train;
    expect(plain).toMatch(
      new RegExp(`^features: ${clips.all} clips take about [\\d.]+ MB in the cache$`, 'm'),
    );
    expect(varied).toMatch(
      new RegExp(
        `^features: ${clips.all + variants} clips \\(${variants} of them variants of training clips\\) take about [\\d.]+ MB in the cache; 0\\.0\\d hours to encode$`,
        'm',
      ),
    );
    const framesOf = async (...settings: string[]) => {
      const options = settings.flatMap((setting) => ['--set', setting]);
      const { stderr } = await work.done(...train('none'), '--dry-run', ...options);
      return Number(/one step at batch \d+, (\d+) frames/.exec(stderr)![1]);
    };
    const own = await framesOf('max_audio_sec=9', 'augment.speed=1');
    expect(await framesOf('max_audio_sec=9', 'augment.speed=[0.5, 1]')).toBeGreaterThan(1.9 * own);
    expect(await framesOf('augment.speed=[0.5, 1]')).toBe(100); // 2 s
    const absent = await work.done(...train('none'), '--dry-run', '--set', 'augment.noise=absent');
    expect(absent.stderr).toContain('warning: augment.noise: folder absent does not exist\n');
  });

  it.each([
    [['augment.noise=absent'], /augment\.noise: folder absent does not exist$/],
    [
      ['augment.reverb=toy/backbones'],
      /augment\.reverb: folder toy\/backbones has no recordings that can be read$/,
    ],
    [['augment.noise=plain.yaml'], /augment\.noise: plain\.yaml is not a folder$/],
    [['augment.noise=broken'], /augment\.noise: \S*broken\/a\.wav cannot be decoded/],
    [
      ['augment.snr=[20, 5]'],
      /augment\.snr=\[20, 5\]: must be \[low, high\], low not above high, both from -30 to 100$/,
    ],
    [['augment.speed=[0, 1]'], /must be \[low, high\], low not above high, both from 0\.5 to 2, or null$/],
    [['augment.gain=3'], /must be \[low, high\], low not above high, both from -60 to 60, or null$/],
    [['augment.pitch=1'], /unknown key/],
    [
      ['augment.speed=1', 'augment.noise=null', 'augment.reverb=null', 'augment.gain=null'],
      /augment\.copies: would be copies of the same clips; set augment\.speed, noise, reverb or gain, or copies to 0$/,
    ],
  ])('is refused in one line with %j', async (settings, message) => {
    work.file('broken/a.wav', 'no audio');
    const options = settings.flatMap((setting) => ['--set', setting]);
    expect(await work.refused(...train('refused', ...options))).toMatch(message);
  });

  it('is checked by the doctor with its recordings', async () => {
    const checks = async (...settings: string[]) => {
      const options = settings.flatMap((setting) => ['--set', setting]);
      const { stdout } = await work.run(
        'doctor',
        '--recipe',
        'varied.yaml',
        '--stage',
        '1',
        '--json',
        ...options,
      );
      const { checks } = JSON.parse(stdout) as {
        checks: { name: string; status: string; details: object }[];
      };
      return checks.filter(({ name }) => name.startsWith('augment.'));
    };
    expect(await checks('augment.reverb=absent')).toMatchObject([
      { name: 'augment.noise', status: 'ok', details: { folder: 'sounds', recordings: 2 } },
      { name: 'augment.reverb', status: 'missing', found: 'folder absent does not exist' },
    ]);
    expect(await checks('augment.copies=0', 'augment.reverb=absent')).toEqual([]);
  });

  it('adds entries to the cache, and leaves those of the clips as they are', async () => {
    await work.done('stage1', '--recipe', 'plain.yaml', '--run', 'plain');
    const before = entries();
    const { stderr } = await work.done('features', '--recipe', 'varied.yaml');
    expect(stderr).toContain(
      `features of all ${clips.all} clips and of ${2 * clips.train} variants of training clips (augment) are in the cache\n`,
    );
    const after = entries();
    const features = (all: Map<string, string>) => [...all].filter(([name]) => name.includes('/'));
    expect(features(after)).toHaveLength(clips.all + 2 * clips.train);
    for (const [name, digest] of before) expect(after.get(name)).toBe(digest);
    // Made again elsewhere, in another order, with other names of the recordings: the same.
    copyFileSync(work.path('sounds/a.wav'), work.path('sounds/z.wav'));
    rmSync(work.path('sounds/a.wav'));
    rmSync(cache, { recursive: true });
    await work.done('features', '--recipe', 'varied.yaml', '--shard', '2/2');
    await work.done('features', '--recipe', 'varied.yaml', '--shard', '1/2');
    expect(new Map(features(entries()))).toEqual(new Map(features(after)));
  });

  it('trains on them, records them, and ends in the same bytes when it was killed', async () => {
    const { stderr } = await work.done(...train('whole'));
    expect(stderr).not.toContain('warning');
    const expected = fileDigests(work, 'whole/stage1');
    const { augmentation } = JSON.parse(work.read('whole/stage1/run.json').toString());
    expect(augmentation).toEqual({
      copies: 2,
      seed: 1,
      noise: { recordings: 2, sha256: expect.stringMatching(/^[0-9a-f]{64}$/) },
      reverb: { recordings: 1, sha256: expect.stringMatching(/^[0-9a-f]{64}$/) },
    });
    expect(work.read('plain/stage1/run.json').toString()).not.toContain('augmentation');
    const losses = (run: string) => metricsOf(work, `${run}/stage1`).map(({ loss }) => loss);
    expect(losses('whole')).not.toEqual(losses('plain'));

    const command = work.start(...train('killed'));
    await command.says(/epoch 1\/3: loss/);
    command.signal('SIGKILL');
    await command.ended;
    expect((await work.done(...train('killed'))).stderr).toMatch(/^resuming after step \d+ of \d+$/m);
    expect(fileDigests(work, 'killed/stage1')).toEqual(expected);
  });

  it('trains in micro-batches and pairs too, and draws anew with another seed', async () => {
    const settings = ['stage1.batches=balanced', 'stage1.accumulate=2', 'stage1.epochs=1', 'seed=2'];
    await work.done(...train('pairs', ...settings.flatMap((setting) => ['--set', setting])));
    const { augmentation } = JSON.parse(work.read('pairs/stage1/run.json').toString());
    expect(augmentation.seed).toBe(2);
    const before = entries().size;
    await work.done(
      ...train('kept', '--set', 'seed=3', '--set', 'augment.seed=2', '--set', 'stage1.epochs=1'),
    );
    expect(entries().size).toBe(before);
  });

  it('does not resume over other recordings', async () => {
    mkdirSync(work.path('other'));
    const command = work.start(...train('changed'));
    await command.says(/epoch 1\/3: loss/);
    command.signal('SIGKILL');
    await command.ended;
    const [kept, path] = [work.read('sounds/z.wav'), 'sounds/z.wav'];
    sounds('sounds', 2);
    rmSync(work.path(path));
    expect(await work.refused(...train('changed'))).toContain(
      'changed/stage1 holds a run of another recipe: the recordings of augment.noise have changed. Use another --run folder',
    );
    work.file(path, kept);
  });

  it('is scored on clips as they are, and the report says what was altered', async () => {
    await work.done('eval', '--run', 'whole', '--stage', '1', '--resamples', '100');
    await work.done('report', '--run', 'whole', '--stage', '1');
    const page = work.read('whole/stage1/report.html').toString();
    expect(page).toContain(
      '2 variants of each, drawn by seed 1, with 2 recordings of noise and 1 impulse response',
    );
    expect(page).toContain('noise_probability: 1');
  });

  it('has variants for each seed where several are trained at a time', async () => {
    const { stderr } = await work.done(
      ...train('seeds', '--seeds', '5,6', '--jobs', '2', '--set', 'stage1.epochs=1'),
    );
    expect(stderr).not.toContain('warning');
    const seed = (name: string) =>
      JSON.parse(work.read(`seeds/${name}/stage1/run.json`).toString()).augmentation.seed;
    expect([seed('seed-5'), seed('seed-6')]).toEqual([5, 6]);
  });
});

it('a linear probe reads variants too', async () => {
  work.file(
    'probe.yaml',
    JSON.stringify({
      system: 'linear-probe',
      manifest: 'toy/manifest.csv',
      labels: ['neutral', 'happy', 'angry', 'sad'],
      backbones: { encoder: 'toy/backbones/hubert' },
      probe: { epochs: 2 },
      augment: { copies: 1 },
    }),
  );
  await work.done('train', '--recipe', 'probe.yaml', '--run', 'probe');
  const { augmentation } = JSON.parse(work.read('probe/probe/run.json').toString());
  expect(augmentation).toEqual({ copies: 1, seed: 1 });
});
