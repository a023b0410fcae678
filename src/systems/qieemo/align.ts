/**
 * @file The phase that fine-tunes an encoder on transcripts with CTC (Graves et al., 2006), so that its posteriorgram
 * tells what was said.
 */

import { type CtcVocabulary, transcriptSymbols } from '../../backbones/index.js';
import { InputError } from '../../base/index.js';
import { softmax } from '../../engine/onnx/index.js';
import type { Batch, GraphInput } from '../../engine/training/index.js';
import { ctcLoss } from '../../nn/index.js';
import { LOGITS } from '../encoder-layers.js';
import { idVector } from '../phase-graphs.js';
import type { Encoded, Example, ModelUtterance, PhaseGraphs } from '../system.js';

export const ALIGN = 'align';

/** An utterance with its transcript in symbols. */
export interface AlignExample extends Example {
  readonly symbols: readonly number[];
}

const SYMBOLS = 'symbols';

const targets: readonly GraphInput[] = [
  { name: 'symbol_ids', dtype: 'int64', shape: ['batch', SYMBOLS] },
  { name: 'symbol_mask', dtype: 'int64', shape: ['batch', SYMBOLS] },
];

/**
 * The graphs over the logits of the CTC head. Its forward graph gives the posteriorgram [N, L, symbols] in place of
 * probabilities of labels, of which it knows nothing.
 * @param blank id of the blank
 */
export function alignGraphs(inputs: readonly GraphInput[], blank: number): Omit<PhaseGraphs, 'frozen'> {
  return {
    name: ALIGN,
    inputs,
    targets,
    isTrainable: () => false,
    loss: (_, batch) => {
      const target = { symbols: batch.symbol_ids!, mask: batch.symbol_mask! };
      const { loss, impossible } = ctcLoss(batch[LOGITS]!, batch.frame_mask!, target, blank);
      return { loss, reported: { without_alignment: impossible } };
    },
    forward: (_, batch) => ({ probabilities: softmax(batch[LOGITS]!), embedding: undefined }),
  };
}

/** Spells the transcript of an utterance. */
export function alignExample(
  { id, path, text }: ModelUtterance,
  vocabulary: CtcVocabulary,
): Encoded<AlignExample> {
  const { ids, unknown } = transcriptSymbols(text, vocabulary);
  if (ids.length === 0 && unknown.length > 0) {
    const problem = `none of the letters of its transcript is in the recogniser's vocabulary, such as "${unknown[0]}"`;
    return { kind: 'problem', problem };
  }
  const lengths = { inputs: {}, targets: { [SYMBOLS]: Math.max(ids.length, 1) } };
  return { kind: 'example', example: { id, path, label: -1, lengths, symbols: ids } };
}

/** Symbols of a transcript whose tokenizer is not there: one for each character. */
export function estimatedSymbols(text: string | undefined): Readonly<Record<string, number>> {
  return { [SYMBOLS]: Math.max(text?.length ?? AVERAGE_SYMBOLS, 1) };
}

/** Characters of a transcript in MELD and IEMOCAP, about. */
const AVERAGE_SYMBOLS = 50;

/** `symbol_ids` and `symbol_mask`, int64 [batch, symbols]; without any symbol, one column that does not count. */
export function symbolPart(examples: readonly AlignExample[], blank: number): Batch {
  const length = Math.max(1, ...examples.map(({ symbols }) => symbols.length));
  const shape = [examples.length, length];
  const rows = examples.flatMap(({ symbols }) => [
    ...symbols,
    ...Array<number>(length - symbols.length).fill(blank),
  ]);
  const counted = examples.flatMap(({ symbols }) =>
    Array.from({ length }, (_, place) => (place < symbols.length ? 1 : 0)),
  );
  return {
    tensors: { symbol_ids: idVector(shape, rows), symbol_mask: idVector(shape, counted) },
    sizes: { [SYMBOLS]: length },
  };
}

/**
 * Reviews transcripts that a recogniser is to be trained on.
 * @returns a warning about letters that its vocabulary does not have; undefined if it has all
 * @throws InputError if no utterance has a transcript
 */
export function reviewTranscripts(
  texts: readonly string[],
  vocabulary: CtcVocabulary | undefined,
): string | undefined {
  if (texts.length > 0 && texts.every((text) => text.trim() === '')) {
    throw new InputError(
      'align fine-tunes the encoder on transcripts, but no training utterance has one; set emotion.from_align to false',
    );
  }
  if (vocabulary === undefined) return undefined;
  const counts = new Map<string, number>();
  for (const text of texts) {
    for (const letter of transcriptSymbols(text, vocabulary).unknown) {
      counts.set(letter, (counts.get(letter) ?? 0) + 1);
    }
  }
  if (counts.size === 0) return undefined;
  const most = [...counts].sort(([, a], [, b]) => b - a).slice(0, 5);
  const more = counts.size > most.length ? ' and others' : '';
  return `align leaves out letters that the recogniser's vocabulary does not have: ${most.map(([letter, count]) => `${letter} (${count} times)`).join(', ')}${more}`;
}
