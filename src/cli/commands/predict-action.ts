/** @file `emoq predict` at work. */

import { predictionFormatOf } from '../../evaluate/index.js';
import { findRun, openTrainedModel, predictRecordings, readRecordings } from '../../predict/index.js';
import { namesGender } from '../../train/index.js';
import { withInterrupts } from '../interrupt.js';
import { printResult, warn } from '../output.js';
import { type Progress, startProgress } from '../progress.js';
import { warnUnfinished, withCompute } from './compute.js';
import type { PredictOptions } from './predict.js';

export async function run(options: PredictOptions, input: string): Promise<void> {
  const { output, pathColumn, textColumn, speakerColumn, format = predictionFormatOf(output) } = options;
  const folder = await findRun(options.run);
  const columns = { pathColumn, textColumn, speakerColumn };
  const table = await readRecordings({ input, output, ...columns });
  const { failed, rows, textless, needsText, cutTexts, most, genderless, needsGender } = await withInterrupts(
    'finishing the rows in hand',
    (stop) =>
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
          const { prompt } = trained.facts;
          const needsGender = prompt !== null && namesGender(prompt);
          const most = trained.model.maxTextTokens;
          return { ...(await predictRecordings(trained, table, job)), needsText, most, needsGender };
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
  if (cutTexts > 0) {
    warn(`${cutTexts} of ${rows} transcripts were cut to ${most} tokens for the Former, as in training`);
  }
  if (needsGender && genderless > 0) {
    warn(`${genderless} of ${rows} rows have no gender, which the model's prompt was trained with`);
  }
  printResult(output);
}
