/**
 * @file Validation speakers in a cross-validation: a different one in each fold, kept by resumed runs and their stage
 * 2.
 */

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { seededRandom } from '../../src/engine/tensor/index.js';
import { seenUtterances } from '../../src/inference/test-set.js';
import { loadRecipe } from '../../src/recipe/index.js';
import type { Recipe } from '../../src/systems/settings.js';
import { trainPhase } from '../../src/training/index.js';
import type { RunMetadata } from '../../src/training/runs/metadata.js';
import { makeWorkspace, shortPrompt, toyRecipe } from './workspace.js';

const work = makeWorkspace('draw');
afterAll(() => work.remove());

const stage = (number: 1 | 2, ...args: string[]): string[] => [
  `stage${number}`,
  '--recipe',
  'draw.yaml',
  ...args,
];
const metadataOf = (run: string): RunMetadata =>
  JSON.parse(work.read(`${run}/run.json`).toString()) as RunMetadata;
/** Speakers of the sessions other than the fold's, sorted. */
let others: (fold: number) => string[];

beforeAll(async () => {
  work.file(
    'draw.yaml',
    toyRecipe('toy', {
      folds: 'session',
      validation: 'speaker',
      former: { queries: 4, pooling_heads: 4, head_hidden: 64 },
      prompt: shortPrompt,
      stage1: { epochs: 1, batch_size: 8, learning_rate: 1e-3, select: 'wa' },
      stage2: { epochs: 1, batch_size: 8, learning_rate: 1e-3, select: 'wa' },
    }),
  );
  await work.toyCorpus(10, 4);
  const rows = work.read('toy/manifest.csv').toString().trim().split('\n').slice(1);
  const cells = rows.map((row) => row.split(','));
  others = (fold) =>
    [...new Set(cells.filter((row) => row.at(-3) !== String(fold)).map((row) => row.at(-5)!))].sort();
});

beforeAll(async () => {
  await work.done(...stage(1, '--folds', '5'));
});

describe('the validation speaker', () => {
  it('is another one in each fold, and recorded', () => {
    const drawn = [1, 2, 3, 4, 5].map((fold) => metadataOf(`runs/draw/stage1/fold-${fold}`).validation!);
    expect(new Set(drawn.flatMap(({ speakers }) => speakers)).size).toBe(5);
    drawn.forEach(({ draw, seed, speakers }, index) => {
      expect({ draw, seed, count: speakers.length }).toEqual({ draw: 'by-fold', seed: 1, count: 1 });
      expect(others(index + 1)).toContain(speakers[0]);
    });
  });

  it('stays with --split-seed whatever the seed, which changes it otherwise', async () => {
    await work.done(...stage(1, '--fold', '2', '--seeds', '1,2,3', '--split-seed', '5', '--run', 'fixed'));
    await work.done(...stage(1, '--fold', '2', '--seeds', '1,2,3', '--run', 'drawn'));
    const drawn = (run: string) =>
      [1, 2, 3].map((seed) => metadataOf(`${run}/seed-${seed}/stage1/fold-2`).validation);
    const [first, ...rest] = drawn('fixed');
    expect(first).toMatchObject({ seed: 5 });
    expect(rest).toEqual([first, first]);
    expect(work.read('fixed/seed-3/stage1/fold-2/recipe.yaml').toString()).toMatch(
      /^split_seed: 5 # not in the paper$/m,
    );
    expect(drawn('drawn').map((each) => each!.seed)).toEqual([1, 2, 3]);
    expect(new Set(drawn('drawn').map((each) => each!.speakers[0])).size).toBeGreaterThan(1);
    const clash = stage(1, '--fold', '2', '--split-seed', '5', '--set', 'split_seed=3');
    expect(await work.refused(...clash)).toContain('leave one out');
    for (const wrong of ['x', '-1', '4294967296'])
      expect(await work.refused(...stage(1, '--fold', '2', `--split-seed=${wrong}`))).toContain(
        'must be a whole number from 0 to 4294967295',
      );
  });

  it('of stage 2 is that of its stage 1, or is refused: stage 1 would have trained on it', async () => {
    const { stderr } = await work.done(...stage(2, '--fold', '1'));
    expect(stderr).not.toContain('stage 1 was validated');
    const other = await work.done(...stage(1, '--fold', '1', '--split-seed', '6', '--run', 'other'));
    expect(other.stderr).not.toContain('stage 1 was validated');
    const behind = stage(2, '--fold', '1', '--run', 'other');
    expect(await work.refused(...behind)).toContain(
      'whose recipe differs: split_seed is 6 there and null here; add --set split_seed=6, or train stage 1 anew',
    );
    await work.done(...behind, '--set', 'split_seed=6');
    const drawn = [1, 2].map((number) => metadataOf(`other/stage${number}/fold-1`).validation);
    expect(drawn[1]).toEqual(drawn[0]);
  });
});

describe('a run of an earlier version', () => {
  const compute = { device: { kind: 'cpu' } as const, cacheDir: '' };
  let recipe: Recipe;
  let begun: string;
  let before: Omit<RunMetadata, 'validation'>;
  let drawn: RunMetadata['validation'];
  let resumed: Awaited<ReturnType<typeof train>>;

  beforeAll(async () => {
    const backbones = { encoder: 'hubert', former: 'roberta', llm: 'qwen2' };
    recipe = await loadRecipe({
      path: work.path('draw.yaml'),
      overrides: [
        `manifest=${work.path('toy/manifest.csv')}`,
        ...Object.entries(backbones).map(
          ([key, name]) => `backbones.${key}=${work.path('toy/backbones', name)}`,
        ),
        'stage1.epochs=3',
      ],
    });
    compute.cacheDir = work.path('..', 'features');
    begun = (await train(1, new AbortController())).status;
    ({ validation: drawn, ...before } = metadataOf('old/stage1/fold-3'));
    work.file('old/stage1/fold-3/run.json', JSON.stringify(before)); // as an earlier version wrote it
    resumed = await train(1);
  });
  const train = async (number: 1 | 2, stop?: AbortController) => {
    const notes: string[] = [];
    const { status } = await trainPhase({
      ...{
        recipe,
        phase: `stage${number}`,
        fold: 3,
        root: work.path('old'),
        versions: {},
        compute,
        stepsPerRun: 1,
      },
      onNote: (text) => void notes.push(text),
      onReport: () => stop?.abort(),
      ...(stop && { stop: stop.signal }),
    });
    return { status, notes };
  };

  it('resumes with its own draw, by the seed only, and so does its stage 2', async () => {
    expect(begun).toBe('interrupted');
    expect(drawn!.draw).toBe('by-fold');
    const note = 'validating on the same utterances as the earlier-version run that this run continues from';
    const { status, notes } = resumed;
    expect(status).toBe('finished');
    expect(notes.join('\n')).toContain(note);
    const speaker = seededRandom(1, 'validation speaker').pick(others(3));
    const old = { draw: 'without-fold', seed: 1, speakers: [speaker] };
    expect(metadataOf('old/stage1/fold-3').validation).toEqual(old);
    expect(drawn!.speakers).not.toEqual(old.speakers);
    await train(2);
    expect(metadataOf('old/stage2/fold-3').validation).toEqual(old);
  });

  it('has seen those whom it was trained on by its own draw, and a later run those of its fold', async () => {
    const { validation, ...old } = metadataOf('old/stage1/fold-3');
    const speakersOf = async (metadata: RunMetadata) => {
      const { train, dev } = (await seenUtterances(recipe, metadata))!;
      return [train, dev].map((part) => new Set(part.map(({ speaker }) => speaker)));
    };
    const [trained, validated] = await speakersOf(old);
    expect([...validated!]).toEqual(validation!.speakers);
    expect([...trained!, ...validated!].sort()).toEqual(others(3));
    const [, later] = await speakersOf({ ...old, validation: { ...validation!, draw: 'by-fold' } });
    expect([...later!]).toEqual(metadataOf('runs/draw/stage1/fold-3').validation!.speakers);
    expect(later).not.toEqual(validated);
  });

  it('whose clips another ffmpeg decodes now has seen nothing that is known', async () => {
    const metadata = metadataOf('old/stage1/fold-3');
    const by = (ffmpeg: string): RunMetadata => ({ ...metadata, manifest: { ...metadata.manifest, ffmpeg } });
    const info = work.read('toy/manifest.json').toString();
    work.file('toy/manifest.json', JSON.stringify({ ...JSON.parse(info), ffmpeg: '6.1' }));
    expect(await seenUtterances(recipe, by('6.1'))).toBeDefined();
    expect(await seenUtterances(recipe, by('5.1'))).toBeUndefined();
    work.file('toy/manifest.json', info);
  });

  it('that is another draw than it says is refused in one line', async () => {
    const metadata = metadataOf('old/stage1/fold-3');
    const changed = { ...metadata, validation: { ...metadata.validation, speakers: ['nobody'] } };
    work.file('old/stage1/fold-3/run.json', JSON.stringify(changed));
    await expect(train(1)).rejects.toThrow(
      /its validation speakers were nobody, are \w+\. Use another --run/,
    );
  });
});
