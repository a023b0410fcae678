/** @file Ablation tables from what lies in a folder of `emoq ablate`: rows that are scored. */

import { dirname, join, resolve } from 'node:path';
import { errorMessage, InputError, pathExists } from '../../base/index.js';
import { readResults, type StoredResults } from '../../evaluate/index.js';
import type { ReportAblation } from '../../evaluate/report/index.js';
import { ablationOutlines } from '../../recipe/index.js';
import { stageFolder } from '../../train/index.js';

/** A table of one row compares nothing. */
const LEAST_ROWS = 2;

/**
 * The tables of an experiment's dataset that have two rows or more in a folder.
 * @param experiment name of the recipe
 * @param dir the folder; where it is undefined, the one around the experiment's own `root`
 */
export async function ablationResults(
  experiment: string,
  root: string,
  dir: string | undefined,
  onWarning: (text: string) => void,
): Promise<ReportAblation[]> {
  const around = dir ?? dirname(resolve(root));
  const rowOf = async (name: string): Promise<StoredResults | undefined> => {
    const row = join(around, name);
    const files = [stageFolder(row, 2, undefined).results, join(row, 'stage2-seeds.json')]; // of one run or its folds, of seeds
    for (const path of files) {
      if (!(await pathExists(path))) continue;
      try {
        return await readResults(path);
      } catch (error) {
        if (!(error instanceof InputError)) throw error;
        onWarning(`a row of an ablation is left out: ${errorMessage(error)}`);
        return undefined;
      }
    }
    return undefined;
  };
  const tables: ReportAblation[] = [];
  for (const { table, title, dataset, rows } of await ablationOutlines(experiment)) {
    const found: ReportAblation['rows'][number][] = [];
    for (const { label, name, paper } of rows) {
      const result = await rowOf(name);
      if (result === undefined) continue;
      const { wa, ua, wf1, n, intervals, missing = [] } = result;
      found.push({
        label: missing.length === 0 ? label : `${label} (without ${missing.length} of its folds)`,
        ...{ wa, ua, wf1, n },
        ...(intervals && { intervals }),
        paper: { wa: paper.wa, ua: paper.ua, wf1: paper.wf1 },
      });
    }
    if (found.length >= LEAST_ROWS) {
      tables.push({ title: `Table ${table}: ${title} (${dataset}; the paper's on meld7)`, rows: found });
    }
  }
  if (dir !== undefined && tables.length === 0) {
    onWarning(`${dir} holds no results of ablations; emoq ablate --run ${dir} makes them`);
  }
  return tables;
}
