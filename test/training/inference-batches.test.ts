/** @file The batches of inference: the cheapest of all divisions, by the arithmetic of a phase's own graph. */

import { describe, expect, it } from 'vitest';
import { gemm } from '../../src/engine/onnx/index.js';
import type { Example, Phase } from '../../src/systems/index.js';
import { cheapestBatches, cheapestDivision, evenBatches } from '../../src/training/inference-batches.js';

const COSTS = { text: 1, prompt: 3 };
type Lengths = { readonly text: number; readonly prompt: number };

/** What a division costs, with `perRun` for each batch. */
function costOf(
  batches: readonly (readonly number[])[],
  examples: readonly Lengths[],
  perRun: number,
): number {
  return batches.reduce((total, batch) => {
    const most = (symbol: keyof Lengths) => Math.max(...batch.map((index) => examples[index]![symbol]));
    return total + perRun + batch.length * (most('text') + 3 * most('prompt'));
  }, 0);
}

/** All divisions of a list into consecutive parts of at most `most`. */
function divisions(order: readonly number[], most: number): number[][][] {
  if (order.length === 0) return [[]];
  return [...Array(Math.min(most, order.length)).keys()].flatMap((index) =>
    divisions(order.slice(index + 1), most).map((rest) => [order.slice(0, index + 1), ...rest]),
  );
}

describe('the cheapest batches', () => {
  it('cost as little as any division of the sorted examples', () => {
    let state = 7;
    const random = (limit: number): number => {
      state = (state * 1103515245 + 12345) % 2 ** 31;
      return 1 + (state % limit);
    };
    for (const perRun of [0, 20, 200, 5000]) {
      const examples = Array.from({ length: 9 }, () => ({ text: random(30), prompt: random(80) }));
      const found = cheapestDivision(examples, COSTS, 4, perRun);
      expect(found.flat().sort((a, b) => a - b)).toEqual([...examples.keys()]);
      expect(Math.max(...found.map(({ length }) => length))).toBeLessThanOrEqual(4);
      const own = (index: number) => examples[index]!.text + 3 * examples[index]!.prompt;
      const order = [...examples.keys()].sort((a, b) => own(a) - own(b));
      const least = Math.min(...divisions(order, 4).map((batches) => costOf(batches, examples, perRun)));
      expect(costOf(found, examples, perRun)).toBe(least);
    }
  });

  it('are full where examples are alike, and single where runs cost nothing', () => {
    const alike = Array.from({ length: 10 }, () => ({ text: 5, prompt: 40 }));
    expect(
      cheapestDivision(alike, COSTS, 4, 100)
        .map(({ length }) => length)
        .sort(),
    ).toEqual([2, 4, 4]);
    const unlike = [90, 10, 50].map((prompt) => ({ text: 5, prompt }));
    expect(cheapestDivision(unlike, COSTS, 4, 0)).toEqual([[1], [2], [0]]);
    expect(cheapestDivision(unlike, COSTS, 4, 1e6)).toEqual([[1, 2, 0]]);
    // A linear probe has no products whose size depends on the clip: nothing costs anything.
    expect(cheapestDivision(unlike, { text: 0, prompt: 0 }, 4, 0)).toHaveLength(1);
  });

  it('know what a token costs from the graph of the phase', () => {
    const [WIDTH, WIDE] = [8, 80];
    const phase = {
      ...{ name: 'products', parameters: { trainable: [], frozen: [] }, isTrainable: () => false },
      inputs: [
        { name: 'few', dtype: 'float32', shape: ['text', WIDTH] },
        { name: 'many', dtype: 'float32', shape: ['prompt', WIDTH] },
      ],
      forward: (weights: (key: string, shape: number[]) => never, batch: Record<string, never>) => ({
        embedding: gemm(batch.few!, weights('a', [WIDTH, WIDTH]), undefined, { transB: true }),
        probabilities: gemm(batch.many!, weights('b', [WIDE, WIDTH]), undefined, { transB: true }),
      }),
      estimate: () => ({ inputs: {}, targets: {} }),
      sizesOf: ({ inputs }: Example['lengths']) => ({ ...inputs }),
    } as unknown as Phase;
    const sized = { ...phase, estimate: () => ({ inputs: { text: 1, prompt: 1 }, targets: {} }) };
    const example = (text: number, prompt: number): Example => ({
      ...{ id: '', path: '', label: 0 },
      lengths: { inputs: { text, prompt }, targets: {} },
    });
    const divide = (...examples: Example[]) =>
      cheapestBatches(sized as Phase, { most: 8, runTokens: 4 })(examples, { frames: () => 0 });
    // A token of `prompt` costs ten times what one of `text` does: 30 of `text` pad for less than a run, 5 do not.
    expect(divide(example(1, 9), example(31, 9))).toEqual([[0, 1]]);
    expect(divide(example(9, 1), example(9, 6))).toEqual([[0], [1]]);
    expect(divide(example(1, 9))).toEqual([[0]]);
  });
});

describe('even batches', () => {
  it('have one size, and examples of similar length', () => {
    const lengths = [5, 1, 4, 2, 3];
    const examples = lengths.map(
      (prompt, index): Example => ({
        ...{ id: String(index), path: '', label: 0 },
        lengths: { inputs: { prompt }, targets: {} },
      }),
    );
    const batches = evenBatches(2)(examples, { frames: (id) => (id === '1' ? 9 : 0) });
    expect(batches).toEqual([[3, 4], [2, 0], [1]]);
  });
});
