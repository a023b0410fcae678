/**
 * @file The parts of rows in chunks that are computed together. Which parts share a chunk does not depend on where
 * reading began, so what is resumed has the same figures.
 */

import { createPool, defaultJobs, mapConcurrently, readAhead } from '../../base/index.js';
import { SAMPLE_RATE_HZ } from '../../data/audio/index.js';
import { BATCH_SEC, batchesByLength } from '../../data/features/index.js';
import type { EncoderPool } from '../../training/index.js';
import {
  type LongRecording,
  type Part,
  type PartOptions,
  partsOfRow,
  type WindowedRecording,
} from './parts.js';
import { type PredictionSource, type RowRange, rowBlocks, type SourceRow } from './prediction-source.js';

/** Parts that are computed together, for each device. */
const CHUNK = 32;

/** How many parts are computed together. */
export function chunkSize(devices: number): number {
  return CHUNK * devices;
}

export interface ChunkOptions extends PartOptions {
  readonly range: RowRange;
  /** The first row to read: `range.first`, or just after rows that were yielded together. */
  readonly from: number;
  readonly stop?: AbortSignal | undefined;
}

/** Parts that are computed together. */
export interface Chunk<Item, Row> {
  readonly items: readonly Item[];
  /** Rows that are finished once these parts have their answers. */
  readonly finished: readonly (() => Row)[];
}

export interface ChunkItem<Answer> {
  readonly row: SourceRow;
  readonly part: Exclude<Part, LongRecording>;
  /** Where the answer goes. */
  readonly to: Answer[];
}

/**
 * The parts of a source's rows in chunks; a row's decoding begins while the rows before it are taken.
 * @param finish a row from the answers for its parts; `windowed` if they are the windows of a long recording
 * @param signal ends the decoding of rows that are not needed any more
 */
export async function* chunksOf<Answer, Row>(
  source: PredictionSource,
  options: ChunkOptions,
  size: number,
  finish: (row: SourceRow, answers: readonly Answer[], windowed: WindowedRecording | undefined) => Row,
  signal: AbortSignal,
): AsyncGenerator<Chunk<ChunkItem<Answer>, Row>> {
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
  let [items, finished]: [ChunkItem<Answer>[], (() => Row)[]] = [[], []];
  const taken = (): Chunk<ChunkItem<Answer>, Row> => {
    const chunk = { items, finished };
    [items, finished] = [[], []];
    return chunk;
  };
  for await (const block of readAhead(begin())) {
    for (const { row, next, first } of block) {
      const to: Answer[] = [];
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
      finished.push(() => finish(row, to, windowed));
      // Long recordings fill chunks of their own. What follows begins anew, as if reading had begun there.
      if (isDivided) yield taken();
    }
    if (finished.length > 0) yield taken();
  }
}

/**
 * What an encoder gives for the readable parts of a chunk that are wanted, by their index, in batches of the same size
 * as for the feature cache.
 */
export async function encodeParts<T>(
  items: readonly Pick<ChunkItem<unknown>, 'row' | 'part'>[],
  encoder: EncoderPool,
  use: (features: Awaited<ReturnType<EncoderPool['encode']>>[number]) => T,
  isWanted: (item: Pick<ChunkItem<unknown>, 'row' | 'part'>) => boolean = () => true,
): Promise<Map<number, T>> {
  const found = new Map<number, T>();
  const clips = items.flatMap((item, index) => {
    const { part } = item;
    const isOwn = part.kind === 'readable' && part.samples !== undefined && isWanted(item);
    return isOwn ? [{ index, samples: part.samples! }] : [];
  });
  const limits = { paddedSamples: encoder.paddedSamples, batchSamples: BATCH_SEC * SAMPLE_RATE_HZ };
  await mapConcurrently([...batchesByLength(clips, limits)], encoder.lanes, async (batch) => {
    const encoded = await encoder.encode(batch.map(({ samples }) => samples));
    for (const [row, { index }] of batch.entries()) found.set(index, use(encoded[row]!));
  });
  return found;
}
