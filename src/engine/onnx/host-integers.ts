/**
 * @file Integers that decide shapes and loop counts. onnxruntime needs them on the host; if a CUDA device had computed
 * them, each would be copied back, and the host would wait for the device each time.
 */

import { cast } from './elementwise.js';
import { addNode, uniqueName, type Value } from './graph.js';
import { gather, int64Vector, shapeOf } from './layout.js';

/**
 * Prepares a table of integers for {@link hostColumn}: int64 [n, ..., columns], a graph input whose columns begin with
 * 0. Its entries become strings, which CUDA has no kernels for, so that columns are picked on the host.
 */
export function hostTable(table: Value): Value {
  return cast(table, 'string');
}

/**
 * Column `index` of a prepared table, without its last axis. Once only one axis is left: int64 [n], on the host.
 *
 * The last axis, since onnxruntime 1.30 copies only the first string of each block that Gather picks along another.
 * @param table from {@link hostTable}, or one of its columns that has several axes left
 */
export function hostColumn(table: Value, index: Value): Value {
  const column = gather(table, index, -1);
  if (column.shape.length !== 1) return column;
  // Read as the shape of an empty tensor. Shape is the operator whose results onnxruntime keeps on the host, with
  // whatever is computed from them.
  const integers = cast(column, 'int64');
  const { graph } = integers;
  const sizes = Array.from({ length: (column.shape[0] as number) - 1 }, () => uniqueName(graph, 'host'));
  const outputs = [{ dtype: 'float32', shape: [0, ...sizes] }] as const;
  return shapeOf(addNode(graph, 'ConstantOfShape', [integers], {}, outputs)[0]!);
}

/** Entries of a column of {@link hostColumn}, on the host: int64 [positions]. */
export function hostEntries(column: Value, positions: readonly number[]): Value {
  return gather(column, int64Vector(column.graph, positions), 0);
}
