/** @file `emoq runs`: lists the training runs under a folder, one row each. */

import { defineCommand, flag, option } from '../command-definition.js';
import { note, printJson, printResult, warn } from '../terminal-output.js';

export const runsCommand = defineCommand({
  options: {
    root: option('<folder>', 'where to look for runs', { default: 'runs' }),
    json: flag('print one JSON object'),
  },
  help: `
The validation figure is that of the selected epoch; the test figures are those
that eval has written. Time is the working time of the processes that trained
the run, and utt/s the training utterances per second. The last column lists
recipe keys that differ from the recipe of that name.

Example:
  emoq runs`,
  run: async ({ root, json }) => {
    const { listRuns } = await import('../../training/runs/index.js');
    const { runObject, runsTable } = await import('./runs-table.js');
    const found = await listRuns(root);
    const runs = found.filter((each) => each.kind === 'run');
    // Damaged results of a cross-validation are reported for each of its folds; once is enough.
    const problems = new Set(
      found.map((each) => (each.kind === 'run' ? each.problem : `${each.dir}: ${each.problem}`)),
    );
    for (const problem of problems) if (problem !== undefined) warn(problem);
    if (json) printJson({ root, runs: runs.map(runObject) });
    else if (runs.length === 0) note(`there are no runs in ${root}`);
    else printResult(runsTable(runs));
  },
});
