/** @file Symbolic sizes: canonical text, arithmetic, values, broadcasting. */

import { describe, expect, it } from 'vitest';
import {
  addDims,
  broadcastShapes,
  type Dim,
  evaluateDim,
  floorDivideDim,
  multiplyDims,
  productOfDims,
} from '../../src/engine/onnx/index.js';
import { seededRandom } from '../../src/engine/tensor/index.js';

describe('symbolic sizes', () => {
  it.each([
    [addDims('L', 32), 'L + 32'],
    [addDims(32, 'L'), 'L + 32'],
    [addDims('L', -1), 'L - 1'],
    [addDims(addDims('L', 3), -3), 'L'],
    [addDims('L', multiplyDims(-1, 'L')), 0],
    [multiplyDims('N', 'L'), 'L*N'],
    [multiplyDims('L', 'N'), 'L*N'],
    [multiplyDims(8, addDims('N', 'L')), '8*L + 8*N'],
    [multiplyDims(addDims('L', 1), addDims('L', -1)), 'L*L - 1'],
    [multiplyDims(-2, 'L'), '-2*L'],
    [multiplyDims(0, 'L'), 0],
    [productOfDims([]), 1],
    [productOfDims(['N', 12, 'L', 64]), '768*L*N'],
    [floorDivideDim(17, 5), 3],
    [floorDivideDim(-1, 2), -1],
    [floorDivideDim('768*L*N', 64), '12*L*N'],
    [floorDivideDim(addDims('T', -10), 5), 'floor((T - 10)/5)'],
    [addDims(floorDivideDim(addDims('T', -10), 5), 1), 'floor((T - 10)/5) + 1'],
    [floorDivideDim('T', 1), 'T'],
  ])('%s is written %s', (dim, text) => {
    expect(dim).toBe(text);
  });
  it('are equal where the arithmetic is, whatever its order', () => {
    const random = seededRandom('dims');
    for (let round = 0; round < 50; round++) {
      const parts = random.shuffle(['N', 'L', 2, addDims('L', 3), multiplyDims('N', 5), 7]);
      const again = random.shuffle([...parts]);
      expect(productOfDims(parts)).toBe(productOfDims(again));
      expect(parts.reduce<Dim>(addDims, 0)).toBe(again.reduce<Dim>(addDims, 0));
    }
  });
  it('evaluate to what the arithmetic gives', () => {
    const random = seededRandom('dims', 'values');
    for (let round = 0; round < 50; round++) {
      const [N, L] = [random.integer(9), random.integer(99)];
      const dim = addDims(multiplyDims(addDims('L', -3), addDims('N', multiplyDims(2, 'L'))), 5);
      expect(evaluateDim(dim, { N, L })).toBe((L - 3) * (N + 2 * L) + 5);
      const frames = addDims(floorDivideDim(addDims(multiplyDims('L', 7), -10), 5), 1);
      const twice = floorDivideDim(addDims(frames, -3), 2);
      expect(evaluateDim(frames, { L })).toBe(Math.floor((7 * L - 10) / 5) + 1);
      expect(evaluateDim(multiplyDims(twice, twice), { L })).toBe(
        Math.floor((Math.floor((7 * L - 10) / 5) + 1 - 3) / 2) ** 2,
      );
    }
  });
  it('have no value without a binding', () => {
    expect(() => evaluateDim(addDims('L', 'M'), { L: 3 })).toThrow('dimension M has no value');
  });
  it('refuse text that only looks like a name', () => {
    for (const text of ['2*Q', 'Q + 32', '-Q', '', 'Q Q', 'floor(Q)']) {
      expect(() => addDims(text, 1)).toThrow(`"${text}" is not a plain name`);
    }
    expect(addDims('text.length_2', 1)).toBe('text.length_2 + 1');
  });
  it('broadcast by text', () => {
    expect(broadcastShapes(['N', 1, 3], ['L', 1])).toEqual(['N', 'L', 3]);
    expect(broadcastShapes([], ['L'])).toEqual(['L']);
    expect(() => broadcastShapes(['N', 'L'], ['N', 'M'])).toThrow(
      'shapes [N, L] and [N, M] do not broadcast at axis 1',
    );
    expect(() => broadcastShapes([2], ['N'])).toThrow('do not broadcast');
  });
});
