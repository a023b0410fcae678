/** @file `emoq doctor`: its options and help. */

import type { Command } from 'commander';
import { addCorpusOptions, type CorpusOptions } from '../options.js';

export interface DoctorOptions extends CorpusOptions {
  readonly json?: true;
  readonly installCuda?: true;
}

export function declare(command: Command): void {
  addCorpusOptions(command)
    .option('--json', 'print one JSON object')
    .option('--install-cuda', "fetch onnxruntime's CUDA libraries first (Linux x64)")
    .addHelpText(
      'after',
      `
Looks at Node, onnxruntime, CUDA, ffmpeg, memory, cores, folders, backbones and
corpora, and names the command that mends what is missing. Exit code 0 where the
main job can run, else 1: the experiment where --dataset, --manifest or --recipe
names one, with its corpus, backbones and memory; otherwise the toy demo.

Example:
  emoq doctor --dataset toy4`,
    );
}
