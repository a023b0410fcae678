/** @file Reads onnxruntime's profile of a session: the time of each node of a run. */

import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Matrix products, as written and as fused by onnxruntime. */
const PRODUCTS = ['Gemm', 'MatMul', 'FusedMatMul'];

/** The events of the only profile in a folder; the session writes it when disposed. */
export async function readProfile(folder) {
  const [name] = await readdir(folder);
  return JSON.parse(await readFile(join(folder, name), 'utf8'));
}

/** Share of matrix products in the time of all nodes of the last run. */
export function shareOfProducts(events) {
  const run = events.findLast(({ name }) => name === 'model_run');
  const seconds = { products: 0, all: 0 };
  for (const { name, cat, ts, dur, args } of events) {
    if (cat !== 'Node' || !name.endsWith('_kernel_time') || ts < run.ts || ts > run.ts + run.dur) continue;
    if (args.op_name === 'Loop') continue; // its time is that of its inner nodes
    seconds.all += dur / 1e6;
    if (PRODUCTS.includes(args.op_name)) seconds.products += dur / 1e6;
  }
  return seconds.products / seconds.all;
}
