/**
 * @file Every command, in the order of the help. A command is two modules, both loaded only when it is asked for:
 * `declaration` is light (names, options, help), `action` brings what the work needs.
 */

import type { Command } from 'commander';

/** Declares arguments, options and the example at the end of the help. */
export interface CommandDeclaration {
  declare(command: Command): void;
  /** What `options` leave out of which one of several must be given, in words such as `--dataset <name> or --recipe <file>`. */
  readonly missing?: (options: object) => readonly string[];
}

/** Does the work. `options` is what the declaration's options give; operands are the positional arguments. */
export interface CommandAction {
  run(options: object, ...operands: string[]): Promise<void>;
}

export interface CommandEntry {
  readonly name: string;
  /** One line for the list of commands. */
  readonly summary: string;
  readonly declaration: () => Promise<CommandDeclaration>;
  readonly action: () => Promise<CommandAction>;
}

export const commandEntries: readonly CommandEntry[] = [
  {
    name: 'prepare-toy',
    summary: 'make a small synthetic corpus with random backbones, to try everything without a download',
    declaration: () => import('./commands/prepare-toy.js'),
    action: () => import('./commands/prepare-toy-action.js'),
  },
  {
    name: 'prepare-meld',
    summary: 'turn a raw MELD release into 16 kHz audio and a manifest',
    declaration: () => import('./commands/prepare-meld.js'),
    action: () => import('./commands/prepare-meld.js'),
  },
  {
    name: 'prepare-iemocap',
    summary: 'turn a raw IEMOCAP release into 16 kHz audio and a manifest',
    declaration: () => import('./commands/prepare-iemocap.js'),
    action: () => import('./commands/prepare-iemocap.js'),
  },
  {
    name: 'prepare-csv',
    summary: 'turn any CSV of audio files and labels into a prepared corpus',
    declaration: () => import('./commands/prepare-csv.js'),
    action: () => import('./commands/prepare-csv.js'),
  },
  {
    name: 'stats',
    summary: 'count the utterances, speakers and hours of a prepared corpus',
    declaration: () => import('./commands/stats.js'),
    action: () => import('./commands/stats.js'),
  },
  {
    name: 'pull',
    summary: 'fetch the published backbones into the Hugging Face cache',
    declaration: () => import('./commands/pull.js'),
    action: () => import('./commands/pull-action.js'),
  },
  {
    name: 'stage1',
    summary: 'train the EmoQ-Former with contrastive and focal loss',
    declaration: () => import('./commands/stage1.js'),
    action: () => import('./commands/stage1-action.js'),
  },
  {
    name: 'stage2',
    summary: 'fine-tune the language model with LoRA on the fused soft prompt',
    declaration: () => import('./commands/stage2.js'),
    action: () => import('./commands/stage2-action.js'),
  },
  {
    name: 'eval',
    summary: "score a run, a cross-validation or a predictions file, beside the paper's row",
    declaration: () => import('./commands/eval.js'),
    action: () => import('./commands/eval-action.js'),
  },
  {
    name: 'report',
    summary: 'write what is known of a run, a cross-validation or several seeds as one HTML page',
    declaration: () => import('./commands/report.js'),
    action: () => import('./commands/report-action.js'),
  },
  {
    name: 'ablate',
    summary: "train and score the rows of one of the paper's ablation tables, beside its figures",
    declaration: () => import('./commands/ablate.js'),
    action: () => import('./commands/ablate-action.js'),
  },
  {
    name: 'runs',
    summary: 'list training runs: how far, what they found, how their recipes differ',
    declaration: () => import('./commands/runs.js'),
    action: () => import('./commands/runs-action.js'),
  },
  {
    name: 'predict',
    summary: 'name the emotion of every recording in a CSV',
    declaration: () => import('./commands/predict.js'),
    action: () => import('./commands/predict-action.js'),
  },
  {
    name: 'export',
    summary: 'write the encoder, the Former or the language model as ONNX for other runtimes',
    declaration: () => import('./commands/export.js'),
    action: () => import('./commands/export-action.js'),
  },
  {
    name: 'doctor',
    summary: 'look at what this machine has and lacks, and say how to mend it',
    declaration: () => import('./commands/doctor.js'),
    action: () => import('./commands/doctor-action.js'),
  },
];
