/** @file `emoq report` on trained toy runs: the data of the page, missing parts, and rejected input. */

import { cpSync, mkdirSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { decodeAudio, SAMPLE_RATE_HZ } from '../../src/data/audio/index.js';
import { readManifest } from '../../src/data/corpora/index.js';
import { writeEmbeddings } from '../../src/evaluation/index.js';
import type { GatherOptions } from '../../src/experiments/report/gather.js';
import { gatherReport } from '../../src/experiments/report/index.js';
import type { ReportData } from '../../src/report/index.js';
import { runFolder } from '../../src/training/runs/folder.js';
import { csvRows, listing, makeWorkspace, metricsOf, shortPrompt, toyRecipe } from './workspace.js';

const work = makeWorkspace('report');
afterAll(() => work.remove());

const small = { former: { queries: 4, pooling_heads: 4, head_hidden: 64 }, prompt: shortPrompt };
const brief = { epochs: 1, batch_size: 16, learning_rate: 1e-3, select: 'wa' };
const SESSIONS = ['1', '2'];

beforeAll(async () => {
  const corpus = work.path('toy'); // an absolute path: data is gathered in this process, too
  work.file('one.yaml', toyRecipe(corpus, { ...small, stage1: { ...brief, epochs: 2 }, stage2: brief }));
  work.file(
    'many.yaml',
    toyRecipe(corpus, {
      ...small,
      manifest: `${corpus}/two.csv`,
      folds: 'session',
      validation: 'share',
      stage1: brief,
    }),
  );
  await work.toyCorpus(10, 8);
  const [header, ...rows] = work.read('toy/manifest.csv').toString().trim().split('\n');
  const kept = rows.filter((row) => SESSIONS.includes(row.split(',').at(-3)!));
  work.file('toy/two.csv', `${[header, ...kept].join('\n')}\n`);
  for (const stage of ['stage1', 'stage2']) await work.done(stage, '--recipe', 'one.yaml');
  await work.done('stage1', '--recipe', 'many.yaml', '--seeds', '3,4', '--folds', '2');
});

const json = (file: string) => JSON.parse(work.read(file).toString());

const warnings: string[] = [];

/** The data of a run's page. */
function gathered(run: string, options: Partial<GatherOptions> = {}): Promise<ReportData> {
  warnings.length = 0;
  const folder = runFolder(work.path(run));
  return gatherReport([{ seed: null, folder, runs: [folder], folds: undefined }], {
    root: work.path('runs/one'),
    mistakes: 3,
    resampling: null,
    onWarning: (text) => warnings.push(text),
    ...options,
  });
}

/** A copy of a run to damage, deleted when `use` ends. */
async function onCopy(run: string, use: (copy: string) => Promise<void>): Promise<void> {
  cpSync(work.path(run), work.path('copy/stage2'), { recursive: true, preserveTimestamps: true });
  await use('copy/stage2').finally(() => rmSync(work.path('copy'), { recursive: true }));
}

/** Renders the page of a run, and returns it with the output on stderr. */
async function page(...args: string[]): Promise<{ html: string; stderr: string; out: string }> {
  const { stdout, stderr } = await work.done('report', ...args);
  const out = stdout.trimEnd();
  return { html: work.read(out).toString(), stderr, out };
}

let ofOne: Awaited<ReturnType<typeof page>>;
beforeAll(async () => {
  ofOne = await page('--recipe', 'one.yaml');
});

describe('the report of one run', () => {
  it('scores a run that was not scored, and writes a page to the folder of its results', () => {
    const { html, stderr, out } = ofOne;
    expect(out).toBe('runs/one/stage2/report.html');
    expect(stderr).toContain('computing on cpu');
    expect(json('runs/one/stage2/results.json').n).toBe(16);
    expect(html).toMatch(/^<!doctype html>/i);
    expect(html).toContain('UMAP (15 neighbours');
    expect(html).toContain('data:audio/mpeg;base64,');
    expect(html).not.toMatch(/(?:src|href)="https?:/);
  });

  it('does nothing twice: the same bytes from what is there', async () => {
    const first = work.read('runs/one/stage2/report.html');
    const map = statSync(work.path('runs/one/stage2/map.json')).mtimeMs;
    const { stderr, out } = await page('--run', 'runs/one', '--out', 'again/page.html');
    expect(out).toBe('again/page.html');
    expect(stderr).not.toContain('computing on');
    expect(work.read(out).equals(first)).toBe(true);
    expect(statSync(work.path('runs/one/stage2/map.json')).mtimeMs).toBe(map);
  });

  it('scores anew where the checkpoint is younger than the predictions', async () => {
    const later = Date.now() / 1000 + 2;
    utimesSync(work.path('runs/one/stage2/checkpoint.safetensors'), later, later);
    expect((await page('--run', 'runs/one/stage2')).stderr).toContain('computing on cpu');
    const now = Date.now() / 1000 - 60;
    utimesSync(work.path('runs/one/stage2/checkpoint.safetensors'), now, now);
  });

  it('holds what predictions, results, manifest and metrics say', async () => {
    const data = await gathered('runs/one/stage2', { mistakes: 5 });
    const results = json('runs/one/stage2/results.json');
    const rows = csvRows(work, 'runs/one/stage2/predictions.csv');
    const { utterances } = await readManifest(work.path('toy/manifest.csv'));
    expect(data).toMatchObject({ name: 'one', phase: 'stage 2', labels: results.labels, paper: null });
    expect(data.scores).toMatchObject({ wa: results.wa, ua: results.ua, confusion: results.confusion });
    expect(data.calibration?.n).toBe(rows.length);
    expect(data.utterances.map(({ id }) => id)).toEqual(rows.map(({ id }) => id));
    for (const [i, { id, text, speaker, reference, predicted, probabilities }] of data.utterances.entries()) {
      const { text: said, speaker: who } = utterances.find((utterance) => utterance.id === id)!;
      expect({ text, speaker }).toEqual({ text: said, speaker: who });
      expect(data.labels[reference]).toBe(rows[i]!.reference);
      expect(data.labels[predicted!]).toBe(rows[i]!.label);
      expect(probabilities![predicted!]).toBe(Math.max(...probabilities!));
    }
    expect(data.prompt).toEqual({
      system: '',
      user: shortPrompt.user,
      answer: 'Emotion:',
    });
    expect(data.recipe).toBe(work.read('runs/one/stage2/recipe.yaml').toString());
    expect(data.versions).toEqual(results.versions);
    const metadata = Object.fromEntries(data.metadata);
    expect(metadata['manifest SHA-256']).toBe(json('runs/one/stage2/run.json').manifest.sha256);
    expect(metadata).toMatchObject({ 'test utterances': '16', 'kept epoch': expect.stringMatching(/^1 \(/) });
    expect(metadata).toMatchObject({
      trained: expect.stringMatching(/^\d{4}-\d\d-\d\d \d\d:\d\d UTC to \d{4}-\d\d-\d\d \d\d:\d\d UTC$/),
      'duration of a run': expect.stringMatching(/^[\d.]+ (s|min)/),
      'training utterances per second': expect.stringMatching(/^[\d.]+$/),
      'peak memory of a run': expect.stringMatching(/^\d+ MiB$/),
    });
    expect(warnings).toEqual([]);
  });

  it('has the figures of results.json in its summary, and says what was run on what', () => {
    const results = json('runs/one/stage2/results.json');
    const head = /<div class="summary"[\s\S]*?<p class="verdict">([\s\S]*?)<\/p>/.exec(ofOne.html)!;
    const shown = head[0]
      .replace(/<svg[\s\S]*?<\/svg>|<wbr>/g, '')
      .replace(/<[^>]+>/g, ' ')
      .replace(/\s+/g, ' ');
    const text = (share: number): string => (100 * share).toFixed(1);
    for (const key of ['wa', 'ua', 'wf1']) {
      const { low, high } = results.intervals[key];
      expect(shown).toContain(`${text(results[key])} %`);
      expect(shown).toContain(`95 % interval ${text(low)} – ${text(high)}`);
      expect(shown).toContain(`majority class ${text(results.baselines.majority[key])}`);
    }
    const { train, dev, test } = json('runs/one/stage2/run.json').utterances;
    expect(shown).toContain(`${train} for training, ${dev} for validation, ${test} for testing`);
    for (const name of ['hubert', 'roberta', 'qwen2'])
      expect(shown).toContain(work.path(`toy/backbones/${name}`));
    expect(shown).toContain('Corpus toy');
    const majority = results.baselines.majority.wa;
    const isAbove = results.intervals.wa.low > majority;
    expect(head[1]).toContain(isAbove ? 'the whole interval is above it' : 'the interval includes it');
  });

  it('finds its intervals as eval was asked to', async () => {
    const found = async (run: string) => {
      const { metrics, ...how } = (await gathered(run)).intervals!;
      return { ...how, ...metrics };
    };
    expect(await found('runs/one/stage2')).toEqual(json('runs/one/stage2/results.json').intervals);
    await onCopy('runs/one/stage2', async (copy) => {
      await work.done('eval', '--run', copy, '--resamples', '200', '--resample-by', 'speaker');
      const bySpeaker = await found(copy);
      expect(bySpeaker).toMatchObject({ unit: 'speaker', resamples: 200 });
      expect(bySpeaker).toEqual(json(`${copy}/results.json`).intervals);
      writeFileSync(work.path(copy, 'results.json'), '{"intervals": {"resamples": "many"}, "versions": 7}');
      const { intervals, versions } = await gathered(copy);
      expect({ intervals, versions }).toEqual({
        intervals: null,
        versions: json(`${copy}/run.json`).versions,
      });
    });
  });

  it('has the curves of both stages', async () => {
    const { curves } = await gathered('runs/one/stage2');
    expect(curves.map(({ title, phase }) => ({ title, phase: phase.name }))).toEqual([
      { title: '', phase: 'stage1' },
      { title: '', phase: 'stage2' },
    ]);
    for (const { phase, steps, epochs, selectedEpoch } of curves) {
      const lines = metricsOf(work, `runs/one/${phase.name}`);
      const taken = lines.filter((line) => line.loss !== undefined);
      expect(steps).toEqual(
        taken.map(({ step, loss, gradient_norm: gradientNorm, learning_rate_used: learningRate }) => ({
          step,
          loss,
          gradientNorm,
          learningRate,
        })),
      );
      expect(epochs).toHaveLength(phase.name === 'stage1' ? 2 : 1);
      expect(Object.keys(epochs[0]!.figures)).toEqual(['wa', 'ua', 'wf1', 'nll']);
      expect(selectedEpoch).toBe(json(`runs/one/${phase.name}/run.json`).selected.epoch);
    }
  });

  it('lets hear the worst mistakes, the worst first', async () => {
    const { mistakes, utterances } = await gathered('runs/one/stage2', { mistakes: 4 });
    expect(mistakes).toHaveLength(4);
    const excess = mistakes.map(({ utterance }) => {
      const { predicted, reference, probabilities } = utterances[utterance]!;
      expect(predicted).not.toBe(reference);
      return probabilities![predicted!]! - probabilities![reference]!;
    });
    expect(excess).toEqual(excess.toSorted((a, b) => b - a));
    const wrong = utterances.filter(({ predicted, reference }) => predicted !== reference);
    const worst = Math.max(
      ...wrong.map(({ predicted, reference, probabilities: p }) => p![predicted!]! - p![reference]!),
    );
    expect(excess[0]).toBe(worst);
    const { audio } = mistakes[0]!;
    const mp3 = Buffer.from(audio!.replace('data:audio/mpeg;base64,', ''), 'base64');
    const heard = (await decodeAudio(work.path(work.file('heard.mp3', mp3)))).samples;
    const { id } = utterances[mistakes[0]!.utterance]!;
    const original = (await decodeAudio(work.path(`toy/audio/${id}.wav`))).samples;
    expect(Math.abs(heard.length - original.length) / SAMPLE_RATE_HZ).toBeLessThan(0.2);
    expect(mp3.length).toBeLessThan(original.length / 3);
  });

  it('maps every utterance, and keeps the map while the embeddings are the same', async () => {
    const { map } = await gathered('runs/one/stage2');
    if (map.kind === 'missing') throw new Error(map.reason);
    expect(map.settings).toMatch(/^15 neighbours by cosine distance, .* 500 epochs, seed 0$/);
    expect(map.points).toHaveLength(16);
    expect(map.points.every((point) => point?.every(Number.isFinite))).toBe(true);
    await onCopy('runs/one/stage2', async (copy) => {
      const kept = json(`${copy}/map.json`);
      kept.layouts[0].points[0] = [123, 456];
      writeFileSync(work.path(copy, 'map.json'), JSON.stringify(kept));
      expect((await gathered(copy)).map).toMatchObject({ points: { 0: [123, 456] } });
      for (const spoilt of ['{', JSON.stringify({ ...kept, embeddings_sha256: 'others' })]) {
        writeFileSync(work.path(copy, 'map.json'), spoilt);
        expect((await gathered(copy)).map).toEqual(map);
      }
    });
  });

  it('is of stage 1 where that is asked for', async () => {
    const { html, out } = await page('--run', 'runs/one', '--stage', '1', '--mistakes', '0');
    expect(out).toBe('runs/one/stage1/report.html');
    expect(html).not.toContain('data:audio');
    const { phase, prompt, curves, mistakes } = await gathered('runs/one/stage1', { mistakes: 0 });
    expect({ phase, prompt, mistakes }).toEqual({ phase: 'stage 1', prompt: null, mistakes: [] });
    expect(curves.map((curve) => curve.phase.name)).toEqual(['stage1']);
  });

  it('writes its plots as files, too', async () => {
    const { stderr } = await page('--run', 'runs/one', '--plots', 'plots', '--mistakes', '1');
    const names = Object.keys(listing(work.path('plots')));
    expect(stderr).toContain(`${names.length} plots in plots`);
    expect(names).toContain('map-labels.svg');
    for (const name of names)
      expect(work.read(`plots/${name}`).toString()).toMatch(/^<svg [\s\S]*<\/svg>\s*$/);
  });

  it('is Markdown or JSON where that is asked for, or the output is called so', async () => {
    const results = json('runs/one/stage2/results.json');
    const { out, html: markdown } = await page('--run', 'runs/one', '--format', 'md', '--plots', 'md-plots');
    expect(out).toBe('runs/one/stage2/report.md');
    expect(markdown).toMatch(/^# one, stage 2\n/);
    const row = /^\| WA \| ([\d.]+) \| ([\d.]+) – ([\d.]+) \|/m.exec(markdown)!.slice(1);
    const { low, high } = results.intervals.wa;
    expect(row).toEqual([results.wa, low, high].map((share) => (100 * share).toFixed(1)));
    for (const [, plot] of markdown.matchAll(/!\[[^\]]*\]\(([^)]+)\)/g))
      expect(statSync(work.path('runs/one/stage2', plot!)).size).toBeGreaterThan(0);
    expect(markdown.match(/!\[/g)!.length).toBe(Object.keys(listing(work.path('md-plots'))).length);

    for (const args of [
      ['--format', 'json'],
      ['--out', 'named.json'],
    ]) {
      const made = await page('--run', 'runs/one', ...args);
      expect(made.out).toBe(args[0] === '--out' ? 'named.json' : 'runs/one/stage2/report.json');
      expect(made.stderr).not.toContain('compressing');
      const report = JSON.parse(made.html);
      const { resamples, seed, unit, units, level, ...metrics } = results.intervals;
      expect(report).toMatchObject({ wa: results.wa, confusion: results.confusion, labels: results.labels });
      expect(report.intervals).toEqual({ resamples, seed, unit, units, level, metrics });
    }
    expect((await page('--run', 'runs/one', '--out', 'named.markdown')).html).toMatch(/^# one/);
    const html = await page('--run', 'runs/one', '--format', 'html', '--out', 'named.txt', '--mistakes', '1');
    expect(html.html).toMatch(/^<!doctype html>/);
  });

  it('shows ablations next to the experiment, or in a named folder', async () => {
    expect((await gathered('runs/one/stage2')).ablations).toEqual([]);
    const row = { wa: 0.5, ua: 0.4, wf1: 0.3, n: 80 };
    work.file('runs/one-text/stage2/results.json', JSON.stringify(row));
    work.file('runs/one-neither/stage2/results.json', '{');
    const { ablations } = await gathered('runs/one/stage2');
    expect(ablations).toHaveLength(1);
    expect(ablations[0]!.title).toContain('Table 4');
    expect(ablations[0]!.rows).toMatchObject([
      { label: 'text only', ...row, paper: { wa: 63.7, ua: 42.9, wf1: 60 } },
      { label: 'both, with Former', n: 16, paper: { wa: 67.6, ua: 50.8, wf1: 66.5 } },
    ]);
    expect(warnings.join()).toContain('runs/one-neither/stage2/results.json is not valid JSON');
    expect((await gathered('runs/one/stage2', { ablations: work.path('toy') })).ablations).toEqual([]);
    expect(warnings.join()).toContain('holds no results of ablations');
    for (const name of ['one-text', 'one-neither']) rmSync(work.path('runs', name), { recursive: true });
  });
});

describe('the report of several runs', () => {
  const folds = ['--run', 'runs/many/seed-3', '--stage', '1', '--folds', '2'];

  it('puts folds together, each on a map of its own', async () => {
    const { out, html } = await page(...folds, '--mistakes', '1');
    expect(out).toBe('runs/many/seed-3/stage1/report.html');
    expect(html).toContain('2 maps side by side');
    const around = runFolder(work.path('runs/many/seed-3/stage1'));
    const runs = [1, 2].map((fold) => runFolder(work.path(`runs/many/seed-3/stage1/fold-${fold}`)));
    const { scores, map, curves, utterances, metadata } = await gatherReport(
      [{ seed: null, folder: around, runs, folds: { total: runs.length, missing: [] } }],
      { root: work.path('runs/many/seed-3'), mistakes: 1, resampling: null, onWarning: () => undefined },
    );
    expect('folds' in scores && scores.folds.map(({ fold }) => fold)).toEqual(['1', '2']);
    expect(curves.map(({ title }) => title)).toEqual(['stage 1, fold 1', 'stage 1, fold 2']);
    expect(metadata).toContainEqual(['folds', '2']);
    if (map.kind === 'missing') throw new Error(map.reason);
    for (const [i, point] of map.points.entries()) {
      const cell = Number(utterances[i]!.fold) - 1;
      expect(Math.abs(point![0] - cell)).toBeLessThan(0.451);
      expect(Math.abs(point![1])).toBeLessThan(0.451);
    }
  });

  it('puts seeds together', async () => {
    const { out, html } = await page(
      '--run',
      'runs/many',
      '--stage',
      '1',
      '--folds',
      '2',
      '--seeds',
      'all',
      '--mistakes',
      '16',
    );
    expect(out).toBe('runs/many/stage1-seeds.html');
    expect(html).toContain('4 maps side by side');
    for (const run of ['seed 3, fold 1', 'seed 3, fold 2', 'seed 4, fold 1', 'seed 4, fold 2']) {
      expect(html).toContain(`>${run}</text>`);
    }
    expect(html).toContain('<b>Stage 1, training loss.</b>');
    // The results of the seeds are in stage1-seeds.json.
    const seeds = ['--run', 'runs/many', '--stage', '1', '--folds', '2', '--seeds', 'all'];
    expect((await page(...seeds, '--format', 'json')).out).toBe('runs/many/stage1-seeds.report.json');
    expect((await page(...seeds, '--format', 'markdown')).out).toBe('runs/many/stage1-seeds.md');
    const sound = html.match(/data:audio\/mpeg;base64,[^"]+/g)!;
    expect(new Set(sound).size).toBe(sound.length); // no utterance twice, though both seeds may be wrong about it
  });
});

describe('what is missing', () => {
  it('is reported: metrics', async () => {
    await onCopy('runs/one/stage2', async (copy) => {
      rmSync(work.path(copy, 'metrics.jsonl'));
      const { stderr, html } = await page('--run', copy, '--mistakes', '0');
      expect(stderr).toContain(
        'warning: no training curve of copy/stage2: metrics copy/stage2/metrics.jsonl',
      );
      expect(html).toContain('There are no training curves');
      writeFileSync(work.path(copy, 'metrics.jsonl'), 'rubbish\n');
      expect((await gathered(copy)).curves).toEqual([]);
      expect(warnings[0]).toContain('metrics.jsonl, line 1 was not written by emoq');
    });
  });

  it('is reported: a manifest that has changed', async () => {
    const manifest = work.read('toy/manifest.csv');
    writeFileSync(work.path('toy/manifest.csv'), manifest.toString().replace(/$/, '\n'));
    try {
      const { stderr, html } = await page('--run', 'runs/one', '--mistakes', '2', '--out', 'changed.html');
      expect(stderr).toMatch(/^warning: no transcripts and recordings: .*manifest\.csv has changed since/m);
      expect(html).not.toContain('data:audio');
      const { utterances, mistakes } = await gathered('runs/one/stage2');
      expect(utterances[0]).toMatchObject({ text: '' });
      expect(mistakes[0]!.audioMissing).toContain('has changed');
      await onCopy('runs/one/stage2', async (copy) => {
        rmSync(work.path(copy, 'predictions.csv'));
        expect(await work.refused('report', '--run', copy)).toContain('has changed since');
      });
    } finally {
      writeFileSync(work.path('toy/manifest.csv'), manifest);
    }
  });

  it('is reported: a recording, and one that is none', async () => {
    const { mistakes, utterances } = await gathered('runs/one/stage2');
    const [first, second] = mistakes.map(({ utterance }) =>
      work.path(`toy/audio/${utterances[utterance]!.id}.wav`),
    );
    const whole = [first!, second!].map((path) => ({
      path,
      bytes: work.read(path.replace(`${work.dir}/`, '')),
    }));
    rmSync(first!);
    writeFileSync(second!, 'no sound');
    try {
      const after = (await gathered('runs/one/stage2')).mistakes;
      expect(after[0]).toMatchObject({
        audio: null,
        audioMissing: expect.stringMatching(/^audio\/\w+\.wav does not exist$/),
      });
      expect(after[1]).toMatchObject({
        audio: null,
        audioMissing: expect.stringMatching(/^audio\/\w+\.wav cannot be decoded/),
      });
      expect(after[2]).toMatchObject({ audio: expect.stringMatching(/^data:/), audioMissing: null });
    } finally {
      for (const { path, bytes } of whole) writeFileSync(path, bytes);
    }
  });

  it('has no intervals where the last scoring was without, and usual ones where it says nothing', async () => {
    const resampling = { resamples: 100, seed: 1, unit: 'utterance' } as const;
    await onCopy('runs/one/stage2', async (copy) => {
      const { intervals: _, ...results } = json(`${copy}/results.json`);
      const path = work.path(copy, 'results.json');
      writeFileSync(path, JSON.stringify({ ...results, intervals: null }));
      expect((await gathered(copy, { resampling })).intervals).toBeNull();
      writeFileSync(path, JSON.stringify(results));
      expect((await gathered(copy, { resampling })).intervals).toMatchObject(resampling);
    });
  });

  it('is reported: a training that has not ended, and a map that cannot be kept', async () => {
    await onCopy('runs/one/stage2', async (copy) => {
      const metadata = json(`${copy}/run.json`);
      writeFileSync(work.path(copy, 'run.json'), JSON.stringify({ ...metadata, status: 'training' }));
      rmSync(work.path(copy, 'map.json'), { force: true });
      mkdirSync(work.path(copy, 'map.json'));
      const data = await gathered(copy);
      expect(data.unfinished).toEqual([work.path(copy)]);
      expect(data.map).toMatchObject({ method: 'umap' });
      expect(warnings).toEqual([
        expect.stringMatching(/the run in .*copy\/stage2 is not finished; using its best epoch so far$/),
        expect.stringContaining('the map is not cached for the next report: '),
      ]);
    });
  });

  it('is reported: embeddings', async () => {
    await onCopy('runs/one/stage2', async (copy) => {
      const path = work.path(copy, 'embeddings.safetensors');
      const bytes = work.read(`${copy}/embeddings.safetensors`);
      writeFileSync(path, bytes.subarray(0, 500));
      expect((await gathered(copy)).map).toEqual({
        kind: 'missing',
        reason: expect.stringContaining('cut short'),
      });
      const spoilt = Array.from({ length: 16 }, (_, row) =>
        Float32Array.of(row, 1, row === 7 ? Number.NaN : 2),
      );
      await writeEmbeddings(work.path(copy, 'predictions.csv'), spoilt);
      expect((await gathered(copy)).map).toEqual({
        kind: 'missing',
        reason: expect.stringContaining('are not numbers'),
      });
      await writeEmbeddings(work.path(copy, 'predictions.csv'), spoilt.slice(0, 4));
      expect((await gathered(copy)).map).toEqual({
        kind: 'missing',
        reason: expect.stringContaining('4 rows for 16'),
      });
      rmSync(path);
      expect((await gathered(copy)).map).toEqual({
        kind: 'missing',
        reason: expect.stringContaining('there is no'),
      });
      const recipe = work.read(`${copy}/recipe.yaml`).toString();
      writeFileSync(work.path(copy, 'recipe.yaml'), recipe.replace('fusion: former', 'fusion: none'));
      expect((await gathered(copy)).map).toEqual({
        kind: 'missing',
        reason: expect.stringContaining('no EmoQ-Former'),
      });
    });
  });
});

describe('what is refused', () => {
  it.each([
    [[], 'say what to report on: --run FOLDER or --dataset NAME'],
    [['--run', 'nowhere'], 'no run in nowhere'],
    [['--run', 'runs/one', '--folds', '1'], 'It must be a whole number from 2'],
    [['--run', 'runs/one/stage2', '--folds', '2'], 'is a single run'],
    [['--run', 'runs/many', '--stage', '1'], 'several seeds'],
    [['--run', 'runs/one', '--seeds', 'all'], 'holds no runs of seeds'],
    [['--run', 'runs/one', '--stage', '3'], 'It must be 1 or 2'],
    [['--run', 'runs/one', '--mistakes', '1001'], 'It must be a whole number from 0 to 1000'],
    [['--run', 'runs/one', '--out', 'toy'], 'output toy is a folder; name a file in it with --out'],
    [['--run', 'runs/one', '--plots', 'one.yaml'], 'one.yaml is a file; name a folder for the plots'],
    [['--run', 'runs/one', '--ablations', 'nowhere'], 'there is no folder nowhere of ablations'],
  ])('%j', async (args, message) => {
    expect(await work.refused('report', ...args)).toContain(message);
  });

  it('predictions of another run', async () => {
    await onCopy('runs/one/stage2', async (copy) => {
      const rows = work.read(`${copy}/predictions.csv`).toString();
      writeFileSync(work.path(copy, 'predictions.csv'), rows.replaceAll('happy', 'joyful'));
      expect(await work.refused('report', '--run', copy)).toContain('joyful');
      writeFileSync(work.path(copy, 'predictions.csv'), rows.replace(/^id/, 'path'));
      expect(await work.refused('report', '--run', copy)).toContain('has no id');
    });
  });

  it('a run that was stopped while it was gathered leaves nothing half', async () => {
    await onCopy('runs/one/stage2', async (copy) => {
      rmSync(work.path(copy, 'map.json'));
      const before = listing(work.path(copy));
      for (const step of ['onMap', 'onAudio'] as const) {
        const controller = new AbortController();
        const options = { signal: controller.signal, [step]: () => controller.abort(new Error('stopped')) };
        await expect(gathered(copy, options)).rejects.toThrow('stopped');
        if (step === 'onMap') expect(listing(work.path(copy))).toEqual(before);
      }
    });
  });
});
