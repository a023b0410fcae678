/** @file Prints the recorded errors as Markdown, as a summary and in full: `node table.mjs ROWS.jsonl`. */

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { cpus } from 'node:os';

const { version } = createRequire(import.meta.url)('onnxruntime-node/package.json');
const lines = readFileSync(process.argv[2], 'utf8').trim().split('\n');
const rows = lines.map((line) => JSON.parse(line));
const by = (row) => [row.model, row.shape, row.dtype, row.quantity].join('\n');
rows.sort((a, b) => (by(a) < by(b) ? -1 : 1));
const figure = (value) => (value === 0 ? '0' : value.toExponential(1).replace('e-', 'e−'));

const groups = groupByModel(rows);

console.log(`Node ${process.versions.node}, onnxruntime-node ${version}, ${cpus()[0].model.trim()}\n`);
console.log('| model | checks | largest absolute error | largest relative error |');
console.log('|---|---|---|---|');
for (const [model, own] of groups) {
  const [absolute, relative] = ['absolute', 'relative'].map((key) => Math.max(...own.map((row) => row[key])));
  console.log(`| ${model} | ${own.length} | ${figure(absolute)} | ${figure(relative)} |`);
}
console.log('\n| model | shape | dtype | what | absolute | relative |');
console.log('|---|---|---|---|---|---|');
for (const { model, shape, dtype, quantity, absolute, relative } of rows) {
  console.log(`| ${model} | ${shape} | ${dtype} | ${quantity} | ${figure(absolute)} | ${figure(relative)} |`);
}

function groupByModel(all) {
  const byModel = new Map();
  for (const row of all) byModel.set(row.model, [...(byModel.get(row.model) ?? []), row]);
  return byModel;
}
