/** @file What is read from a search's folder and reported, from files made by hand: figures, interruptions, damage. */

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { gatherSearch } from '../../src/experiments/report/index.js';
import { dumpRecipe, loadRecipe } from '../../src/recipe/index.js';
import { renderSearch, renderSearchJson, renderSearchMarkdown } from '../../src/report/index.js';

const folder = mkdtempSync(join(tmpdir(), 'emoq-search-report-'));
afterAll(() => rmSync(folder, { recursive: true }));
const root = join(folder, 'probe-search');

const identity = {
  ...{ phase: 'probe', fold: null, figure: 'wa', sampler: 'sobol', seed: 3, stopping: 'median', lag: 4 },
  space: { 'probe.learning_rate': { log: [0.0001, 0.1] }, 'probe.hidden': { choice: [0, 64] } },
};
const values = (rate: number, hidden: number) => ({ 'probe.learning_rate': rate, 'probe.hidden': hidden });
/** The median of the finished ones is 0.5. */
const trials = [
  {
    ...{ trial: 3, status: 'finished', value: 0.625, epoch: 2, epochs: 3, planned_epochs: 3 },
    values: values(0.01, 64),
    validation: [0.25, 0.625, 0.5],
  },
  {
    ...{ trial: 1, status: 'finished', value: 0.5, epoch: 3, epochs: 3, planned_epochs: 3 },
    values: values(0.001, 0),
    validation: [0.125, null, 0.5],
  },
  {
    ...{ trial: 5, status: 'stopped', value: 0.375, epoch: 1, epochs: 2, planned_epochs: 3 },
    values: values(0.0001, 0),
    validation: [0.375, 0.25],
  },
  {
    ...{ trial: 2, status: 'finished', value: 0.3125, epoch: 1, epochs: 3, planned_epochs: 3 },
    values: values(0.1, 0),
    validation: [0.3125, 0.25, 0.25],
  },
  {
    ...{ trial: 4, status: 'failed', value: null, epoch: null, epochs: 0, planned_epochs: 3 },
    values: values(0.05, 64),
    validation: [],
  },
];
const listed = {
  name: 'probe-toy4',
  ...identity,
  higher_is_better: true,
  planned_trials: 5,
  best: 3,
  trials,
};

let recipe: string;
beforeAll(async () => {
  const path = fileURLToPath(new URL('../../recipes/probe-toy4.yaml', import.meta.url));
  recipe = dumpRecipe(await loadRecipe({ path, overrides: [] }));
});

function write(name: string, content: unknown): void {
  mkdirSync(dirname(join(root, name)), { recursive: true });
  writeFileSync(join(root, name), typeof content === 'string' ? content : JSON.stringify(content));
}
beforeEach(() => {
  rmSync(root, { recursive: true, force: true });
  write('recipe.yaml', recipe);
  write('search.json', identity);
  write('trials.json', listed);
});

/** The text of the page as it is read. */
const textOf = (html: string): string =>
  html
    .replace(/<(script|style|svg)[\s\S]*?<\/\1>|<wbr>/g, '')
    .replace(/<[^>]+>/g, ' ')
    .replace(/&#(\d+);/g, (_, code) => String.fromCharCode(code))
    .replace(/\s+/g, ' ');

describe('a report on a search', () => {
  it('has the same figures as a page, as Markdown and as JSON', async () => {
    const data = await gatherSearch(root);
    const page = textOf(renderSearch(data));
    const markdown = renderSearchMarkdown(data).replace(/\\(.)/g, '$1');
    const json = JSON.parse(renderSearchJson(data));
    expect(json).toMatchObject({
      ...{ format: 'emoq-search-report', version: 1, name: 'probe-toy4', ...identity },
      counts: { planned: 5, finished: 3, stopped: 1, failed: 1, unfinished: 0, not_begun: 0 },
      best: { trial: 3, value: 0.625, epoch: 2, values: values(0.01, 64) },
      ...{ median_of_finished: 0.5, better_by: 0.125, trials, state: null, recipe },
      recipe_values: values(0.03, 0),
    });
    for (const [name, value] of [
      ['Best: trial 3, WA on the validation set', '62.5 %'],
      ['median finished trial', '50.0 %'],
      ['better by', '12.5 points'],
      ['kept epoch', '2 of 3'],
      ['finished', '3'],
      ['stopped early', '1'],
      ['failed', '1'],
      ['not begun', '0'],
    ]) {
      expect(page).toContain(`${name} ${value}`);
      expect(markdown).toContain(`| ${name} | ${value} |`);
    }
    expect(page).toContain('probe.learning_rate 0.01 0.03 0.0001 to 0.1, logarithmic');
    expect(markdown).toContain('| probe.learning_rate | 0.01 | 0.03 | 0.0001 to 0.1, logarithmic |');
    expect(json.verdict).toMatch(
      /^The 62\.5 % of trial 3 is the best of 4 trials and of the validation set alone/,
    );
    expect(json.verdict).toContain('with other seeds, and score that on the test set once');
    for (const text of [page, markdown]) {
      expect(text).toContain(json.verdict);
      expect(text).toContain('1 trial failed and is not drawn.');
      expect(text).toContain(`emoq train --recipe ${root}/best.yaml --seeds 2,3,4`);
    }
    const rows = [
      '3 | finished, best | 62.5 | 2 | 3 | 0.01 | 64',
      '1 | finished | 50.0 | 3 | 3 | 0.001 | 0',
      '5 | stopped | 37.5 | 1 | 2 of 3 | 0.0001 | 0',
      '2 | finished | 31.3 | 1 | 3 | 0.1 | 0',
      '4 | failed | – | – | 0 of 3 | 0.05 | 64',
      // The validation figures.
      '1 | 12.5 | – | 50.0',
      '5 | 37.5 | 25.0 | –',
    ];
    for (const row of rows) {
      expect(markdown).toContain(`| ${row} |`);
      expect(page).toContain(row.replaceAll(' | ', ' '));
    }
  });

  it('says what an interrupted search has not done', async () => {
    const running = { trial: 6, values: values(0.002, 0), thresholds: [], status: 'running' };
    write('trials.json', { ...listed, planned_trials: 9 });
    write('trial-6/trial.json', running);
    write('trial-11/trial.json', { ...running, trial: 11 }); // of a command with more trials, before
    const data = await gatherSearch(root);
    expect(data.unfinished).toEqual([6]);
    const state =
      'This search is not complete: 1 trial has begun without a result so far, and 3 trials have not begun.';
    expect(textOf(renderSearch(data))).toContain(state);
    expect(renderSearchMarkdown(data)).toContain(state);
    const json = JSON.parse(renderSearchJson(data));
    expect(json.counts).toMatchObject({ planned: 9, unfinished: 1, not_begun: 3 });
    expect(json.state).toContain(state);
  });

  it('of trials that began alone has no plots and no best one', async () => {
    rmSync(join(root, 'trials.json'));
    write('trial-1/trial.json', { trial: 1, values: values(0.002, 0), thresholds: [], status: 'running' });
    const data = await gatherSearch(root);
    expect(data).toMatchObject({ trials: [], best: null, planned: null, unfinished: [1] });
    const page = renderSearch(data);
    expect(page).not.toContain('<figure');
    expect(textOf(page)).toContain('This search is not complete: 1 trial has begun');
    expect(textOf(page)).toContain('not begun not known');
    expect(JSON.parse(renderSearchJson(data))).toMatchObject({ best: null, better_by: null });
  });

  it('of a search whose trials all failed says so', async () => {
    write('trials.json', { ...listed, planned_trials: 4, best: null, trials: trials.slice(-1) });
    const page = textOf(renderSearch(await gatherSearch(root)));
    expect(page).toContain('No trial was trained to its end, so there is no best one.');
    expect(page).toContain('failed 1 not begun 3');
  });

  it('reads files of versions that did not record how many trials were to be trained', async () => {
    const { planned_trials: _, ...before } = listed;
    write('trials.json', before);
    const data = await gatherSearch(root);
    expect(data.planned).toBeNull();
    expect(JSON.parse(renderSearchJson(data))).toMatchObject({ state: null, counts: { not_begun: null } });
  });

  it('takes a loss, of which less is better', async () => {
    write('recipe.yaml', recipe.replace('select: wa', 'select: loss'));
    const losses = [trials[3]!, trials[1]!, trials[0]!].map((trial) => ({
      ...trial,
      validation: [0.9, 0.8, 0.7],
    }));
    const own = { ...identity, figure: 'nll' };
    write('search.json', own);
    write('trials.json', { ...listed, ...own, higher_is_better: false, best: 2, trials: losses });
    const json = JSON.parse(renderSearchJson(await gatherSearch(root)));
    expect(json).toMatchObject({ best: { trial: 2, value: 0.3125 }, median_of_finished: 0.5 });
    expect(json.verdict).toMatch(/^The 0\.3125 of trial 2/);
  });
});

describe('a search is not read', () => {
  const change = (part: object) => ({ ...listed, ...part });
  const first = (part: object) => change({ trials: [{ ...trials[0], ...part }, ...trials.slice(1)] });

  it.each<[string, string, () => unknown, RegExp]>([
    ['a file cut off', 'trials.json', () => JSON.stringify(listed).slice(0, 400), /trials\.json/],
    ['a foreign file', 'trials.json', () => ({ trials: 7 }), /phase: is missing; run the same search again/],
    [
      'a foreign search.json',
      'search.json',
      () => ({ query: 'a' }),
      /phase: is missing; restore a good copy/,
    ],
    ['no object', 'search.json', () => [], /search\.json is damaged, or not of emoq search: /],
    [
      'a range of no kind',
      'search.json',
      () => ({ ...identity, space: { a: { log: [2, 1] } } }),
      /space\.a: log needs/,
    ],
    ['an empty space', 'search.json', () => ({ ...identity, space: {} }), /space: has no keys/],
    ['a phase of no recipe', 'search.json', () => ({ ...identity, phase: 'stage3' }), /has no stage3/],
    [
      'another figure',
      'search.json',
      () => ({ ...identity, figure: 'ua' }),
      /figure: is ua, and .* selects by wa/,
    ],
    ['a recipe cut off', 'recipe.yaml', () => recipe.slice(0, -12), /recipe .*cut off/],
    ['trials of another search', 'trials.json', () => change({ seed: 4 }), /it is of another search than/],
    ['a value as text', 'trials.json', () => first({ value: 'high' }), /trials\.0\.value: /],
    [
      'a trial twice',
      'trials.json',
      () => change({ trials: [...trials, trials[4]] }),
      /trial 4 is listed twice/,
    ],
    [
      'another key',
      'trials.json',
      () => first({ values: { seed: 1, b: 2 } }),
      /probe\.learning_rate is not in the space/,
    ],
    [
      'a value outside',
      'trials.json',
      () => first({ values: values(0.01, 65) }),
      /trial 3: probe\.hidden is not in/,
    ],
    [
      'a missing epoch',
      'trials.json',
      () => first({ validation: [0.25] }),
      /figures are not those of 3 epochs/,
    ],
    ['a value without its epoch', 'trials.json', () => first({ epoch: null }), /value and epoch do not fit/],
    ['a worse trial first', 'trials.json', () => first({ value: 0.4 }), /not in the order of their figures/],
    [
      'another best',
      'trials.json',
      () => change({ best: 1 }),
      /best is 1, and the first finished trial is 3/,
    ],
    ['more trials than planned', 'trials.json', () => change({ planned_trials: 3 }), /planned_trials is 3/],
  ])('with %s', async (_, name, content, message) => {
    write(name, content());
    const error = await gatherSearch(root).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ name: 'InputError', message: expect.stringMatching(message) });
    expect((error as Error).message).not.toContain('\n');
    expect((error as Error).message).toContain(root);
  });

  it('without its recipe', async () => {
    rmSync(join(root, 'recipe.yaml'));
    await expect(gatherSearch(root)).rejects.toThrow(/recipe\.yaml/);
  });
});
