/** @file Tables of integers whose columns are picked on the host. */

import { expect, it } from 'vitest';
import {
  addInput,
  addOutput,
  createGraph,
  expand,
  gather,
  hostColumn,
  hostEntries,
  hostTable,
  loop,
  scalar,
  sizeOf,
} from '../../src/engine/onnx/index.js';
import { int64 } from '../../src/engine/tensor/index.js';
import { run } from './onnx-operators.js';

it('a column of a table is what it was made of, and can be a shape', async () => {
  const graph = createGraph('columns');
  const table = hostTable(addInput(graph, 'table', 'int64', [3, 'K']));
  const count = sizeOf(addInput(graph, 'counter', 'int64', ['K']), 0);
  const { collected } = loop(count, 'K', [], (body, iteration) => {
    const column = hostColumn(table, iteration);
    const sizes = hostEntries(column, [2, 1]);
    const ones = expand(scalar(body, 1), sizes, ['a', 'b']);
    return {
      states: [],
      collected: [
        { name: 'column', value: column },
        { name: 'count', value: sizeOf(ones, 0) },
      ],
    };
  });
  collected.forEach((value, index) => {
    addOutput(graph, value, `out_${index}`);
  });
  const feeds = { table: int64([3, 2], [0, 0, 5, 6, 7, 0]), counter: int64([2], [0, 0]) };
  expect(await run(graph, feeds)).toEqual({
    out_0: int64([2, 3], [0, 5, 7, 0, 6, 0]),
    out_1: int64([2], [7, 0]),
  });
});

it('a column of several axes is a table again', async () => {
  const graph = createGraph('tables');
  const table = hostTable(addInput(graph, 'table', 'int64', [2, 3, 2]));
  const inner = gather(table, scalar(graph, 1, 'int64'), -1);
  addOutput(graph, hostColumn(inner, scalar(graph, 2, 'int64')), 'column');
  const numbers = Array.from({ length: 12 }, (_, index) => (index < 6 ? 0 : index));
  expect(await run(graph, { table: int64([2, 3, 2], numbers) })).toEqual({ column: int64([2], [0, 11]) });
});
