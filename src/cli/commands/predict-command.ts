/** @file `emoq predict`: predicts the emotion of every recording in a CSV. */

import { ExitCode, InputError, isSameFile, userTarget } from '../../base/index.js';
import type { RunFolder } from '../../training/runs/index.js';
import {
  channelOfOption,
  channelOption,
  choice,
  defineCommand,
  deviceOption,
  devicesOption,
  type OptionsOf,
  option,
  precisionOption,
  threadsOption,
} from '../command-definition.js';
import { withInterrupts } from '../interrupt.js';
import { type Progress, startProgress } from '../progress.js';
import { printResult, warn } from '../terminal-output.js';

const options = {
  output: option('<file>', 'output file; - is stdout', { short: 'o', required: true }),
  run: option('<folder>', 'the run or experiment whose model predicts (stage 2 if there is one)', {
    required: true,
  }),
  pathColumn: option('<name>', 'column of audio paths, relative to the CSV', { default: 'path' }),
  textColumn: option('<name>', 'column of transcripts', { default: 'text' }),
  speakerColumn: option('<name>', 'column of speakers', { default: 'speaker' }),
  format: choice('<format>', 'default: from the extension of the output', ['csv', 'jsonl']),
  channel: channelOption,
  device: deviceOption,
  devices: devicesOption('share the recordings among these devices'),
  threads: threadsOption(),
  precision: precisionOption,
};

type PredictOptions = OptionsOf<typeof options>;

export const predictCommand = defineCommand({
  usage: '[options] <input.csv>',
  argument: {
    name: '<input.csv...>',
    description: 'a CSV of audio paths; text, speaker, gender and channel if known',
  },
  options,
  help: `
Writes label and probabilities for every row. If a row cannot be predicted, its
column error gives the reason, and the other rows continue. The column note has
remarks on the recording: only its beginning used, silent, clipped.
A column channel (1, 2, ... or mix) takes precedence over --channel. The exit
code is 1 if no row could be predicted.

Example:
  emoq predict calls.csv -o emotions.csv --run runs/toy4`,
  run: predict,
});

async function predict(options: PredictOptions, input: string, ...more: string[]): Promise<void> {
  const { adviceForSeveral, givesParts } = await import('../../data/tables/index.js');
  const { predictionFormatOf } = await import('../../evaluation/index.js');
  const { findRun, OPTIONAL_COLUMNS, openTrainedModel, predictRecordings, readRecordings } = await import(
    '../../inference/index.js'
  );
  const { systemOf } = await import('../../systems/index.js');
  const { cutTo } = await import('../../training/index.js');
  const { runRecipe } = await import('../../training/runs/index.js');
  const { warnUnfinished, withCompute } = await import('./experiment-options.js');
  if (more.length > 0) {
    const use = { what: 'CSV file', columns: [options.pathColumn], recordings: options.pathColumn };
    throw new InputError(adviceForSeveral([input, ...more], use));
  }
  const {
    output,
    pathColumn,
    textColumn,
    speakerColumn,
    threads,
    precision,
    format = predictionFormatOf(output),
  } = options;
  const folder = await findRun(options.run);
  const channel = await channelOfOption(options.channel);
  const columns = { pathColumn, textColumn, speakerColumn };
  const isOfText = await runRecipe(folder).then((recipe) => !systemOf(recipe).views(recipe).audio);
  const table = await readRecordings({ input, output, ...columns }, !isOfText);
  await refuseRunFiles(output, folder);
  if (!isOfText && givesParts(table)) {
    warn('start and end are ignored: whole recordings are predicted (emoq prepare-csv cuts out parts)');
  }
  const { failed, rows, textless, cutTexts, limit, noted, needsText, genderless, needsGender } =
    await withInterrupts('finishing the current rows', (stop) =>
      withCompute(options.devices ?? options.device, stop, { threads, precision }, async (compute) => {
        const trained = await openTrainedModel(folder, compute);
        warnUnfinished(folder, trained.metadata);
        let progress: Progress | undefined;
        const onProgress = (done: number, total: number): void => {
          progress ??= startProgress({ label: 'predicting', unit: 'rows' });
          progress.update(done, total);
        };
        try {
          const job = { input, output, format, ...columns, channel, compute, onProgress };
          const needsText = systemOf(trained.recipe).views(trained.recipe).text;
          const needsGender = trained.phase.readsGender;
          const limit = trained.phase.textLimit;
          return { ...(await predictRecordings(trained, table, job)), needsText, limit, needsGender };
        } finally {
          progress?.finish();
          await trained.close();
        }
      }),
    );
  if (failed > 0) warn(`${failed} of ${rows} rows could not be predicted; see the column "error"`);
  if (failed === rows) process.exitCode = ExitCode.failed;
  if (!needsText && textColumn !== OPTIONAL_COLUMNS.text) {
    warn(`--text-column ${textColumn} is not used: the model was trained on audio only`);
  }
  if (needsText && textless > 0) {
    warn(`${textless} of ${rows} rows have no transcript, but the model was trained with transcripts`);
  }
  if (cutTexts > 0 && limit) {
    warn(`${cutTexts} of ${rows} transcripts were ${cutTo(limit)}, as in training`);
  }
  if (needsGender && genderless > 0) {
    warn(`${genderless} of ${rows} rows have no gender, but the model's prompt was trained with it`);
  }
  if (noted !== '') warn(`audio of ${rows} rows: ${noted}; see the column "note"`);
  // Nothing else is printed after rows on stdout.
  if ((await userTarget(output)).kind === 'file') printResult(output);
}

/** @throws InputError if the output is a file of the run itself, or the manifest it was trained on */
async function refuseRunFiles(output: string, folder: RunFolder): Promise<void> {
  if (output === '-') return;
  const { readMetadata, runFiles } = await import('../../training/runs/index.js');
  const metadata = await readMetadata(folder);
  for (const file of [...runFiles(folder), ...(metadata ? [metadata.manifest.path] : [])]) {
    if (!(await isSameFile(file, output))) continue;
    const whose = file === metadata?.manifest.path ? 'the manifest of the run' : `${file}, of the run itself`;
    throw new InputError(`output ${output} is ${whose}; name another file with -o`);
  }
}
