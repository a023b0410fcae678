/** @file The utterances that a model was most wrong about, with their recordings small enough for a page. */

import { relative } from 'node:path';
import { defaultJobs, errorMessage, InputError, mapConcurrently, pathExists } from '../../base/index.js';
import { decodeAudio, encodeMp3 } from '../../data/audio/index.js';
import type { Missing } from '../../evaluation/index.js';
import type { Mistake, ReportUtterance } from '../../report/index.js';
import type { GatherControl } from './evaluated-runs.js';

/** Where recordings are, or why that is not known. */
export type Recordings =
  | {
      readonly kind: 'recordings';
      /** Of the manifest: what a message names a recording from. */
      readonly dir: string;
      readonly pathOf: (id: string) => string | undefined;
      readonly maxAudioSec: number;
    }
  | Missing;

/**
 * The `count` worst: those whose predicted class is most above the reference, in probability. Of several seeds that are
 * wrong about an utterance it is the worst.
 */
export async function worstMistakes(
  utterances: readonly ReportUtterance[],
  count: number,
  recordings: Recordings,
  { onProgress, signal }: GatherControl,
): Promise<Mistake[]> {
  const worst = worstOf(utterances).slice(0, count);
  let done = 0;
  return mapConcurrently(
    worst,
    defaultJobs(),
    async (utterance) => {
      const audio = await audioOf(utterances[utterance]!.id, recordings, signal);
      done += 1;
      onProgress?.(done, worst.length);
      return { utterance, ...audio };
    },
    signal,
  );
}

/** Indices of the wrongly predicted, the worst first, each id once. */
function worstOf(utterances: readonly ReportUtterance[]): number[] {
  const excess = ({ predicted, reference, probabilities }: ReportUtterance): number =>
    predicted === null || predicted === reference
      ? Number.NEGATIVE_INFINITY
      : probabilities === null
        ? 0
        : probabilities[predicted]! - probabilities[reference]!;
  const ranked = utterances
    .map((utterance, index) => ({ index, id: utterance.id, by: excess(utterance) }))
    .filter(({ by }) => by > Number.NEGATIVE_INFINITY)
    .sort((a, b) => b.by - a.by || a.index - b.index);
  const seen = new Set<string>();
  return ranked.flatMap(({ index, id }) => (seen.size < seen.add(id).size ? [index] : []));
}

async function audioOf(
  id: string,
  recordings: Recordings,
  signal: AbortSignal | undefined,
): Promise<Pick<Mistake, 'audio' | 'audioMissing'>> {
  const missing = (audioMissing: string) => ({ audio: null, audioMissing });
  if (recordings.kind === 'missing') return missing(recordings.reason);
  const path = recordings.pathOf(id);
  if (path === undefined) return missing('the manifest does not have it');
  if (!(await pathExists(path))) return missing(`${relative(recordings.dir, path)} does not exist`);
  try {
    // What the model heard: a player may make something else of an odd file.
    const { samples } = await decodeAudio(path, { maxDurationSec: recordings.maxAudioSec, signal });
    const mp3 = await encodeMp3(samples, signal);
    return { audio: `data:audio/mpeg;base64,${mp3.toString('base64')}`, audioMissing: null };
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    // A page may go to others, to whom this machine's folders are nothing.
    return missing(errorMessage(error).replaceAll(path, relative(recordings.dir, path)));
  }
}
