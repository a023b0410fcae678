/** @file `emoq predict`: names the emotion of every recording in a CSV. */

import { ExitCode, InputError, isSameFile, userTarget } from '../../base/index.js';
import type { RunFolder } from '../../training/runs/index.js';
import {
  channelOfOption,
  channelOption,
  choice,
  defineCommand,
  deviceOption,
  type OptionsOf,
  option,
  threadsOption,
} from '../command-definition.js';
import { withInterrupts } from '../interrupt.js';
import { type Progress, startProgress } from '../progress.js';
import { printResult, warn } from '../terminal-output.js';

const options = {
  output: option('<file>', 'where the predictions go; - is stdout', { short: 'o', required: true }),
  run: option('<folder>', 'the run or experiment whose model predicts (stage 2 where there is one)', {
    required: true,
  }),
  pathColumn: option('<name>', 'column of audio paths, relative to the CSV', { default: 'path' }),
  textColumn: option('<name>', 'column of transcripts', { default: 'text' }),
  speakerColumn: option('<name>', 'column of speakers', { default: 'speaker' }),
  format: choice('<format>', 'default: by the name of the output', ['csv', 'jsonl']),
  channel: channelOption,
  device: deviceOption,
  threads: threadsOption(),
};

type PredictOptions = OptionsOf<typeof options>;

export const predictCommand = defineCommand({
  usage: '[options] <input.csv>',
  argument: {
    name: '<input.csv...>',
    description: 'a CSV of audio paths; text, speaker, gender and channel where known',
  },
  options,
  help: `
Writes label and probabilities for every row. A row that cannot be predicted
says why in the column error, and the others go on. The column note says what
should be known of a recording: judged on its beginning, silent, clipped.
A column channel (1, 2, ... or mix) goes before --channel. Exit
code 1 where no row at all could be predicted.

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
    format = predictionFormatOf(output),
  } = options;
  const folder = await findRun(options.run);
  const channel = await channelOfOption(options.channel);
  const columns = { pathColumn, textColumn, speakerColumn };
  const isOfText = await runRecipe(folder).then((recipe) => !systemOf(recipe).views(recipe).audio);
  const table = await readRecordings({ input, output, ...columns }, !isOfText);
  await refuseRunFiles(output, folder);
  if (!isOfText && givesParts(table)) {
    warn('start and end are not read: whole recordings are judged (emoq prepare-csv cuts parts out)');
  }
  const { failed, rows, textless, cutTexts, limit, noted, needsText, genderless, needsGender } =
    await withInterrupts('finishing the rows in hand', (stop) =>
      withCompute(options.device, stop, async (device) => {
        const compute = { ...device, ...(threads !== undefined && { threads }) };
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
  if (failed > 0) warn(`${failed} of ${rows} rows could not be predicted; the column "error" says why`);
  if (failed === rows) process.exitCode = ExitCode.failed;
  if (!needsText && textColumn !== OPTIONAL_COLUMNS.text) {
    warn(`--text-column ${textColumn} is not used: the model was trained on the voice alone`);
  }
  if (needsText && textless > 0) {
    warn(`${textless} of ${rows} rows have no transcript, which the model was trained with`);
  }
  if (cutTexts > 0 && limit) {
    warn(`${cutTexts} of ${rows} transcripts were ${cutTo(limit)}, as in training`);
  }
  if (needsGender && genderless > 0) {
    warn(`${genderless} of ${rows} rows have no gender, which the model's prompt was trained with`);
  }
  if (noted !== '') warn(`audio of ${rows} rows: ${noted}; the column "note" says more`);
  // Rows that were written to stdout are not followed by anything else.
  if ((await userTarget(output)).kind === 'file') printResult(output);
}

/** @throws InputError where the output is a file of the run itself, or the manifest that it was trained on */
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
