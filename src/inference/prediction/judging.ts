/**
 * @file Judges rows in the order of the input: parts are decoded, encoded and classified in chunks, each of these while
 * the one after it has the chunk before. Rows without a transcript may get one from a recogniser. Several models answer
 * with the mean of their probabilities.
 */

import { setMaxListeners } from 'node:events';
import { InputError, readAhead } from '../../base/index.js';
import { withoutTags } from '../../data/corpora/index.js';
import { type StoredFeatures, storedFeatures, UNHOLDABLE_FEATURES } from '../../data/features/index.js';
import { cellOf } from '../../data/tables/index.js';
import { meanOverWindows, WINDOWS_NOTE, windowsNote } from '../../evaluation/index.js';
import { argmax } from '../../evaluation/metrics/index.js';
import type { ModelUtterance } from '../../systems/index.js';
import { cutTo, isCutText } from '../../training/index.js';
import { meanProbabilities } from '../ensemble.js';
import type { SpeechRecogniser } from '../speech-recogniser.js';
import type { OpenedModel } from '../trained-run.js';
import { type Chunk, type ChunkItem, type ChunkOptions, chunkSize, chunksOf, encodeParts } from './chunks.js';
import { withHistories } from './histories.js';
import { type MemberEncoders, openEncoders } from './member-encoders.js';
import {
  CUT_RECOGNITION,
  type FailedPart,
  type ReadablePart,
  type RowNote,
  transcriptOfRow,
  type WindowedRecording,
} from './parts.js';
import { GENDER_COLUMN, type PredictionSource, rowName, type SourceRow } from './prediction-source.js';

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

/** Models whose probabilities are averaged; usually one. The classes are in the order of the first. */
export type Judges = readonly [OpenedModel, ...OpenedModel[]];

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
  models: Judges,
  source: PredictionSource,
  options: JudgingOptions,
): AsyncGenerator<readonly JudgedRow[]> {
  const unneeded = new AbortController();
  setMaxListeners(0, unneeded.signal); // one for each recording that is being decoded
  const encoders = await openEncoders(models);
  try {
    const [{ recipe, devices }] = models;
    const { labels } = recipe;
    const finish = (
      row: SourceRow,
      parts: readonly PartOutcome[],
      windowed: WindowedRecording | undefined,
    ): JudgedRow => ({
      ...{ row, name: cellOf(row, options.pathColumn), parts },
      ...(windowed && { whole: answerOfWhole(windowed, parts, labels) }),
    });
    const told = withDialogues(models, source, options);
    const chunks = chunksOf(told, options, chunkSize(devices), finish, unneeded.signal);
    for await (const chunk of readAhead(encodedChunks(chunks, encoders, options))) {
      options.stop?.throwIfAborted();
      await classify(chunk, models, encoders, options);
      if (chunk.finished.length > 0) yield chunk.finished.map((judged) => judged());
    }
  } finally {
    unneeded.abort(); // the next rows are being decoded
    await encoders.close();
  }
}

/** Rows with what was said before them, if a model reads that; each takes the turns that it reads. */
function withDialogues(
  models: Judges,
  source: PredictionSource,
  { textColumn, speakerColumn }: JudgingOptions,
): PredictionSource {
  const turnsOf = ({ phase }: OpenedModel): number => phase.prompt?.history ?? 0;
  const turns = Math.max(...models.map(turnsOf));
  if (turns === 0) return source;
  const stripTags = models.find((model) => turnsOf(model) > 0)!.recipe.strip_tags;
  return withHistories(source, { textColumn, speakerColumn, turns, stripTags });
}

/** An item without its samples. */
interface EncodedItem extends Pick<ChunkItem<PartOutcome>, 'row' | 'to'> {
  readonly part: FailedPart | Omit<ReadablePart, 'samples'>;
  /** Those of each encoder; none of a failed part. */
  readonly features: readonly StoredFeatures[];
  /** The text that was recognised, where the row has none. */
  readonly recognised: string | undefined;
}

/** Encodes the parts of chunks, one chunk after the other. */
async function* encodedChunks(
  chunks: AsyncIterable<Chunk<ChunkItem<PartOutcome>, JudgedRow>>,
  { encoders }: MemberEncoders,
  { stop, recogniser, textColumn }: JudgingOptions,
): AsyncGenerator<Chunk<EncodedItem, JudgedRow>> {
  for await (const { items, finished } of chunks) {
    stop?.throwIfAborted();
    // Converted through float16, as in the cache, so that predictions do not depend on where the features come from.
    const features: Map<number, StoredFeatures | undefined>[] = [];
    for (const encoder of encoders) features.push(await encodeParts(items, encoder, storedFeatures));
    const texts =
      recogniser &&
      (await encodeParts(
        items,
        recogniser.encoder,
        (features) => attempt(() => recogniser.textOf(features)),
        ({ row }) => transcriptOfRow(row, textColumn) === '',
      ));
    yield {
      finished,
      items: items.map(({ row, part, to }, index): EncodedItem => {
        const failed = (error: string): EncodedItem => ({
          ...{ row, to, features: [], recognised: undefined },
          part: { kind: 'failed', error },
        });
        if (part.kind === 'failed') return failed(part.error);
        const own = features.map((of) => of.get(index)).filter((each) => each !== undefined);
        if (own.length < encoders.length) return failed(UNHOLDABLE_FEATURES);
        const text = texts?.get(index);
        if (text?.kind === 'failed') return failed(text.error);
        const { samples: _encoded, notes, ...rest } = part;
        const { text: recognised, isCut = false } = text?.value ?? {};
        const heard = { ...rest, notes: isCut ? [...notes, CUT_RECOGNITION] : notes };
        return { row, part: heard, to, features: own, recognised };
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
  models: Judges,
  { encoderOf }: MemberEncoders,
  options: JudgingOptions,
): Promise<void> {
  const verdicts: Verdict[] = [];
  for (const [index, model] of models.entries()) {
    verdicts.push(await verdictOf(model, items, encoderOf[index], models.length > 1, options));
  }
  const [{ recipe }] = models;
  for (const [index, { part, to, recognised }] of items.entries()) {
    const answers = verdicts.map((verdict) => verdict.answers[index]!);
    const cutBy = models[verdicts.findIndex(({ cut }) => cut.has(index))];
    const limit = cutBy?.phase.textLimit;
    const cutText: RowNote = { kind: 'text', text: limit ? cutTo(limit) : '' };
    const { startSec, endSec, notes }: Partial<Omit<ReadablePart, 'samples'>> =
      part.kind === 'readable' ? part : {};
    to.push({
      ...{ startSec, endSec, isCut: cutBy !== undefined },
      ...(recognised !== undefined && { recognised }),
      notes: [...(notes ?? []), ...(cutBy === undefined ? [] : [cutText])],
      ...(answers.length === 1 ? answers[0]! : jointAnswer(models, answers, recipe.labels)),
    });
  }
}

/** The mean of the answers; none of a part that one of the models cannot judge. */
function jointAnswer(models: Judges, answers: readonly Answer[], labels: readonly string[]): Answer {
  const failed = answers.find(({ kind }) => kind === 'failed');
  if (failed !== undefined) return failed;
  const probabilities = meanProbabilities(
    answers.flatMap((answer, index) =>
      answer.kind === 'failed'
        ? []
        : [{ labels: models[index]!.recipe.labels, probabilities: answer.probabilities }],
    ),
    labels,
  );
  return { kind: 'predicted', label: labels[argmax(probabilities)]!, probabilities };
}

/** What a model says about the parts of a chunk. */
interface Verdict {
  readonly answers: readonly Answer[];
  /** Indices of parts whose transcript was cut. */
  readonly cut: ReadonlySet<number>;
}

async function verdictOf(
  { recipe, phase, infer }: OpenedModel,
  items: readonly EncodedItem[],
  encoder: number | undefined,
  isOneOfSeveral: boolean,
  options: JudgingOptions,
): Promise<Verdict> {
  const answers = items.map(({ part }): Answer => failure(part.kind === 'failed' ? part.error : ''));
  const features = (id: string): StoredFeatures | undefined =>
    encoder === undefined ? undefined : items[Number(id)]!.features[encoder];
  const read = {
    frames: (id: string) => features(id)?.frames ?? 0,
    read: async ({ id }: { readonly id: string }) => features(id)!,
  };
  const examples = items.flatMap(({ row, part, recognised }, index) => {
    if (part.kind === 'failed') return [];
    const text = recognised ?? transcriptOfRow(row, options.textColumn);
    if (isOneOfSeveral && encoder === undefined && text === '') {
      // Alone, it would not have been given the row.
      answers[index] = failure(`${rowName(row)}: column "${options.textColumn}" is empty`);
      return [];
    }
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
  return { answers, cut: new Set(examples.filter(isCutText).map(({ id }) => Number(id))) };
}

type Answer =
  | { readonly kind: 'predicted'; readonly label: string; readonly probabilities: Float32Array }
  | { readonly kind: 'failed'; readonly error: string };

function failure(error: string): Answer {
  return { kind: 'failed', error };
}
