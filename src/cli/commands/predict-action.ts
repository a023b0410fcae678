/** @file `emoq predict` at work. */

import { InputError } from '../../base/index.js';
import { adviceForSeveral, givesParts } from '../../data/tables/index.js';
import { predictionFormatOf } from '../../evaluate/index.js';
import { findRun, openTrainedModel, predictRecordings, readRecordings } from '../../predict/index.js';
import { loadRecipe } from '../../recipe/index.js';
import { withInterrupts } from '../interrupt.js';
import { printResult, warn } from '../output.js';
import { type Progress, startProgress } from '../progress.js';
import { warnUnfinished, withCompute } from './compute.js';
import type { PredictOptions } from './predict.js';

export async function run(options: PredictOptions, input: string, ...more: string[]): Promise<void> {
  if (more.length > 0) {
    const use = { what: 'CSV file', columns: [options.pathColumn], recordings: options.pathColumn };
    throw new InputError(adviceForSeveral([input, ...more], use));
  }
  const { output, pathColumn, textColumn, speakerColumn, format = predictionFormatOf(output) } = options;
  const folder = await findRun(options.run);
  const columns = { pathColumn, textColumn, speakerColumn };
  const isOfText = await loadRecipe({ path: folder.recipe }).then(({ inputs }) => inputs === 'text');
  const table = await readRecordings({ input, output, ...columns }, !isOfText);
  if (!isOfText && givesParts(table)) {
    warn('start and end are not read: whole recordings are judged (emoq prepare-csv cuts parts out)');
  }
  const { failed, rows, textless, needsText } = await withInterrupts('finishing the rows in hand', (stop) =>
    withCompute(options.device, stop, async (compute) => {
      const trained = await openTrainedModel(folder, compute);
      warnUnfinished(folder, trained.facts);
      let progress: Progress | undefined;
      const onProgress = (done: number, total: number): void => {
        progress ??= startProgress({ label: 'predicting', unit: 'rows' });
        progress.update(done, total);
      };
      try {
        const job = { input, output, format, ...columns, compute, onProgress };
        const needsText = trained.recipe.inputs !== 'audio';
        return { ...(await predictRecordings(trained, table, job)), needsText };
      } finally {
        progress?.finish();
        await trained.close();
      }
    }),
  );
  if (failed > 0) warn(`${failed} of ${rows} rows could not be predicted; the column "error" says why`);
  if (needsText && textless > 0) {
    warn(`${textless} of ${rows} rows have no transcript, which the model was trained with`);
  }
  printResult(output);
}
