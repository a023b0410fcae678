/** @file Several progress displays at the bottom of one terminal. */

import { expect, it } from 'vitest';
import { sharedScreen } from '../../src/cli/progress.js';

it('each has its line, in the order of their beginning, and takes it away alone', () => {
  const shown: string[] = [];
  const lasting: string[] = [];
  const next = sharedScreen({
    isTerminal: true,
    status: (text) => void shown.push(text),
    line: (text) => void lasting.push(text),
    nowSec: () => 0,
  });
  const [first, second] = [next(), next()];
  second.status('b 1');
  first.status('a 1');
  second.status('b 2');
  first.status('');
  next().status('c 1');
  second.line('b is done');
  expect(shown).toEqual(['b 1', 'a 1\nb 1', 'a 1\nb 2', 'b 2', 'b 2\nc 1']);
  expect(lasting).toEqual(['b is done']);
});
