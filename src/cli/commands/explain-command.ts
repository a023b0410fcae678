/** @file `emoq explain`: shows what the Former of a run attends to in one utterance. */

import { InputError, isSameFile, userTarget } from '../../base/index.js';
import {
  backboneOption,
  backboneOverrides,
  choice,
  defineCommand,
  deviceOption,
  type OptionsOf,
  option,
  precisionOption,
  threadsOption,
  wholeNumber,
} from '../command-definition.js';
import { withInterrupts } from '../interrupt.js';
import { printResult, warn } from '../terminal-output.js';
import { parseStage } from './eval-options.js';

const options = {
  run: option('<folder>', 'the run or experiment (stage 2 if there is one)', { required: true }),
  id: option('<id>', "the utterance, of any part of the run's corpus", { required: true }),
  output: option('<file>', 'output file; - is stdout (default with --format json)', { short: 'o' }),
  format: choice('<format>', 'default: from the extension of the output, else html', ['html', 'json']),
  stage: option('<n>', 'the run of this stage (default: 2)', { parse: parseStage }),
  fold: option('<n>', 'the run of this fold of a cross-validation', { parse: wholeNumber(1) }),
  manifest: option('<file>', 'the manifest that the run was trained on, if it was moved'),
  backbone: backboneOption,
  device: deviceOption,
  threads: threadsOption(),
  precision: precisionOption,
};

type ExplainOptions = OptionsOf<typeof options>;

export const explainCommand = defineCommand({
  options,
  missing: ({ output, format }) => (output === undefined && format !== 'json' ? ['--output <file>'] : []),
  help: `
Writes one HTML file that needs no network: the waveform and the words of an
utterance, coloured by the attention that the queries of the EmoQ-Former pay to
them, a map of queries by frames, the probabilities, and the label. With json,
all weights as numbers, with the times of the frames in seconds.

Attention says from where the queries took values, not why the model gave its
answer; the page says more about that. A run without an EmoQ-Former has none.

Example:
  emoq explain --run runs/toy4 --id toy_00003 -o attention.html`,
  run: explain,
});

async function explain(options: ExplainOptions): Promise<void> {
  const { run, id, stage, fold, manifest, backbone, device, threads, precision } = options;
  const { output = '-' } = options;
  const format = options.format ?? (/\.json$/i.test(output) ? 'json' : 'html');
  const { explainUtterance, findExplained, findRun, unfinishedWarning } = await import(
    '../../inference/index.js'
  );
  const { explanationJson, renderExplanation } = await import('../../report/index.js');
  const { readMetadata } = await import('../../training/runs/index.js');
  const { writeOutput } = await import('../../base/index.js');
  const { withCompute } = await import('./experiment-options.js');
  const target = await userTarget(output, '--output');
  const folder = await findRun(run, stage, fold);
  const overrides = backboneOverrides(backbone);
  const found = await findExplained(folder, id, { manifest, overrides });
  const sources = [folder.metadata, folder.checkpoint, found.manifestPath, found.utterance.path];
  for (const file of sources.filter((path) => path !== '')) {
    if (target.kind === 'stream' || !(await isSameFile(file, target.path))) continue;
    throw new InputError(`output ${output} is ${file}, which is read; name another with --output`);
  }
  const metadata = await readMetadata(folder);
  const unfinished = metadata && unfinishedWarning(folder, metadata);
  if (unfinished !== undefined) warn(unfinished);
  const explanation = await withInterrupts('stopping', (stop) =>
    withCompute(device, stop, { threads, precision, backbone }, (compute) =>
      explainUtterance(folder, found, compute),
    ),
  );
  const text = format === 'json' ? explanationJson(explanation) : renderExplanation(explanation);
  if (options.output === undefined) return printResult(text);
  await writeOutput(output, text);
  if (target.kind === 'file') printResult(output); // nothing else is printed after a page on stdout
}
