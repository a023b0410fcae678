/** @file What the library is given, as rows for the pipeline of `emoq predict`, and what it gives back. */

import { fileFinder } from '../data/tables/index.js';
import type { JudgedRow, PartOutcome, PredictionSource, SourceRow } from '../inference/index.js';
import type { Answer, Prediction, Recording } from './public-types.js';

/** The columns that rows of recordings have. */
export const RECORDING_COLUMNS = {
  pathColumn: 'path',
  textColumn: 'text',
  speakerColumn: 'speaker',
} as const;

/** Recordings that are read at a time. */
const BLOCK = 32;

/** Recordings as they come; `given` gets each by its index. */
export function recordingRows<R extends Recording | string>(
  recordings: Iterable<R> | AsyncIterable<R>,
  given: Map<number, R>,
): PredictionSource {
  return {
    ...{ columns: ['path'], decimalComma: false, namesFiles: true, notes: [] },
    files: fileFinder('.'),
    async *read() {
      let index = 0;
      for await (const block of blocksOf(recordings)) {
        yield block.map((recording): SourceRow => {
          given.set(index, recording);
          return { index: index++, line: undefined, ...rowOf(recording) };
        });
      }
    },
  };
}

function rowOf(recording: Recording | string): Pick<SourceRow, 'fields' | 'samples'> {
  if (typeof recording === 'string') return { fields: { path: recording } };
  const { samples, path = '', text = '', speaker = '', gender = '', dialogue = '' } = recording;
  const { channel, start, end } = recording;
  const number = (value: number | string | undefined): string => (value === undefined ? '' : String(value));
  return {
    fields: {
      ...{ path, text, speaker, gender, dialogue },
      ...{ channel: number(channel), start: number(start), end: number(end) },
    },
    ...(samples && { samples }),
  };
}

/** Blocks of what is there already, so that recordings that are slow to come are not waited for. */
async function* blocksOf<R>(recordings: Iterable<R> | AsyncIterable<R>): AsyncGenerator<readonly R[]> {
  if (Symbol.iterator in recordings) {
    let block: R[] = [];
    for (const recording of recordings) {
      if (block.push(recording) < BLOCK) continue;
      yield block;
      block = [];
    }
    if (block.length > 0) yield block;
    return;
  }
  const iterator = recordings[Symbol.asyncIterator]();
  try {
    let next = iterator.next();
    for (let done = false; !done; ) {
      const block: R[] = [];
      let result: IteratorResult<R> | undefined = await next;
      while (result !== undefined && result.done !== true) {
        block.push(result.value);
        next = iterator.next();
        result = block.length < BLOCK ? await ifThere(next) : undefined;
      }
      done = result?.done === true;
      if (block.length > 0) yield block;
    }
  } finally {
    await iterator.return?.();
  }
}

/** What a promise has come to by the next turn of the event loop, if it has. */
function ifThere<T>(promise: Promise<T>): Promise<T | undefined> {
  return Promise.race([
    promise,
    new Promise<undefined>((resolve) => {
      setImmediate(resolve, undefined);
    }),
  ]);
}

/** The answer for a row. */
export function predictionOf<R>(
  recording: R,
  { parts, whole }: JudgedRow,
  labels: readonly string[],
): Prediction<R> {
  const answers = parts.map((part) => answerOf(part, labels));
  return whole === undefined
    ? { recording, ...answers[0]! }
    : { recording, ...answerOf(whole, labels), windows: answers };
}

function answerOf(part: PartOutcome, labels: readonly string[]): Answer {
  const common = {
    start: part.startSec,
    end: part.endSec,
    notes: part.notes.map(({ kind, text }) => `${kind}: ${text}`),
  };
  if (part.kind === 'failed') {
    const nothing = { label: undefined, probabilities: undefined, margin: undefined };
    return { ...common, ...nothing, error: part.error };
  }
  const { label, probabilities } = part;
  const [first = 0, second = 0] = [...probabilities].sort((a, b) => b - a);
  return {
    ...common,
    label,
    probabilities: Object.fromEntries(labels.map((name, index) => [name, probabilities[index]!])),
    margin: first - second,
    error: undefined,
  };
}
