/** @file How far a run is: one safetensors file with parameters and moments, the position in its metadata. */

import { z } from 'zod';
import { InputError, pathExists } from '../../base/index.js';
import { CHECKSUM_KEY, hasWholeContent, readSafetensorsHeader } from '../../engine/tensor/index.js';
import { metricName } from './metadata.js';

/** The best epoch so far by the recipe's metric. */
export interface BestEpoch {
  readonly epoch: number;
  readonly metric: string | null;
  readonly value: number | null;
}

/** Everything beside the tensors that a resumed run needs. */
export interface TrainingPosition {
  /** Steps done. */
  readonly step: number;
  /** Epochs validated. */
  readonly epoch: number;
  /** Bytes of metrics.jsonl that belong to these steps. */
  readonly metricsBytes: number;
  readonly best: BestEpoch | null;
  /** With `select: smoothed`: that figure of the last two epochs, the last one last; null where it is not a number. */
  readonly recent?: readonly (number | null)[] | undefined;
}

const positionSchema = z.object({
  step: z.int().min(0),
  epoch: z.int().min(0),
  metricsBytes: z.int().min(0),
  best: z.object({ epoch: z.int(), metric: metricName.nullable(), value: z.number().nullable() }).nullable(),
  recent: z.array(z.number().nullable()).max(2).optional(),
});

const KEY = 'emoq_training_position';

/** Metadata of a training state file. */
export function positionMetadata(position: TrainingPosition): Record<string, string> {
  return { [KEY]: JSON.stringify(position) };
}

/** Position of a saved state; undefined where there is none. @throws InputError when the file is not one */
export async function readPosition(path: string): Promise<TrainingPosition | undefined> {
  if (!(await pathExists(path))) return undefined;
  const { metadata } = await readSafetensorsHeader(path);
  const parsed = positionSchema.safeParse(parseJson(metadata[KEY]));
  if (!parsed.success)
    throw new InputError(`${path} is not a training state of emoq; delete the run to start again`);
  return parsed.data;
}

/**
 * Checks a saved state against the checksum that it was written with; one of an emoq that wrote none passes.
 * @throws InputError when it is damaged
 */
export async function verifyState(path: string): Promise<void> {
  const { metadata } = await readSafetensorsHeader(path);
  // Of a key that is damaged itself the file would else pass as one without a checksum.
  const isForeign = Object.keys(metadata).some((key) => key !== KEY && key !== CHECKSUM_KEY);
  if (isForeign || (await hasWholeContent(path)) === false) {
    throw new InputError(
      `training state ${path} is damaged: its checksum does not fit its content; delete the run to start again, or put a good copy in its place`,
    );
  }
}

function parseJson(text: string | undefined): unknown {
  try {
    return JSON.parse(text ?? 'null');
  } catch {
    return undefined;
  }
}
