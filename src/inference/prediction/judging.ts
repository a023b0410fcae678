/**
 * @file Judges rows in the order of the input: parts are decoded, encoded and classified in chunks, each of these while
 * the one after it has the chunk before. Rows without a transcript may get one from a recogniser.
 */

import { setMaxListeners } from 'node:events';
import { InputError, readAhead } from '../../base/index.js';
import { withoutTags } from '../../data/corpora/index.js';
import { type StoredFeatures, storedFeatures, UNHOLDABLE_FEATURES } from '../../data/features/index.js';
import { cellOf } from '../../data/tables/index.js';
import { meanOverWindows, WINDOWS_NOTE, windowsNote } from '../../evaluation/index.js';
import { argmax } from '../../evaluation/metrics/index.js';
import type { ModelUtterance } from '../../systems/index.js';
import { cutTo, type EncoderPool, isCutText } from '../../training/index.js';
import type { SpeechRecogniser } from '../speech-recogniser.js';
import type { OpenedModel } from '../trained-run.js';
import { type Chunk, type ChunkItem, type ChunkOptions, chunkSize, chunksOf, encodeParts } from './chunks.js';
import { withHistories } from './histories.js';
import {
  type FailedPart,
  type ReadablePart,
  type RowNote,
  transcriptOfRow,
  type WindowedRecording,
} from './parts.js';
import { GENDER_COLUMN, type PredictionSource, type SourceRow } from './prediction-source.js';

/** The answer for a part of a row. */
export type PartOutcome = {
  readonly startSec: number | undefined;
  readonly endSec: number | undefined;
  readonly notes: readonly RowNote[];
  /** Whether the transcript was cut. */
  readonly isCut: boolean;
  /** The transcript, where it was recognised. */
  readonly recognised?: string;
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

export interface JudgingOptions extends ChunkOptions {
  /** Gives the rows that have no transcript one. */
  readonly recogniser?: SpeechRecogniser | undefined;
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
  const encoder = options.needsAudio ? await model.openEncoder() : undefined;
  try {
    const { labels } = model.recipe;
    const finish = (
      row: SourceRow,
      parts: readonly PartOutcome[],
      windowed: WindowedRecording | undefined,
    ): JudgedRow => ({
      ...{ row, name: cellOf(row, options.pathColumn), parts },
      ...(windowed && { whole: answerOfWhole(windowed, parts, labels) }),
    });
    const told = withDialogues(model, source, options);
    const chunks = chunksOf(told, options, chunkSize(model.devices), finish, unneeded.signal);
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

/** Rows with what was said before them, if the model reads that. */
function withDialogues(
  { recipe, phase }: OpenedModel,
  source: PredictionSource,
  { textColumn, speakerColumn }: JudgingOptions,
): PredictionSource {
  const turns = phase.prompt?.history ?? 0;
  if (turns === 0) return source;
  return withHistories(source, { textColumn, speakerColumn, turns, stripTags: recipe.strip_tags });
}

/** An item without its samples. */
interface EncodedItem extends Pick<ChunkItem<PartOutcome>, 'row' | 'to'> {
  readonly part: FailedPart | Omit<ReadablePart, 'samples'>;
  /** Absent without an encoder, and if float16 cannot represent them. */
  readonly features: StoredFeatures | undefined;
  /** The text that was recognised, where the row has none. */
  readonly recognised: string | undefined;
}

/** Encodes the parts of chunks, one chunk after the other. */
async function* encodedChunks(
  chunks: AsyncIterable<Chunk<ChunkItem<PartOutcome>, JudgedRow>>,
  encoder: EncoderPool | undefined,
  { stop, recogniser, textColumn }: JudgingOptions,
): AsyncGenerator<Chunk<EncodedItem, JudgedRow>> {
  for await (const { items, finished } of chunks) {
    stop?.throwIfAborted();
    // Converted through float16, as in the cache, so that predictions do not depend on where the features come from.
    const features = encoder && (await encodeParts(items, encoder, storedFeatures));
    const texts =
      recogniser &&
      (await encodeParts(
        items,
        recogniser.encoder,
        (logits) => attempt(() => recogniser.textOf(logits).text),
        ({ row }) => transcriptOfRow(row, textColumn) === '',
      ));
    yield {
      finished,
      items: items.map(({ row, part, to }, index): EncodedItem => {
        const failed = (error: string): EncodedItem => ({
          ...{ row, to, features: undefined, recognised: undefined },
          part: { kind: 'failed', error },
        });
        if (part.kind === 'failed') return failed(part.error);
        const own = features?.get(index);
        if (encoder !== undefined && own === undefined) return failed(UNHOLDABLE_FEATURES);
        const text = texts?.get(index);
        if (text?.kind === 'failed') return failed(text.error);
        const { samples: _encoded, ...rest } = part;
        return { row, part: rest, to, features: own, recognised: text?.value };
      }),
    };
  }
}

/** What a function gives, or why it cannot. */
export function attempt<T>(
  work: () => T,
): { readonly kind: 'done'; readonly value: T } | { readonly kind: 'failed'; readonly error: string } {
  try {
    return { kind: 'done', value: work() };
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    return { kind: 'failed', error: error.message };
  }
}

/** The text of a recording from those of its windows. */
export function joinedTexts(texts: readonly string[]): string {
  return texts.filter((text) => text !== '').join(' ');
}

/** The answer for a recording from those for its windows. */
function answerOfWhole(
  { startSec, endSec, notes }: WindowedRecording,
  windows: readonly PartOutcome[],
  labels: readonly string[],
): PartOutcome {
  const texts = windows.flatMap(({ recognised }) => (recognised === undefined ? [] : [recognised]));
  const times = {
    ...{ startSec, endSec, isCut: false },
    ...(texts.length > 0 && { recognised: joinedTexts(texts) }),
  };
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
  { items }: Chunk<EncodedItem, JudgedRow>,
  { recipe, phase, infer }: OpenedModel,
  options: JudgingOptions,
): Promise<void> {
  const answers = items.map(({ part }): Answer => failure(part.kind === 'failed' ? part.error : ''));
  const features = (id: string): StoredFeatures | undefined => items[Number(id)]!.features;
  const read = {
    frames: (id: string) => features(id)?.frames ?? 0,
    read: async ({ id }: { readonly id: string }) => features(id)!,
  };
  const examples = items.flatMap(({ row, part, recognised }, index) => {
    if (part.kind === 'failed') return [];
    const text = recognised ?? transcriptOfRow(row, options.textColumn);
    const utterance: ModelUtterance = {
      id: String(index),
      path: part.path,
      text: recipe.strip_tags ? withoutTags(text) : text, // as in training
      speaker: cellOf(row, options.speakerColumn),
      gender: cellOf(row, GENDER_COLUMN),
      history: row.history,
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
  for (const [index, { part, to, recognised }] of items.entries()) {
    const isCut = cut.has(index);
    const { startSec, endSec, notes }: Partial<Omit<ReadablePart, 'samples'>> =
      part.kind === 'readable' ? part : {};
    to.push({
      ...{ startSec, endSec, isCut },
      ...(recognised !== undefined && { recognised }),
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
