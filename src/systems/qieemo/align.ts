/**
 * @file The phase that fine-tunes an encoder on transcripts with CTC (Graves et al., 2006), so that its posteriorgram
 * tells what was said.
 */

import { type CtcRecogniserSource, type CtcVocabulary, transcriptSymbols } from '../../backbones/index.js';
import { InputError } from '../../base/index.js';
import type { Utterance } from '../../data/corpora/index.js';
import { add, softmax } from '../../engine/onnx/index.js';
import type { Batch, GraphInput } from '../../engine/training/index.js';
import { ctcLoss, frameCrossEntropy } from '../../nn/index.js';
import { LOGITS } from '../encoder-layers.js';
import { idVector } from '../phase-graphs.js';
import type { Encoded, Example, ModelUtterance, PhaseGraphs } from '../system.js';

export const ALIGN = 'align';

/** An utterance with what the recogniser should hear. */
export interface AlignExample extends Example {
  /** Its transcript in symbols. */
  readonly symbols: readonly number[];
  /** With word times: a symbol for each frame, up to the end of the last word. */
  readonly frames?: readonly number[];
}

/** The recogniser of the phase. */
export interface Recogniser {
  readonly vocabulary: CtcVocabulary;
  readonly blank: number;
  readonly frameSec: number;
}

/** What the encoder is fine-tuned on, see the recipe key `align.targets`. */
export type AlignTargets = 'transcripts' | 'words';

const SYMBOLS = 'symbols';

const transcriptInputs: readonly GraphInput[] = [
  { name: 'symbol_ids', dtype: 'int64', shape: ['batch', SYMBOLS] },
  { name: 'symbol_mask', dtype: 'int64', shape: ['batch', SYMBOLS] },
];
const inputsOf: Readonly<Record<AlignTargets, readonly GraphInput[]>> = {
  transcripts: transcriptInputs,
  words: [...transcriptInputs, { name: 'frame_symbols', dtype: 'int64', shape: ['batch', 'frames'] }],
};

/**
 * The graphs over the logits of the CTC head. Its forward graph gives the posteriorgram [N, L, symbols] in place of
 * probabilities of labels, of which it knows nothing.
 * @param blank id of the blank
 */
export function alignGraphs(
  inputs: readonly GraphInput[],
  targets: AlignTargets,
  blank: number,
): Omit<PhaseGraphs, 'frozen'> {
  return {
    name: ALIGN,
    inputs,
    targets: inputsOf[targets],
    isTrainable: () => false,
    loss: (_, batch) => {
      const [logits, mask] = [batch[LOGITS]!, batch.frame_mask!];
      const target = { symbols: batch.symbol_ids!, mask: batch.symbol_mask! };
      const { loss: ctc, impossible } = ctcLoss(logits, mask, target, blank);
      const reported = { without_alignment: impossible };
      if (targets === 'transcripts') return { loss: ctc, reported };
      const frames = frameCrossEntropy(logits, batch.frame_symbols!, mask);
      return { loss: add(ctc, frames), reported: { ...reported, ctc, frames } };
    },
    forward: (_, batch) => ({ probabilities: softmax(batch[LOGITS]!), embedding: undefined }),
  };
}

/** Spells what is said in an utterance. */
export function alignExample(
  { id, path, text, words }: ModelUtterance,
  targets: AlignTargets,
  recogniser: Recogniser,
): Encoded<AlignExample> {
  const { ids, unknown } = transcriptSymbols(text, recogniser.vocabulary);
  if (ids.length === 0 && unknown.length > 0) {
    const problem = `none of the letters of its transcript is in the recogniser's vocabulary, such as "${unknown[0]}"`;
    return { kind: 'problem', problem };
  }
  const lengths = { inputs: {}, targets: { [SYMBOLS]: Math.max(ids.length, 1) } };
  const spelt: AlignExample = { id, path, label: -1, lengths, symbols: ids };
  if (targets === 'transcripts') return { kind: 'example', example: spelt };
  if (words === undefined) {
    const problem =
      'the manifest does not say when its words are spoken, which align.targets: words needs; give it a column "words", or set align.targets to transcripts';
    return { kind: 'problem', problem };
  }
  const said = transcriptSymbols(words.map(({ word }) => word).join(' '), recogniser.vocabulary);
  if (said.ids.join() !== ids.join()) {
    const problem = `the words in its column "words" are not those of its transcript: "${words.map(({ word }) => word).join(' ')}"`;
    return { kind: 'problem', problem };
  }
  return { kind: 'example', example: { ...spelt, frames: frameSymbols(words, recogniser) } };
}

/**
 * A symbol for each frame, up to the end of the last word: a word's letters share its time evenly, and each is in the
 * middle frame of its share. The delimiter is in the middle of the pause between two words. All other frames are blank,
 * as after training with CTC: then a frame between two letters, of which neither is sure, adds no third one.
 */
export function frameSymbols(
  words: NonNullable<ModelUtterance['words']>,
  { vocabulary, blank, frameSec }: Recogniser,
): number[] {
  const between = vocabulary.symbols.indexOf(vocabulary.delimiter);
  const frames = Math.round((words.at(-1)?.end ?? 0) / frameSec);
  const symbols = Array<number>(frames).fill(blank);
  const put = (id: number, sec: number): void => {
    const frame = Math.floor(sec / frameSec);
    if (frame < frames) symbols[frame] = id;
  };
  for (const [index, { word, start, end }] of words.entries()) {
    if (index > 0 && between >= 0) put(between, (words[index - 1]!.end + start) / 2);
    const { ids } = transcriptSymbols(word, vocabulary);
    for (const [place, id] of ids.entries()) put(id, start + ((place + 0.5) / ids.length) * (end - start));
  }
  return symbols;
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

/** `frame_symbols`, int64 [batch, frames]; blank after the last word. @param frames of the batch */
export function framePart(examples: readonly AlignExample[], frames: number, blank: number): Batch {
  const rows = examples.flatMap((example) =>
    Array.from({ length: frames }, (_, frame) => example.frames?.[frame] ?? blank),
  );
  return { tensors: { frame_symbols: idVector([examples.length, frames], rows) }, sizes: {} };
}

/**
 * Reviews what a recogniser is to be trained on.
 * @param recogniser undefined if it is not there yet
 * @returns a warning about letters that its vocabulary does not have, and about clips that are too short for their
 *   transcripts; undefined if there are none
 * @throws InputError if no utterance has a transcript
 */
export function reviewTranscripts(
  utterances: readonly Pick<Utterance, 'text' | 'durationSec'>[],
  recogniser: CtcRecogniserSource | undefined,
): string | undefined {
  if (utterances.length > 0 && utterances.every(({ text }) => text.trim() === '')) {
    throw new InputError(
      'align fine-tunes the encoder on transcripts, but no training utterance has one; set emotion.from_align to false',
    );
  }
  if (recogniser === undefined) return undefined;
  const unknown = new Map<string, number>();
  let short = 0;
  for (const { text, durationSec } of utterances) {
    const spelt = transcriptSymbols(text, recogniser.vocabulary);
    for (const letter of spelt.unknown) unknown.set(letter, (unknown.get(letter) ?? 0) + 1);
    // Each symbol needs a frame, and a repeated one a blank before it. Without a duration nothing is known.
    const repeats = spelt.ids.filter((id, place) => id === spelt.ids[place - 1]).length;
    if (durationSec > 0 && durationSec / recogniser.frameSec < spelt.ids.length + repeats) short += 1;
  }
  const most = [...unknown].sort(([, a], [, b]) => b - a).slice(0, 5);
  const more = unknown.size > most.length ? ' and others' : '';
  const warnings = [
    ...(unknown.size > 0
      ? [
          `align leaves out letters that the recogniser's vocabulary does not have: ${most.map(([letter, count]) => `${letter} (${count} times)`).join(', ')}${more}`,
        ]
      : []),
    ...(short > 0
      ? [
          `align learns nothing from ${short} of ${utterances.length} clips, which are too short for their transcripts`,
        ]
      : []),
  ];
  return warnings.length === 0 ? undefined : warnings.join('; ');
}
