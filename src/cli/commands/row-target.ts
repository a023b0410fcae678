/** @file What commands that go through rows share: where rows go, the devices that work on them, progress, notes. */

import { InputError, isSameFile, type OutputTarget, userTarget } from '../../base/index.js';
import type { NamedRecogniser, OpenSourceOptions, PredictionSource, Shard } from '../../inference/index.js';
import type { PrecisionChoice } from '../../systems/index.js';
import type { ComputeOptions } from '../../training/index.js';
import type { DeviceOption } from '../command-definition.js';
import { withInterrupts } from '../interrupt.js';
import { type Progress, startProgress } from '../progress.js';
import { note } from '../terminal-output.js';

/** A file, a stream, or something that shows rows on the terminal. */
export type RowTarget<Row> = OutputTarget | ((row: Row) => void);

export interface RowTargetOptions {
  readonly output?: string;
  readonly format?: string;
  readonly shard?: Shard;
}

/**
 * Without an output, rows are shown on the terminal, or go as CSV to what stdout is.
 * @throws InputError for a shard without an output file
 */
export async function rowTarget<Row>(
  { output, format, shard }: RowTargetOptions,
  shown: () => Promise<(row: Row) => void>,
): Promise<RowTarget<Row>> {
  if (shard !== undefined && (output === undefined || output === '-')) {
    throw new InputError('--shard needs an output file for emoq merge; name one with -o');
  }
  if (output !== undefined) return userTarget(output, '-o');
  if (format !== undefined || process.stdout.isTTY !== true) return userTarget('-');
  return shown();
}

/** @throws InputError if the output is a file of the recogniser */
export async function refuseRecogniserFiles(
  output: string | undefined,
  { source }: NamedRecogniser,
): Promise<void> {
  if (output === undefined || output === '-') return;
  for (const path of source.encoder.files) {
    if (!(await isSameFile(path, output))) continue;
    throw new InputError(`output ${output} is ${path}, of the recogniser itself; name another file with -o`);
  }
}

/** Says which columns of the input have other names in the output. */
export function noteRenamed(renamed: ReadonlyMap<string, string>): void {
  if (renamed.size === 0) return;
  const named = [...renamed].map(([from, to]) => `"${from}" as "${to}"`).join(', ');
  note(`columns of the input that the output has too are kept under other names: ${named}`);
}

/** What a command reads and computes with. */
export interface RowWorkOptions {
  readonly source: Omit<OpenSourceOptions, 'stdin' | 'stop'>;
  readonly device: DeviceOption;
  readonly devices?: readonly DeviceOption[] | undefined;
  readonly threads?: number | undefined;
  readonly precision?: PrecisionChoice | undefined;
  /** As given to `--backbone`. */
  readonly backbone?: readonly string[] | undefined;
  /** What is shown as progress: "predicting". */
  readonly label: string;
}

/** What rows are worked on with. */
export interface RowWorkTools {
  readonly source: PredictionSource;
  readonly compute: ComputeOptions;
  /** Options that may change the figures. */
  readonly settings: Readonly<Record<string, string | number | null>>;
  readonly onProgress: (done: number, total: number | null) => void;
}

/** Opens what inputs name and works on it, until Ctrl-C. */
export function withRows<T>(
  inputs: readonly string[],
  { source: naming, device, devices, threads, precision, backbone, label }: RowWorkOptions,
  work: (tools: RowWorkTools) => Promise<T>,
): Promise<T> {
  return withInterrupts('finishing the current rows', async (stop) => {
    const { deviceName } = await import('../../engine/runtime/index.js');
    const { openSource } = await import('../../inference/index.js');
    const { withCompute } = await import('./experiment-options.js');
    const { stdin } = process;
    try {
      const source = await openSource(inputs, { ...naming, stdin, stop });
      return await withCompute(devices ?? device, stop, { threads, precision, backbone }, async (compute) => {
        const used = (compute.devices ?? [compute.device]).map(deviceName).join(',');
        let progress: Progress | undefined;
        try {
          return await work({
            ...{ source, compute },
            settings: { devices: used, precision: precision ?? null, threads: threads ?? null },
            onProgress: (done, total) => {
              progress ??= startProgress({ label, unit: 'rows' });
              progress.update(done, total);
            },
          });
        } finally {
          progress?.finish();
        }
      });
    } finally {
      if (inputs.includes('-')) stdin.destroy();
    }
  });
}
