/** @file Prediction and evaluation on several devices: each batch is computed on one of them. */

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { csvRows, makeWorkspace } from './workspace.js';

const work = makeWorkspace('devices');
afterAll(() => work.remove());

/** Rounding of probabilities in batches that are padded to other lengths. */
const ROUNDING = 1e-5;

beforeAll(async () => {
  await work.smallRun('good');
  const [header, ...rows] = work.read('toy/manifest.csv').toString().trim().split('\n');
  // More than one device's window, so that rows of several windows come back in order.
  const many = Array.from({ length: 8 }, () => rows).flat();
  work.file('toy/many.csv', `${[header, ...many].join('\n')}\n`);
});

const predict = (output: string, ...args: string[]) =>
  work.done('predict', 'toy/many.csv', '-o', output, '--run', 'good', ...args);

describe('two devices', () => {
  it('predict the rows of a table in its order, with the figures of one', async () => {
    await predict('one.csv', '--device', 'cpu');
    const { stderr } = await predict('two.csv', '--devices', 'cpu,cpu');
    expect(stderr).toContain('computing on cpu, cpu\n');
    const [one, two] = [csvRows(work, 'one.csv'), csvRows(work, 'two.csv')];
    expect(two).toHaveLength(160);
    for (const [index, row] of two.entries()) {
      const own = one[index]!;
      expect([row.path, row.label]).toEqual([own.path, own.label]);
      for (const name of Object.keys(row).filter((key) => key.startsWith('prob_'))) {
        expect(Math.abs(Number(row[name]) - Number(own[name])), name).toBeLessThan(ROUNDING);
      }
    }
  });

  it('score a run as one does', async () => {
    const scored = async (...args: string[]): Promise<Record<string, unknown>> => {
      const { stdout } = await work.done('eval', '--run', 'good', '--stage', '1', '--json', ...args);
      const { metadata: _metadata, ...figures } = JSON.parse(stdout) as Record<string, unknown>;
      return figures;
    };
    const one = await scored('--device', 'cpu');
    expect(one.n).toBeGreaterThan(0);
    expect(await scored('--devices', 'cpu,cpu')).toMatchObject({ wa: one.wa, ua: one.ua, n: one.n });
  });

  it('are not for scoring a file', async () => {
    const said = await work.refused('eval', '--predictions', 'one.csv', '--devices', 'cpu,cpu');
    expect(said).toContain("option '--predictions <file>' cannot be used with option '--devices <list>'");
  });
});
