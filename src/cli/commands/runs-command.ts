/** @file `emoq runs`: one row for each training run below a folder. */

import { defineCommand, flag, option } from '../command-definition.js';
import { note, printJson, printResult, warn } from '../terminal-output.js';

export const runsCommand = defineCommand({
  options: {
    root: option('<folder>', 'where to look for runs', { default: 'runs' }),
    json: flag('print one JSON object'),
  },
  help: `
The validation figure is that of the epoch which is kept, the test figures those
that eval has written. Time is that of the processes which trained the run,
utt/s the utterances that were trained on in a second. The last column has the
keys of the recipe that differ from the recipe of that name.

Example:
  emoq runs`,
  run: async ({ root, json }) => {
    const { listRuns } = await import('../../training/runs/index.js');
    const { runObject, runsTable } = await import('./runs-table.js');
    const found = await listRuns(root);
    const runs = found.filter((each) => each.kind === 'run');
    // What is wrong with the results of a cross-validation is wrong with each of its folds.
    const problems = new Set(
      found.map((each) => (each.kind === 'run' ? each.problem : `${each.dir}: ${each.problem}`)),
    );
    for (const problem of problems) if (problem !== undefined) warn(problem);
    if (json) printJson({ root, runs: runs.map(runObject) });
    else if (runs.length === 0) note(`there are no runs in ${root}`);
    else printResult(runsTable(runs));
  },
});
