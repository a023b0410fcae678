/** @file The encoders of models that judge together: those that hear with the same encoder share it. */

import { encoderOf } from '../../systems/index.js';
import type { EncoderPool } from '../../training/index.js';
import type { OpenedModel } from '../trained-run.js';

export interface MemberEncoders {
  /** Each once. */
  readonly encoders: readonly EncoderPool[];
  /** For each model, the index of its encoder; undefined for one that reads no audio. */
  readonly encoderOf: readonly (number | undefined)[];
  close(): Promise<void>;
}

/** Opens the encoders of models. The caller closes them. */
export async function openEncoders(models: readonly OpenedModel[]): Promise<MemberEncoders> {
  const encoders: EncoderPool[] = [];
  const opened = new Map<string, number>();
  const indices: (number | undefined)[] = [];
  const close = async (): Promise<void> => {
    for (const encoder of encoders) await encoder.close();
  };
  try {
    for (const model of models) {
      if (!model.phase.needs.audio) {
        indices.push(undefined);
        continue;
      }
      const key = models.length === 1 ? '' : await identityOf(model);
      const known = opened.get(key) ?? encoders.push(await model.openEncoder()) - 1;
      opened.set(key, known);
      indices.push(known);
    }
  } catch (error) {
    await close();
    throw error;
  }
  return { encoders, encoderOf: indices, close };
}

/** What tells the features of an encoder from those of others. */
async function identityOf({ recipe }: OpenedModel): Promise<string> {
  const { files, selection } = await encoderOf(recipe);
  return JSON.stringify([files, selection]);
}
