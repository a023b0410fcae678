/** @file `emoq report` of a search: reads its folder and writes the page. */

import { join } from 'node:path';
import { InputError } from '../../base/index.js';
import { searchFiles } from '../../experiments/index.js';
import { gatherSearch } from '../../experiments/report/index.js';
import { renderSearch, renderSearchJson, renderSearchMarkdown, searchPlots } from '../../report/index.js';
import { flagOf } from '../command-definition.js';
import type { ReportOptions } from './eval-options.js';
import { plotAddressOf, reportOutput, writeReport } from './report-output.js';

/** The options that a search has a use for, and those of devices, which are without effect on what was scored too. */
const OWN = new Set(['run', 'out', 'format', 'plots', 'device', 'devices', 'threads', 'precision']);

/** @throws InputError for options of runs, and as `gatherSearch` */
export async function reportSearch(root: string, options: ReportOptions): Promise<void> {
  refuseOptionsOfRuns(root, options);
  const output = await reportOutput(options, {
    defaultFile: (extension) => join(root, `report.${extension}`),
    sources: Object.values(searchFiles(root)),
  });
  const data = await gatherSearch(root);
  const pages = {
    html: () => renderSearch(data),
    markdown: () => renderSearchMarkdown(data, plotAddressOf(output)),
    json: () => renderSearchJson(data),
  };
  const count = data.trials.length === 1 ? '1 trial' : `${data.trials.length} trials`;
  await writeReport(output, pages[output.format](), () => searchPlots(data), count);
}

function refuseOptionsOfRuns(root: string, options: ReportOptions): void {
  const given = Object.entries(options)
    .filter(([name, value]) => !OWN.has(name) && value !== undefined)
    .map(([name]) => flagOf(name));
  if (given.length === 0) return;
  const rest = given.length === 1 ? 'it' : 'them';
  throw new InputError(
    `${root} holds a search, whose report has no use for ${given.join(', ')}; leave ${rest} out, or name the run of a trial with --run`,
  );
}
