/** @file `openBundle`: a bundle that predicts for other programs. It prints nothing and never ends the process. */

import { requireDevices, resolveDevice } from '../engine/runtime/index.js';
import { checkWindowChoice, judgeRows, type OpenedModel, openBundleModel } from '../inference/index.js';
import type { EncoderPool } from '../training/index.js';
import type { Bundle, OpenBundleOptions, PredictOptions, Recording } from './public-types.js';
import { predictionOf, RECORDING_COLUMNS, recordingRows } from './recordings.js';

/**
 * Opens a bundle that `emoq export bundle` has written.
 * @throws Error with one line that says what is wrong and what to do: the folder is no bundle, or damaged, or the device
 *   cannot be used
 */
export async function openBundle(dir: string, options: OpenBundleOptions = {}): Promise<Bundle> {
  const { device: name = 'auto', threads, onWarning } = options;
  const device = resolveDevice(name === 'cuda' ? 'cuda:0' : name);
  await requireDevices([device]);
  const model = await openBundleModel(dir, {
    device,
    cacheDir: '',
    ...(threads !== undefined && { threads }),
    ...(onWarning && { onWarning }),
  });
  const { recipe, phase, description } = model;
  const shared = withSharedEncoder(model);
  return {
    labels: recipe.labels,
    description: { ...description },
    async *predict<R extends Recording | string>(
      recordings: Iterable<R> | AsyncIterable<R>,
      { signal, windows = 'auto' }: PredictOptions = {},
    ) {
      signal?.throwIfAborted();
      checkWindowChoice(windows, recipe.max_audio_sec);
      const given = new Map<number, R>();
      const source = recordingRows(recordings, given);
      const judged = judgeRows([shared.model], source, {
        ...RECORDING_COLUMNS,
        range: { first: 0, end: Number.POSITIVE_INFINITY },
        from: 0,
        needsAudio: phase.needs.audio,
        windows,
        maxAudioSec: recipe.max_audio_sec,
        stop: signal,
      });
      for await (const rows of judged) {
        for (const row of rows) {
          const { index } = row.row;
          const recording = given.get(index)!;
          given.delete(index);
          yield predictionOf(recording, row, recipe.labels);
        }
      }
    },
    async close() {
      await shared.close();
      await model.close();
    },
  };
}

/** A model whose encoder is opened once, with the first recording, and stays open. */
function withSharedEncoder(model: OpenedModel): {
  readonly model: OpenedModel;
  readonly close: () => Promise<void>;
} {
  let encoder: Promise<EncoderPool> | undefined;
  return {
    model: {
      ...model,
      openEncoder: async () => {
        encoder ??= model.openEncoder();
        return { ...(await encoder), close: async () => undefined };
      },
    },
    close: async () => (await encoder?.catch(() => undefined))?.close(),
  };
}
