/** @file The session of a run, whose frozen weights training and validation share. */

import { expect, it } from 'vitest';
import type { SessionOptions, SessionWorker } from '../../src/engine/runtime/index.js';
import type { TrainingGraph } from '../../src/engine/training/index.js';
import { openTrainingSession } from '../../src/training/inference.js';

it('leaves weights where they are: neither repacked nor cast again in each run', async () => {
  const opened: SessionOptions[] = [];
  const worker = {
    open: (_: Uint8Array, options: SessionOptions) => Promise.resolve(opened.push(options)),
  } as unknown as SessionWorker;
  const placed = { model: new Uint8Array(), weightsFolder: '/weights' };
  const graph = { state: [] } as unknown as TrainingGraph;
  await openTrainingSession(worker, placed, { device: { kind: 'cpu' }, cacheDir: 'cache' }, graph);
  expect(opened[0]).toMatchObject({ disablePrepacking: true, withoutArena: true, weightsFolder: '/weights' });
  expect(opened[0]!.keepConstantExpressions ?? false).toBe(false);
});
