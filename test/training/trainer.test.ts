/**
 * @file The training loop on a small model: results do not depend on stops, resumes or steps per run, and the right
 * epoch is kept.
 */

import { cpSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ComputationError } from '../../src/base/index.js';
import { type SessionWorker, startSessionWorker } from '../../src/engine/runtime/index.js';
import { float32, int64, readSafetensors } from '../../src/engine/tensor/index.js';
import { evenSplit, planSteps } from '../../src/training/batches.js';
import { runLimits } from '../../src/training/run-sizing.js';
import { eventTimes } from '../../src/training/runs/event-file.js';
import { type RunFolder, runFolder } from '../../src/training/runs/folder.js';
import { openMetrics } from '../../src/training/runs/metrics-log.js';
import { readPosition, type TrainingPosition } from '../../src/training/runs/run-state.js';
import {
  type TrainerOptions,
  type TrainingReport,
  train,
  type ValidationFigures,
} from '../../src/training/trainer.js';
import {
  inputs,
  LARGEST,
  openTraining,
  parameters,
  pooledSpec,
  randomBatch,
  relativeError,
  startValues,
} from '../engine/training-model.js';
import { readMetrics } from './metrics-lines.js';

const START: TrainingPosition = { step: 0, epoch: 0, metricsBytes: 0, best: null };
// 10 examples in batches of 3: four steps in each of three epochs.
const plan = planSteps(10, { epochs: 3, batchSize: 3, warmupFraction: 0.1, seed: 4 });

let root: string;
let worker: SessionWorker;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'emoq-trainer-'));
  worker = startSessionWorker();
});
afterAll(async () => {
  await worker.close();
  await rm(root, { recursive: true });
});

/**
 * Resumes from the folder's saved state in a new session, as another process would; with micro-batches if a split is
 * given.
 */
async function go(
  name: string,
  options: Partial<TrainerOptions> = {},
  rate = 0.1,
): Promise<TrainingPosition> {
  const folder = folderOf(name);
  await mkdir(folder.dir, { recursive: true });
  const start = (await readPosition(folder.state)) ?? START;
  const { graph, session } = await openTraining(
    worker,
    { ...pooledSpec(rate), accumulate: options.split !== undefined },
    {},
  );
  if (start.step > 0) await session.loadState(folder.state);
  else await session.setState(startValues(parameters, 3));
  try {
    return await train({
      ...{ folder, session, graph, inputs, plan, start },
      runLimits: runLimits({ kind: 'cpu' }),
      parameterKeys: parameters.map(({ key }) => key),
      ...{ learningRate: 0.05, seed: 4, largest: LARGEST, idOf: (index) => `u${index}` },
      ...{ selection: { select: 'wf1', epochs: 3, patience: 0 }, keepCheckpoints: 1 },
      batch: async (indices) => randomBatch(indices.length, 2 + (indices[0]! % 5), indices[0]!),
      metrics: await openMetrics(folder, start.metricsBytes, {
        step: graph.reported,
        validation: ['wa', 'ua', 'wf1', 'nll'],
      }),
      ...options,
    });
  } finally {
    await session.dispose();
  }
}

const folderOf = (name: string): RunFolder => runFolder(join(root, name));
/** Files that do not depend on the clock; only the event file does. */
const bytesOf = (name: string): Promise<Buffer[]> => {
  const { state, checkpoint, metrics, metricsTable } = folderOf(name);
  return Promise.all([state, checkpoint, metrics, metricsTable].map((path) => readFile(path)));
};

/** Figures of epochs 1, 2, ... according to what has been validated so far. */
function figures(of: readonly number[]): () => Promise<ValidationFigures> {
  let epoch = 0;
  return async () => ({ wf1: of[epoch++]!, nll: 1 });
}

describe('training', () => {
  it('ends with the same bytes whatever the steps in a run of the graph', async () => {
    await go('ones', { stepsPerRun: 1 });
    await go('threes', { stepsPerRun: 3 });
    await go('timed');
    const whole = await bytesOf('ones');
    expect(await bytesOf('threes')).toEqual(whole);
    expect(await bytesOf('timed')).toEqual(whole);
  });

  it('gives each step of a run of the graph a time of its own, within the time of training', async () => {
    const beganSec = Date.now() / 1000;
    await go('clocked', { stepsPerRun: 4 });
    const times = eventTimes(await readFile(folderOf('clocked').events)).map((event) => event.wallTimeSec);
    expect(times).toHaveLength(12);
    times.forEach((sec, index) => {
      expect(sec).toBeGreaterThan(index === 0 ? beganSec - 1e-3 : times[index - 1]!);
    });
    expect(times.at(-1)).toBeLessThanOrEqual(Date.now() / 1000);
  });

  it('stopped anywhere and resumed ends with the bytes of an uninterrupted one', async () => {
    await go('whole', { stepsPerRun: 1 });
    for (const stopAfter of [1, 4, 6, 11]) {
      const name = `stopped-${stopAfter}`;
      const stopping = new AbortController();
      const onReport = ({ step }: TrainingReport): void => {
        if (step === stopAfter) stopping.abort();
      };
      const stopped = await go(name, { stepsPerRun: 1, stop: stopping.signal, onReport });
      expect(stopped.step).toBe(stopAfter);
      expect((await readPosition(folderOf(name).state))!.step).toBe(stopAfter);
      const finished = await go(name, { stepsPerRun: 2 });
      expect(finished).toMatchObject({ step: 12, epoch: 3 });
      expect(await bytesOf(name), `stopped after ${stopAfter}`).toEqual(await bytesOf('whole'));
    }
  });

  it('in micro-batches ends with the same bytes too, however it is grouped or stopped', async () => {
    const split = evenSplit(2);
    await go('micro', { split, stepsPerRun: 1 });
    const whole = await bytesOf('micro');
    await go('micro-threes', { split, stepsPerRun: 3 });
    expect(await bytesOf('micro-threes')).toEqual(whole);
    const stopping = new AbortController();
    const onReport = ({ step }: TrainingReport): void => {
      if (step === 6) stopping.abort();
    };
    expect((await go('micro-stopped', { split, stepsPerRun: 1, stop: stopping.signal, onReport })).step).toBe(
      6,
    );
    await go('micro-stopped', { split, stepsPerRun: 4 });
    expect(await bytesOf('micro-stopped')).toEqual(whole);
  });

  it('in micro-batches makes the steps of whole batches, each of the same utterances', async () => {
    const batch: TrainerOptions['batch'] = async (indices) => {
      // Rows that depend only on the utterance, so that a batch consists of its micro-batches' rows.
      const rows = indices.map((index) => randomBatch(1, 4, index).tensors);
      const stacked = inputs.map(({ name, dtype }) => {
        const values = rows.flatMap((row) => Array.from(row[name]!.data as Float32Array));
        const shape = [rows.length, ...rows[0]![name]!.shape.slice(1)];
        return [name, dtype === 'int64' ? int64(shape, values.map(Number)) : float32(shape, values)] as const;
      });
      return { tensors: Object.fromEntries(stacked), sizes: { batch: rows.length, length: 4 } };
    };
    const seen: number[][] = [];
    const split: TrainerOptions['split'] = (whole) => {
      seen.push([...whole]);
      return evenSplit(2)(whole);
    };
    await go('rows-whole', { batch }, 0);
    await go('rows-micro', { batch, split }, 0);
    expect(seen).toEqual(Array.from({ length: 12 }, (_, step) => plan.batchOf(step)));
    const [wanted, lines] = await Promise.all(
      ['rows-whole', 'rows-micro'].map((name) => readMetrics(folderOf(name).metrics)),
    );
    for (const key of ['loss', 'gradient_norm'] as const) {
      const series = (all: typeof lines): number[] => all!.map((line) => Number(line[key]));
      expect(relativeError(series(lines), series(wanted)), key).toBeLessThan(1e-5);
    }
  });

  it('logs every step once, with its epoch, loss, norm and rate', async () => {
    await go('logged', { stepsPerRun: 3 });
    const lines = await readMetrics(folderOf('logged').metrics);
    expect(lines.map(({ step }) => step)).toEqual(Array.from({ length: 12 }, (_, i) => i + 1));
    expect(lines.map(({ epoch }) => epoch)).toEqual([1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3]);
    expect(Object.keys(lines[0]!)).toEqual(['step', 'epoch', 'loss', 'gradient_norm', 'learning_rate_used']);
    expect(lines.every(({ loss }) => Number.isFinite(loss))).toBe(true);
  });

  it('keeps the last epoch where nothing is validated, or where the last is asked for', async () => {
    for (const [name, options] of Object.entries({
      blind: {},
      last: {
        selection: { select: 'last', epochs: 3, patience: 0 },
        validate: figures([0.9, 0.1, 0.1]),
      },
    } satisfies Record<string, Partial<TrainerOptions>>)) {
      const { best } = await go(name, options);
      expect(best).toEqual({ epoch: 3, metric: null, value: null });
      const [kept, state] = await Promise.all(
        [folderOf(name).checkpoint, folderOf(name).state].map((path) => readSafetensors(path)),
      );
      expect([...kept!.tensors.keys()].sort()).toEqual(parameters.map(({ key }) => key).sort());
      for (const [key, value] of kept!.tensors) expect(value).toEqual(state!.tensors.get(key));
    }
  });

  it('keeps the first of the best epochs by the metric, through a stop too', async () => {
    const first = new AbortController();
    await go('best', {
      validate: figures([0.2, 0.8]),
      stepsPerRun: 4,
      stop: first.signal,
      onReport: ({ validation }) => {
        if (validation?.wf1 === 0.8) first.abort();
      },
    });
    const kept = await readFile(folderOf('best').checkpoint);
    const { best } = await go('best', { validate: figures([0.8]) });
    expect(best).toEqual({ epoch: 2, metric: 'wf1', value: 0.8 });
    expect((await readFile(folderOf('best').checkpoint)).equals(kept)).toBe(true);
    const validated = (await readMetrics(folderOf('best').metrics)).filter(({ validation }) => validation);
    expect(validated.map(({ epoch, step }) => [epoch, step])).toEqual([
      [1, 4],
      [2, 8],
      [3, 12],
    ]);
  });

  it('ends early when patience runs out, and the same with a stop on the way', async () => {
    const selection = { select: 'wf1', epochs: 3, patience: 1 } as const;
    const ended = await go('early', { selection, validate: figures([0.8, 0.8, 0.9]) });
    expect(ended).toMatchObject({ step: 8, epoch: 2, best: { epoch: 1, metric: 'wf1', value: 0.8 } });
    const stopping = new AbortController();
    const onReport = ({ step }: TrainingReport): void => {
      if (step === 6) stopping.abort();
    };
    await go('early-stopped', {
      ...{ selection, validate: figures([0.8]), stepsPerRun: 1, stop: stopping.signal, onReport },
    });
    expect(await go('early-stopped', { selection, validate: figures([0.8, 0.9]) })).toEqual(ended);
    expect(await bytesOf('early-stopped')).toEqual(await bytesOf('early'));
    // Nothing is left to do, and nothing is done.
    expect(await go('early-stopped', { selection, validate: figures([1, 1]) })).toEqual(ended);
  });

  it('keeps the checkpoints of as many last epochs as are asked for', async () => {
    const kept = async (name: string, keepCheckpoints: number): Promise<string[]> => {
      await go(name, { keepCheckpoints, validate: figures([0.9, 0.1, 0.1]) });
      return readdir(folderOf(name).checkpoints).catch(() => []);
    };
    expect(await kept('kept-0', 0)).toEqual([]);
    expect(await kept('kept-2', 2)).toEqual(['epoch-002.safetensors', 'epoch-003.safetensors']);
    const { checkpoint, checkpoints, state } = folderOf('kept-2');
    const last = await readSafetensors(join(checkpoints, 'epoch-003.safetensors'));
    const saved = await readSafetensors(state);
    for (const [key, value] of last.tensors) expect(value).toEqual(saved.tensors.get(key));
    expect(
      (await readFile(checkpoint)).equals(await readFile(join(checkpoints, 'epoch-003.safetensors'))),
    ).toBe(false);
    // Left by a killed run: an older epoch not yet deleted, and one after its saved state.
    for (const name of ['epoch-001.safetensors', 'epoch-004.safetensors', 'mine.txt'])
      await writeFile(join(checkpoints, name), 'left');
    expect(await kept('kept-2', 2)).toEqual(['epoch-002.safetensors', 'epoch-003.safetensors', 'mine.txt']);
  });

  describe('that selects by a smoothed figure', () => {
    const selection = { select: 'smoothed', figure: 'wf1', epochs: 3, patience: 0 } as const;
    /** The means are 0.35, 0.43 and 0.35 in the middle; 0.75, 0.53 and 0.35 in the first. */
    const cases = { middle: [0.6, 0.1, 0.6], first: [0.9, 0.6, 0.1], last: [0.1, 0.6, 0.9] };
    const keptOf = { middle: 2, first: 1, last: 3 };
    const names = Object.keys(cases) as (keyof typeof cases)[];
    /** The parameters after an epoch, from a run that keeps them all. */
    const after = (epoch: number): Promise<Buffer> =>
      readFile(join(folderOf('all-epochs').checkpoints, `epoch-00${epoch}.safetensors`));
    const checkpointsOf = (name: string): Promise<string[]> =>
      readdir(folderOf(name).checkpoints).catch(() => []);

    beforeAll(async () => {
      await go('all-epochs', { validate: figures([1, 1, 1]), keepCheckpoints: 3 });
    });

    it.each([0, 1, 2])('keeps the epoch whose neighbours are good too, with %i checkpoints', async (keep) => {
      for (const name of names) {
        const run = `smoothed-${name}-${keep}`;
        const { best } = await go(run, {
          ...{ selection, validate: figures(cases[name]), keepCheckpoints: keep },
        });
        expect(best).toMatchObject({ epoch: keptOf[name], metric: 'smoothed wf1' });
        expect((await readFile(folderOf(run).checkpoint)).equals(await after(keptOf[name])), run).toBe(true);
        expect(await checkpointsOf(run)).toEqual(
          [1, 2, 3].slice(3 - keep).map((epoch) => `epoch-00${epoch}.safetensors`),
        );
      }
    });

    it('ends with the same bytes when stopped anywhere', async () => {
      const whole = await bytesOf('smoothed-middle-0');
      for (const stopAfter of [1, 4, 6, 8, 11]) {
        const name = `smoothed-stopped-${stopAfter}`;
        const stopping = new AbortController();
        const onReport = ({ step }: TrainingReport): void => {
          if (step === stopAfter) stopping.abort();
        };
        const options = { selection, keepCheckpoints: 0 };
        const validate = figures(cases.middle);
        const { epoch } = await go(name, {
          ...{ ...options, validate, stepsPerRun: 1, stop: stopping.signal, onReport },
        });
        await go(name, { ...options, validate: figures(cases.middle.slice(epoch)) });
        expect(await bytesOf(name), `stopped after ${stopAfter}`).toEqual(whole);
      }
    });

    it('ends with the same bytes when killed after it had written what its saved state does not know', async () => {
      const [dir, killed] = ['smoothed-to-kill', 'smoothed-killed'];
      const onReport = ({ epoch, validation }: TrainingReport): void => {
        if (epoch === 2 && validation) cpSync(folderOf(dir).dir, folderOf(killed).dir, { recursive: true });
      };
      await go(dir, { selection, validate: figures(cases.middle), onReport });
      for (const file of ['checkpoint.safetensors', 'checkpoints/epoch-003.safetensors', 'metrics.jsonl'])
        cpSync(join(folderOf(dir).dir, file), join(folderOf(killed).dir, file));
      await go(killed, { selection, validate: figures(cases.middle.slice(2)) });
      expect(await bytesOf(killed)).toEqual(await bytesOf(dir));
      expect(await checkpointsOf(killed)).toEqual(['epoch-003.safetensors']);
    });

    it('ends early when patience runs out, one epoch later than by the figure itself', async () => {
      const run = await go('smoothed-early', {
        selection: { ...selection, patience: 1 },
        validate: figures([0.9, 0.5, 0.1]),
      });
      // Epoch 2 is judged when epoch 3 has ended, and is worse than epoch 1.
      expect(run).toMatchObject({ epoch: 3, best: { epoch: 1 } });
      const short = await go('smoothed-early-4', {
        plan: planSteps(10, { epochs: 6, batchSize: 3, warmupFraction: 0.1, seed: 4 }),
        selection: { ...selection, epochs: 6, patience: 1 },
        validate: figures([0.9, 0.5, 0.1, 1, 1, 1]),
        keepCheckpoints: 0,
      });
      expect(short).toMatchObject({ epoch: 3, best: { epoch: 1 } });
      expect(await checkpointsOf('smoothed-early-4')).toEqual([]);
    });
  });

  it('reports for each group its figures, the utterances so far and the best epoch', async () => {
    const reports: TrainingReport[] = [];
    await go('told', {
      stepsPerRun: 4,
      validate: figures([0.2, 0.8, 0.4]),
      onReport: (report) => void reports.push(report),
    });
    expect(reports.map(({ step, samples, best }) => [step, samples, best?.epoch])).toEqual([
      [4, 10, undefined],
      [4, 10, 1],
      [8, 20, 1],
      [8, 20, 2],
      [12, 30, 2],
      [12, 30, 2],
    ]);
    const lines = await readMetrics(folderOf('told').metrics);
    const { step: _step, epoch: _epoch, ...last } = lines.findLast(({ loss }) => loss !== undefined)!;
    expect(reports.at(-1)!.figures).toEqual(last);
  });

  it('reports the end of each epoch, with and without a validation set', async () => {
    for (const validate of [undefined, figures([0.2, 0.8, 0.4])]) {
      const ended: (number | undefined)[][] = [];
      await go(`ended-${validate === undefined}`, {
        ...(validate && { validate }),
        onReport: ({ epochEnded, epoch, validation }) => {
          if (epochEnded) ended.push([epoch, validation?.wf1]);
        },
      });
      const wf1 = validate === undefined ? [undefined, undefined, undefined] : [0.2, 0.8, 0.4];
      expect(ended).toEqual([1, 2, 3].map((epoch, index) => [epoch, wf1[index]]));
    }
  });

  it('reports its time by activity, and each saved state', async () => {
    const spent: Record<string, number> = {};
    const saves: number[] = [];
    let utterances = 0;
    await go('timed-work', {
      stepsPerRun: 1,
      validate: figures([0.2, 0.8, 0.4]),
      timings: {
        spent: (work, seconds, trained = 0) => {
          expect(seconds).toBeGreaterThanOrEqual(0);
          spent[work] = (spent[work] ?? 0) + 1;
          utterances += trained;
        },
        save: async (step) => void saves.push(step),
        end: async () => undefined,
      },
    });
    expect(spent).toEqual({ training: 12, validation: 3 });
    expect(utterances).toBe(30);
    expect(saves).toEqual([4, 8, 12]);
  });

  it('ends with the error of a batch that cannot be made, behind the steps before it', async () => {
    const batch: TrainerOptions['batch'] = async (indices) => {
      if (indices === undefined || indices.includes(plan.batchOf(5)[0]!))
        throw new Error('no features of u7');
      return randomBatch(indices.length, 3, 1);
    };
    await expect(go('broken', { batch, stepsPerRun: 1 })).rejects.toThrow('no features of u7');
  });

  it('names all utterances of a step with a micro-batch that is not finite', async () => {
    const broken = plan.batchOf(2)[2]!;
    const batch: TrainerOptions['batch'] = async (indices) => {
      const made = randomBatch(indices.length, 3, 1);
      if (indices.includes(broken)) (made.tensors.target!.data as Float32Array)[0] = Number.NaN;
      return made;
    };
    const ids = plan.batchOf(2).map((index) => `u${index}`);
    await expect(go('micro-infinite', { batch, split: evenSplit(1) })).rejects.toThrow(
      `the loss is not finite at step 3 (epoch 1), made of ${ids.join(', ')};`,
    );
  });

  it('refuses a loss that is not finite, naming the step and its utterances, and keeps the last saved state', async () => {
    let made = 0;
    const batch: TrainerOptions['batch'] = async (indices) => {
      const good = randomBatch(indices.length, 3, 1);
      made += 1;
      if (made === 7) (good.tensors.target!.data as Float32Array)[0] = Number.NaN;
      return good;
    };
    const failed = await go('infinite', { batch, stepsPerRun: 4 }).catch((error: unknown) => error);
    expect(failed).toBeInstanceOf(ComputationError);
    const ids = plan.batchOf(6).map((index) => `u${index}`);
    expect((failed as Error).message).toBe(
      `the loss is not finite at step 7 (epoch 2), made of ${ids.join(', ')}; check these for a broken recording, or lower the learning rate in a new run; the state saved after step 4 is kept`,
    );
    // The good steps before it remain.
    expect((await readMetrics(folderOf('infinite').metrics)).map(({ step }) => step)).toEqual([
      1, 2, 3, 4, 5, 6,
    ]);
    expect((await readPosition(folderOf('infinite').state))!.step).toBe(4);
    const { tensors } = await readSafetensors(folderOf('infinite').state);
    for (const { data } of tensors.values()) {
      expect((data as Float32Array).every((value) => Number.isFinite(value))).toBe(true);
    }
  });
});
