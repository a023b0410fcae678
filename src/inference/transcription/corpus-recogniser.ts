/** @file Recognises the clips of a corpus that is being prepared. What is done is kept in its folder. */

import { join } from 'node:path';
import type { CorpusRecogniser } from '../../data/corpora/index.js';
import type { ComputeOptions } from '../../training/index.js';
import type { NamedRecogniser } from '../speech-recogniser.js';
import { type RecognitionListener, recogniseClips } from './clip-recognition.js';

const JOURNAL = 'recognition.jsonl';

export function corpusRecogniser(
  named: NamedRecogniser,
  compute: ComputeOptions,
  listener: RecognitionListener,
): CorpusRecogniser {
  const { identity } = named;
  return {
    identity,
    recognise: (clips, folder) =>
      recogniseClips(named, clips, { path: join(folder, JOURNAL), identity }, compute, listener),
  };
}
