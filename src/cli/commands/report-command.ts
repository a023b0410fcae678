/** @file `emoq report`: writes a report on an experiment, as a page, Markdown or JSON. */

import { defineCommand } from '../command-definition.js';
import { reportOptions } from './eval-options.js';

export const reportCommand = defineCommand({
  options: reportOptions,
  help: `
Writes one HTML file that needs no network: scores with intervals next to the
paper's, confusion, calibration, training curves, a map of the embeddings, the
worst mistakes with audio, ablations, the recipe and the prompt. A run that has
not been scored since it was trained is scored first, as with emoq eval.

Of a search, --run runs/<name>-search, it shows the best trial, every trial's
figure over the values of each key, and validation curves.

Markdown and JSON have the same content without recordings; Markdown shows the
plots of --plots.

Example:
  emoq report --run runs/toy4 --out toy4.html`,
  run: async (options) => {
    const { run } = await import('./report-action.js');
    await run(options);
  },
});
