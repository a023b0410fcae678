/** @file The toy corpus from preparation to predictions with the command line, on the device and on the CPU. */

import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { attempt } from '../attempt.mjs';

const emoq = fileURLToPath(new URL('../../../bin/emoq.js', import.meta.url));

/** Runs a command in a folder and returns its seconds. @throws Error with the line that says why */
export async function emoqIn(folder, args) {
  const startedAt = performance.now();
  await promisify(execFile)(process.execPath, [emoq, ...args], { cwd: folder, maxBuffer: 2 ** 28 }).catch(
    (error) => {
      const lines = `${error.stderr ?? ''}`.trim().split('\n');
      const said = lines.findLast((line) => line.includes('error')) ?? lines.at(-1);
      throw new Error(`emoq ${args[0]}: ${said || error.message}`);
    },
  );
  return (performance.now() - startedAt) / 1000;
}

export async function toyCorpus({ deviceName, device, folder: parent, quick }, report) {
  const folder = join(parent, 'toy');
  mkdirSync(folder);
  const size = quick ? ['--speakers', '5', '--utterances', '4'] : [];
  await emoqIn(folder, ['prepare-toy', ...size]);
  const devices = device.kind === 'cpu' ? ['cpu'] : [deviceName, 'cpu'];
  const found = {};
  for (const name of devices) {
    await attempt(report, `toy4 on ${name}`, async () => {
      found[name] = await endToEnd(folder, name, quick);
    });
  }
  for (const name of devices) {
    if (found[name] === undefined) continue;
    const beside = name === 'cpu' ? undefined : found.cpu;
    report({
      kind: 'toy',
      what: `toy4 on ${name}`,
      device: name,
      ...found[name],
      ok: true,
      ...compared(found[name], beside),
    });
  }
}

async function endToEnd(folder, device, quick) {
  const run = `runs/${device.replace(':', '-')}`;
  const common = ['--dataset', 'toy4', '--device', device, '--run', run];
  const epochs = (stage) => (quick ? ['--set', `${stage}.epochs=1`] : []);
  const output = `${run}.jsonl`;
  const stage1Sec = await emoqIn(folder, ['stage1', ...common, ...epochs('stage1')]);
  const stage2Sec = await emoqIn(folder, ['stage2', ...common, ...epochs('stage1'), ...epochs('stage2')]);
  const evalSec = await emoqIn(folder, ['eval', '--run', run, '--device', device, '--resamples', '0']);
  const predictSec = await emoqIn(folder, [
    'predict',
    'data/toy4/manifest.csv',
    '-o',
    output,
    '--run',
    run,
    '--device',
    device,
  ]);
  const lossesOf = (stage) =>
    linesOf(join(folder, run, stage, 'metrics.jsonl')).flatMap(({ loss }) =>
      loss === undefined ? [] : [loss],
    );
  const { wa, ua, wf1 } = JSON.parse(readFileSync(join(folder, run, 'stage2', 'results.json'), 'utf8'));
  return {
    seconds: { stage1: stage1Sec, stage2: stage2Sec, eval: evalSec, predict: predictSec },
    losses: { stage1: endsOf(lossesOf('stage1')), stage2: endsOf(lossesOf('stage2')) },
    metrics: { wa, ua, wf1 },
    predictions: predictionsIn(join(folder, output)),
  };
}

const linesOf = (path) =>
  existsSync(path)
    ? readFileSync(path, 'utf8')
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line))
    : [];

const endsOf = (losses) => ({ steps: losses.length, first: losses[0], last: losses.at(-1) });

/** The probabilities of each row. */
function predictionsIn(path) {
  return linesOf(path).map((row) =>
    Object.entries(row).flatMap(([name, value]) => (name.startsWith('prob_') ? [value] : [])),
  );
}

/** How far the predictions of two devices are apart; their trainings went apart before. */
function compared({ predictions }, beside) {
  const rows = predictions.length;
  if (beside === undefined) return { predictions: rows };
  const best = (row) => row.indexOf(Math.max(...row));
  const same = predictions.filter((row, i) => best(row) === best(beside.predictions[i])).length;
  return { predictions: rows, sameLabels: same / rows, beside: { ...beside, predictions: undefined } };
}
