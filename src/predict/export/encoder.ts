/** @file The speech encoder for export: a HuBERT checkpoint as the function that transformers' HubertModel is. */

import { InputError } from '../../base/index.js';
import {
  encoderGraph,
  encoderKeys,
  readHubertConfig,
  storedTensor,
  unreadWeights,
  weightFiles,
} from '../../models/index.js';
import type { ExportableModel } from './model-files.js';
import { checkpointName, openModelFolder } from './origin.js';

/** transformers' own group norm, over the padding of a batch too. */
const AS_PUBLISHED = { groupNormSteps: 'padded' } as const;

/**
 * Opens an encoder for export. The metadata says how it wants its waveforms: at which rate, and whether at zero mean
 * and unit variance.
 * @throws InputError when no checkpoint is given, or it is missing, broken or no HuBERT
 */
export async function exportableEncoder(
  nameOrPath: string | undefined,
  onWarning?: (text: string) => void,
): Promise<ExportableModel> {
  if (nameOrPath === undefined) throw new InputError('say what to export: --checkpoint FOLDER of a HuBERT');
  const checkpoint = await openModelFolder(nameOrPath, 'name the HuBERT that its recipe.yaml has as encoder');
  const { doNormalize } = await readHubertConfig(nameOrPath);
  const inPlace = encoderGraph(checkpoint, AS_PUBLISHED);
  const unread = unreadWeights(checkpoint, 'hubert', encoderKeys(checkpoint));
  if (unread !== undefined) onWarning?.(unread);
  return {
    tensors: inPlace.initializers.flatMap(({ name: key, dtype, shape, content }) =>
      content !== undefined && 'path' in content
        ? [storedTensor({ key, dtype, shape: shape as readonly number[], ...content })]
        : [],
    ),
    graph: (weights) => encoderGraph({ ...checkpoint, weights }, AS_PUBLISHED),
    description: 'HuBERT encoder: 16 kHz waveforms to hidden states at 50 frames a second',
    metadata: {
      part: 'encoder',
      checkpoint: checkpointName(checkpoint),
      sampling_rate_hz: '16000',
      do_normalize: String(doNormalize),
    },
    sources: weightFiles(checkpoint),
  };
}
