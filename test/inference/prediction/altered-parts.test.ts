/** @file Recordings that are altered as a whole before they are judged or recognised, short and long. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { encodeWav, SAMPLE_RATE_HZ } from '../../../src/data/audio/index.js';
import { fileFinder } from '../../../src/data/tables/index.js';
import { seededRandom } from '../../../src/engine/tensor/index.js';
import { type Part, type PartOptions, partsOfRow } from '../../../src/inference/prediction/parts.js';
import type { PredictionSource, SourceRow } from '../../../src/inference/prediction/prediction-source.js';

const folder = mkdtempSync(join(tmpdir(), 'emoq-altered-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Bursts of noise of 2 s with pauses of half a second. */
function recording(seconds: number): string {
  const random = seededRandom('altered parts');
  const path = join(folder, `${seconds}.wav`);
  const isPause = (at: number): boolean => (at / SAMPLE_RATE_HZ) % 2.5 > 2;
  const samples = Float32Array.from({ length: seconds * SAMPLE_RATE_HZ }, (_, at) =>
    isPause(at) ? 0 : 0.1 * random.normal(),
  );
  writeFileSync(path, encodeWav(samples, SAMPLE_RATE_HZ));
  return path;
}

const source: PredictionSource = {
  ...{ columns: ['path'], decimalComma: false, namesFiles: true, notes: [], files: fileFinder('.') },
  async *read() {},
};
const options: PartOptions = {
  ...{ pathColumn: 'path', textColumn: '', speakerColumn: '' },
  ...{ needsAudio: true, maxAudioSec: 30, windows: 'auto' },
};

type Readable = Extract<Part, { kind: 'readable' }>;

async function partsOf(path: string, alteration?: SourceRow['alteration']): Promise<Readable[]> {
  const row: SourceRow = { index: 0, line: 1, fields: { path }, ...(alteration && { alteration }) };
  const parts: Readable[] = [];
  for await (const part of partsOfRow(row, source, options, new AbortController().signal)) {
    if (part.kind === 'failed') throw new Error(part.error);
    if (part.kind === 'readable') parts.push(part);
  }
  return parts;
}

const by = (factor: number): SourceRow['alteration'] => ({
  ...{ key: String(factor), speed: 1 },
  apply: async (samples, most) => samples.subarray(0, most).map((value) => factor * value),
});

describe('a recording that is altered', () => {
  it.each([4, 47])('by nothing has the parts that it has: %d s', async (seconds) => {
    const path = recording(seconds);
    const [plain, altered] = [await partsOf(path), await partsOf(path, by(1))];
    expect(altered.length).toBe(seconds > 30 ? 4 : 1);
    expect(altered).toEqual(plain);
  });

  it.each([4, 47])('is altered in all of its parts: %d s', async (seconds) => {
    const path = recording(seconds);
    const [plain, altered] = [await partsOf(path), await partsOf(path, by(0.5))];
    expect(altered.map(({ startSec }) => startSec)).toEqual(plain.map(({ startSec }) => startSec));
    for (const [index, { samples }] of altered.entries()) {
      expect(samples).toEqual(plain[index]!.samples!.map((value) => 0.5 * value));
    }
  });
});
