/** @file Principal components, exact neighbours and map layouts, compared with scikit-learn and umap-learn. */

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../src/engine/tensor/index.js';
import { principalComponents } from '../../src/evaluation/statistics/principal-components.js';
import { umapInThread } from '../../src/evaluation/statistics/umap.js';
import { nearestNeighbours, umapLayout } from '../../src/evaluation/statistics/umap-layout.js';

const fixture = JSON.parse(
  readFileSync(new URL('../fixtures/embedding-map.json', import.meta.url), 'utf8'),
) as {
  rows: number;
  width: number;
  labels: number[];
  vectors: number[];
  components: number;
  scores: number[];
  variance_shares: number[];
  neighbours: number;
  plane: number[];
  trustworthiness: { plane: number; umap_learn: number };
};
const { rows, width } = fixture;
const vectors = Float32Array.from(fixture.vectors);
const settings = { neighbours: 15, minDistance: 0.1, seed: 0 };

/** [rows][rows] squared Euclidean distances. */
function squares(points: ArrayLike<number>, axes: number, length = points.length / axes): number[][] {
  return Array.from({ length }, (_, a) =>
    Array.from({ length }, (__, b) => {
      let sum = 0;
      for (let i = 0; i < axes; i++) sum += (points[a * axes + i]! - points[b * axes + i]!) ** 2;
      return sum;
    }),
  );
}

/** Other points of each, the nearest first. */
function ranking(distances: readonly number[][]): number[][] {
  return distances.map((row, own) =>
    [...row.keys()].filter((other) => other !== own).sort((a, b) => row[a]! - row[b]!),
  );
}

/**
 * Venna and Kaski (2001): 1 - 2 / (n k (2n - 3k - 1)) times the sum of excess ranks of points that are neighbours only
 * in the map.
 */
function trustworthiness(truth: readonly number[][], map: ArrayLike<number>, k: number): number {
  const n = truth.length;
  const ranks = ranking(truth);
  const near = ranking(squares(map, 2));
  let penalty = 0;
  for (let row = 0; row < n; row++) {
    for (const other of near[row]!.slice(0, k)) penalty += Math.max(0, ranks[row]!.indexOf(other) + 1 - k);
  }
  return 1 - (2 / (n * k * (2 * n - 3 * k - 1))) * penalty;
}

function unit(values: ArrayLike<number>): Float64Array {
  const result = Float64Array.from(values);
  for (let start = 0; start < result.length; start += width) {
    const row = result.subarray(start, start + width);
    const length = Math.hypot(...row);
    for (let i = 0; i < width; i++) row[i]! /= length;
  }
  return result;
}

describe('principal components', () => {
  it("are scikit-learn's up to sign, with the same shares of the variance", () => {
    const { components, scores, variance_shares } = fixture;
    const found = principalComponents(vectors, rows, width, components);
    expect(found.components).toBe(components);
    for (const [k, share] of found.varianceShares.entries())
      expect(share).toBeCloseTo(variance_shares[k]!, 9);
    for (let k = 0; k < components; k++) {
      const ours = Array.from({ length: rows }, (_, row) => found.scores[row * components + k]!);
      const theirs = Array.from({ length: rows }, (_, row) => scores[row * components + k]!);
      const sign = Math.sign(ours[0]! * theirs[0]!);
      for (const [row, score] of ours.entries()) expect(score).toBeCloseTo(sign * theirs[row]!, 6);
    }
  });

  it('find the plane that wide vectors lie in, with fewer rows than numbers in each', () => {
    const random = seededRandom(3);
    const [a, b] = [0, 1].map(() => Float64Array.from({ length: 300 }, random.normal));
    const inPlane = Float64Array.from({ length: 20 * 300 }, (_, at) => {
      const [row, i] = [Math.floor(at / 300), at % 300];
      return Math.cos(row) * 2 * a![i]! + Math.sin(2 * row) * b![i]! + 5;
    });
    const { components, varianceShares } = principalComponents(inPlane, 20, 300, 50);
    expect(components).toBe(19);
    expect(varianceShares[0]! + varianceShares[1]!).toBeCloseTo(1, 9);
    expect(Math.max(...varianceShares.slice(2))).toBeLessThan(1e-9);
  });

  it('of equal vectors are nothing', () => {
    const { scores, varianceShares } = principalComponents(new Float32Array(60).fill(0.5), 10, 6, 3);
    expect([...scores].every((score) => score === 0)).toBe(true);
    expect(varianceShares).toEqual([0, 0, 0]);
  });
});

describe('nearest neighbours', () => {
  it('are those that sorting all distances gives', () => {
    const points = Float64Array.from(vectors);
    const { indices, distances } = nearestNeighbours(points, rows, width, 7);
    const truth = squares(points, width);
    expect(indices).toEqual(ranking(truth).map((others) => others.slice(0, 7)));
    expect(distances[5]![6]).toBeCloseTo(Math.sqrt(truth[5]![indices[5]![6]!]!), 12);
  });

  it('are the earlier ones among equally near', () => {
    const { indices } = nearestNeighbours(new Float64Array(8), 4, 2, 2);
    expect(indices).toEqual([
      [1, 2],
      [0, 2],
      [0, 1],
      [0, 1],
    ]);
  });
});

describe('the layout', () => {
  const layout = umapLayout(vectors, width, settings);
  const truth = squares(unit(vectors), width);

  it("is as true to the neighbourhoods as umap-learn's, and truer than the two widest components", () => {
    const { neighbours: k, plane, trustworthiness: theirs } = fixture;
    expect(trustworthiness(truth, plane, k)).toBeCloseTo(theirs.plane, 4); // the measure is scikit-learn's
    const ours = trustworthiness(truth, layout.coordinates, k);
    expect(ours).toBeGreaterThan(theirs.plane);
    expect(ours).toBeGreaterThan(theirs.umap_learn - 0.01);
  });

  it('keeps classes apart that are apart', () => {
    const nearest = ranking(squares(layout.coordinates, 2)).map(([first]) => first!);
    const alike = nearest.filter((other, row) => fixture.labels[other] === fixture.labels[row]).length;
    expect(alike / rows).toBeGreaterThan(0.95);
  });

  it('is a function of vectors and seed, whatever the length of the vectors', () => {
    expect(umapLayout(vectors, width, settings)).toEqual(layout);
    expect(umapLayout(vectors, width, { ...settings, seed: 1 }).coordinates).not.toEqual(layout.coordinates);
    const longer = vectors.map((value) => 2 * value);
    expect(umapLayout(longer, width, settings).coordinates).toEqual(layout.coordinates);
  });

  it('says what it was made with', () => {
    expect(layout).toMatchObject({ neighbours: 15, epochs: 500, components: width });
    expect(layout.varianceShare).toBeCloseTo(1, 9);
  });

  it('takes five points, and equal ones; four have none', () => {
    const five = umapLayout(vectors.slice(0, 5 * width), width, settings);
    expect(five.neighbours).toBe(4);
    expect([...five.coordinates].every(Number.isFinite)).toBe(true);
    const equal = umapLayout(new Float32Array(30 * width).fill(1), width, settings);
    expect([...equal.coordinates].every(Number.isFinite)).toBe(true);
    expect(() => umapLayout(vectors.slice(0, 4 * width), width, settings)).toThrow(RangeError);
  });

  it('is the same from a thread, which reports progress', async () => {
    const shares: number[] = [];
    const onProgress = (share: number): void => void shares.push(share);
    expect(await umapInThread({ vectors, width, settings }, { onProgress })).toEqual(layout);
    expect(shares.length).toBeGreaterThan(10);
    expect(shares).toEqual(shares.toSorted((a, b) => a - b));
    expect(shares.at(-1)).toBeCloseTo(1, 2);
  });

  it('stops at once when aborted', async () => {
    const controller = new AbortController();
    const many = Float32Array.from({ length: 20_000 * 8 }, seededRandom(1).normal);
    let share = 0;
    const onProgress = (done: number): void => {
      share = done;
      controller.abort(new Error('enough'));
    };
    const map = umapInThread(
      { vectors: many, width: 8, settings },
      { signal: controller.signal, onProgress },
    );
    await expect(map).rejects.toThrow('enough');
    expect(share).toBeLessThan(0.5);
  });
});
