/** @file Turns the stub's ledger into figures: launches, products, copies, waits and memory, of a run or of a step. */

import { spawnSync } from 'node:child_process';

/** Figures of one section of the ledger. */
export function figuresOf({ usedBytes, peakBytes, entries }) {
  const total = (kind, label) => {
    const chosen = entries.filter(
      (entry) => entry.kind === kind && (label === undefined || entry.label === label),
    );
    return { count: sum(chosen, 'count'), amount: sum(chosen, 'amount') };
  };
  const copy = (direction) => {
    const { count, amount } = total('copy', direction);
    return { count, bytes: amount };
  };
  return {
    launches: total('launch').count,
    products: total('product').count,
    flop: total('product').amount,
    fills: total('fill').count,
    copies: {
      hostToDevice: copy('host to device'),
      deviceToHost: copy('device to host'),
      deviceToDevice: copy('device to device'),
    },
    waits: { stream: total('wait', 'stream').count, event: total('wait', 'event').count },
    usedBytes,
    peakBytes,
    byKernel: countsOf(entries, 'launch'),
    byProduct: amountsOf(entries, 'product'),
  };
}

const sum = (entries, key) => entries.reduce((result, entry) => result + entry[key], 0);

const countsOf = (entries, kind) =>
  Object.fromEntries(
    entries.filter((entry) => entry.kind === kind).map(({ label, count }) => [label, count]),
  );

const amountsOf = (entries, kind) =>
  Object.fromEntries(
    entries
      .filter((entry) => entry.kind === kind)
      .map(({ label, count, amount }) => [label, { count, flop: amount }]),
  );

/**
 * What one step adds: the difference of a run of K steps and one of a single step, per step. Memory does not divide: of
 * it, the longer run's is given.
 */
export function perStep(longer, shorter, steps) {
  const { usedBytes, peakBytes, ...long } = longer;
  return { ...difference(long, shorter, steps - 1), usedBytes, peakBytes };
}

/** What is left of a run without its steps: feeds and results. */
export function apartFromSteps(run, step, steps) {
  const { usedBytes, peakBytes, byKernel, byProduct, ...rest } = run;
  return difference(rest, multiple(step, steps), 1);
}

function difference(a, b, divisor) {
  const keys = [...new Set([...Object.keys(a), ...Object.keys(b ?? {})])];
  return Object.fromEntries(
    keys
      .filter((key) => !['usedBytes', 'peakBytes'].includes(key))
      .map((key) => [
        key,
        typeof (a[key] ?? b[key]) === 'object'
          ? difference(a[key] ?? {}, b?.[key] ?? {}, divisor)
          : ((a[key] ?? 0) - (b?.[key] ?? 0)) / divisor,
      ]),
  );
}

const multiple = (figures, factor) =>
  Object.fromEntries(
    Object.entries(figures).map(([key, value]) => [
      key,
      typeof value === 'object' ? multiple(value, factor) : value * factor,
    ]),
  );

/** Kernels as people read them: without namespaces, parameters and sizes of blocks. */
export function kernelNames(labels) {
  const { status, stdout } = spawnSync('c++filt', ['-p'], { input: labels.join('\n'), encoding: 'utf8' });
  if (status !== 0) return labels;
  return stdout.split('\n').map((name) =>
    name
      .replace(/^void /, '')
      .replaceAll(/onnxruntime::(?:contrib::)?(?:cuda::)?/g, '')
      .replaceAll(/\(anonymous namespace\)::/g, ''),
  );
}
