/** @file Bounded concurrency, pools, and reading ahead. */

import { describe, expect, it } from 'vitest';
import { createPool, mapConcurrently, readAhead } from '../../src/base/index.js';

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('mapConcurrently', () => {
  it('keeps the order, and never runs more jobs than asked', async () => {
    let running = 0;
    let most = 0;
    const results = await mapConcurrently([5, 1, 4, 2, 3, 0], 3, async (value) => {
      most = Math.max(most, ++running);
      await new Promise((resolve) => setTimeout(resolve, value * 3));
      running--;
      return value * 10;
    });
    expect(results).toEqual([50, 10, 40, 20, 30, 0]);
    expect(most).toBe(3);
  });

  it('waits for what is under way when one fails, and starts nothing more', async () => {
    const started: number[] = [];
    let finished = 0;
    const work = mapConcurrently([0, 1, 2, 3, 4], 2, async (value) => {
      started.push(value);
      if (value === 0) throw new Error('first');
      await new Promise((resolve) => setTimeout(resolve, 10));
      finished++;
    });
    await expect(work).rejects.toThrow('first');
    expect(started).toEqual([0, 1]);
    expect(finished).toBe(1);
  });
});

describe('a pool', () => {
  /** Work that ends when told. */
  function work(): { run: (thing: string) => Promise<string>; end: () => void; fail: () => void } {
    let end = (): void => {};
    let fail = (): void => {};
    const ended = new Promise<void>((resolve, reject) => {
      end = resolve;
      fail = () => reject(new Error('failed'));
    });
    return { run: (thing) => ended.then(() => thing), end: () => end(), fail: () => fail() };
  }

  it('gives each work a thing of its own, and one that failed frees its thing', async () => {
    const pool = createPool(['a', 'b']);
    const works = [work(), work(), work(), work()];
    const [first, second, third, fourth] = works.map(({ run }) => pool.use(run));
    works[1]!.fail();
    await expect(second).rejects.toThrow('failed');
    works[2]!.end();
    expect(await third).toBe('b');
    works[3]!.end();
    expect(await fourth).toBe('b');
    works[0]!.end();
    expect(await first).toBe('a');
    expect(await Promise.all(['x', 'y'].map(() => pool.use(async (thing) => thing)))).toEqual(['b', 'a']);
  });

  it('gives what is preferred, if it is free', async () => {
    const pool = createPool(['a', 'b', 'c']);
    const isB = (thing: string): boolean => thing === 'b';
    const works = [work(), work()];
    const used = works.map(({ run }) => pool.use(run, isB));
    for (const { end } of works) end();
    expect(await Promise.all(used)).toEqual(['b', 'a']);
    expect(await pool.use(async (thing) => thing, isB)).toBe('b');
  });
});

describe('readAhead', () => {
  it('makes the next element while one is used, and no more', async () => {
    const events: string[] = [];
    async function* numbers() {
      for (let number = 0; number < 3; number++) {
        events.push(`made ${number}`);
        yield number;
      }
    }
    for await (const number of readAhead(numbers())) {
      await nextTurn();
      events.push(`used ${number}`);
    }
    expect(events).toEqual(['made 0', 'made 1', 'used 0', 'made 2', 'used 1', 'used 2']);
  });

  it('throws what making an element throws, after the elements before it', async () => {
    async function* numbers() {
      yield 0;
      throw new Error('no more');
    }
    const used: number[] = [];
    const all = (async () => {
      for await (const number of readAhead(numbers())) {
        await nextTurn();
        used.push(number);
      }
    })();
    await expect(all).rejects.toThrow('no more');
    expect(used).toEqual([0]);
  });

  it('ends early without waiting for the element that is being made, and then ends the source', async () => {
    let release!: () => void;
    let isEnded = false;
    async function* numbers() {
      try {
        yield 0;
        await new Promise<void>((resolve) => {
          release = resolve;
        });
        yield 1;
      } finally {
        isEnded = true;
      }
    }
    for await (const _ of readAhead(numbers())) break;
    expect(isEnded).toBe(false);
    release();
    await nextTurn();
    expect(isEnded).toBe(true);
  });
});
