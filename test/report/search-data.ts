/** @file Made-up data of a report on a search, as the files of `emoq search` would have it. */

import { seededRandom } from '../../src/engine/tensor/index.js';
import type { KeyRange, SearchReport, SearchTrial } from '../../src/report/index.js';

/** Three keys, one of each kind of axis. */
export const threeKeys: Readonly<Record<string, KeyRange>> = {
  'probe.learning_rate': { log: [1e-5, 1e-1] },
  'probe.hidden': { choice: [0, 16, 64] },
  'probe.epochs': { int: [3, 8] },
};

/** Ten keys, with long names and values of every kind. */
export const tenKeys: Readonly<Record<string, KeyRange>> = {
  ...threeKeys,
  'probe.weight_decay': { uniform: [0, 0.1] },
  'encoder.layers': { choice: ['last', [1, 2, 3], 'all', [10, 11, 12, 13, 14]] },
  'probe.learning_rates.encoder_of_a_very_long_name_that_goes_on_and_on_and_on': { log: [2e-4, 4e-4] },
  'augment.noise_probability': { uniform: [0, 1] },
  'probe.schedule': {
    choice: ['linear', 'cosine', 'constant', 'inverse-square-root', 'linear-with-restarts', 'polynomial'],
  },
  'encoder.mask_channels_length': { int: [10, 128] },
  'probe.average': { choice: ['none', 'ema'] },
};

export interface SearchChoice {
  readonly trials?: number;
  readonly keys?: Readonly<Record<string, KeyRange>>;
  /** Of all trials, each so many: some of them failed. */
  readonly failed?: number;
  readonly unfinished?: number;
  /** How many trials the command was to train; null if no file says it. */
  readonly planned?: number | null;
}

export function searchReport(choice: SearchChoice = {}): SearchReport {
  const { trials: count = 12, keys = threeKeys, failed = 0, unfinished = 0 } = choice;
  const { planned = count + unfinished } = choice;
  const random = seededRandom(5, 'search report');
  const value = (range: KeyRange): unknown => {
    const place = random.uniform();
    if ('choice' in range) return range.choice[Math.floor(place * range.choice.length)];
    if ('int' in range) return range.int[0] + Math.floor(place * (range.int[1] - range.int[0] + 1));
    const [low, high] = 'log' in range ? range.log : range.uniform;
    const at = 'log' in range ? low * (high / low) ** place : low + place * (high - low);
    return Number(at.toPrecision(4));
  };
  const trials = Array.from({ length: count }, (_, index): SearchTrial => {
    const values = Object.fromEntries(Object.entries(keys).map(([key, range]) => [key, value(range)]));
    const plannedEpochs = (values['probe.epochs'] as number | undefined) ?? 6;
    const own = { number: index + 1, plannedEpochs, values };
    if (index < failed) return { ...own, status: 'failed', best: null, validation: [] };
    const isStopped = index > 4 && random.uniform() < 0.4;
    const epochs = isStopped ? 1 + Math.floor(random.uniform() * (plannedEpochs - 1)) : plannedEpochs;
    const level = isStopped ? 0.25 + 0.1 * random.uniform() : 0.4 + 0.3 * random.uniform();
    const validation = Array.from(
      { length: epochs },
      (_, at) => Math.round(1e4 * (level * (1 - 0.4 / (at + 1)) + 0.02 * random.uniform())) / 1e4,
    );
    const best = Math.max(...validation);
    return {
      ...own,
      status: isStopped ? 'stopped' : 'finished',
      best: { value: best, epoch: validation.indexOf(best) + 1 },
      validation,
    };
  });
  const rank = ({ best }: SearchTrial): number => best?.value ?? -1;
  trials.sort((a, b) => rank(b) - rank(a) || a.number - b.number);
  return {
    bestRecipe: 'runs/probe-search/best.yaml',
    name: 'probe',
    about: {
      system: 'linear-probe: a linear classifier, or an MLP, on an encoder’s frozen features',
      backbones: [{ role: 'Speech encoder', name: 'facebook/hubert-large-ll60k' }],
      corpus: 'meld',
      utterances: { train: 9989, dev: 1109 },
      validation: 'validation set of the corpus',
    },
    phase: { name: 'probe', title: 'probe' },
    fold: null,
    figure: { key: 'wf1', higherIsBetter: true },
    ...{ sampler: 'sobol', seed: 1, trainingSeed: 1, stopping: 'median', lag: 4 },
    keys: Object.entries(keys).map(([key, range]) => ({
      key,
      range,
      own: key === 'probe.epochs' ? 20 : (Object.values(range) as unknown[][])[0]![0],
    })),
    trials,
    best: trials.find(({ status }) => status === 'finished')?.number ?? null,
    unfinished: Array.from({ length: unfinished }, (_, index) => count + index + 1),
    planned,
    recipe: 'name: probe\nsystem: linear-probe\npaper: null\n',
  };
}
