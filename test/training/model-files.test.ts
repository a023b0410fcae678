/** @file Sessions of a run: how training and validation hold frozen weights. */

import { describe, expect, it } from 'vitest';
import type { SessionOptions, SessionWorker } from '../../src/engine/runtime/index.js';
import type { TrainingGraph } from '../../src/engine/training/index.js';
import { openSession } from '../../src/training/inference.js';

const placed = { model: new Uint8Array(), weightsFolder: '/weights' };
const training = { state: [] } as unknown as TrainingGraph;

/** The options that a session was opened with. */
async function optionsOf(device: SessionOptions['device'], graph?: TrainingGraph): Promise<SessionOptions> {
  const opened: SessionOptions[] = [];
  const worker = {
    open: (_: Uint8Array, options: SessionOptions) => Promise.resolve(opened.push(options)),
  } as unknown as SessionWorker;
  await openSession(worker, placed, { device, cacheDir: 'cache' }, graph);
  return opened[0]!;
}

describe('16-bit weights', () => {
  it('are cast once for training, and on the CPU left as they are for validation', async () => {
    expect(await optionsOf({ kind: 'cpu' }, training)).toMatchObject({ keepConstantExpressions: false });
    expect(await optionsOf({ kind: 'cpu' })).toMatchObject({ keepConstantExpressions: true });
    expect(await optionsOf({ kind: 'cuda', index: 0 })).toMatchObject({ keepConstantExpressions: false });
  });

  it('are repacked for neither', async () => {
    for (const graph of [training, undefined]) {
      expect(await optionsOf({ kind: 'cpu' }, graph)).toMatchObject({
        disablePrepacking: true,
        withoutArena: true,
        weightsFolder: '/weights',
      });
    }
  });
});
