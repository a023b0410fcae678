/** @file Implements `emoq report`: scores runs if needed, gathers their data, and writes the page. */

import { stat } from 'node:fs/promises';
import { extname, join } from 'node:path';
import {
  formatBytes,
  InputError,
  InterruptedError,
  isSameFile,
  makeOutputFolder,
  userTarget,
  writeFileAtomic,
  writeOutput,
} from '../../base/index.js';
import { gatherReport, planReport, type ReportPlan, scorePlanned } from '../../experiments/report/index.js';
import {
  fileAddress,
  type ReportData,
  renderJson,
  renderMarkdown,
  renderReport,
  reportPlots,
} from '../../report/index.js';
import { withInterrupts } from '../interrupt.js';
import { type Progress, startProgress } from '../progress.js';
import { note, printResult, warn } from '../terminal-output.js';
import type { ReportOptions } from './eval-options.js';
import { resamplingOf } from './eval-options.js';
import { experimentContext } from './experiment-options.js';

export async function run(options: ReportOptions): Promise<void> {
  if ([options.run, options.dataset, options.recipe, options.manifest].every((name) => name === undefined)) {
    throw new InputError('say what to report on: --run FOLDER or --dataset NAME');
  }
  const context = await experimentContext(options);
  // A missing run or an unwritable output is reported before anything is computed.
  const plan = await planReport(options, context);
  const format = formatOf(options);
  const { plots: plotsDir, out = plan.defaultFile(extensions[format]) } = options;
  const isPage = await checkPage(out, plan.sources);
  if (plotsDir !== undefined) await checkPlotsFolder(plotsDir);
  if (options.ablations !== undefined) await requireFolder(options.ablations);

  await scorePlanned(plan, options.manifest, context);
  const data = await gather(plan, options, format === 'html');
  const page = rendered(data, format, out, plotsDir);
  await writeOutput(out, page);
  if (plotsDir !== undefined) {
    const plots = reportPlots(data);
    await makeOutputFolder(plotsDir);
    for (const { name, svg } of plots) await writeFileAtomic(join(plotsDir, `${name}.svg`), svg);
    note(`${plots.length} plots in ${plotsDir}`);
  }
  note(`${data.utterances.length} utterances, ${formatBytes(Buffer.byteLength(page))}`);
  if (isPage) printResult(out); // the page itself went to stdout, so nothing else is printed there
}

type ReportFormat = 'html' | 'markdown' | 'json';

const extensions: Readonly<Record<ReportFormat, string>> = { html: 'html', markdown: 'md', json: 'json' };

/** As named, else by the name of the output. */
function formatOf({ format, out = '' }: ReportOptions): ReportFormat {
  if (format !== undefined) return format === 'md' ? 'markdown' : format;
  const extension = extname(out).toLowerCase();
  if (extension === '.json') return 'json';
  return ['.md', '.markdown'].includes(extension) ? 'markdown' : 'html';
}

function rendered(data: ReportData, format: ReportFormat, out: string, plotsDir: string | undefined): string {
  if (format === 'json') return renderJson(data);
  if (format === 'html') return renderReport(data);
  // Seen from the file, or from here if it goes to stdout.
  const plotAddress = (name: string): string =>
    fileAddress(out === '-' ? '.md' : out, join(plotsDir!, `${name}.svg`));
  return renderMarkdown(data, plotsDir === undefined ? undefined : plotAddress);
}

/** @throws InterruptedError after Ctrl-C */
async function gather(
  { root, seeds }: ReportPlan,
  { ablations, mistakes, manifest }: ReportOptions,
  withRecordings: boolean,
): Promise<ReportData> {
  const steps = progressSteps();
  return withInterrupts('stopping', async (signal) => {
    try {
      return await gatherReport(seeds, {
        root,
        ablations,
        mistakes,
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

/**
 * Whether the page is a regular file, rather than a pipe or a device.
 * @throws InputError if it is a folder, or one of the report's input files
 */
async function checkPage(out: string, sources: readonly string[]): Promise<boolean> {
  const target = await userTarget(out, '--out');
  if (target.kind === 'stream') return false;
  for (const file of sources) {
    if (!(await isSameFile(file, target.path))) continue;
    throw new InputError(`output ${out} is ${file}, which the report is made from; name another with --out`);
  }
  return true;
}

/** @throws InputError if the path exists and is not a folder */
async function checkPlotsFolder(path: string): Promise<void> {
  if (path === '-') throw new InputError('--plots writes several files: name a folder for them');
  const present = await stat(path).catch(() => undefined);
  if (present === undefined || present.isDirectory()) return;
  const what = present.isFile() ? 'a file' : 'no folder';
  throw new InputError(`${path} is ${what}; name a folder for the plots with --plots`);
}

async function requireFolder(path: string): Promise<void> {
  const present = await stat(path).catch(() => undefined);
  if (!present?.isDirectory()) throw new InputError(`there is no folder ${path} of ablations`);
}
