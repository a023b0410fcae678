/** @file `emoq export`: its options and help. */

import { Argument, type Command, Option } from 'commander';

/** What can be exported. */
export const exportParts = ['encoder', 'former', 'llm'] as const;

export type ExportPart = (typeof exportParts)[number];

export interface ExportOptions {
  readonly checkpoint?: string;
  readonly run?: string;
  readonly out?: string;
  readonly recipe?: string;
  readonly inputs?: 'input_ids' | 'inputs_embeds';
  readonly mergedDtype?: 'float32' | 'stored';
}

export function declare(command: Command): void {
  command
    .addArgument(new Argument('<part>', 'what to export').choices(exportParts))
    .option(
      '--checkpoint <folder>',
      'Hugging Face folder or model id: a speech encoder, RoBERTa or language model',
    )
    .option('--run <folder>', 'llm: merge the LoRA of this run; former: the one that it trained')
    .option('--out <file.onnx>', 'where the model goes; its weights go to <file.onnx>.safetensors')
    .addOption(
      new Option('--inputs <name>', 'llm: what it reads (default: input_ids)').choices([
        'input_ids',
        'inputs_embeds',
      ]),
    )
    .addOption(
      new Option(
        '--merged-dtype <type>',
        'llm: type of merged weights, float32 or the one stored (default: float32)',
      ).choices(['float32', 'stored']),
    )
    .addOption(
      new Option('--recipe <file>', 'former without a run: its sizes and seed (YAML)').conflicts('run'),
    )
    .addHelpText(
      'after',
      `
Writes a model as ONNX that other runtimes open by its path, with its weights
beside it as stored; batch and length are free.

  encoder  input_values, attention_mask -> last_hidden_state, frame_mask
  former   audio_features, frame_mask, input_ids, attention_mask -> embedding
  llm      input_ids or inputs_embeds, attention_mask -> logits

With --run the checkpoint is the run's own unless --checkpoint names it.

Example:
  emoq export llm --run runs/toy4 --out exported/llm.onnx`,
    );
}

/** What `options` do not say that every export needs. */
export function missing({ out, checkpoint, run }: ExportOptions): string[] {
  return [
    ...(out === undefined ? ['--out <file.onnx>'] : []),
    ...(checkpoint === undefined && run === undefined ? ['--run <folder> or --checkpoint <folder>'] : []),
  ];
}
