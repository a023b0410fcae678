/** @file A complete run.json for tests to modify. */

import type { RunMetadata } from '../../src/training/runs/metadata.js';

/** The metadata of a run that has begun, with `changes` applied. */
export function runMetadata(changes: Partial<RunMetadata> = {}): RunMetadata {
  return {
    format: 'emoq-run',
    ...{
      system: 'emoq',
      phase: 'stage1',
      fold: null,
      name: 'demo',
      labels: ['happy', 'sad'],
      status: 'training',
      seed: 1,
    },
    manifest: { path: 'data/demo/manifest.csv', sha256: 'abc' },
    utterances: { train: 8, dev: 2, test: 2 },
    ...{ startedFrom: null, prompt: null, parameters: { trainable: 10, frozen: 20 }, steps: 4 },
    ...{ cropped: 0, threads: null, selected: null, trained: null, device: 'cpu', versions: {} },
    ...changes,
  };
}
