/** @file `emoq predict` at work. */

import { ExitCode, InputError, isSameFile, userTarget } from '../../base/index.js';
import { adviceForSeveral, givesParts } from '../../data/tables/index.js';
import { predictionFormatOf } from '../../evaluation/index.js';
import {
  findRun,
  OPTIONAL_COLUMNS,
  openTrainedModel,
  predictRecordings,
  readRecordings,
} from '../../inference/index.js';
import { systemOf } from '../../systems/index.js';
import { cutTo } from '../../training/index.js';
import { type RunFolder, readMetadata, runFiles, runRecipe } from '../../training/runs/index.js';
import { withInterrupts } from '../interrupt.js';
import { channelOfOption } from '../options.js';
import { printResult, warn } from '../output.js';
import { type Progress, startProgress } from '../progress.js';
import { warnUnfinished, withCompute } from './compute.js';
import type { PredictOptions } from './predict.js';

export async function run(options: PredictOptions, input: string, ...more: string[]): Promise<void> {
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
  // Where the rows themselves went by, stdout holds nothing else.
  if ((await userTarget(output)).kind === 'file') printResult(output);
}

/** @throws InputError where the output is a file of the run itself, or the manifest that it was trained on */
async function refuseRunFiles(output: string, folder: RunFolder): Promise<void> {
  if (output === '-') return;
  const metadata = await readMetadata(folder);
  for (const file of [...runFiles(folder), ...(metadata ? [metadata.manifest.path] : [])]) {
    if (!(await isSameFile(file, output))) continue;
    const whose = file === metadata?.manifest.path ? 'the manifest of the run' : `${file}, of the run itself`;
    throw new InputError(`output ${output} is ${whose}; name another file with -o`);
  }
}
