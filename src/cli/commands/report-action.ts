/** @file `emoq report` at work: scores what is not scored, gathers what runs left behind, writes the page. */

import { stat } from 'node:fs/promises';
import { join } from 'node:path';
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
import { readManifest } from '../../data/corpora/index.js';
import { type EvaluatedRuns, gatherReport } from '../../experiments/report/index.js';
import { type ReportData, renderReport, reportPlots } from '../../report/index.js';
import { trainedManifest } from '../../training/index.js';
import { manifestChange, type RunFolder, readMetadata, runFiles } from '../../training/runs/index.js';
import { withInterrupts } from '../interrupt.js';
import { type Progress, startProgress } from '../progress.js';
import { note, printResult, warn } from '../terminal-output.js';
import type { ReportOptions } from './eval-options.js';
import { resamplingOf } from './eval-options.js';
import { scoreRuns } from './eval-run.js';
import { checkAgainstRuns, rootOf } from './named-experiment.js';
import { type SeedRuns, selectSeeds, warnMissingFolds } from './run-selection.js';
import { isScored } from './scored-before.js';

export async function run(options: ReportOptions): Promise<void> {
  if ([options.run, options.dataset, options.recipe, options.manifest].every((name) => name === undefined)) {
    throw new InputError('say what to report on: --run FOLDER or --dataset NAME');
  }
  const root = await rootOf(options);
  // A run that is missing, or a name that cannot be written, is told before anything is computed.
  const found = await selectSeeds(root, options);
  const runs = found.flatMap((each) => each.runs);
  await checkAgainstRuns(options, runs);
  await checkManifest(options, runs);
  const { plots: plotsDir, manifest } = options;
  const beside =
    options.seeds === undefined
      ? join(found[0]!.folder.dir, 'report.html')
      : join(root, `${found[0]!.phase}-seeds.html`);
  const out = options.out ?? beside;
  const isPage = await checkPage(out, found);
  if (plotsDir !== undefined) await checkPlotsFolder(plotsDir);
  if (options.ablations !== undefined) await requireFolder(options.ablations);

  for (const each of found) {
    if (await isScored(each)) warnMissingFolds(each.root, each);
    else await scoreRuns(each, options, { ...(manifest !== undefined && { manifest }) });
  }
  const data = await gather(found.map(evaluatedRuns), root, options);
  const page = renderReport(data);
  await writeOutput(out, page);
  if (plotsDir !== undefined) {
    const plots = reportPlots(data);
    await makeOutputFolder(plotsDir);
    for (const { name, svg } of plots) await writeFileAtomic(join(plotsDir, `${name}.svg`), svg);
    note(`${plots.length} plots in ${plotsDir}`);
  }
  note(`${data.utterances.length} utterances, ${formatBytes(Buffer.byteLength(page))}`);
  if (isPage) printResult(out); // where the page itself went by, stdout holds nothing else
}

function evaluatedRuns({ seed, folder, runs, folds }: SeedRuns): EvaluatedRuns {
  return { seed, folder, runs, byFold: folds !== undefined, missing: (folds?.missing ?? []).map(String) };
}

/** @throws InputError where the manifest that is named is not the one that the runs were trained on */
async function checkManifest({ manifest: path }: ReportOptions, runs: readonly RunFolder[]): Promise<void> {
  if (path === undefined) return;
  const named = trainedManifest(path, await readManifest(path));
  for (const run of runs) {
    if (manifestChange((await readMetadata(run))!.manifest, named) === undefined) continue;
    throw new InputError(
      `${path} is not the manifest that ${run.dir} was trained on, and a report is of its own test set; score it on another corpus with emoq eval --run ${run.dir} --manifest ${path}`,
    );
  }
}

/** @throws InterruptedError after Ctrl-C */
async function gather(
  evaluated: readonly EvaluatedRuns[],
  root: string,
  { ablations, mistakes, manifest }: ReportOptions,
): Promise<ReportData> {
  const steps = progressSteps();
  return withInterrupts('stopping', async (signal) => {
    try {
      return await gatherReport(evaluated, {
        root,
        ablations,
        mistakes,
        manifest,
        resampling: resamplingOf({}),
        signal,
        onWarning: warn,
        onMap: steps('laying out the map', 'utterances'),
        onAudio: steps('compressing recordings', 'clips'),
      });
    } catch (error) {
      throw signal.aborted ? new InterruptedError('interrupted; no report was written') : error;
    } finally {
      steps.finish();
    }
  });
}

/** Progress of one step after another: the first word of the next ends the one before. */
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
 * Whether the page is a file, and not something that it is written through.
 * @throws InputError where it is a folder, or a file that it is made from
 */
async function checkPage(
  out: string,
  found: readonly Pick<EvaluatedRuns, 'folder' | 'runs'>[],
): Promise<boolean> {
  const target = await userTarget(out, '--out');
  if (target.kind === 'stream') return false;
  const folders = found.flatMap(({ folder, runs }) => [folder, ...runs]);
  const facts = await Promise.all(folders.map(readMetadata));
  const files = [...folders.flatMap(runFiles), ...facts.flatMap((run) => (run ? [run.manifest.path] : []))];
  for (const file of files) {
    if (!(await isSameFile(file, target.path))) continue;
    throw new InputError(`output ${out} is ${file}, which the report is made from; name another with --out`);
  }
  return true;
}

/** @throws InputError where there is something else than a folder by that name */
async function checkPlotsFolder(path: string): Promise<void> {
  if (path === '-') throw new InputError('--plots are several files: name a folder for them');
  const present = await stat(path).catch(() => undefined);
  if (present === undefined || present.isDirectory()) return;
  const what = present.isFile() ? 'a file' : 'no folder';
  throw new InputError(`${path} is ${what}; name a folder for the plots with --plots`);
}

async function requireFolder(path: string): Promise<void> {
  const present = await stat(path).catch(() => undefined);
  if (!present?.isDirectory()) throw new InputError(`there is no folder ${path} of ablations`);
}
