/** @file Implements `emoq report`: scores runs if needed, gathers their data or that of a search, and writes the page. */

import { stat } from 'node:fs/promises';
import { InputError, InterruptedError } from '../../base/index.js';
import { isSearch } from '../../experiments/index.js';
import { gatherReport, planReport, type ReportPlan, scorePlanned } from '../../experiments/report/index.js';
import {
  type ReportData,
  renderJson,
  renderMarkdown,
  renderReport,
  reportPlots,
} from '../../report/index.js';
import { withInterrupts } from '../interrupt.js';
import { type Progress, startProgress } from '../progress.js';
import { warn } from '../terminal-output.js';
import type { ReportOptions } from './eval-options.js';
import { mistakesOf, resamplingOf } from './eval-options.js';
import { experimentContext } from './experiment-options.js';
import { plotAddressOf, reportOutput, writeReport } from './report-output.js';
import { reportSearch } from './report-search.js';

export async function run(options: ReportOptions): Promise<void> {
  if ([options.run, options.dataset, options.recipe, options.manifest].every((name) => name === undefined)) {
    throw new InputError('say what to report on: --run FOLDER or --dataset NAME');
  }
  if (options.run !== undefined && (await isSearch(options.run))) return reportSearch(options.run, options);
  const context = await experimentContext(options);
  // A missing run or an unwritable output is reported before anything is computed.
  const plan = await planReport(options, context);
  const output = await reportOutput(options, plan);
  if (options.ablations !== undefined) await requireFolder(options.ablations);

  await scorePlanned(plan, options.manifest, context);
  const data = await gather(plan, options, output.format === 'html');
  const pages = {
    html: () => renderReport(data),
    markdown: () => renderMarkdown(data, plotAddressOf(output)),
    json: () => renderJson(data),
  };
  const count = `${data.utterances.length} utterances`;
  await writeReport(output, pages[output.format](), () => reportPlots(data), count);
}

/** @throws InterruptedError after Ctrl-C */
async function gather(
  { root, seeds }: ReportPlan,
  options: ReportOptions,
  withRecordings: boolean,
): Promise<ReportData> {
  const { ablations, manifest } = options;
  const steps = progressSteps();
  return withInterrupts('stopping', async (signal) => {
    try {
      return await gatherReport(seeds, {
        root,
        ablations,
        mistakes: mistakesOf(options),
        manifest,
        withRecordings,
        resampling: resamplingOf({}),
        signal,
        onWarning: warn,
        onMap: steps('computing the map', 'utterances'),
        onAudio: steps('compressing recordings', 'clips'),
      });
    } catch (error) {
      throw signal.aborted ? new InterruptedError('interrupted; no report was written') : error;
    } finally {
      steps.finish();
    }
  });
}

/** Progress of consecutive steps; starting one finishes the previous one. */
function progressSteps() {
  let current: { readonly label: string; readonly progress: Progress } | undefined;
  const step =
    (label: string, unit: string) =>
    (done: number, total: number): void => {
      if (current?.label !== label) {
        current?.progress.finish();
        current = { label, progress: startProgress({ label, unit }) };
      }
      current.progress.update(done, total);
    };
  return Object.assign(step, { finish: (): void => current?.progress.finish() });
}

async function requireFolder(path: string): Promise<void> {
  const present = await stat(path).catch(() => undefined);
  if (!present?.isDirectory()) throw new InputError(`there is no folder ${path} of ablations`);
}
