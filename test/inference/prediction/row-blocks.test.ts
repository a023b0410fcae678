/** @file Shards and blocks of rows: complete, in order, and the same wherever reading begins. */

import { describe, expect, it } from 'vitest';
import {
  type PredictionSource,
  rowBlocks,
  shardRange,
} from '../../../src/inference/prediction/prediction-source.js';

const sizes = [0, 1, 2, 3, 7, 31, 32, 63, 64, 65, 127, 128, 200, 511, 1000, 4097];

describe('shards', () => {
  it.each(sizes)('of %i rows are all of them, in order, of nearly equal size', (rows) => {
    for (const count of [1, 2, 3, 5, 8, 64]) {
      const ranges = Array.from({ length: count }, (_, i) => shardRange(rows, i + 1, count));
      let next = 0;
      for (const { first, end } of ranges) {
        expect(first).toBe(next);
        expect(end).toBeGreaterThanOrEqual(first);
        expect(Math.abs(end - first - rows / count)).toBeLessThanOrEqual(rows >= 64 * count ? 32 : 1);
        if (rows >= 64 * count) expect(first % 32).toBe(0);
        next = end;
      }
      expect(next).toBe(rows);
    }
  });
});

/** Rows that come a few at a time. */
function sourceOf(rows: number, perBlock: number, isLive = false): PredictionSource {
  return {
    ...{
      columns: ['path'],
      decimalComma: false,
      namesFiles: true,
      notes: [],
      files: { find: async (path) => path },
    },
    ...(!isLive && { identity: { kind: 'table' as const, sha256: '', rows } }),
    async *read() {
      for (let start = 0; start < rows; start += perBlock) {
        const count = Math.min(perBlock, rows - start);
        yield Array.from({ length: count }, (_, i) => ({
          index: start + i,
          line: start + i + 2,
          fields: {},
        }));
      }
    },
  };
}

async function blocksOf(source: PredictionSource, size: number, first: number, end: number, from: number) {
  const blocks: number[][] = [];
  for await (const block of rowBlocks(source, size, { first, end }, from)) {
    blocks.push(block.map(({ index }) => index));
  }
  return blocks;
}

describe('blocks', () => {
  it('end at the same rows wherever reading begins', async () => {
    for (const perBlock of [1, 3, 10, 500]) {
      const source = sourceOf(100, perBlock);
      const all = await blocksOf(source, 8, 5, 90, 5);
      expect(all.flat()).toEqual(Array.from({ length: 85 }, (_, i) => i + 5));
      expect(all.every((block, i) => block.length === 8 || i === all.length - 1)).toBe(true);
      for (let from = 5; from < 90; from++) {
        const rest = await blocksOf(source, 8, 5, 90, from);
        expect(rest).toEqual(
          all.map((block) => block.filter((index) => index >= from)).filter((block) => block.length > 0),
        );
      }
    }
  });

  it('of rows that cannot be read again do not wait for more', async () => {
    const blocks = await blocksOf(sourceOf(20, 3, true), 8, 0, Number.POSITIVE_INFINITY, 0);
    expect(blocks.map(({ length }) => length)).toEqual([3, 3, 2, 1, 3, 3, 1, 2, 2]);
  });
});
