/**
 * @file The table of commands, in help order. It has names and summaries, so that listing commands loads none of them;
 * a command is loaded on use.
 */

import type { CommandDefinition } from './command-definition.js';

export interface CommandEntry {
  readonly name: string;
  /** One line for the list of commands. */
  readonly summary: string;
  readonly load: () => Promise<CommandDefinition>;
}

export const commandEntries: readonly CommandEntry[] = [
  {
    name: 'prepare-toy',
    summary: 'create a small synthetic corpus with random backbones, to try everything without downloads',
    load: async () => (await import('./commands/prepare-toy-command.js')).prepareToyCommand,
  },
  {
    name: 'prepare',
    summary: 'convert the raw release of a corpus by name, or as a file of your own describes it',
    load: async () => (await import('./commands/prepare-command.js')).prepareCommand,
  },
  {
    name: 'prepare-meld',
    summary: 'convert a raw MELD release to 16 kHz audio and a manifest',
    load: async () => (await import('./commands/prepare-meld-command.js')).prepareMeldCommand,
  },
  {
    name: 'prepare-iemocap',
    summary: 'convert a raw IEMOCAP release to 16 kHz audio and a manifest',
    load: async () => (await import('./commands/prepare-iemocap-command.js')).prepareIemocapCommand,
  },
  {
    name: 'prepare-crema-d',
    summary: 'convert a raw CREMA-D release to 16 kHz audio and a manifest',
    load: async () => (await import('./commands/prepare-crema-d-command.js')).prepareCremaDCommand,
  },
  {
    name: 'prepare-csv',
    summary: 'convert any CSV of audio files and labels to a prepared corpus',
    load: async () => (await import('./commands/prepare-csv-command.js')).prepareCsvCommand,
  },
  {
    name: 'stats',
    summary: 'count the utterances, speakers and hours of a prepared corpus',
    load: async () => (await import('./commands/stats-command.js')).statsCommand,
  },
  {
    name: 'pull',
    summary: 'download the published backbones to the Hugging Face cache',
    load: async () => (await import('./commands/pull-command.js')).pullCommand,
  },
  {
    name: 'quantize',
    summary: 'write a copy of a language model in 4 or 8 bits, to train it in less memory',
    load: async () => (await import('./commands/quantize-command.js')).quantizeCommand,
  },
  {
    name: 'features',
    summary: 'encode the clips of a corpus into the feature cache, before training',
    load: async () => (await import('./commands/features-command.js')).featuresCommand,
  },
  {
    name: 'train',
    summary: 'train every phase of a recipe in order, whatever its system',
    load: async () => (await import('./commands/training-commands.js')).trainCommand,
  },
  {
    name: 'stage1',
    summary: 'train the EmoQ-Former with contrastive and focal loss',
    load: async () => (await import('./commands/training-commands.js')).phaseCommand('stage1'),
  },
  {
    name: 'stage2',
    summary: 'fine-tune the language model with LoRA on the fused soft prompt',
    load: async () => (await import('./commands/training-commands.js')).phaseCommand('stage2'),
  },
  {
    name: 'eval',
    summary: "score a run, a cross-validation or a predictions file, next to the paper's row",
    load: async () => (await import('./commands/eval-command.js')).evalCommand,
  },
  {
    name: 'report',
    summary: 'write a report on a run, a cross-validation or several seeds: a page, Markdown or JSON',
    load: async () => (await import('./commands/report-command.js')).reportCommand,
  },
  {
    name: 'explain',
    summary: 'show what the EmoQ-Former attends to in one utterance: frames and words',
    load: async () => (await import('./commands/explain-command.js')).explainCommand,
  },
  {
    name: 'ablate',
    summary: "train and score the rows of one of the paper's ablation tables, next to its figures",
    load: async () => (await import('./commands/ablate-command.js')).ablateCommand,
  },
  {
    name: 'search',
    summary: 'search over recipe keys by validation figures, and write the best as a recipe',
    load: async () => (await import('./commands/search-command.js')).searchCommand,
  },
  {
    name: 'compare',
    summary: 'compare all finished runs on a dataset with one of them, next to the paper',
    load: async () => (await import('./commands/compare-command.js')).compareCommand,
  },
  {
    name: 'runs',
    summary: 'list training runs: progress, scores, and changes to their recipes',
    load: async () => (await import('./commands/runs-command.js')).runsCommand,
  },
  {
    name: 'predict',
    summary: 'predict the emotion of every recording in a table, a folder or a list',
    load: async () => (await import('./commands/predict-command.js')).predictCommand,
  },
  {
    name: 'transcribe',
    summary: 'recognise what is said in every recording of a table, a folder or a list',
    load: async () => (await import('./commands/transcribe-command.js')).transcribeCommand,
  },
  {
    name: 'merge',
    summary: 'join the outputs of predict --shard or transcribe --shard',
    load: async () => (await import('./commands/merge-command.js')).mergeCommand,
  },
  {
    name: 'export',
    summary: 'export the encoder, the Former or the language model as ONNX for other runtimes',
    load: async () => (await import('./commands/export-command.js')).exportCommand,
  },
  {
    name: 'doctor',
    summary: 'check this machine, and print a fix for each missing item',
    load: async () => (await import('./commands/doctor-command.js')).doctorCommand,
  },
  {
    name: 'completion',
    summary: 'print the script that completes the command line in bash, zsh or fish',
    load: async () => (await import('./commands/completion-command.js')).completionCommand,
  },
];
