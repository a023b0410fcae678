/** @file Scoring on the terminal: the device, the versions to record, notes, warnings and progress. */

import type { ExperimentContext } from '../../experiments/index.js';
import { withInterrupts } from '../interrupt.js';
import { type Progress, startProgress } from '../progress.js';
import { note, warn } from '../terminal-output.js';
import { recordedVersions } from '../versions.js';
import { withCompute } from './compute.js';
import { type ComputeChoice, type ResamplingOptions, resamplingOf } from './eval-options.js';

/** Scores on the device that options name; Ctrl-C ends after the utterances in hand. */
export async function experimentContext({
  device,
  threads,
  ...resampling
}: ComputeChoice & ResamplingOptions): Promise<ExperimentContext> {
  return {
    resampling: resamplingOf(resampling),
    versions: await recordedVersions(),
    withCompute: (work) =>
      withInterrupts('finishing the utterances in hand', (stop) => withCompute(device, stop, work, threads)),
    onNote: note,
    onWarning: warn,
    onPrediction: (dir) => {
      let progress: Progress | undefined;
      return {
        update(done, total) {
          progress ??= startProgress({ label: `testing ${dir}`, unit: 'utterances' });
          progress.update(done, total);
        },
        finish: () => progress?.finish(),
      };
    },
  };
}
