/** @file What onnxruntime's own profile of a session says: how long each node of a run took. */

import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Matrix products, as they are written and as onnxruntime fuses them. */
const PRODUCTS = ['Gemm', 'MatMul', 'FusedMatMul'];

/** The events of the only profile in a folder; the session writes it when it is disposed of. */
export async function readProfile(folder) {
  const [name] = await readdir(folder);
  return JSON.parse(await readFile(join(folder, name), 'utf8'));
}

/** Matrix products' share of the time of all nodes in the last run. */
export function shareOfProducts(events) {
  const run = events.findLast(({ name }) => name === 'model_run');
  const seconds = { products: 0, all: 0 };
  for (const { name, cat, ts, dur, args } of events) {
    if (cat !== 'Node' || !name.endsWith('_kernel_time') || ts < run.ts || ts > run.ts + run.dur) continue;
    if (args.op_name === 'Loop') continue; // its time is that of the nodes inside
    seconds.all += dur / 1e6;
    if (PRODUCTS.includes(args.op_name)) seconds.products += dur / 1e6;
  }
  return seconds.products / seconds.all;
}
