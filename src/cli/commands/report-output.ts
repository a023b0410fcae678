/** @file Where `emoq report` writes to: the page and its plots, checked before anything is computed. */

import { stat } from 'node:fs/promises';
import { extname, join } from 'node:path';
import {
  formatBytes,
  InputError,
  isSameFile,
  makeOutputFolder,
  userTarget,
  writeFileAtomic,
  writeOutput,
} from '../../base/index.js';
import { fileAddress, type ReportPlot } from '../../report/index.js';
import { note, printResult } from '../terminal-output.js';
import type { ReportOptions } from './eval-options.js';

type ReportFormat = 'html' | 'markdown' | 'json';

const extensions: Readonly<Record<ReportFormat, string>> = { html: 'html', markdown: 'md', json: 'json' };

export interface ReportOutput {
  readonly format: ReportFormat;
  /** The file, or - for stdout. */
  readonly out: string;
  /** Whether it is a regular file, rather than a pipe or a device. */
  readonly isFile: boolean;
  readonly plotsDir: string | undefined;
}

/**
 * The output that options name.
 * @param plan default file by extension, and the files that the report is made from
 * @throws InputError if it cannot be written, or is one of the report's input files
 */
export async function reportOutput(
  options: Pick<ReportOptions, 'format' | 'out' | 'plots'>,
  plan: { readonly defaultFile: (extension: string) => string; readonly sources: readonly string[] },
): Promise<ReportOutput> {
  const format = formatOf(options);
  const { plots: plotsDir, out = plan.defaultFile(extensions[format]) } = options;
  const isFile = await checkPage(out, plan.sources);
  if (plotsDir !== undefined) await checkPlotsFolder(plotsDir);
  return { format, out, isFile, plotsDir };
}

/** Writes a page and its plots. @param count what it is made from, such as `12 trials` */
export async function writeReport(
  { out, isFile, plotsDir }: ReportOutput,
  page: string,
  plots: () => readonly ReportPlot[],
  count: string,
): Promise<void> {
  await writeOutput(out, page);
  if (plotsDir !== undefined) {
    const drawn = plots();
    await makeOutputFolder(plotsDir);
    for (const { name, svg } of drawn) await writeFileAtomic(join(plotsDir, `${name}.svg`), svg);
    note(`${drawn.length} plots in ${plotsDir}`);
  }
  note(`${count}, ${formatBytes(Buffer.byteLength(page))}`);
  if (isFile) printResult(out); // the page itself went to stdout, so nothing else is printed there
}

/** Where a plot is, seen from the file, or from here if it goes to stdout; undefined if plots are not written. */
export function plotAddressOf({ out, plotsDir }: ReportOutput): ((name: string) => string) | undefined {
  if (plotsDir === undefined) return undefined;
  return (name) => fileAddress(out === '-' ? '.md' : out, join(plotsDir, `${name}.svg`));
}

/** As named, else by the name of the output. */
function formatOf({ format, out = '' }: Pick<ReportOptions, 'format' | 'out'>): ReportFormat {
  if (format !== undefined) return format === 'md' ? 'markdown' : format;
  const extension = extname(out).toLowerCase();
  if (extension === '.json') return 'json';
  return ['.md', '.markdown'].includes(extension) ? 'markdown' : 'html';
}

/** Whether the page is a regular file. @throws InputError if it is a folder, or one of the report's input files */
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
