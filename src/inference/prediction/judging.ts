/**
 * @file Judges rows in the order of the input: parts are computed together in chunks, while the audio of the next rows
 * is decoded. Which parts share a chunk does not depend on where reading began, so a resumed prediction has the same
 * figures.
 */

import { setMaxListeners } from 'node:events';
import { createPool, defaultJobs, mapConcurrently } from '../../base/index.js';
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
 * Judges the rows of a source, and yields those that are finished together.
 * @throws the reason of `stop` between two chunks
 */
export async function* judgeRows(
  model: OpenedModel,
  source: PredictionSource,
  options: JudgingOptions,
): AsyncGenerator<readonly JudgedRow[]> {
  const size = chunkSize(model);
  const { range, from, stop } = options;
  const blocks = rowBlocks(source, size, range, from);
  const decoding = createPool(Array.from({ length: defaultJobs() }, () => undefined) as [undefined]);
  const unneeded = new AbortController();
  setMaxListeners(0, unneeded.signal); // one for each recording that is being decoded
  /** Starts decoding a block's rows. */
  const openBlock = async () => {
    const block = await blocks.next();
    if (block.done === true) return undefined;
    return block.value.map((row) => {
      const parts = partsOfRow(row, source, options, unneeded.signal);
      const next = () => decoding.use(() => parts.next());
      return { row, next, first: next() };
    });
  };
  const encoder = model.phase.needs.audio ? await model.openEncoder() : undefined;
  try {
    let ahead = openBlock();
    for (;;) {
      const block = await ahead;
      if (block === undefined) return;
      ahead = openBlock();
      ahead.catch(() => undefined); // awaited in the next round
      let chunk: ChunkItem[] = [];
      let finished: (() => JudgedRow)[] = [];
      const compute = async (): Promise<void> => {
        stop?.throwIfAborted();
        const outcomes = await judgeParts(chunk, model, encoder, options);
        for (const [index, { to }] of chunk.entries()) to.push(outcomes[index]!);
        chunk = [];
      };
      for (const [index, { row, next, first }] of block.entries()) {
        const parts: PartOutcome[] = [];
        let part = await first;
        for (; part.done !== true; part = await next()) {
          if (part.value.kind === 'long') continue;
          chunk.push({ row, part: part.value, to: parts });
          if (chunk.length === size) await compute();
        }
        const windowed = part.value;
        finished.push(() => ({
          ...{ row, name: cellOf(row, options.pathColumn), parts },
          ...(windowed && { whole: answerOfWhole(windowed, parts, model.recipe.labels) }),
        }));
        // Long recordings fill chunks of their own. What follows begins anew, as if reading had begun there.
        const isLast = index === block.length - 1;
        if (parts.length === 0 && !isLast) continue;
        if (chunk.length > 0) await compute();
        yield finished.map((judged) => judged());
        finished = [];
      }
    }
  } finally {
    unneeded.abort(); // the next rows are being decoded
    blocks.return(undefined).catch(() => undefined); // not awaited: the next row may be long in coming
    await encoder?.close();
  }
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

interface ChunkItem {
  readonly row: SourceRow;
  readonly part: Exclude<Part, LongRecording>;
  /** Where the answer goes. */
  readonly to: PartOutcome[];
}

async function judgeParts(
  chunk: readonly ChunkItem[],
  model: OpenedModel,
  encoder: EncoderPool | undefined,
  options: JudgingOptions,
): Promise<PartOutcome[]> {
  const { recipe, phase } = model;
  const answers = chunk.map(({ part }): Answer => failure(part.kind === 'failed' ? part.error : ''));
  const readable = [...chunk.keys()].filter((index) => chunk[index]!.part.kind === 'readable');
  const features = new Map<number, StoredFeatures>();
  for (const [index, own] of await encodeAll(chunk, readable, encoder)) {
    if (own === undefined) answers[index] = failure(UNHOLDABLE_FEATURES);
    else features.set(index, own);
  }
  const usable = readable.filter((index) => encoder === undefined || features.has(index));
  const utterances = usable.map((index): ModelUtterance => {
    const { row, part } = chunk[index]!;
    const text = transcriptOfRow(row, options.textColumn);
    return {
      id: String(index),
      path: part.kind === 'readable' ? part.path : '',
      text: recipe.strip_tags ? withoutTags(text) : text, // as in training
      speaker: cellOf(row, options.speakerColumn),
      gender: cellOf(row, GENDER_COLUMN),
      label: '',
    };
  });
  const read = {
    frames: (id: string) => features.get(Number(id))?.frames ?? 0,
    read: async ({ id }: { readonly id: string }) => features.get(Number(id))!,
  };
  const examples = utterances.flatMap((utterance) => {
    const encoded = phase.encode!(utterance);
    if (encoded.kind === 'example') return [encoded.example];
    answers[Number(utterance.id)] = failure(encoded.problem);
    return [];
  });
  const inferences = await model.infer(examples, read);
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
  return chunk.map(({ part }, index) => {
    const isCut = cut.has(index);
    const { startSec, endSec, notes }: Partial<Extract<Part, { kind: 'readable' }>> =
      part.kind === 'readable' ? part : {};
    return {
      ...{ startSec, endSec, isCut },
      notes: [...(notes ?? []), ...(isCut ? [cutText] : [])],
      ...answers[index]!,
    };
  });
}

type Answer =
  | { readonly kind: 'predicted'; readonly label: string; readonly probabilities: Float32Array }
  | { readonly kind: 'failed'; readonly error: string };

function failure(error: string): Answer {
  return { kind: 'failed', error };
}

/**
 * Features of the readable parts by their index in the chunk, in batches of the same size as for the feature cache;
 * undefined if float16 cannot represent them. Without an encoder there are none.
 */
async function encodeAll(
  chunk: readonly ChunkItem[],
  readable: readonly number[],
  encoder: EncoderPool | undefined,
): Promise<Map<number, StoredFeatures | undefined>> {
  const features = new Map<number, StoredFeatures | undefined>();
  if (encoder === undefined) return features;
  const clips = readable.flatMap((index) => {
    const { part } = chunk[index]!;
    return part.kind === 'readable' && part.samples !== undefined ? [{ index, samples: part.samples }] : [];
  });
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
