/** @file `emoq predict` at work. */

import { predictionFormatOf } from '../../evaluate/index.js';
import { findRun, openTrainedModel, predictRecordings } from '../../predict/index.js';
import { withInterrupts } from '../interrupt.js';
import { printResult, warn } from '../output.js';
import { startProgress } from '../progress.js';
import { withCompute } from './compute.js';
import type { PredictOptions } from './predict.js';

export async function run(options: PredictOptions, input: string): Promise<void> {
  const folder = await findRun(options.run);
  const summary = await withInterrupts('finishing the rows in hand', (stop) =>
    withCompute(options.device, stop, async (compute) => {
      const trained = await openTrainedModel(folder, compute);
      const progress = startProgress({ label: 'predicting', unit: 'rows' });
      try {
        return await predictRecordings(trained, {
          input,
          output: options.output,
          format: options.format ?? predictionFormatOf(options.output),
          pathColumn: options.pathColumn,
          textColumn: options.textColumn,
          speakerColumn: options.speakerColumn,
          compute,
          onProgress: (done, total) => progress.update(done, total),
        });
      } finally {
        progress.finish();
        await trained.close();
      }
    }),
  );
  if (summary.failed > 0) {
    warn(`${summary.failed} of ${summary.rows} rows could not be predicted; the column "error" says why`);
  }
  printResult(options.output);
}
