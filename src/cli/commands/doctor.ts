/** @file `emoq doctor`: its options and help. */

import type { Command } from 'commander';
import { addCorpusOptions, type CorpusOptions } from '../options.js';
import { parseStage } from './eval-options.js';

export interface DoctorOptions extends CorpusOptions {
  readonly stage?: string;
  readonly json?: true;
  readonly installCuda?: true;
}

export function declare(command: Command): void {
  addCorpusOptions(command)
    .option(
      '--stage <n>',
      'judge this stage of the experiment alone (default: all that it takes)',
      parseStage,
    )
    .option('--json', 'print one JSON object')
    .option('--install-cuda', "fetch onnxruntime's CUDA libraries first (Linux x64)")
    .addHelpText(
      'after',
      `
Looks at Node, onnxruntime, CUDA, ffmpeg, memory, cores, folders, backbones and
corpora, and names the command that mends what is missing. Exit code 0 where the
main job can run, else 1: the experiment where --dataset, --manifest or --recipe
names one, with its corpus, memory and what its stages read of the backbones;
otherwise the toy demo.

Example:
  emoq doctor --dataset toy4`,
    );
}
