/**
 * @file Judges rows in the order of the input: parts are decoded, encoded and classified in chunks, each of these while
 * the one after it has the chunk before. Which parts share a chunk does not depend on where reading began, so a resumed
 * prediction has the same figures.
 */

import { setMaxListeners } from 'node:events';
import { createPool, defaultJobs, mapConcurrently, readAhead } from '../../base/index.js';
import { SAMPLE_RATE_HZ } from '../../data/audio/index.js';
import { withoutTags } from '../../data/corpora/index.js';
import {
  BATCH_SEC,
  batchesByLength,
  type StoredFeatures,
  storedFeatures,
  UNHOLDABLE_FEATURES,
} from '../../data/features/index.js';
import { cellOf } from '../../data/tables/index.js';
import { meanOverWindows, WINDOWS_NOTE, windowsNote } from '../../evaluation/index.js';
import { argmax } from '../../evaluation/metrics/index.js';
import type { ModelUtterance } from '../../systems/index.js';
import { cutTo, type EncoderPool, isCutText } from '../../training/index.js';
import type { OpenedModel } from '../trained-run.js';
import {
  type LongRecording,
  type Part,
  type PartOptions,
  partsOfRow,
  type ReadablePart,
  type RowNote,
  transcriptOfRow,
  type WindowedRecording,
} from './parts.js';
import {
  GENDER_COLUMN,
  type PredictionSource,
  type RowRange,
  rowBlocks,
  type SourceRow,
} from './prediction-source.js';

/** Parts that are computed together, for each device. */
const CHUNK = 32;

/** The answer for a part of a row. */
export type PartOutcome = {
  readonly startSec: number | undefined;
  readonly endSec: number | undefined;
  readonly notes: readonly RowNote[];
  /** Whether the transcript was cut. */
  readonly isCut: boolean;
} & (
  | { readonly kind: 'predicted'; readonly label: string; readonly probabilities: Float32Array }
  | { readonly kind: 'failed'; readonly error: string }
);

/** A row with the answers for its parts: one, or those of the windows of a long recording. */
export interface JudgedRow {
  readonly row: SourceRow;
  /** Its path as given; '' if it has none. */
  readonly name: string;
  readonly parts: readonly PartOutcome[];
  /** The answer for a recording that was judged in windows. */
  readonly whole?: PartOutcome | undefined;
}

export interface JudgingOptions extends PartOptions {
  readonly range: RowRange;
  /** The first row to judge: `range.first`, or just after rows that were yielded together. */
  readonly from: number;
  readonly stop?: AbortSignal | undefined;
}

/** How many parts a model computes together. */
export function chunkSize({ devices }: Pick<OpenedModel, 'devices'>): number {
  return CHUNK * devices;
}

/**
 * Judges the rows of a source, and yields those that are finished together. While some are classified, the next ones
 * are encoded, and those after them decoded.
 * @throws the reason of `stop` between two chunks
 */
export async function* judgeRows(
  model: OpenedModel,
  source: PredictionSource,
  options: JudgingOptions,
): AsyncGenerator<readonly JudgedRow[]> {
  const unneeded = new AbortController();
  setMaxListeners(0, unneeded.signal); // one for each recording that is being decoded
  const encoder = model.phase.needs.audio ? await model.openEncoder() : undefined;
  try {
    const chunks = chunksOf(model, source, options, unneeded.signal);
    for await (const chunk of readAhead(encodedChunks(chunks, encoder, options))) {
      options.stop?.throwIfAborted();
      await classify(chunk, model, options);
      if (chunk.finished.length > 0) yield chunk.finished.map((judged) => judged());
    }
  } finally {
    unneeded.abort(); // the next rows are being decoded
    await encoder?.close();
  }
}

/** Parts that are computed together. */
interface Chunk<T = ChunkItem> {
  readonly items: readonly T[];
  /** Rows that are finished once these parts are judged. */
  readonly finished: readonly (() => JudgedRow)[];
}

interface ChunkItem {
  readonly row: SourceRow;
  readonly part: Exclude<Part, LongRecording>;
  /** Where the answer goes. */
  readonly to: PartOutcome[];
}

/** The parts of a source's rows in chunks; a row's decoding begins while the rows before it are taken. */
async function* chunksOf(
  model: OpenedModel,
  source: PredictionSource,
  options: JudgingOptions,
  signal: AbortSignal,
): AsyncGenerator<Chunk> {
  const size = chunkSize(model);
  const decoding = createPool(Array.from({ length: defaultJobs() }, () => undefined) as [undefined]);
  const begin = async function* () {
    for await (const block of rowBlocks(source, size, options.range, options.from)) {
      yield block.map((row) => {
        const parts = partsOfRow(row, source, options, signal);
        const next = () => decoding.use(() => parts.next());
        return { row, next, first: next() };
      });
    }
  };
  let [items, finished]: [ChunkItem[], (() => JudgedRow)[]] = [[], []];
  const taken = (): Chunk => {
    const chunk = { items, finished };
    [items, finished] = [[], []];
    return chunk;
  };
  for await (const block of readAhead(begin())) {
    for (const { row, next, first } of block) {
      const to: PartOutcome[] = [];
      let isDivided = false;
      let part = await first;
      for (; part.done !== true; part = await next()) {
        if (part.value.kind === 'long') continue;
        if (items.length === size) {
          if (items.at(-1)!.to === to) {
            isDivided = true;
            yield { items: items.splice(0), finished: [] };
          } else yield taken();
        }
        items.push({ row, part: part.value, to });
      }
      const windowed = part.value;
      finished.push(() => ({
        ...{ row, name: cellOf(row, options.pathColumn), parts: to },
        ...(windowed && { whole: answerOfWhole(windowed, to, model.recipe.labels) }),
      }));
      // Long recordings fill chunks of their own. What follows begins anew, as if reading had begun there.
      if (isDivided) yield taken();
    }
    if (finished.length > 0) yield taken();
  }
}

/** An item without its samples. */
interface EncodedItem extends Pick<ChunkItem, 'row' | 'to'> {
  readonly part: Exclude<ChunkItem['part'], ReadablePart> | Omit<ReadablePart, 'samples'>;
  /** Absent without an encoder, and if float16 cannot represent them. */
  readonly features: StoredFeatures | undefined;
}

/** Encodes the parts of chunks, one chunk after the other. */
async function* encodedChunks(
  chunks: AsyncIterable<Chunk>,
  encoder: EncoderPool | undefined,
  { stop }: JudgingOptions,
): AsyncGenerator<Chunk<EncodedItem>> {
  for await (const { items, finished } of chunks) {
    stop?.throwIfAborted();
    const features = await encodeAll(items, encoder);
    yield {
      finished,
      items: items.map(({ row, part, to }, index): EncodedItem => {
        if (part.kind === 'failed') return { row, part, to, features: undefined };
        const own = features.get(index);
        if (encoder !== undefined && own === undefined) {
          return { row, part: { kind: 'failed', error: UNHOLDABLE_FEATURES }, to, features: undefined };
        }
        const { samples: _encoded, ...rest } = part;
        return { row, part: rest, to, features: own };
      }),
    };
  }
}

/**
 * Features of the readable parts by their index, in batches of the same size as for the feature cache; undefined if
 * float16 cannot represent them. Without an encoder there are none.
 */
async function encodeAll(
  items: readonly ChunkItem[],
  encoder: EncoderPool | undefined,
): Promise<Map<number, StoredFeatures | undefined>> {
  const features = new Map<number, StoredFeatures | undefined>();
  if (encoder === undefined) return features;
  const clips = items.flatMap(({ part }, index) =>
    part.kind === 'readable' && part.samples !== undefined ? [{ index, samples: part.samples }] : [],
  );
  const limits = { paddedSamples: encoder.paddedSamples, batchSamples: BATCH_SEC * SAMPLE_RATE_HZ };
  await mapConcurrently([...batchesByLength(clips, limits)], encoder.lanes, async (batch) => {
    const encoded = await encoder.encode(batch.map(({ samples }) => samples));
    // Converted through float16, as in the cache, so that predictions do not depend on where the features come from.
    batch.forEach(({ index }, row) => {
      features.set(index, storedFeatures(encoded[row]!));
    });
  });
  return features;
}

/** The answer for a recording from those for its windows. */
function answerOfWhole(
  { startSec, endSec, notes }: WindowedRecording,
  windows: readonly PartOutcome[],
  labels: readonly string[],
): PartOutcome {
  const times = { startSec, endSec, isCut: false };
  const mean = meanOverWindows(
    windows.map((window) => ({
      startSec: window.startSec ?? 0,
      endSec: window.endSec ?? 0,
      probabilities: window.kind === 'predicted' ? window.probabilities : null,
    })),
  );
  const failed = windows.length - (mean?.judged ?? 0);
  const own = {
    ...times,
    notes: [{ kind: WINDOWS_NOTE, text: windowsNote(mean?.judged ?? 0, failed) }, ...notes],
  };
  if (mean === undefined) {
    const reason = windows.length === 0 ? 'there is no sound in it' : 'none of its windows could be judged';
    return { ...own, ...failure(reason) };
  }
  const { probabilities } = mean;
  return { ...own, kind: 'predicted', label: labels[argmax(probabilities)]!, probabilities };
}

/** Answers the parts of a chunk. */
async function classify(
  { items }: Chunk<EncodedItem>,
  { recipe, phase, infer }: OpenedModel,
  options: JudgingOptions,
): Promise<void> {
  const answers = items.map(({ part }): Answer => failure(part.kind === 'failed' ? part.error : ''));
  const features = (id: string): StoredFeatures | undefined => items[Number(id)]!.features;
  const read = {
    frames: (id: string) => features(id)?.frames ?? 0,
    read: async ({ id }: { readonly id: string }) => features(id)!,
  };
  const examples = items.flatMap(({ row, part }, index) => {
    if (part.kind === 'failed') return [];
    const text = transcriptOfRow(row, options.textColumn);
    const utterance: ModelUtterance = {
      id: String(index),
      path: part.path,
      text: recipe.strip_tags ? withoutTags(text) : text, // as in training
      speaker: cellOf(row, options.speakerColumn),
      gender: cellOf(row, GENDER_COLUMN),
      label: '',
    };
    const encoded = phase.encode!(utterance);
    if (encoded.kind === 'example') return [encoded.example];
    answers[index] = failure(encoded.problem);
    return [];
  });
  const inferences = await infer(examples, read);
  inferences.forEach((inference, position) => {
    const index = Number(examples[position]!.id);
    if (inference.kind === 'failed') {
      answers[index] = failure(`${inference.fault}; it or its weights are damaged`);
      return;
    }
    const { probabilities } = inference;
    answers[index] = { kind: 'predicted', label: recipe.labels[argmax(probabilities)]!, probabilities };
  });
  const cut = new Set(examples.filter(isCutText).map(({ id }) => Number(id)));
  const cutText: RowNote = { kind: 'text', text: phase.textLimit ? cutTo(phase.textLimit) : '' };
  for (const [index, { part, to }] of items.entries()) {
    const isCut = cut.has(index);
    const { startSec, endSec, notes }: Partial<Omit<ReadablePart, 'samples'>> =
      part.kind === 'readable' ? part : {};
    to.push({
      ...{ startSec, endSec, isCut },
      notes: [...(notes ?? []), ...(isCut ? [cutText] : [])],
      ...answers[index]!,
    });
  }
}

type Answer =
  | { readonly kind: 'predicted'; readonly label: string; readonly probabilities: Float32Array }
  | { readonly kind: 'failed'; readonly error: string };

function failure(error: string): Answer {
  return { kind: 'failed', error };
}
